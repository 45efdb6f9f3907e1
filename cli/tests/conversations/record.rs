//! What a build records of its modules and says of the hosts that they are for: compilers, symbol versions, skipped cells, lists of a fleet.

use serde_json::Value;

use crate::stand_in_farm::{BUILD, module_by, world};

/// The plain `gcc` of the farm was recorded, whatever the build tree calls.
#[test]
fn a_bundle_names_what_compiled_its_modules_and_their_kernel() {
    let world = world();
    let comment = |version: &str| format!("GCC: (stand-in) {version}\0").into_bytes();
    for script in ["counter", "latency"] {
        for (release, version) in [("6.12.1-test", "14.2.0"), ("6.12.2-test", "15.1.0")] {
            let bytes = module_by(script, release, &comment(version));
            world.write(&format!("root/usr/share/ready/{script}-{release}.ko"), bytes);
        }
    }
    let compile =
        "#define UTS_MACHINE \"x86_64\"\n#define LINUX_COMPILER \"gcc (stand-in) 15.0.1, GNU ld 2.44\"\n";
    for release in ["6.12.1-test", "6.12.2-test"] {
        world.write(&format!("root/lib/modules/{release}/build/include/generated/compile.h"), compile);
    }
    let said = world.run(&format!("build {BUILD} --key farm2.key -o a.stapb --report r.json"));
    let warning = "kernel 6.12.1-test: its modules were to be compiled with gcc (stand-in) 15.1.0, and were with \
                   gcc (stand-in) 14.2.0; the kernel was built with gcc 15.0.1, its modules with gcc 14.2.0";
    assert!(said.stderr.contains(warning), "{said}");
    assert!(!said.stderr.contains("kernel 6.12.2-test: its build tree"), "{said}");
    let report: Value =
        serde_json::from_str(&std::fs::read_to_string(world.path("r.json")).unwrap()).unwrap();
    assert!(report["warnings"].as_array().unwrap().contains(&warning.into()), "{report:#}");

    let inspected = world.json("inspect a.stapb --key farm2.pub");
    let mut kernels = inspected["manifest"]["kernels"].as_array().unwrap().clone();
    kernels.sort_by_key(|kernel| kernel["release"].to_string());
    let named: Vec<&Value> = kernels.iter().map(|kernel| &kernel["modules_compiler"]).collect();
    assert_eq!(named, ["gcc (stand-in) 14.2.0", "gcc (stand-in) 15.1.0"]);
    assert!(
        kernels.iter().all(|kernel| kernel["compiler"] == "gcc (stand-in) 15.0.1, GNU ld 2.44"),
        "{kernels:#?}"
    );
    let shown = world.run("inspect a.stapb --key farm2.pub").stdout;
    for part in [
        "  toolchain   systemtap 5.6/0.193, stand-in\n",
        "  compiler    gcc (stand-in) 14.2.0 (6.12.1-test)\n",
        "  compiler    gcc (stand-in) 15.1.0 (6.12.2-test)\n",
        "another compiler: kernel 6.12.1-test was built with gcc 15.0.1, its modules with gcc 14.2.0\n",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    // The same from the cache.
    let again = world.run(&format!("build {BUILD} --key farm2.key -o b.stapb"));
    assert!(again.stderr.contains(warning), "{again}");
    assert!(std::fs::read(world.path("a.stapb")).unwrap() == std::fs::read(world.path("b.stapb")).unwrap());
}

#[test]
fn guru_scripts_for_kernels_that_want_symbol_versions_are_warned_of() {
    let world = world();
    world.config("config", "counter_OPT=\"-g\"\nlatency_OPT=\"-g -B CONFIG_MODVERSIONS=y\"\n");
    let config = "root/lib/modules/6.12.1-test/build/include/config/auto.conf";
    let warned = |configuration: &str| {
        world.write(config, configuration);
        world.run(&format!("build {BUILD} --dry-run"))
    };
    let warning = "warning: counter: `stap -g` makes modules without symbol versions, and the kernel refuses to load them \
                   (CONFIG_MODVERSIONS without CONFIG_MODULE_FORCE_LOAD) on 6.12.1-test: add `-B CONFIG_MODVERSIONS=y` to counter_OPT\n";
    let said = warned("CONFIG_X86_64=y\nCONFIG_MODVERSIONS=y\n");
    assert!(said.stderr.contains(warning), "{said}");
    let said = warned("CONFIG_X86_64=y\nCONFIG_MODVERSIONS=y\nCONFIG_MODULE_FORCE_LOAD=y\n");
    assert!(!said.stderr.contains("symbol versions"), "{said}");
}

/// It was counted as red, as if the farm had tried it.
#[test]
fn a_cell_that_was_left_out_is_skipped_in_the_bundle_too() {
    let world = world();
    world.run(&format!("build {BUILD} --skip counter@6.12.2-test --key farm2.key -o a.stapb"));
    let inspected = world.json("inspect a.stapb --key farm2.pub");
    let kernels = inspected["manifest"]["kernels"].as_array().unwrap();
    let mut red: Vec<String> = kernels
        .iter()
        .flat_map(|kernel| {
            let cells = kernel["red"].as_array().unwrap().iter();
            cells.map(move |cell| format!("{} {} {}", kernel["release"], cell["script"], cell["skipped"]))
        })
        .map(|text| text.replace('"', ""))
        .collect();
    red.sort();
    assert_eq!(red, ["6.12.1-test broken null", "6.12.2-test broken null", "6.12.2-test counter true"]);
    let shown = world.run("inspect a.stapb --key farm2.pub").stdout;
    for part in [
        "\n2 red cells:\n",
        "\n1 skipped cell:\n  counter on 6.12.2-test: the farm left it out: --skip counter@6.12.2-test\n",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn hosts_of_a_list_that_would_refuse_the_bundle_are_warned_of_by_name() {
    let world = world();
    world.write(
        "fleet.txt",
        "\u{feff}# the fleet\r\n\
         web1 | CHANGED | rc=0 >>\r\nLinux a 6.12.1-test #1 SMP Test 6.12.1-test x86_64 GNU/Linux\r\n\
         web2: Linux b 6.12.1-test #2 SMP Sat Aug 29 12:00:00 UTC 2026 x86_64 GNU/Linux\r\n\
         arm1 6.12.2-test #1 SMP Test 6.12.2-test aarch64\r\n\
         ssh: connect to host web9 port 22: Connection refused\r\n",
    );
    let line = "build --kernels fleet.txt --sysroot root -c config --cache c --best-effort broken --dry-run";
    let said = world.run(line);
    for part in [
        "warning: fleet.txt: 1 line names no kernel and is passed over: line 6: `ssh: connect to host web9 port 22: Connection refused`\n",
        "warning: kernel 6.12.1-test: web2 runs another build, `#2 SMP Sat Aug 29 12:00:00 UTC 2026`, the build tree is for \
         `#1 SMP Test 6.12.1-test`: ",
        "warning: kernel 6.12.2-test: arm1 runs aarch64, the build tree is for x86_64: ",
    ] {
        assert!(said.stderr.contains(part), "{part}\n{said}");
    }
    assert!(said.stdout.contains("\n  2 hosts    web1, web2\n"), "{said}");
    let plan = world.json(line);
    let hosts: Vec<&Value> =
        plan["kernels"].as_array().unwrap().iter().map(|kernel| &kernel["hosts"]).collect();
    assert_eq!(hosts, [&serde_json::json!(["web1", "web2"]), &serde_json::json!(["arm1"])]);
    assert_eq!(plan["warnings"].as_array().unwrap().len(), 2, "{plan:#}");
}

/// It was said that --skip leaves out every cell.
#[test]
fn a_dry_run_of_kernels_that_are_all_missing_says_what_is_missing() {
    let world = world();
    let said = world.run("build -r 6.99.0-test --sysroot root -c config --cache c --dry-run");
    assert_eq!(said.exit, Some(21), "{said}");
    assert!(said.to_string().contains("no build tree for 6.99.0-test: "), "{said}");
    assert!(!said.to_string().contains("--skip"), "{said}");
}

/// It was said to stand alone.
#[test]
fn a_frame_of_a_delta_refers_to_the_older_bundle() {
    let world = world();
    assert_eq!(world.run(&format!("build {BUILD} --key farm2.key -o a.stapb")).exit, Some(20));
    let delta = format!(
        "build {BUILD} --key farm2.key --name stap-scripts --delta-from a.stapb -o d.stapb --serial 1800000000"
    );
    let said = world.run(&delta);
    assert!(said.stderr.contains(", refers to the older bundle\n"), "{said}");
    assert!(!said.stderr.contains("refers to no other"), "{said}");
}
