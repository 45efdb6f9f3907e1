//! `key` and `build`, as far as no compiler is needed.

use std::os::unix::fs::PermissionsExt as _;

use insta::assert_snapshot;

use crate::bundles::fleet;
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
    for words in ["/lib/modules/2.6.26.1/build", "linux-headers", "kernel-devel", "--sysroot DIR"] {
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
    2>   because: no build tree for 6.12.1-test: there is no $WORLD/work/root/lib/modules/6.12.1-test/build; install its distribution's package with /lib/modules/6.12.1-test/build (linux-headers, kernel-devel or the like), or take it into the kernel store (stap-bundle kernel add)
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: install the headers package in the sysroot, or name another root: --sysroot DIR
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    2> hint: stap-bundle kernel missing, with the same kernels and sysroots, names all packages that are lacking
    2> hint: or let the bundle say so to hosts that run it: --best-effort '@6.12.1-test'
    [exit 21]
    $ stap-bundle build -r 6.12.1-test --sysroot root -c empty.conf --dry-run
    2> error: 5 problems keep this from being built
    2>   because: no script is given
    2>   because: sysroot $WORLD/work/root has no /usr/bin/stap: the package systemtap would bring it
    2>   because: sysroot $WORLD/work/root has no directory /mnt, where the work directory of a job is mounted
    2>   because: no build tree for 6.12.1-test: there is no $WORLD/work/root/lib/modules/6.12.1-test/build; install its distribution's package with /lib/modules/6.12.1-test/build (linux-headers, kernel-devel or the like), or take it into the kernel store (stap-bundle kernel add)
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: install the headers package in the sysroot, or name another root: --sysroot DIR
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    2> hint: stap-bundle kernel missing, with the same kernels and sysroots, names all packages that are lacking
    2> hint: or let the bundle say so to hosts that run it: --best-effort '@6.12.1-test'
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
    2>   because: `-r ../../etc` isn't a kernel's build tree: No such file or directory
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
fn the_bundle_of_reuse_is_verified_before_anything_is_compiled() {
    let world = TestWorld::new();
    world.config("config", "");
    world.write("scripts/counter.stp", "probe begin {}\n");
    world.bundle("old.stapb", &fleet(1));
    world.write("trusted/readme", "");
    world.write("stranger.key", world.stranger.to_pem().unwrap().as_bytes());
    world.chmod("stranger.key", 0o600);
    assert_snapshot!(world.talk("
        build -r 6.12.1-test -c config --key stranger.key --reuse old.stapb
        build -r 6.12.1-test -c config --key stranger.key --reuse old.stapb --trust trusted
        build -r 6.12.1-test -c config --key stranger.key --reuse absent.stapb
        build -r 6.12.1-test -c config --key stranger.key --reuse config
        build -r 6.12.1-test -c config --key stranger.key --trust trusted
    "), @r#"
    $ stap-bundle build -r 6.12.1-test -c config --key stranger.key --reuse old.stapb
    2> error: old.stapb: signed by key [FARM-KEY-SHORT], which isn't trusted here
    2>   because: only key [STRANGER-KEY-SHORT] is trusted here
    2> hint: put the public keys that may have signed it into a directory: --trust DIR
    2> hint: or build without --reuse, which packs every frame again
    [exit 10]
    $ stap-bundle build -r 6.12.1-test -c config --key stranger.key --reuse old.stapb --trust trusted
    2> error: trusted: there is no *.pub in it
    [exit 10]
    $ stap-bundle build -r 6.12.1-test -c config --key stranger.key --reuse absent.stapb
    2> error: absent.stapb: No such file or directory
    [exit 14]
    $ stap-bundle build -r 6.12.1-test -c config --key stranger.key --reuse config
    2> error: config: not a bundle: the file does not begin with a `stap-bundle` member
    2> hint: a bundle is what `stap-bundle build` writes, by default NAME-VERSION.stapb
    [exit 11]
    $ stap-bundle build -r 6.12.1-test -c config --key stranger.key --trust trusted
    2> error: the following required arguments were not provided:
    2>   <--reuse <OLD.stapb>|--delta-from <OLD.stapb>>
    2>
    2> Usage: stap-bundle build --config <CONFIG> --key <NAME.key> --trust <DIR> <--kernel <REL>|--kernels <FILE>|--all-kernels> <--reuse <OLD.stapb>|--delta-from <OLD.stapb>> [SCRIPT]...
    2>
    2> For more information, try '--help'.
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
    2> warning: $WORLD/work/conf.d/forgotten: file isn't read, because its name doesn't end in .conf [conf-d-suffix]
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
    2> warning: $WORLD/work/conf.d/forgotten: file isn't read, because its name doesn't end in .conf [conf-d-suffix]
    2>   hint: mv $WORLD/work/conf.d/forgotten $WORLD/work/conf.d/forgotten.conf
    2> error: the configuration has 2 errors
    2>   because: $WORLD/work/conf.d/counter.conf:1:1: option -o needs a value [option-missing-value]
    2>   hint: write -o VALUE
    2>   because: $WORLD/work/conf.d/program.conf:2:1: command "rm" isn't run: configuration files are read, never executed [config-command]
    2>   hint: write only NAME=value lines; or have the farm ask bash: --eval-config
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

    counter
    run -L
    latency
    run -L -b 4
    requires counter
    from $WORLD/work/conf.d/latency.conf:1:1, $WORLD/work/conf.d/latency.conf:2:1

    order: counter latency

    good: 2 scripts, 0 problems
    [exit 0]
    "#);
    world.write("conf.d/counter.conf", "counter_OPT=\"-o\"\ncounter_REQ=absent\n");
    let said = world.run("config check -c config");
    assert_eq!(said.exit, Some(1), "{said}");
    assert!(said.stdout.contains("conf.d/counter.conf:1:1: error: option -o needs a value"), "{said}");
}

/// Section 4.3, 5.2 and 5.5 of the initscript's README, with the suffix that its section 3.2.2 asks for, and without.
#[test]
fn the_examples_of_the_readme_work_in_group1_conf_and_warn_in_group1() {
    let world = TestWorld::new();
    world.config("config", "PASSALL=yes\nRECURSIVE=no\n");
    for script in ["script1", "script2", "script3"] {
        world.write(&format!("scripts/{script}.stp"), "probe begin {}\n");
    }
    let group1 = "script1_OPT=\"-o /var/log/group1.log -DRELAYHOST=group1\"\n\
                  script2_OPT=\"-DRELAYGUEST=group1\"\nscript2_REQ=script1\n\
                  script3_OPT=\"-DRELAYGUEST=group1\"\nscript3_REQ=\"script1\"\n";
    world.write("conf.d/group1", group1);
    let said = world.run("config check -c config");
    let (_, scripts) = said.stdout.split_once("\n\n").unwrap();
    assert_snapshot!(scripts, @r"
    script1
      run       -L
    script2
      run       -L
    script3
      run       -L

    order: script1 script2 script3

    $WORLD/work/conf.d/group1: warning: file isn't read, because its name doesn't end in .conf [conf-d-suffix]
      hint: mv $WORLD/work/conf.d/group1 $WORLD/work/conf.d/group1.conf

    good: 3 scripts, 1 warning
    ");
    std::fs::rename(world.path("conf.d/group1"), world.path("conf.d/group1.conf")).unwrap();
    let said = world.run("config check -c config");
    let (_, scripts) = said.stdout.split_once("\n\n").unwrap();
    assert_snapshot!(scripts, @r"
    script1
      compile   -D RELAYHOST=group1
      run       -D -o /var/log/group1.log
      from      $WORLD/work/conf.d/group1.conf:1:1
    script2
      compile   -D RELAYGUEST=group1
      run       -L
      requires  script1
      from      $WORLD/work/conf.d/group1.conf:2:1, $WORLD/work/conf.d/group1.conf:3:1
    script3
      compile   -D RELAYGUEST=group1
      run       -L
      requires  script1
      from      $WORLD/work/conf.d/group1.conf:4:1, $WORLD/work/conf.d/group1.conf:5:1

    order: script1 script2 script3

    $WORLD/work/conf.d/group1.conf:1:1: warning: systemtap has dropped the macro RELAYHOST: it does nothing, and each script has a buffer of its own [option-dropped-macro]
      hint: remove -DRELAYHOST; put probes that write to one output into one script, or give each script an -o
    $WORLD/work/conf.d/group1.conf:2:1: warning: systemtap has dropped the macro RELAYGUEST: it does nothing, and each script has a buffer of its own [option-dropped-macro]
      hint: remove -DRELAYGUEST; put probes that write to one output into one script, or give each script an -o
    $WORLD/work/conf.d/group1.conf:4:1: warning: systemtap has dropped the macro RELAYGUEST: it does nothing, and each script has a buffer of its own [option-dropped-macro]
      hint: remove -DRELAYGUEST; put probes that write to one output into one script, or give each script an -o

    good: 3 scripts, 3 warnings
    ");
}

#[test]
fn config_check_tells_every_problem_at_once_and_what_can_start_all_the_same() {
    let world = TestWorld::new();
    world.config("config", "PASSALL=true\nDEFAULT_START='good nobody'\n");
    for script in ["a", "b", "good", "lost", "wrong", "9x"] {
        world.write(&format!("scripts/{script}.stp"), "probe begin {}\n");
    }
    world.write("conf.d/10.conf", "a_REQ=b\nb_REQ=a\nlost_REQ='wrong good'\n");
    world.write("conf.d/20.conf", "wrong_OPT=-Z\nwrong_REQ=ghost\n");
    world.write("conf.d/30.conf", "x_OPT=$(date)\n");
    let said = world.run("config check -c config");
    assert_eq!(said.exit, Some(1));
    assert!(said.stdout.contains("default, because config:3:1 is wrong"), "{said}");
    let (_, scripts) = said.stdout.split_once("\n\n").unwrap();
    assert_snapshot!(scripts, @r#"
    a
      run       -L
      requires  b
      from      $WORLD/work/conf.d/10.conf:1:1
    b
      run       -L
      requires  a
      from      $WORLD/work/conf.d/10.conf:2:1
    good
      run       -L
    lost
      run       -L
      requires  good wrong
      from      $WORLD/work/conf.d/10.conf:3:1
    wrong
      its settings are wrong, see below
      requires  ghost
      from      $WORLD/work/conf.d/20.conf:1:1, $WORLD/work/conf.d/20.conf:2:1

    order: good
    can't start: a b lost wrong

    config:3:1: error: PASSALL is "true", which is neither yes nor no [parameter-not-boolean]
      hint: write one of y Y yes Yes YES 1 or one of n N no No NO 0
    config:4:1: warning: DEFAULT_START names nobody, and there is no such script [parameter-default-start-unknown]
      hint: add nobody.stp, or remove the word
    $WORLD/work/conf.d/10.conf:1:1: error: requirements form a cycle: a -> b -> a [requirement-cycle]
      hint: remove b from a_REQ
    $WORLD/work/conf.d/20.conf:1:1: error: stap has no option -Z [option-unknown]
      hint: see stap(1) for the options
    $WORLD/work/conf.d/20.conf:2:1: error: wrong requires ghost, and there is no such script [requirement-missing]
      hint: add ghost.stp, or remove ghost from wrong_REQ
    $WORLD/work/conf.d/30.conf:1:7: error: command substitution $( isn't run: configuration files are read, never executed [config-command-substitution]
      hint: write the text that it gives; or have the farm ask bash: --eval-config
    $WORLD/work/scripts/9x.stp: error: file is no script: script name "9x" starts with the digit '9', a letter or _ must come first [script-file-name]
      hint: rename it to letters, digits and _, no digit first

    not good: 5 scripts, 6 errors, 1 warning
    "#);
}

/// The world's PATH has no bubblewrap: without a sandbox nothing is evaluated, and nothing else is done instead.
#[test]
fn eval_config_without_a_sandbox_says_so() {
    let world = TestWorld::new();
    world.config("config", "PASSALL=$(echo no)\n");
    assert_eq!(world.run("key generate").exit, Some(0));
    assert_snapshot!(world.talk("
        config check -c config --eval-config
        build -r 6.12.1-test -c config --eval-config
    "), @r"
    $ stap-bundle config check -c config --eval-config
    2> error: --eval-config: the sandbox needs bwrap: the Debian package bubblewrap would bring it
    2>   because: program bwrap not found in PATH $WORLD/bin
    2> hint: install it; the configuration is never evaluated without a sandbox
    [exit 1]
    $ stap-bundle build -r 6.12.1-test -c config --eval-config
    2> error: --eval-config: the sandbox needs bwrap: the Debian package bubblewrap would bring it
    2>   because: program bwrap not found in PATH $WORLD/bin
    2> hint: install it; the configuration is never evaluated without a sandbox
    [exit 21]
    ");
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
    2> hint: there is no script in .
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
