//! Files that commands write: what they never replace, what they replace if asked to, and what is no change.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::process::{Command, Stdio};

use insta::assert_snapshot;

use crate::bundles::{Bundle, fleet};
use crate::world::TestWorld;

/// A farm with a key, a configuration, a script and an older bundle.
fn farm() -> TestWorld {
    let world = TestWorld::new();
    world.config("config", "");
    world.write("scripts/counter.stp", "probe begin {}\n");
    for (name, key) in [("farm.key", &world.farm), ("stranger.key", &world.stranger)] {
        world.write(name, key.to_pem().unwrap().as_bytes());
        world.chmod(name, 0o600);
    }
    world.bundle("older.stapb", &fleet(6));
    world.bundle("other.stapb", &fleet(7));
    world.write("fleet.payload", fleet(7).payload());
    world
}

/// Runs lines that must leave everything as it is.
fn refused(world: &TestWorld, lines: &str) -> String {
    let before = world.tree();
    let said = world.talk(lines);
    assert!(world.tree() == before, "{said}");
    said
}

/// What a file would lose if it was written again, even with the same bytes.
fn identity(world: &TestWorld, name: &str) -> (u64, i64, i64) {
    let metadata = fs::metadata(world.path(name)).unwrap();
    (metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

fn pipe(world: &TestWorld, name: &str) {
    assert!(Command::new("mkfifo").arg(world.path(name)).status().unwrap().success());
}

#[test]
fn a_build_replaces_no_input_and_no_file_of_another_kind() {
    let world = farm();
    symlink("older.stapb", world.path("soft.stapb")).unwrap();
    fs::hard_link(world.path("older.stapb"), world.path("hard.stapb")).unwrap();
    world.write("package.json", "{ \"name\": \"mine\", \"cells\": [] }\n");
    world.write("index.html", "<!doctype html>\n<title>mine</title>\n");
    assert_eq!(world.run("trust root create --key farm.pub -o roots.stapr").exit, Some(0));
    let build = "build -r 6.1 --sysroot host -c config --key farm.key --replace";
    let lines = [
        "-o farm.key",
        "-o stranger.key",
        "-o farm.pub",
        "-o config",
        "-o scripts/counter.stp",
        "-o roots.stapr",
        "-o fleet.payload",
        "-o older.stapb --delta-from older.stapb",
        "-o other.stapb --delta-from older.stapb",
        "-o soft.stapb --reuse older.stapb",
        "-o hard.stapb --reuse older.stapb",
        "-o other.stapb --no-sign",
        "--report scripts/counter.stp",
        "--report package.json",
        "--report index.html",
        "--report stranger.key",
    ];
    let lines = lines.map(|line| format!("{build} {line}")).join("\n");
    assert_snapshot!(refused(&world, &lines), @r#"
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o farm.key
    2> error: -o farm.key is the same file as the key farm.key
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o stranger.key
    2> error: won't overwrite stranger.key: it is a private key, not a bundle
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o farm.pub
    2> error: won't overwrite farm.pub: it is a public key, not a bundle
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o config
    2> error: -o config is the same file as the configuration config
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o scripts/counter.stp
    2> error: won't overwrite scripts/counter.stp: it is a text file, not a bundle
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o roots.stapr
    2> error: won't overwrite roots.stapr: it is a file of roots, not a bundle
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o fleet.payload
    2> error: won't overwrite fleet.payload: it is a payload, not a bundle
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o older.stapb --delta-from older.stapb
    2> error: -o older.stapb is the same file as the older bundle older.stapb
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o other.stapb --delta-from older.stapb
    2> error: won't overwrite other.stapb: it is a bundle, not a delta
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o soft.stapb --reuse older.stapb
    2> error: -o soft.stapb is the same file as the older bundle older.stapb
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o hard.stapb --reuse older.stapb
    2> error: -o hard.stapb is the same file as the older bundle older.stapb
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o other.stapb --no-sign
    2> error: won't overwrite other.stapb: it is a bundle, not a payload
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace --report scripts/counter.stp
    2> error: won't overwrite scripts/counter.stp: it is a text file, not a report of a build
    2> hint: name another file: --report FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace --report package.json
    2> error: won't overwrite package.json: it is another JSON document, not a report of a build
    2> hint: name another file: --report FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace --report index.html
    2> error: won't overwrite index.html: it is a text file, not a page of a build
    2> hint: name another file: --report FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace --report stranger.key
    2> error: won't overwrite stranger.key: it is a private key, not a report of a build
    2> hint: name another file: --report FILE
    [exit 16]
    "#);
}

#[test]
fn two_outputs_of_a_build_are_never_one_file() {
    let world = farm();
    fs::create_dir(world.path("d")).unwrap();
    symlink("d", world.path("e")).unwrap();
    symlink("d/new", world.path("to-new")).unwrap();
    let build = "build -r 6.1 --sysroot host -c config --key farm.key --replace";
    assert_snapshot!(refused(
        &world,
        &format!(
            "
        {build} -o same --report same
        {build} -o d/new --report e/../d/new
        {build} -o d/new --report to-new
        {build} -o systemtap.log
        {build} -o d
        {build} -o gone/new
    "
        )
    ), @r#"
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o same --report same
    2> error: --report same is the same file as -o same
    2> hint: name another file: --report FILE
    [exit 2]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o d/new --report e/../d/new
    2> error: --report e/../d/new is the same file as -o d/new
    2> hint: name another file: --report FILE
    [exit 2]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o d/new --report to-new
    2> error: --report to-new is the same file as -o d/new
    2> hint: name another file: --report FILE
    [exit 2]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o systemtap.log
    2> error: -o systemtap.log is the same file as the log (LOG_FILE) $WORLD/work/systemtap.log
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o d
    2> error: d is a directory, expected the name of a file
    2> hint: name the file: -o FILE
    [exit 2]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --replace -o gone/new
    2> error: gone/new: the directory gone isn't there
    2> hint: make it: mkdir -p gone
    2> hint: or name another place: -o FILE
    [exit 14]
    "#);
}

#[test]
fn a_report_is_replaced_only_if_that_is_asked_for_and_that_is_said_before_the_build() {
    let world = farm();
    let page = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"generator\" content=\"stap-bundle\">";
    world.write("page.html", page);
    world.write("report.json", r#"{"bundle":null,"cells":[],"warm_ups":[],"kernels":[],"compile_cpu_ms":0}"#);
    let build = "build -r 6.1 --sysroot host -c config --key farm.key";
    let lines = format!("{build} --report page.html\n{build} --report report.json\n");
    assert_snapshot!(refused(&world, &lines), @r#"
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --report page.html
    2> error: page.html exists already: a page of a build
    2> hint: to replace it: --replace
    2> hint: or name another file: --report FILE
    [exit 16]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key --report report.json
    2> error: report.json exists already: a report of a build
    2> hint: to replace it: --replace
    2> hint: or name another file: --report FILE
    [exit 16]
    "#);
    // There is no systemtap here.
    assert_eq!(world.run(&format!("{build} --report page.html --replace")).exit, Some(21));
}

#[test]
fn each_command_leaves_the_same_bytes_alone_and_replaces_others_if_asked_to() {
    let world = farm();
    assert_eq!(world.run("export other.stapb --tar-gz -o packages --key farm.pub").exit, Some(0));
    let parts = |name: &str| {
        assert_eq!(world.run(&format!("split {name} --size 6K -o parts-of-{name}")).exit, Some(0));
        let parts = fs::read_dir(world.path(&format!("parts-of-{name}"))).unwrap();
        let parts = parts.map(|part| part.unwrap().path().display().to_string());
        parts.collect::<Vec<_>>().join(" ")
    };
    let join = [parts("older.stapb"), parts("other.stapb")].map(|parts| format!("join {parts} -o out"));
    let package = "packages/stap-scripts-6.12.1-test.tar.gz";
    let other = "packages/stap-scripts-6.13.0-test.tar.gz";
    let cases = [
        [
            "subset other.stapb --key farm.pub --kernel 6.12.1-test -o out".to_owned(),
            "subset other.stapb --key farm.pub --kernel 6.13.0-test -o out".to_owned(),
        ],
        [
            "sign fleet.payload --key farm.key -o out".to_owned(),
            "sign fleet.payload --key stranger.key -o out".to_owned(),
        ],
        ["sign fleet.payload --payload-out out".to_owned(), "sign older.stapb --payload-out out".to_owned()],
        [format!("import {package} -o out"), format!("import {other} -o out")],
        join,
    ];
    for [first, second] in cases {
        let _ = fs::remove_file(world.path("out"));
        assert_eq!(world.run(&first).exit, Some(0), "{first}");
        let before = identity(&world, "out");
        let again = world.run(&first);
        assert_eq!(again.exit, Some(0), "{again}");
        assert!(again.stderr.contains("out has these bytes already; it stays as it is"), "{again}");
        assert_eq!(identity(&world, "out"), before, "{again}");
        let said = world.run(&second);
        assert_eq!(said.exit, Some(16), "{said}");
        assert!(said.stderr.contains("out exists already") && said.stderr.contains("--replace"), "{said}");
        assert_eq!(identity(&world, "out"), before, "{said}");
        assert_eq!(world.run(&format!("{second} --replace")).exit, Some(0), "{second}");
        assert_ne!(identity(&world, "out"), before, "{second}");
        for (name, content) in [("out", "mine"), ("out", "-----BEGIN PRIVATE KEY-----\n")] {
            world.write(name, content);
            let said = world.run(&format!("{second} --replace"));
            assert!(said.exit == Some(16) && said.stderr.contains("won't overwrite"), "{said}");
            assert_eq!(fs::read_to_string(world.path(name)).unwrap(), content);
        }
    }
}

#[test]
fn no_command_replaces_what_it_reads() {
    let world = farm();
    assert_eq!(world.run("trust root create --key farm.pub --key stranger.pub -o roots.stapr").exit, Some(0));
    assert_eq!(world.run("split older.stapb --size 6K -o parts").exit, Some(0));
    assert_eq!(world.run("export other.stapb --tar-gz -o packages --key farm.pub").exit, Some(0));
    let package = "packages/stap-scripts-6.12.1-test.tar.gz";
    assert_snapshot!(refused(
        &world,
        &format!(
            "
        subset other.stapb --key farm.pub --kernel 6.12.1-test -o other.stapb --replace
        subset other.stapb --key farm.pub --kernel 6.12.1-test -o farm.pub --replace
        sign fleet.payload --key farm.key -o fleet.payload --replace
        sign fleet.payload --key farm.key -o farm.key --replace
        sign other.stapb --key stranger.key -o other.stapb --replace
        sign fleet.payload --payload-out fleet.payload --replace
        import {package} -o {package} --replace
        join parts/older.stapb.01 parts/older.stapb.02 -o parts/older.stapb.01 --replace
        trust root sign roots.stapr --payload-out roots.stapr --replace
        trust root create --key farm.pub -o farm.pub
    "
        )
    ), @r#"
    $ stap-bundle subset other.stapb --key farm.pub --kernel 6.12.1-test -o other.stapb --replace
    2> error: -o other.stapb is the same file as the bundle other.stapb
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle subset other.stapb --key farm.pub --kernel 6.12.1-test -o farm.pub --replace
    2> error: -o farm.pub is the same file as the key farm.pub
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle sign fleet.payload --key farm.key -o fleet.payload --replace
    2> error: -o fleet.payload is the same file as the file to sign fleet.payload
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle sign fleet.payload --key farm.key -o farm.key --replace
    2> error: -o farm.key is the same file as the key farm.key
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle sign other.stapb --key stranger.key -o other.stapb --replace
    2> error: -o other.stapb is the same file as the file to sign other.stapb
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle sign fleet.payload --payload-out fleet.payload --replace
    2> error: --payload-out fleet.payload is the same file as the file to sign fleet.payload
    2> hint: name another file: --payload-out FILE
    [exit 16]
    $ stap-bundle import packages/stap-scripts-6.12.1-test.tar.gz -o packages/stap-scripts-6.12.1-test.tar.gz --replace
    2> error: -o packages/stap-scripts-6.12.1-test.tar.gz is the same file as the package packages/stap-scripts-6.12.1-test.tar.gz
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle join parts/older.stapb.01 parts/older.stapb.02 -o parts/older.stapb.01 --replace
    2> error: -o parts/older.stapb.01 is the same file as the part parts/older.stapb.01
    2> hint: name another file: -o FILE
    [exit 16]
    $ stap-bundle trust root sign roots.stapr --payload-out roots.stapr --replace
    2> error: --payload-out roots.stapr is the same file as the file of roots roots.stapr
    2> hint: name another file: --payload-out FILE
    [exit 16]
    $ stap-bundle trust root create --key farm.pub -o farm.pub
    2> error: -o farm.pub is the same file as the key farm.pub
    2> hint: name another file: -o FILE
    [exit 16]
    "#);
}

#[test]
fn packages_are_all_written_or_none() {
    let world = farm();
    assert_eq!(world.run("export other.stapb --tar-gz -o out --key farm.pub").exit, Some(0));
    let names = ["6.12.1-test", "6.13.0-test"].map(|release| format!("out/stap-scripts-{release}.tar.gz"));
    let before = identity(&world, &names[1]);
    let again = world.run("export other.stapb --tar-gz -o out --key farm.pub");
    assert!(again.exit == Some(0) && identity(&world, &names[1]) == before, "{again}");
    fs::remove_file(world.path(&names[0])).unwrap();
    world.bundle("changed.stapb", &Bundle { scripts: vec!["counter"], red: Vec::new(), ..fleet(8) });
    let said = refused(&world, "export changed.stapb --tar-gz -o out --key farm.pub");
    assert!(said.contains("out/stap-scripts-6.13.0-test.tar.gz exists already: a package"), "{said}");
    assert_eq!(world.run("export changed.stapb --tar-gz -o out --key farm.pub --replace").exit, Some(0));
    world.write(&names[1], "mine");
    refused(&world, "export changed.stapb --tar-gz -o out --key farm.pub --replace");
}

#[test]
fn what_is_unpacked_or_split_once_more_is_no_change() {
    let world = farm();
    for line in [
        "extract other.stapb out --key farm.pub",
        "split other.stapb --size 6K -o parts",
        "trust root sign roots.stapr --payload-out message",
    ] {
        if line.starts_with("trust") {
            let create = "trust root create --key farm.pub --key stranger.pub --threshold 2 -o roots.stapr";
            assert_eq!(world.run(create).exit, Some(0));
        }
        assert_eq!(world.run(line).exit, Some(0), "{line}");
        let before = world.tree();
        let again = world.run(line);
        assert_eq!(again.exit, Some(0), "{again}");
        assert!(world.tree() == before, "{again}");
    }
    world.write("out/6.12.1-test/latency.opts", "mine");
    let said = refused(&world, "extract other.stapb out --key farm.pub");
    assert!(said.contains("out/6.12.1-test exists already, with other content"), "{said}");
    world.write("message", "mine");
    let said = refused(&world, "trust root sign roots.stapr --payload-out message --replace");
    assert!(said.contains("message: it is a text file, not"), "{said}");
}

#[test]
fn devices_and_pipes_take_what_is_written_and_stay_what_they_are() {
    let world = farm();
    let subset = "subset other.stapb --key farm.pub --kernel 6.12.1-test";
    let said = world.run(&format!("{subset} -o /dev/null"));
    assert!(said.exit == Some(0) && !said.stdout.contains(" 0 B"), "{said}");
    assert!(fs::metadata("/dev/null").unwrap().file_type().is_char_device());

    assert_eq!(world.run(&format!("{subset} -o part.stapb")).exit, Some(0));
    let expected = fs::read(world.path("part.stapb")).unwrap();
    let output = world.command(&format!("-q {subset} -o /dev/stdout")).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(&expected), "{:?}", output.stderr);
    // Into a file, behind what is there.
    world.write("log", "before\n");
    let log = File::options().append(true).open(world.path("log")).unwrap();
    let mut command = world.command(&format!("-q {subset} -o /dev/stdout"));
    assert!(command.stdout(Stdio::from(log)).status().unwrap().success());
    assert!(fs::read(world.path("log")).unwrap().starts_with(&[b"before\n", expected.as_slice()].concat()));

    pipe(&world, "pipe");
    let said = world.run(&format!("{subset} -o pipe"));
    assert!(said.exit == Some(14) && said.stderr.contains("pipe is a pipe that nothing reads"), "{said}");
    let path = world.path("pipe");
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        File::open(path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    });
    // The reader opens the pipe when this end does.
    let said = loop {
        let said = world.run(&format!("{subset} -o pipe"));
        if said.exit != Some(14) {
            break said;
        }
        std::thread::yield_now();
    };
    assert_eq!(said.exit, Some(0), "{said}");
    assert!(reader.join().unwrap() == expected);
    assert!(fs::metadata(world.path("pipe")).unwrap().file_type().is_fifo());
}

#[test]
fn a_link_is_written_through_and_an_empty_file_is_nothing_to_lose() {
    let world = farm();
    let subset = "subset other.stapb --key farm.pub --kernel 6.12.1-test";
    fs::create_dir(world.path("store")).unwrap();
    symlink("store/part.stapb", world.path("latest.stapb")).unwrap();
    assert_eq!(world.run(&format!("{subset} -o latest.stapb")).exit, Some(0));
    assert!(world.path("latest.stapb").is_symlink() && world.path("store/part.stapb").is_file());
    world.write("empty", "");
    assert_eq!(world.run(&format!("{subset} -o empty")).exit, Some(0));
    assert_eq!(fs::read(world.path("empty")).unwrap(), fs::read(world.path("latest.stapb")).unwrap());
}
