//! `adopt`, with the real program on a root that is put together of mounts: README 5.8.2 as it is written, and the way on from there.

use std::fs;

use fixtures::module::tiny_module;

use crate::bundles::{Bundle, fleet};
use crate::limited::{on_this_root, running_release, world};
use crate::world::{PROGRAM, TestWorld};

/// The caches of a compiling machine for this kernel, as they are after README 5.8.2: `brought` alone, and options of its own.
fn after_5_8_2() -> TestWorld {
    let world = world();
    let release = running_release();
    let cache = format!("host/var/cache/systemtap/{release}");
    for (script, vermagic) in [("brought", release.as_str()), ("other", "6.1.0-none")] {
        world.write(&format!("{cache}/{script}.ko"), tiny_module(script, &format!("{vermagic} SMP ")));
        world.write(
            &format!("{cache}/{script}.opts"),
            "Linux builder 6.1.0 #1 SMP x86_64 GNU/Linux\n-D FOO=1 --\n",
        );
        for suffix in ["ko", "opts"] {
            world.chmod(&format!("{cache}/{script}.{suffix}"), 0o644);
        }
    }
    for directory in ["host/var/cache", "host/var/cache/systemtap", &cache] {
        world.chmod(directory, 0o755);
    }
    world.write("host/etc/systemtap/config", "AUTOCOMPILE=no\nALLOW_CACHEONLY=yes\n");
    world.write("host/etc/systemtap/conf.d/brought.conf", "brought_OPT=\"-D FOO=1\"\n");
    world
}

fn says(said: &str, lines: &[&str]) {
    for line in lines {
        assert!(said.contains(line), "{line}:\n{said}");
    }
}

#[test]
fn init_cache_01_modules_that_were_brought_are_named_with_the_command_and_start_once_they_are_adopted() {
    let world = after_5_8_2();
    let on = |line: &str| on_this_root(&world, "", line);
    let said = on("start --dry-run");
    says(
        &said,
        &[
            "counter: would start",
            "brought: /var/cache/systemtap/RELEASE/brought.ko is of no trusted bundle, and has no record on this host\n",
            "on the farm, stap-bundle import makes a signed bundle of it; or, to vouch for it here: stap-bundle adopt NAME",
        ],
    );
    says(&on("status brought"), &["brought", "stap-bundle adopt NAME", "[exit 3]"]);
    let systemtap = format!("exec -a systemtap {PROGRAM} start");
    let said = on_this_root(&world, &format!("/bin/bash -c '{systemtap}' || echo ended with $?;"), "list");
    says(
        &said,
        &["Starting systemtap ... FAILED\n", "Error: brought: ", "stap-bundle adopt NAME", "ended with 1\n"],
    );
    says(&on("adopt --root WORK"), &["takes no --root", "[exit 2]"]);

    // What is shown, and no answer.
    let said = on("adopt brought </dev/null");
    says(
        &said,
        &[
            "brought: /var/cache/systemtap/RELEASE/brought.ko, ",
            "  SHA-256      ",
            "  vermagic     RELEASE SMP\n",
            "  options      -D FOO=1 --\n",
            "  compiled on  Linux builder 6.1.0 #1 SMP x86_64 GNU/Linux\n",
            "Vouch for them, and let root load them into the kernel? [y/N]: ",
            "nothing was adopted\n",
            "[exit 0]",
        ],
    );
    says(&on("start --dry-run brought"), &["no record on this host"]);

    // All: one is for another kernel.
    let said = on("adopt -y");
    says(
        &said,
        &["brought: adopted for RELEASE, SHA-256 ", "other: not adopted: ", "6.1.0-none SMP", "[exit 12]"],
    );
    says(&on("start --dry-run brought"), &["brought: would start\n[exit 0]"]);
    let history = on("history -n 1");
    says(&history, &[" adopted for RELEASE: brought ("]);
    let digest = bundle_format::Digest::of(&tiny_module("brought", &format!("{} SMP ", running_release())));
    says(&history, &[&digest.to_string()]);
}

#[test]
fn readme_5_8_2_what_tar_has_put_too_deep_is_named_with_the_command() {
    let world = world();
    let below = format!("host/var/cache/systemtap/var/cache/systemtap/{}/brought.ko", running_release());
    world.write(&below, "");
    world.write("host/var/cache/systemtap/etc/systemtap/conf.d/group1.conf", "");
    let whole = "mv /var/cache/systemtap/var/cache/systemtap/RELEASE /var/cache/systemtap/\n";
    let settings = "mv /var/cache/systemtap/etc/systemtap/conf.d/* /etc/systemtap/conf.d/\n";
    let cache = world.path(&format!("host/var/cache/systemtap/{}", running_release()));
    // Where the kernel's own directory is there, it isn't moved into that.
    let beside = "mv /var/cache/systemtap/var/cache/systemtap/RELEASE/* /var/cache/systemtap/RELEASE/\n";
    says(&on_this_root(&world, "", "status"), &[beside, settings]);
    fs::remove_dir_all(cache).unwrap();
    for line in ["start --dry-run", "status", "stop", "adopt -y"] {
        says(&on_this_root(&world, "", line), &[whole, settings]);
    }
    // Where nothing is left to move, nothing is said.
    fs::remove_file(world.path("host/var/cache/systemtap/etc/systemtap/conf.d/group1.conf")).unwrap();
    assert!(!on_this_root(&world, "", "status").contains(settings));
    world.write("host/var/cache/systemtap/etc/systemtap/conf.d/group1.conf", "");
    let systemtap = format!("/bin/bash -c 'exec -a systemtap {PROGRAM} start' || true;");
    says(&on_this_root(&world, &systemtap, "list"), &[whole, settings]);
    let said = on_this_root(&world, "", "adopt -y");
    says(&said, &["no module without a record in the cache of RELEASE\n", "[exit 0]"]);
}

#[test]
fn an_adopted_module_that_is_lost_can_be_forgotten() {
    let world = after_5_8_2();
    let on = |line: &str| on_this_root(&world, "", line);
    says(&on("adopt -y brought"), &["[exit 0]"]);
    let cache = format!("host/var/cache/systemtap/{}", running_release());
    for suffix in ["ko", "opts"] {
        fs::remove_file(world.path(&format!("{cache}/brought.{suffix}"))).unwrap();
    }
    says(
        &on("start --dry-run brought"),
        &["brought: what was compiled or adopted", "stap-bundle cleanup NAME"],
    );
    says(&on("cleanup -y brought"), &["1 file removed", "[exit 0]"]);
    assert!(!on("start --dry-run").contains("brought"));
}

#[test]
fn a_policy_may_forbid_it_and_others_files_are_not_adopted() {
    let world = after_5_8_2();
    let on = |line: &str| on_this_root(&world, "", line);
    world.write("host/etc/stap-bundle/policy.toml", "[initscript]\nadopt = false\n");
    world.chmod("host/etc/stap-bundle/policy.toml", 0o644);
    says(&on("adopt -y brought"), &["the policy of this host forbids to adopt modules", "[exit 10]"]);
    fs::remove_file(world.path("host/etc/stap-bundle/policy.toml")).unwrap();
    let module = world.path(&format!("host/var/cache/systemtap/{}/brought.ko", running_release()));
    std::os::unix::fs::chown(&module, Some(1000), None).unwrap();
    says(
        &on("adopt -y brought"),
        &["brought: not adopted: ", "chown root /var/cache/systemtap/RELEASE/brought.ko", "[exit 10]"],
    );
    says(&on("start --dry-run brought"), &["no record on this host"]);
    assert!(!on("history").contains("adopted"));
}

#[test]
fn a_bundle_that_offers_an_adopted_script_is_a_conflict_and_an_offered_script_is_not_adopted() {
    let world = after_5_8_2();
    let on = |line: &str| on_this_root(&world, "", line);
    let release: &'static str = running_release().leak();
    says(&on("adopt -y counter"), &["counter: not adopted: it is owned by bundle fleet\n[exit 16]"]);
    says(&on("adopt -y brought"), &["[exit 0]"]);
    let with_it = Bundle {
        kernels: vec![release],
        red: Vec::new(),
        scripts: vec!["brought", "counter", "latency"],
        ..fleet(3)
    };
    world.bundle("fleet-3.stapb", &with_it);
    let before = on("list");
    for dry in ["", "--dry-run "] {
        let said = on(&format!("install {dry}{}/fleet-3.stapb", world.work().display()));
        says(
            &said,
            &[
                "script brought of bundle fleet was adopted on this host",
                "stap-bundle cleanup brought",
                "--move-foreign",
                "[exit 16]",
            ],
        );
    }
    assert_eq!(on("list"), before);
    // Moved aside, it is the bundle's for good.
    let install = |options: &str| on(&format!("install {options}{}/fleet-3.stapb", world.work().display()));
    says(&install("--move-foreign "), &["[exit 0]"]);
    says(&install(""), &["[exit 0]"]);
    says(&on("rollback"), &["[exit 0]"]);
    let cache = format!("host/var/cache/systemtap/{release}");
    world.write(&format!("{cache}/brought.ko"), tiny_module("brought", &format!("{release} SMP ")));
    world.write(
        &format!("{cache}/brought.opts"),
        "Linux builder 6.1.0 #1 SMP x86_64 GNU/Linux\n-D FOO=1 --\n",
    );
    for suffix in ["ko", "opts"] {
        world.chmod(&format!("{cache}/brought.{suffix}"), 0o644);
    }
    says(&on("adopt -y brought"), &["[exit 0]"]);
    says(&on("cleanup -y brought"), &["[exit 0]"]);
    says(&on(&format!("install {}/fleet-3.stapb", world.work().display())), &["[exit 0]"]);
    says(&on("start --dry-run brought"), &["brought: would start\n[exit 0]"]);
}
