//! `key` and `build`, as far as no compiler is needed.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use crate::world::TestWorld;

#[test]
fn a_key_is_made_once() {
    let world = TestWorld::new();
    assert_snapshot!(world.talk("
        key generate
        key generate
        key generate --out keys/second
    "), @r#"
    $ stap-bundle key generate
    private key: $HOME/.config/stap-bundle/default.key  (mode 0600; keep it on the farm)
    public key:  $HOME/.config/stap-bundle/default.pub
    key id:      [SHA-256]
    2> On each host: stap-bundle trust add $HOME/.config/stap-bundle/default.pub
    [exit 0]
    $ stap-bundle key generate
    2> error: $HOME/.config/stap-bundle/default.key exists already; a key is never overwritten
    2> hint: give another name with --out DIR/NAME, or move the old key away
    [exit 16]
    $ stap-bundle key generate --out keys/second
    private key: keys/second.key  (mode 0600; keep it on the farm)
    public key:  keys/second.pub
    key id:      [SHA-256]
    2> On each host: stap-bundle trust add keys/second.pub
    [exit 0]
    "#);
    let mode = world.home(".config/stap-bundle/default.key").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn xdg_config_home_moves_the_default_key() {
    let mut world = TestWorld::new();
    world.set("XDG_CONFIG_HOME", world.home("elsewhere"));
    assert_eq!(world.run("key generate").exit, Some(0));
    assert!(world.home("elsewhere/stap-bundle/default.key").is_file());
}

#[test]
fn without_a_home_the_key_must_be_named() {
    let world = TestWorld::new();
    let output = world.command("key generate").env_remove("HOME").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @r#"
    error: neither XDG_CONFIG_HOME nor HOME is set
    hint: name the key: `key generate --out DIR/NAME`, `build --key NAME.key`
    "#);
}

#[test]
fn build_without_a_key_names_the_command_that_makes_one() {
    assert_snapshot!(TestWorld::new().run("build -r 2.6.26.1"), @r#"
    $ stap-bundle build -r 2.6.26.1
    2> error: no signing key: there is no $HOME/.config/stap-bundle/default.key
    2> hint: make one: stap-bundle key generate
    2> hint: or name one: --key NAME.key, or the variable STAP_BUNDLE_KEY
    [exit 10]
    "#);
}

/// The example of the initscript's README. What else this machine lacks differs from machine to machine.
#[test]
fn the_literal_build_of_the_readme_says_what_is_missing() {
    let world = TestWorld::new();
    assert_eq!(world.run("key generate").exit, Some(0));
    let said = world.run("build -r 2.6.26.1");
    assert_eq!(said.exit, Some(21), "{said}");
    for words in
        ["/lib/modules/2.6.26.1/build", "linux-headers-2.6.26.1", "kernel-devel-2.6.26.1", "--sysroot DIR"]
    {
        assert!(said.stderr.contains(words), "{words}: {said}");
    }
    assert!(said.stdout.is_empty(), "{said}");
}

#[test]
fn all_that_keeps_a_build_from_running_is_told_at_once() {
    let world = TestWorld::new();
    world.write("root/etc/hostname", "");
    assert_eq!(world.run("key generate").exit, Some(0));
    world.config("empty.conf", "");
    assert_snapshot!(world.talk("
        build -r 6.12.1-test --sysroot root -c empty.conf
        build -r 6.12.1-test --sysroot root -c empty.conf --dry-run
        build -r 6.12.1-test --sysroot nowhere -c empty.conf
        build -r 6.12.1-test -c absent.conf
        build -r ../../etc --sysroot root -c empty.conf
    "), @r#"
    $ stap-bundle build -r 6.12.1-test --sysroot root -c empty.conf
    2> error: 5 problems keep this from being built
    2>   because: no script is given
    2>   because: sysroot $WORLD/work/root has no /usr/bin/stap: the package systemtap would bring it
    2>   because: sysroot $WORLD/work/root has no directory /mnt, where the work directory of a job is mounted
    2>   because: no build tree of 6.12.1-test: there is no $WORLD/work/root/lib/modules/6.12.1-test/build (the Debian package linux-headers-6.12.1-test, or Fedora's kernel-devel-6.12.1-test, would bring it)
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: install the headers package in the sysroot, or name another root: --sysroot DIR
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    [exit 21]
    $ stap-bundle build -r 6.12.1-test --sysroot root -c empty.conf --dry-run
    2> error: 5 problems keep this from being built
    2>   because: no script is given
    2>   because: sysroot $WORLD/work/root has no /usr/bin/stap: the package systemtap would bring it
    2>   because: sysroot $WORLD/work/root has no directory /mnt, where the work directory of a job is mounted
    2>   because: no build tree of 6.12.1-test: there is no $WORLD/work/root/lib/modules/6.12.1-test/build (the Debian package linux-headers-6.12.1-test, or Fedora's kernel-devel-6.12.1-test, would bring it)
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: install the headers package in the sysroot, or name another root: --sysroot DIR
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    [exit 21]
    $ stap-bundle build -r 6.12.1-test --sysroot nowhere -c empty.conf
    2> error: 3 problems keep this from being built
    2>   because: no script is given
    2>   because: sysroot nowhere can't be opened: No such file or directory
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    [exit 21]
    $ stap-bundle build -r 6.12.1-test -c absent.conf
    2> error: there is no configuration file absent.conf
    2> hint: name the initscript's global configuration file with -c, or leave -c away
    [exit 21]
    $ stap-bundle build -r ../../etc --sysroot root -c empty.conf
    2> error: 5 problems keep this from being built
    2>   because: `-r ../../etc`: a path to a build tree isn't supported yet, only a release in a sysroot's /lib/modules
    2>   because: no script is given
    2>   because: sysroot $WORLD/work/root has no /usr/bin/stap: the package systemtap would bring it
    2>   because: sysroot $WORLD/work/root has no directory /mnt, where the work directory of a job is mounted
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    [exit 21]
    "#);
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let world = TestWorld::new();
    assert_eq!(world.run("key generate --out loose").exit, Some(0));
    world.chmod("loose.key", 0o644);
    assert_snapshot!(world.talk("
        build -r 6.12.1-test --key loose.key
        build -r 6.12.1-test --key absent.key
        build -r 6.12.1-test --key farm.pub
    "), @r#"
    $ stap-bundle build -r 6.12.1-test --key loose.key
    2> error: private key loose.key has mode 0644, expected 0600: others on this machine can read it
    2> hint: chmod 600 loose.key
    [exit 10]
    $ stap-bundle build -r 6.12.1-test --key absent.key
    2> error: key file absent.key: No such file or directory
    [exit 14]
    $ stap-bundle build -r 6.12.1-test --key farm.pub
    2> error: farm.pub is a public key, expected the private one
    2> hint: give the file with the suffix .key
    [exit 2]
    "#);
}

#[test]
fn the_variable_names_the_key_too() {
    let mut world = TestWorld::new();
    world.set("STAP_BUNDLE_KEY", "from-variable.key");
    let said = world.run("build -r 6.12.1-test");
    assert!(said.stderr.contains("from-variable.key"), "{said}");
}

#[test]
fn a_source_date_that_is_no_number_is_refused() {
    let mut world = TestWorld::new();
    world.config("config", "");
    world.set("SOURCE_DATE_EPOCH", "yesterday");
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.run("build -r 6.12.1-test -c config"), @r#"
    $ stap-bundle build -r 6.12.1-test -c config
    2> error: SOURCE_DATE_EPOCH is `yesterday`, expected seconds since 1970
    [exit 2]
    "#);
}

#[test]
fn problems_of_the_configuration_have_a_place_and_an_id() {
    let world = TestWorld::new();
    world.config("config", "PASSALL=perhaps\n");
    world.write("scripts/counter.stp", "probe begin {}\n");
    world.write("scripts/two words.stp", "probe begin {}\n");
    world.write("conf.d/counter.conf", "counter_OPT=\"-o\"\n");
    world.write("conf.d/forgotten", "counter_REQ=\n");
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.run("build -r 6.12.1-test -c config"), @r#"
    $ stap-bundle build -r 6.12.1-test -c config
    2> warning: $WORLD/work/conf.d/forgotten:1:1: $WORLD/work/conf.d/forgotten isn't read, because its name doesn't end in .conf [conf-d-suffix]
    2>   hint: mv $WORLD/work/conf.d/forgotten $WORLD/work/conf.d/forgotten.conf
    2> error: the configuration has 2 errors
    2>   because: config:3:1: PASSALL is "perhaps", which is neither yes nor no [parameter-not-boolean]
    2>   hint: write one of y Y yes Yes YES 1 or one of n N no No NO 0
    2>   because: $WORLD/work/conf.d/counter.conf:1:1: option -o needs a value [option-missing-value]
    2>   hint: write -o VALUE
    [exit 21]
    "#);
    world.config("config", "");
    world.write("conf.d/program.conf", "latency_OPT=-L\nrm -rf /tmp/x\n");
    assert_snapshot!(world.run("build -r 6.12.1-test -c config"), @r#"
    $ stap-bundle build -r 6.12.1-test -c config
    2> warning: $WORLD/work/conf.d/forgotten:1:1: $WORLD/work/conf.d/forgotten isn't read, because its name doesn't end in .conf [conf-d-suffix]
    2>   hint: mv $WORLD/work/conf.d/forgotten $WORLD/work/conf.d/forgotten.conf
    2> error: the configuration has 2 errors
    2>   because: $WORLD/work/conf.d/counter.conf:1:1: option -o needs a value [option-missing-value]
    2>   hint: write -o VALUE
    2>   because: $WORLD/work/conf.d/program.conf:2:1: command "rm" isn't run: configuration files are read, never executed [config-command]
    2>   hint: write only NAME=value lines
    [exit 21]
    "#);
}

#[test]
fn config_check_shows_what_is_in_force_and_what_is_wrong() {
    let world = TestWorld::new();
    world.config("config", "PASSALL=no\n");
    world.write("scripts/counter.stp", "probe begin {}\n");
    world.write("scripts/latency.stp", "probe begin {}\n");
    world.write("conf.d/latency.conf", "latency_OPT=\"-s 4\"\nlatency_REQ=counter\n");
    // The columns are as wide as this world's paths.
    let said = world.run("config check -c config").to_string();
    let narrow: Vec<String> =
        said.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_snapshot!(narrow.join("\n"), @r#"
    $ stap-bundle config check -c config
    PARAMETER VALUE FROM
    SCRIPT_PATH $WORLD/work/scripts config:1:1
    CONFIG_PATH $WORLD/work/conf.d config:2:1
    CACHE_PATH /var/cache/systemtap default
    TEMP_PATH /tmp default
    STAT_PATH /var/run/systemtap default
    LOG_FILE $WORLD/work/systemtap.log config:4:1
    PASSALL no config:3:1
    RECURSIVE no default
    AUTOCOMPILE yes default
    DEFAULT_START "" default
    ALLOW_CACHEONLY no default
    LOG_BOOT_ERR no default

    SCRIPT COMPILE RUN REQUIRES
    counter - -L -
    latency - -L -b 4 counter

    order: counter latency

    good: 2 scripts, 0 problems
    [exit 0]
    "#);
    world.write("conf.d/counter.conf", "counter_OPT=\"-o\"\ncounter_REQ=absent\n");
    let said = world.run("config check -c config");
    assert_eq!(said.exit, Some(1), "{said}");
    assert!(said.stdout.contains("conf.d/counter.conf:1:1: error: option -o needs a value"), "{said}");
}

#[test]
fn scripts_that_are_named_must_be_there() {
    let world = TestWorld::new();
    world.config("config", "");
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.talk("
        build -r 6.12.1-test -c config counter
        build -r 6.12.1-test -c config ./counter.stp
        build -r 6.12.1-test -c config a-b
    "), @r#"
    $ stap-bundle build -r 6.12.1-test -c config counter
    2> error: there is no script counter in $WORLD/work/scripts
    2> hint: name a script of that directory, or the path of a `.stp` file
    [exit 21]
    $ stap-bundle build -r 6.12.1-test -c config ./counter.stp
    2> error: ./counter.stp: No such file or directory
    [exit 21]
    $ stap-bundle build -r 6.12.1-test -c config a-b
    2> error: a-b: script name "a-b" contains '-', only letters, digits and _ are allowed
    [exit 2]
    "#);
}

#[test]
fn build_takes_no_root() {
    assert_snapshot!(TestWorld::new().run("build -r 6.12.1-test --root host"), @r#"
    $ stap-bundle build -r 6.12.1-test --root host
    2> error: `build` takes no --root
    2> hint: to compile in a root: --sysroot DIR
    [exit 2]
    "#);
}
