//! Help, unknown words and broken options.

use insta::assert_snapshot;

use crate::world::TestWorld;

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    assert_snapshot!(TestWorld::new().run("--help"), @r#"
    $ stap-bundle --help
    Build signed bundles of SystemTap modules on a build farm; install and start them on hosts that have
    no compiler, no debuginfo and no network.

    Usage: stap-bundle [OPTIONS] <COMMAND>

    On a build farm:
      key           Make the farm's signing keys
      build         Compile scripts for kernel releases and write one signed bundle
      merge         Pack and sign what the parts of a build have compiled (`build --shard`)
      cache         Look after the results that builds keep
      sign          Sign a payload, or add a signature to a bundle
      sign-modules  Sign a bundle's modules, for kernels that take signed ones only
      import        Make a payload of stap-scripts-RELEASE.tar.gz packages of the initscript
      coverage      Show which hosts of a fleet would get all scripts of bundles
      collect       Show what hosts report of themselves, and which need a hand
      kernel        Look after a farm's kernels: take their packages in, and say what is missing
      server        Start, stop and show systemtap's compile servers

    With a bundle, anywhere:
      inspect       Show what is in a bundle
      verify        Verify signatures and every byte of a bundle
      diff          Show what changed between two bundles
      extract       Unpack a bundle's modules into DIR/RELEASE/
      subset        Re-pack some kernels of a bundle, without a private key
      split         Split a bundle into parts for small media
      join          Join the parts of a split bundle
      export        Write a bundle as a package, for package managers or for the initscript alone

    On a host:
      trust         Say which farms this host believes, by keys or by chains of roots
      install       Verify a bundle and make it this host's current generation, in one step
      list          List the generations on this host and what is in them
      start         Start scripts from the current generation
      status        Show which scripts run, from which bundle and for which kernel
      stop          Stop scripts, those that require others first
      restart       Stop scripts and start them again [aliases: reload, force-reload]
      try-restart   Restart if something runs [aliases: condrestart]
      attach        Show the data of a running script, without ending it
      mask          Keep scripts from starting until they are unmasked
      unmask        Let masked scripts start again
      boot-guard    Show or forget what the boot guard knows
      onboot        Start scripts from the initramfs, before the root file system is there
      compile       Compile scripts on this host, for this host
      adopt         Vouch for modules that came as files, so that they start
      cleanup       Remove compiled scripts from the initscript's cache
      rollback      Make an earlier generation current again
      uninstall     Remove a bundle from this host
      history       Show what was installed, removed, gone back to and trusted, the oldest first
      doctor        Check whether this host would load what is installed, and say what to do
      fsck          Compare every file of the current generation with what was signed
      gc            Remove old generations from this host
      pin           Keep a generation: `gc` never removes it
      unpack        Unpack what the installed bundles have for kernels that were installed later

    Besides:
      config        Look at the initscript's configuration
      completions   Write a completion script for a shell to standard output
      manual        Write the manual pages of this program into a directory
      help          Print this message or the help of the given subcommand(s)

    Options:
      -h, --help
              Print help (see a summary with '-h')

      -V, --version
              Print version

    Global options:
          --root <DIR>
              Take every path of the host relative to DIR; nothing outside it is touched

          --json
              Write the result as JSON

      -q, --quiet
              Say only what is wrong; a result is the exit code, or what --json writes

      -v, --verbose
              Say more

          --color <WHEN>
              When to use colours

              Possible values:
              - auto:   On a terminal, unless `NO_COLOR` is set
              - always: Always
              - never:  Never

              [default: auto]

    Exit codes:
        0  done
        1  failed
        2  wrong usage
        3  status: no script runs; attach: it doesn't run; server status: no server runs
        4  status: a module of a script's name is loaded but isn't ours
        6  the scripts' requirements can't be put in order
       10  refused: signature, trust or revocation
       11  malformed, damaged or over a limit
       12  refused: doesn't fit this host
       13  refused: older than what is installed, expired, or two bundles with one serial
       14  no space, or an I/O error
       15  another stap-bundle holds the lock
       16  a conflict between bundles, a foreign file, or what is used here would go
       17  a part of the bundle that is needed is not in the file
       20  the bundle is written, with red cells
       21  no bundle was written
       30  this program was built without that part, or something needs a newer one
      130  ended by Ctrl-C
      143  ended by TERM
    [exit 0]
    "#);
}

#[test]
fn short_help_fits_a_screen() {
    let world = TestWorld::new();
    let said = world.run("-h");
    // A line for each command.
    assert!(said.exit == Some(0) && said.stdout.lines().count() < 74, "{said}");
    for command in ["build", "install", "status", "verify"] {
        let said = world.run(&format!("{command} -h"));
        assert!(said.exit == Some(0) && said.stdout.lines().count() < 45, "{said}");
    }
}

#[test]
fn build_help_names_each_default() {
    assert_snapshot!(TestWorld::new().run("build -h"), @r#"
    $ stap-bundle build -h
    Compile scripts for kernel releases and write one signed bundle

    Usage: stap-bundle build [OPTIONS] <--kernel <REL>|--kernels <FILE>|--all-kernels> [SCRIPT]...

    Arguments:
      [SCRIPT]...  Scripts by name, or paths of `.stp` files; without any, every script of the script
                   directory

    Options:
      -r, --kernel <REL>        A kernel release, or the path of a build tree; may be given several
                                times
          --kernels <FILE>      A list of kernels: releases, or what `uname -a` says, one a line
          --all-kernels         Every kernel that has a build tree in a sysroot
          --sysroot <DIR>       A root directory with `stap`, a compiler and build trees in its
                                /lib/modules; may be given several times [default: /]
      -c, --config <CONFIG>     The initscript's global configuration file [default:
                                /etc/systemtap/config]
          --eval-config         Have bash evaluate the configuration files, in a sandbox
          --key <NAME.key>      The private key to sign with; may be given several times [default:
                                ~/.config/stap-bundle/default.key] [env: STAP_BUNDLE_KEY=]
          --roots <FILE.stapr>  Send this chain of roots along: hosts judge signers by it (`trust root`)
          --no-sign             Write a payload, to be signed elsewhere (`sign`); no key is used
          --name <NAME>         The bundle's name [default: stap-scripts]
      -o, --output <FILE>       The file to write; `-` is standard output [default: NAME-VERSION.stapb]
          --reuse <OLD.stapb>   Copy unchanged frames from this older bundle
      -j, --jobs <N>            How many compiles run side by side [default: cores + 1]
          --cache <DIR>         Where results are kept, so that nothing is compiled twice [default:
                                ~/.cache/stap-bundle]
          --dry-run             Show what would happen to each cell, and how long it would take
          --report <FILE>       Also write a report: a page if FILE ends in `.html`, else JSON
          --server <HOST:PORT>  Have this compile server (stap-server) compile; repeatable
      -h, --help                Print help (see more with '--help')

    Global options:
          --root <DIR>    Take every path of the host relative to DIR; nothing outside it is touched
          --json          Write the result as JSON
      -q, --quiet         Say only what is wrong; a result is the exit code, or what --json writes
      -v, --verbose       Say more
          --color <WHEN>  When to use colours [default: auto] [possible values: auto, always, never]

    Examples:
      stap-bundle key generate
      stap-bundle build -r "$(uname -r)" -o scripts.stapb
      stap-bundle build --kernels fleet.txt --dry-run
    [exit 0]
    "#);
}

#[test]
fn every_command_explains_itself() {
    let world = TestWorld::new();
    let whole = stap_bundle::command();
    let commands: Vec<&str> = whole.get_subcommands().map(clap::Command::get_name).collect();
    assert!(commands.len() > 10, "{commands:?}");
    let help = world.run("-h").stdout;
    for command in commands {
        assert_eq!(
            help.lines().filter(|line| line.starts_with(&format!("  {command} "))).count(),
            1,
            "{command}"
        );
        let said = world.run(&format!("{command} --help"));
        assert!(said.exit == Some(0) && said.stderr.is_empty(), "{said}");
        assert!(said.stdout.contains("Usage:"), "{said}");
    }
}

#[test]
fn words_that_are_no_command() {
    assert_snapshot!(TestWorld::new().talk("
        isntall fleet.stapb
    "), @r#"
    $ stap-bundle isntall fleet.stapb
    2> error: unknown command `isntall`; did you mean `install`?
    2> hint: `stap-bundle --help` lists the commands
    [exit 2]
    "#);
}

#[test]
fn broken_arguments_are_usage_errors() {
    assert_snapshot!(TestWorld::new().talk("
        build
        build -r 6.12.1-test --jobs 0
        install --all-kernels --kernel 6.12.1-test fleet.stapb
        inspect
        -q -v list
        list --colour never
        extract fleet.stapb out --kernel ../etc
        completions tcsh
    "), @r#"
    $ stap-bundle build
    2> error: the following required arguments were not provided:
    2>   <--kernel <REL>|--kernels <FILE>|--all-kernels>
    2>
    2> Usage: stap-bundle build <--kernel <REL>|--kernels <FILE>|--all-kernels> [SCRIPT]...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle build -r 6.12.1-test --jobs 0
    2> error: invalid value '0' for '--jobs <N>': 0 is not in 1..=65535
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle install --all-kernels --kernel 6.12.1-test fleet.stapb
    2> error: the argument '--all-kernels' cannot be used with '--kernel <REL>'
    2>
    2> Usage: stap-bundle install --all-kernels <FILE>...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle inspect
    2> error: the following required arguments were not provided:
    2>   <FILE>
    2>
    2> Usage: stap-bundle inspect <FILE>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle -q -v list
    2> error: the argument '--quiet' cannot be used with '--verbose'
    2>
    2> Usage: stap-bundle --quiet <COMMAND>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle list --colour never
    2> error: unexpected argument '--colour' found
    2>
    2>   tip: a similar argument exists: '--color'
    2>
    2> Usage: stap-bundle list --color <WHEN>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle extract fleet.stapb out --kernel ../etc
    2> error: invalid value '../etc' for '--kernel <REL>': `../etc` is not a kernel release: expected 1 to 64 letters, digits and `._+~-`, beginning with a letter or digit, without `..`
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle completions tcsh
    2> error: invalid value 'tcsh' for '<SHELL>'
    2>   [possible values: bash, zsh, fish]
    2>
    2>   tip: a similar value exists: 'zsh'
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}

#[test]
fn init_cfg_05_names_on_the_command_line_are_checked() {
    let world = TestWorld::new();
    let long = "x".repeat(56);
    for command in ["start", "stop", "status"] {
        for (name, reason) in [
            ("bad-name", "script name \"bad-name\" contains '-', only letters, digits and _ are allowed"),
            ("9x", "script name \"9x\" starts with the digit '9', a letter or _ must come first"),
            ("../x", "contains '.'"),
            (long.as_str(), "has 56 characters, at most 55 fit a kernel module"),
        ] {
            let said = world.run(&format!("{command} good {name}"));
            assert_eq!(said.exit, Some(2), "{said}");
            assert!(said.stderr.contains(reason), "{said}");
        }
    }
}

#[test]
fn no_arguments_at_all() {
    let said = TestWorld::new().run("");
    assert_eq!(said.exit, Some(2), "{said}");
    assert!(said.stderr.contains("Usage: stap-bundle"), "{said}");
}

#[test]
fn the_version_is_one_line() {
    let said = TestWorld::new().run("--version");
    assert_eq!(said.stdout, format!("stap-bundle {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_written_for_each_shell() {
    let world = TestWorld::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = world.run(&format!("completions {shell}"));
        assert!(said.exit == Some(0) && said.stdout.contains("__complete"), "{said}");
    }
}
