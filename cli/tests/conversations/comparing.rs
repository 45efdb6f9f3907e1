//! `diff`, `subset` and extras.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

#[test]
fn diff_names_what_changed() {
    let world = TestWorld::new();
    world.bundle("old.stapb", &fleet(7));
    world.bundle("again.stapb", &fleet(8));
    world.bundle(
        "new.stapb",
        &Bundle {
            scripts: vec!["counter", "reads"],
            kernels: vec!["6.12.1-test", "6.14.0-test"],
            red: vec![("counter", "6.12.1-test")],
            ..fleet(9)
        },
    );
    assert_snapshot!(world.talk("
        diff old.stapb again.stapb --key farm.pub
        diff old.stapb new.stapb --key farm.pub
        diff old.stapb gone.stapb --key farm.pub
        diff old.stapb new.stapb --key stranger.pub
    "), @r#"
    $ stap-bundle diff old.stapb again.stapb --key farm.pub
    --- fleet 1.7, serial 7
    +++ fleet 1.8, serial 8
    2> The content is the same.
    [exit 0]
    $ stap-bundle diff old.stapb new.stapb --key farm.pub
    --- fleet 1.7, serial 7
    +++ fleet 1.9, serial 9
    - script latency
    + script reads
    ~ kernel 6.12.1-test: added reads; removed counter latency; red counter: no such probe; [SIZE] -> [SIZE] unpacked, [SIZE] -> [SIZE] in frames
    - kernel 6.13.0-test: 1 module, [SIZE] unpacked, [SIZE] in frames
    + kernel 6.14.0-test: 2 modules, [SIZE] unpacked, [SIZE] in frames
      frames [SIZE] -> [SIZE]
    [exit 1]
    $ stap-bundle diff old.stapb gone.stapb --key farm.pub
    2> error: gone.stapb: No such file or directory
    [exit 14]
    $ stap-bundle diff old.stapb new.stapb --key stranger.pub
    2> error: old.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    "#);
    let difference = world.json("diff old.stapb new.stapb --key farm.pub");
    assert_eq!(difference["same"], false);
    assert_eq!(difference["scripts"][0]["change"], "removed");
    assert_eq!(difference["kernels"][0]["modules"]["added"][0], "reads");
    for kernel in 0..3 {
        let sizes = &difference["kernels"][kernel]["sizes"];
        let sizes = if sizes.is_array() { &sizes[1] } else { sizes };
        assert!(sizes["frame_bytes"].as_u64() > Some(0), "{difference}");
        assert!(sizes["plain_bytes"].as_u64() > sizes["frame_bytes"].as_u64(), "{difference}");
    }
    // Of a subset without that kernel's frames nobody can name the modules.
    assert_eq!(world.run("subset new.stapb --kernel 6.14.0-test --key farm.pub -o part.stapb").exit, Some(0));
    let said = world.run("diff old.stapb part.stapb --key farm.pub");
    assert_eq!(said.exit, Some(1), "{said}");
}

#[test]
fn diff_names_options_requirements_and_toolchains() {
    let world = TestWorld::new();
    world.bundle("old.stapb", &fleet(7));
    let turned = vec!["latency", "counter"];
    world.bundle("new.stapb", &Bundle { scripts: turned, buffer: 8, stap: "5.7", ..fleet(8) });
    assert_snapshot!(world.talk("diff old.stapb new.stapb --key farm.pub"), @r#"
    $ stap-bundle diff old.stapb new.stapb --key farm.pub
    --- fleet 1.7, serial 7
    +++ fleet 1.8, serial 8
    ~ script counter: options, run arguments, requirements
        options "-D FOO=1 -s 4" -> "-D FOO=1 -s 8"
        run arguments "-L -b 4" -> "-L -b 8"
        requirements "" -> "latency"
    ~ script latency: options, run arguments, requirements
        options "-D FOO=1 -s 4" -> "-D FOO=1 -s 8"
        run arguments "-L -b 4" -> "-L -b 8"
        requirements "counter" -> ""
    - toolchain systemtap 5.6; gcc 15
    + toolchain systemtap 5.7; gcc 15
    [exit 1]
    "#);
    let difference = world.json("diff old.stapb new.stapb --key farm.pub");
    assert_eq!(difference["scripts"][0]["what"][0]["field"], "options");
    assert_eq!(difference["toolchains_added"][0]["stap"], "5.7");
}

#[test]
fn a_subset_is_verified_installed_and_refused_where_it_lacks_a_kernel() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    assert_snapshot!(world.talk("
        subset fleet.stapb --kernel 6.12.1-test --key farm.pub -o part.stapb
        verify part.stapb --key farm.pub --deep
        subset part.stapb --kernel 6.13.0-test --key farm.pub -o none.stapb
        subset fleet.stapb --kernel 5.10.0-test --key farm.pub -o none.stapb
        subset fleet.stapb --key farm.pub -o none.stapb
        subset fleet.stapb --kernel 6.12.1-test --key stranger.pub -o none.stapb
        trust add --root host farm.pub
        -q install --root host part.stapb
        -q install --root host part.stapb --kernel 6.13.0-test
    "), @r#"
    $ stap-bundle subset fleet.stapb --kernel 6.12.1-test --key farm.pub -o part.stapb
    part.stapb: [SIZE], frames present 1 of 2
      bundle id  [SHA-256]
    [exit 0]
    $ stap-bundle verify part.stapb --key farm.pub --deep
    verified: fleet 1.7 of [DATE]
      bundle id  [SHA-256]
      signed by  [FARM-KEY]
      frames     present 1 of 2
      absent     6.13.0-test
      modules    2 modules decoded and compared
    [exit 0]
    $ stap-bundle subset part.stapb --kernel 6.13.0-test --key farm.pub -o none.stapb
    2> error: part.stapb: kernel 6.13.0-test ([SHA-256]) is in the manifest but not in this file
    2> hint: the file is a subset: bring the whole bundle, or name kernels that are in it: -r REL
    [exit 17]
    $ stap-bundle subset fleet.stapb --kernel 5.10.0-test --key farm.pub -o none.stapb
    2> error: fleet.stapb: there is no kernel 5.10.0-test in it
    2> hint: it holds 6.12.1-test, 6.13.0-test
    [exit 12]
    $ stap-bundle subset fleet.stapb --key farm.pub -o none.stapb
    2> error: the following required arguments were not provided:
    2>   --kernel <REL>
    2>
    2> Usage: stap-bundle subset --output <FILE> --key <NAME.pub> --kernel <REL> <FILE>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle subset fleet.stapb --kernel 6.12.1-test --key stranger.pub -o none.stapb
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    $ stap-bundle trust add --root host farm.pub
    pinned: key [FARM-KEY]
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle -q install --root host part.stapb
    [exit 0]
    $ stap-bundle -q install --root host part.stapb --kernel 6.13.0-test
    2> error: part.stapb: kernel 6.13.0-test ([SHA-256]) is in the manifest but not in this file
    2> hint: the file is a subset: bring the whole bundle, or name kernels that are in it: -r REL
    [exit 17]
    "#);
    assert!(!world.path("none.stapb").exists());
}

#[test]
fn an_extra_is_unpacked_if_it_is_there() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &Bundle { extras: true, ..fleet(7) });
    assert_snapshot!(world.talk("
        extract fleet.stapb out --key farm.pub --extra notes
        extract fleet.stapb out --key farm.pub --extra notes
        extract fleet.stapb none --key farm.pub --extra ../notes
    "), @r#"
    $ stap-bundle extract fleet.stapb out --key farm.pub --extra notes
    out/notes
    [exit 0]
    $ stap-bundle extract fleet.stapb out --key farm.pub --extra notes
    out/notes
    [exit 0]
    $ stap-bundle extract fleet.stapb none --key farm.pub --extra ../notes
    2> error: fleet.stapb: there is no extra `../notes` in it
    2> hint: it has notes
    [exit 17]
    "#);
    assert_eq!(fs::read_to_string(world.path("out/notes")).unwrap(), "made for a test\n");
    assert!(world.run("inspect fleet.stapb --key farm.pub").stdout.contains("extra       notes"));
}

#[test]
fn d3_a_split_bundle_is_joined_or_installed_from_its_parts() {
    let world = TestWorld::new();
    world.bundle(
        "fleet.stapb",
        &Bundle { scripts: vec!["a", "b", "c", "d", "e", "f"], red: Vec::new(), ..fleet(1) },
    );
    let said = world.run("split fleet.stapb --size 8K -o parts");
    assert_eq!(said.exit, Some(0), "{said}");
    let mut parts: Vec<String> = fs::read_dir(world.path("parts"))
        .unwrap()
        .map(|part| part.unwrap().path().display().to_string())
        .collect();
    parts.sort();
    assert!(parts.len() > 1, "{parts:?}");
    assert!(parts.iter().all(|part| fs::metadata(part).unwrap().len() <= 8192));
    parts.reverse();
    let all = parts.join(" ");
    assert_eq!(world.run(&format!("join {all} -o joined.stapb")).exit, Some(0));
    assert!(fs::read(world.path("joined.stapb")).unwrap() == fs::read(world.path("fleet.stapb")).unwrap());
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    let installed = world.run(&format!("install --root host {all}"));
    assert_eq!(installed.exit, Some(0), "{installed}");
    let said = world.run(&format!("install --root host {}", parts[0]));
    assert_eq!(said.exit, Some(17), "{said}");
    let mut bytes = fs::read(&parts[1]).unwrap();
    bytes[600] ^= 1;
    fs::write(&parts[1], bytes).unwrap();
    world.bundle("fleet-2.stapb", &fleet(2));
    fs::write(world.path("host/etc/hostname"), "host\n").unwrap();
    let before = world.tree();
    for line in [format!("join {all} -o again.stapb"), format!("install --root host {all}")] {
        let said = world.run(&line);
        assert!(said.exit == Some(11) && said.stderr.contains("is damaged: expected SHA-256"), "{said}");
    }
    let said = world.run("verify parts/fleet.stapb.01 --key farm.pub");
    assert!(said.exit == Some(17) && said.stderr.contains("stap-bundle join"), "{said}");
    // One after the other, the second was read where the first had ended.
    let said = world.run(&format!("join {0} {0} {all} -o again.stapb", parts[0]));
    assert!(said.exit == Some(16) && said.stderr.contains("are both part"), "{said}");
    assert_eq!(world.run("split farm.pub --size 8K").exit, Some(11));
    assert_eq!(world.run("split fleet.stapb --size 100").exit, Some(2));
    assert_eq!(world.tree(), before);
}

/// Parts of an earlier bundle were written over, one by one.
#[test]
fn split_writes_over_no_part_that_is_there() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("split fleet.stapb --size 8K -o parts").exit, Some(0));
    fs::remove_file(world.path("parts/fleet.stapb.01")).unwrap();
    world.write("parts/fleet.stapb.02", "an older one");
    let before = world.tree();
    let said = world.run("split fleet.stapb --size 8K -o parts");
    assert!(
        said.exit == Some(16)
            && said.stderr.contains("parts/fleet.stapb.02 exists already and is no part of"),
        "{said}"
    );
    assert!(world.tree() == before);
}

/// All parts were open at once, and of many a process may have too few files.
#[test]
fn join_and_install_take_more_parts_than_a_process_may_have_open() {
    let world = TestWorld::new();
    let scripts = (0..500).map(|number| &*format!("script_{number}").leak()).collect();
    world.bundle("fleet.stapb", &Bundle { scripts, red: Vec::new(), ..fleet(1) });
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("split fleet.stapb --size 4K -o parts").exit, Some(0));
    let mut parts: Vec<String> = fs::read_dir(world.path("parts"))
        .unwrap()
        .map(|part| format!("parts/{}", part.unwrap().file_name().into_string().unwrap()))
        .collect();
    // Not in order: each is opened again when its turn comes.
    parts.sort_by_key(|part| part.chars().rev().collect::<String>());
    let all = parts.join(" ");
    for line in [format!("join {all} -o joined.stapb"), format!("install --root host {all}")] {
        let program = world.command(&line);
        let mut limited = std::process::Command::new("sh");
        let words = std::iter::once(program.get_program()).chain(program.get_args());
        // What an install has open at once, but for the parts; measured, and a few more.
        limited.args(["-c", "ulimit -n 32 && exec \"$@\"", "sh"]).args(words).current_dir(world.work());
        let output = limited.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(parts.len() > 32, "{parts:?}");
    assert!(fs::read(world.path("joined.stapb")).unwrap() == fs::read(world.path("fleet.stapb")).unwrap());
}

#[test]
fn subset_and_join_replace_no_other_file() {
    let world = TestWorld::new();
    world.bundle("fleet.stapb", &fleet(7));
    let whole = std::fs::read(world.path("fleet.stapb")).unwrap();
    assert_eq!(world.run("split fleet.stapb --size 6K").exit, Some(0));
    world.write("notes.txt", "mine");
    let names = std::fs::read_dir(world.work())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let parts: Vec<String> = names.filter(|name| name.starts_with("fleet.stapb.")).collect();
    let join = format!("join {} -o notes.txt", parts.join(" "));
    for line in [
        "subset fleet.stapb --kernel 6.12.1-test --key farm.pub -o fleet.stapb",
        "subset fleet.stapb --kernel 6.12.1-test --key farm.pub -o notes.txt",
        &join,
    ] {
        let before = world.tree();
        let said = world.run(line);
        assert_eq!(said.exit, Some(16), "{said}");
        assert!(world.tree() == before, "{said}");
    }
    assert!(std::fs::read(world.path("fleet.stapb")).unwrap() == whole);
}
