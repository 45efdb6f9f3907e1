//! Lines that aren't meant as they are typed: each is refused with what may be typed, and nothing is changed.

use std::fs;

use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::manner::world;
use crate::world::TestWorld;

#[test]
fn a_mistyped_command_is_answered_with_the_one_that_was_meant() {
    assert_snapshot!(TestWorld::new().talk("
        biuld -r 6.1
        help biuld
        trust ad farm.pub
        frobnicate
    "), @r#"
    $ stap-bundle biuld -r 6.1
    2> error: unknown command `biuld`; did you mean `build`?
    2> hint: `stap-bundle --help` lists the commands
    [exit 2]
    $ stap-bundle help biuld
    2> error: unknown command `biuld`; did you mean `build`?
    2> hint: `stap-bundle --help` lists the commands
    [exit 2]
    $ stap-bundle trust ad farm.pub
    2> error: unrecognized subcommand 'ad'
    2>
    2>   tip: a similar subcommand exists: 'add'
    2>
    2> Usage: stap-bundle trust [OPTIONS] <COMMAND>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle frobnicate
    2> error: unknown command `frobnicate`
    2> hint: `stap-bundle --help` lists the commands
    [exit 2]
    "#);
}

#[test]
fn names_of_script_files_are_checked_before_anything_is_built() {
    let world = world();
    world.write("scripts/net-drop.stp", "probe begin {}\n");
    assert_snapshot!(world.talk("
        build -r 6.1 --sysroot host -c config --key farm.key
        -q config check -c config
    "), @r#"
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key
    2> error: the configuration has 1 error
    2>   because: $WORLD/work/scripts/net-drop.stp: file is no script: script name "net-drop" contains '-', only letters, digits and _ are allowed [script-file-name]
    2>   hint: rename it to letters, digits and _, no digit first
    [exit 21]
    $ stap-bundle -q config check -c config
    $WORLD/work/scripts/net-drop.stp: error: file is no script: script name "net-drop" contains '-', only letters, digits and _ are allowed [script-file-name]
      hint: rename it to letters, digits and _, no digit first
    [exit 1]
    "#);
    // What is named is no concern of it.
    let said = world.run("build -r 6.1 --sysroot host -c config --key farm.key counter");
    assert!(!said.stderr.contains("net-drop"), "{said}");
}

#[test]
fn a_script_that_is_not_there_is_answered_with_those_that_are() {
    let world = world();
    world.write("elsewhere/net_drop.stp", "probe begin {}\n");
    assert_snapshot!(world.talk("
        build -r 6.1 --sysroot host -c config --key farm.key conter.stp
        build -r 6.1 --sysroot host -c config --key farm.key elsewhere/net_dorp.stp
        build -r 6.1 --sysroot host -c config --key farm.key elsewhere/other.stp
        build -r 6.1 --sysroot host -c config --key farm.key nosuch
    "), @r#"
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key conter.stp
    2> error: conter.stp: No such file or directory
    2> hint: did you mean counter of $WORLD/work/scripts? Scripts there are named without .stp
    [exit 21]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key elsewhere/net_dorp.stp
    2> error: elsewhere/net_dorp.stp: No such file or directory
    2> hint: did you mean elsewhere/net_drop.stp?
    [exit 21]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key elsewhere/other.stp
    2> error: elsewhere/other.stp: No such file or directory
    2> hint: the scripts of elsewhere: net_drop
    [exit 21]
    $ stap-bundle build -r 6.1 --sysroot host -c config --key farm.key nosuch
    2> error: there is no script nosuch in $WORLD/work/scripts
    2> hint: its scripts: counter, latency; or give the path of a `.stp` file
    [exit 21]
    "#);
}

#[test]
fn a_directory_in_place_of_a_file_is_called_one() {
    let world = world();
    assert_snapshot!(world.talk("
        inspect .
        import .
        config check -c .
        sign . --key farm.key
    "), @r#"
    $ stap-bundle inspect .
    2> error: . is a directory, expected a bundle
    [exit 2]
    $ stap-bundle import .
    2> error: . is a directory, expected a package of the initscript (.tar.gz)
    [exit 2]
    $ stap-bundle config check -c .
    2> error: configuration . is a directory, expected a file
    2> hint: name the initscript's global configuration file with -c, or leave -c away
    [exit 2]
    $ stap-bundle sign . --key farm.key
    2> error: . is a directory, expected a file
    [exit 2]
    "#);
}

#[test]
fn without_a_script_a_configuration_is_not_good() {
    let world = TestWorld::new();
    world.config("empty", "");
    world.write("scripts/notes", "");
    let said = world.run("config check -c empty").to_string();
    // How wide a column is depends on where the world is.
    let lines: Vec<String> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_snapshot!(lines.join("\n"), @r#"
    $ stap-bundle config check -c empty
    PARAMETER VALUE FROM
    SCRIPT_PATH $WORLD/work/scripts empty:1:1
    CONFIG_PATH $WORLD/work/conf.d empty:2:1
    CACHE_PATH /var/cache/systemtap default
    TEMP_PATH /tmp default
    STAT_PATH /var/run/systemtap default
    LOG_FILE $WORLD/work/systemtap.log empty:3:1
    PASSALL yes default
    RECURSIVE no default
    AUTOCOMPILE yes default
    DEFAULT_START "" default
    ALLOW_CACHEONLY no default
    LOG_BOOT_ERR no default

    nothing to check: 0 scripts, 0 problems
    2> warning: there is no script NAME.stp in $WORLD/work/scripts (SCRIPT_PATH, from empty:1:1)
    [exit 1]
    "#);
    assert_eq!(world.json("config check -c empty")["scripts"].as_array().unwrap().len(), 0);
}

#[test]
fn the_last_key_is_removed_only_if_that_is_said() {
    let world = world();
    let id = world.farm.public().id().short();
    let before = world.tree();
    assert_snapshot!(world.talk(&format!("
        trust remove --root host {id}
        trust remove --root host --domain default
        trust remove --root host
    ")), @r#"
    $ stap-bundle trust remove --root host [FARM-KEY-SHORT]
    2> error: key [FARM-KEY-SHORT] is the last one that is believed: without it bundles are refused, installed ones too
    2> hint: to believe another key instead, pin it first: stap-bundle trust add NAME.pub
    2> hint: if that is meant: the same command with --yes
    [exit 16]
    $ stap-bundle trust remove --root host --domain default
    2> error: no domain but default believes any key: without it bundles are refused, installed ones too
    2> hint: to believe another key instead, pin it first: stap-bundle trust add NAME.pub
    2> hint: if that is meant: the same command with --yes
    [exit 16]
    $ stap-bundle trust remove --root host
    2> error: the following required arguments were not provided:
    2>   <KEY-ID|--domain <NAME>>
    2>
    2> Usage: stap-bundle trust remove --root <DIR> <KEY-ID|--domain <NAME>>
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
    assert_eq!(world.tree(), before);
    assert_snapshot!(world.talk(&format!("
        trust add --root host stranger.pub
        trust remove --root host {id}
        trust remove --root host {} --yes
    ", world.stranger.public().id().short())), @r#"
    $ stap-bundle trust add --root host stranger.pub
    pinned: key [STRANGER-KEY]
    2> Compare this id with the one that your farm published.
    [exit 0]
    $ stap-bundle trust remove --root host [FARM-KEY-SHORT]
    removed: key [FARM-KEY]
    2> Bundles that only this key signed are refused from now on, installed ones too.
    [exit 0]
    $ stap-bundle trust remove --root host [STRANGER-KEY-SHORT] --yes
    removed: key [STRANGER-KEY]
    2> Bundles that only this key signed are refused from now on, installed ones too.
    [exit 0]
    "#);
    // A domain's last key leaves its bundles to nobody.
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("trust add --root host stranger.pub --domain b --bundles b-*").exit, Some(0));
    let stranger = world.stranger.public().id().short();
    let said = world.run(&format!("trust remove --root host {stranger}"));
    assert!(said.exit == Some(16) && said.stderr.contains("in domain b"), "{said}");
    assert_eq!(world.run("trust remove --root host --domain b").exit, Some(0));
}

#[test]
fn standard_output_is_refused_where_nothing_can_be_streamed() {
    let world = world();
    let before = world.tree();
    assert_snapshot!(world.talk("
        export fleet.stapb --tar-gz -o - --key farm.pub
        extract fleet.stapb - --key farm.pub
        split fleet.stapb --size 4096 -o -
        key generate --out -
        trust root create --key farm.pub --name team -o -
        build -r 6.1 -c config --key farm.key --report -
        --json sign fleet.payload --key farm.key -o -
    "), @r#"
    $ stap-bundle export fleet.stapb --tar-gz -o - --key farm.pub
    2> error: invalid value '-' for '--output <DIR>': a directory is needed here, not standard output (a directory of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle extract fleet.stapb - --key farm.pub
    2> error: invalid value '-' for '<DIR>': a directory is needed here, not standard output (a directory of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle split fleet.stapb --size 4096 -o -
    2> error: invalid value '-' for '--output <DIR>': a directory is needed here, not standard output (a directory of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle key generate --out -
    2> error: invalid value '-' for '--out <DIR/NAME>': a file is needed here, not standard input or output (a file of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle trust root create --key farm.pub --name team -o -
    2> error: invalid value '-' for '--output <FILE.stapr>': a file is needed here, not standard input or output (a file of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle build -r 6.1 -c config --key farm.key --report -
    2> error: invalid value '-' for '--report <FILE>': a file is needed here, not standard input or output (a file of that name is `./-`)
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle --json sign fleet.payload --key farm.key -o -
    {
      "error": {
        "because": [],
        "code": 2,
        "hints": [
          "name a file: -o FILE; or leave out --json"
        ],
        "id": null,
        "what": "-o - and --json both write to standard output"
      },
      "schema": "error/1"
    }
    [exit 2]
    "#);
    assert_eq!(world.tree(), before);
}

#[test]
fn usage_errors_name_what_may_be_typed() {
    let world = world();
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    world.write("notes", "no bundle\n");
    let before = world.tree();
    assert_snapshot!(world.talk("
        export fleet.stapb --key farm.pub
        unmask --root host
        diff --installed
        diff fleet.stapb
        build -r 6.1 --best-before -5
        fsck --root host --generation 44
        list --root nowhere
        verify fleet.stapb --key stranger.pub
    "), @r#"
    $ stap-bundle export fleet.stapb --key farm.pub
    2> error: export: no form given
    2> hint: --deb or --rpm for package managers; --tar-gz writes stap-scripts-RELEASE.tar.gz packages for the initscript
    [exit 2]
    $ stap-bundle unmask --root host
    2> error: the following required arguments were not provided:
    2>   <SCRIPT|--all>
    2>
    2> Usage: stap-bundle unmask --root <DIR> <SCRIPT|--all>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle diff --installed
    2> error: the following required arguments were not provided:
    2>   <OLD>
    2>
    2> Usage: stap-bundle diff [OPTIONS] OLD NEW
    2>        stap-bundle diff [OPTIONS] --installed NEW
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle diff fleet.stapb
    2> error: the following required arguments were not provided:
    2>   <NEW>
    2>
    2> Usage: stap-bundle diff [OPTIONS] OLD NEW
    2>        stap-bundle diff [OPTIONS] --installed NEW
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle build -r 6.1 --best-before -5
    2> error: invalid value '-5' for '--best-before <DATE|DAYS>': expected a date in UTC, such as 2027-06-30 or 2027-06-30T12:00:00Z, or a number of days, such as 180
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle fsck --root host --generation 44
    2> error: there is no generation 44; there are 1
    2> hint: `stap-bundle list` shows the generations
    [exit 1]
    $ stap-bundle list --root nowhere
    2> error: --root nowhere: No such file or directory
    2> hint: name the directory in which a host's files are, such as a mounted image
    [exit 14]
    $ stap-bundle verify fleet.stapb --key stranger.pub
    2> error: fleet.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here [signature-untrusted]
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: compare the key's id with what your farm published, then pin it: stap-bundle trust add NAME.pub
    [exit 10]
    "#);
    assert_eq!(world.tree(), before);
    // A file that mends nothing is named.
    fs::remove_file(world.path("host/var/lib/stap-bundle/current/bundles/fleet/bundle.stapb")).unwrap();
    let said = world.run("fsck --root host --repair notes");
    assert!(said.exit == Some(11) && said.stderr.contains("error: notes: "), "{said}");
}

/// What the installed bundle's new domain does with it is said in one warning.
#[test]
fn a_removed_domain_is_warned_of_once() {
    let world = TestWorld::new();
    for line in
        ["trust add --root host stranger.pub", "trust add --root host farm.pub --domain team --bundles fleet"]
    {
        assert_eq!(world.run(line).exit, Some(0));
    }
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    let said = world.run("trust remove --root host --domain team");
    assert_eq!(said.stderr.matches("warning: ").count(), 1, "{said}");
    assert!(said.exit == Some(0) && said.stderr.contains("is refused from now on: signed by key"), "{said}");
}

#[test]
fn a_directory_in_a_file_s_place_is_called_one_by_every_command() {
    let world = world();
    for line in ["trust add --root host .", "trust root show .", "verify fleet.stapb --key .", "inspect ."] {
        let said = world.run(line);
        assert!(said.exit == Some(2) && said.stderr.contains(". is a directory, expected a"), "{said}");
    }
}

#[test]
fn what_was_asked_for_is_not_answered_by_something_else() {
    let world = world();
    let said = world.run("history --root host -n 0");
    assert!(said.exit == Some(0) && !said.stderr.contains("nothing has happened"), "{said}");
    for line in ["--json status --root host --metrics", "status --json --root host --metrics"] {
        assert_eq!(world.run(line).exit, Some(2), "{line}");
    }
    for line in ["verify nowhere.stapb", "diff nowhere.stapb fleet.stapb"] {
        let said = world.run(line);
        assert!(said.stderr.contains("nowhere.stapb: No such file"), "{said}");
    }
}
