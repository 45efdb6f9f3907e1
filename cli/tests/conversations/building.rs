//! Lists of kernels for `build`, and `cache`, as far as no compiler is needed.

use insta::assert_snapshot;

use crate::world::TestWorld;

#[test]
fn a_list_of_kernels_names_every_line_that_it_passes_over() {
    let world = TestWorld::new();
    world.config("empty.conf", "");
    world.write("fleet.txt", "# web\n6.12.1-test\nweb7 6.12.1-test\nLinux web8 a/b #1 SMP x86_64\n");
    world.write("none.txt", "# nothing yet\nweb7: ssh: connect to host web7 port 22: Connection refused\n");
    assert_snapshot!(world.talk("
        build --kernels fleet.txt --sysroot host -c empty.conf --dry-run
        build --kernels none.txt -c empty.conf --dry-run
        build --kernels absent.txt -c empty.conf --dry-run
        build -r 1.0 --pin 1.0 -c empty.conf --dry-run
    "), @r#"
    $ stap-bundle build --kernels fleet.txt --sysroot host -c empty.conf --dry-run
    2> warning: fleet.txt: 1 line names no kernel and is passed over: line 4: `Linux web8 a/b #1 SMP [MACHINE]`
    2> error: 5 problems keep this from being built
    2>   because: no script is given
    2>   because: sysroot $WORLD/work/host has no /usr/bin/stap: the package systemtap would bring it
    2>   because: sysroot $WORLD/work/host has no directory /mnt, where the work directory of a job is mounted
    2>   because: no build tree for 6.12.1-test: there is no $WORLD/work/host/lib/modules/6.12.1-test/build; install its distribution's package with /lib/modules/6.12.1-test/build (linux-headers, kernel-devel or the like), or take it into the kernel store (stap-bundle kernel add)
    2>   because: the sandbox needs bwrap: the Debian package bubblewrap would bring it: program bwrap not found in PATH $WORLD/bin
    2> hint: install the headers package in the sysroot, or name another root: --sysroot DIR
    2> hint: put scripts into $WORLD/work/scripts (SCRIPT_PATH of the configuration), or name `.stp` files
    2> hint: stap-bundle kernel missing, with the same kernels and sysroots, names all packages that are lacking
    2> hint: or let the bundle say so to hosts that run it: --best-effort '@6.12.1-test'
    2> hint: 6.12.1-test runs on web7
    [exit 21]
    $ stap-bundle build --kernels none.txt -c empty.conf --dry-run
    2> warning: none.txt: 1 line names no kernel and is passed over: line 2: `web7: ssh: connect to host web7 port 22: Connection refused`
    2> error: the list of kernels is empty
    2> hint: each line is a release, with the host's name if you like, or the output of `uname -a`; a table needs a column of releases
    [exit 2]
    $ stap-bundle build --kernels absent.txt -c empty.conf --dry-run
    2> error: absent.txt: No such file or directory
    [exit 21]
    $ stap-bundle build -r 1.0 --pin 1.0 -c empty.conf --dry-run
    2> error: invalid value '1.0' for '--pin <REL=DIR>': expected REL=DIR: a kernel release and one of the sysroots
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}

#[test]
fn lines_of_uname_are_taken_for_kernels() {
    let world = TestWorld::new();
    world.config("empty.conf", "");
    world.write("fleet.txt", "Linux web8 6.12.7-test #1 SMP Debian x86_64 GNU/Linux\n6.12.8-test # db\n");
    let said = world.run("build --kernels fleet.txt -r 6.12.9-test --sysroot host -c empty.conf --dry-run");
    for release in ["6.12.7-test", "6.12.8-test", "6.12.9-test"] {
        assert!(said.stderr.contains(&format!("no build tree for {release}:")), "{said}");
    }
    assert_eq!(said.exit, Some(21));
    assert!(said.stderr.contains("hint: 6.12.7-test runs on web8\n"), "{said}");
    let said = world.run("build --all-kernels --sysroot host -c empty.conf --dry-run");
    assert!(said.stderr.contains("no build tree of any kernel: there is none in"), "{said}");
}

#[test]
fn a_cache_is_verified_and_collected() {
    let world = TestWorld::new();
    world.write("c/artifacts/ab/ab12/record.json", "{");
    world.write("c/build/warm/ab12/cache/ab/stapconf_12.h", "#define STAPCONF_A");
    assert_snapshot!(world.talk("
        cache verify --cache empty
        cache verify --cache c
        cache gc --cache c
        cache gc --cache c --keep 30
        --json cache gc --cache c --keep 30 --dry-run
    "), @r#"
    $ stap-bundle cache verify --cache empty
    2> error: there is no cache: $WORLD/work/empty/artifacts is no directory
    2> hint: --cache and --artifacts name the directories that were given to `build`
    [exit 2]
    $ stap-bundle cache verify --cache c
    0 modules and 0 failed compiles are whole, [SIZE]: $WORLD/work/c/artifacts
    2> warning: $WORLD/work/c/artifacts/ab/ab12 is damaged; the next build that needs it makes it again
    [exit 1]
    $ stap-bundle cache gc --cache c
    2> error: the following required arguments were not provided:
    2>   --keep <DAYS>
    2>
    2> Usage: stap-bundle cache gc --keep <DAYS> --cache <DIR>
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle cache gc --cache c --keep 30
    0 results removed, [SIZE]; 1 result kept: $WORLD/work/c/artifacts
    caches of kernels: 0 removed, [SIZE]; 1 kept
    [exit 0]
    $ stap-bundle --json cache gc --cache c --keep 30 --dry-run
    {
      "a_build_runs": false,
      "bytes": 0,
      "cache": "$WORLD/work/c/artifacts",
      "dry_run": true,
      "kept": 1,
      "notes": {
        "bytes": 0,
        "kept": 0,
        "removed": 0
      },
      "removed": 0,
      "schema": "cache-gc/1",
      "warm_ups": {
        "bytes": 0,
        "kept": 1,
        "removed": 0
      }
    }
    [exit 0]
    "#);
}

#[test]
fn parts_of_a_build_are_written_i_of_n_and_merge_compiles_nothing() {
    let world = TestWorld::new();
    assert_snapshot!(world.talk("
        build -r 6.1 --shard 5/4
        build -r 6.1 --shard 1/4 -o x.stapb
        merge -r 6.1
        merge --shards 2 -r 6.1 --shard 1/2
    "), @r#"
    $ stap-bundle build -r 6.1 --shard 5/4
    2> error: invalid value '5/4' for '--shard <I/N>': not I/N with I from 1 to N, such as 1/4
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle build -r 6.1 --shard 1/4 -o x.stapb
    2> error: the argument '--shard <I/N>' cannot be used with '--output <FILE>'
    2>
    2> Usage: stap-bundle build --shard <I/N> <--kernel <REL>|--kernels <FILE>|--all-kernels> [SCRIPT]...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle merge -r 6.1
    2> error: the following required arguments were not provided:
    2>   --shards <N>
    2>
    2> Usage: stap-bundle merge --shards <N> <--kernel <REL>|--kernels <FILE>|--all-kernels> [SCRIPT]...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle merge --shards 2 -r 6.1 --shard 1/2
    2> error: `merge` compiles nothing: it takes no --shard, --dry-run or --check-reproducible
    [exit 2]
    "#);
}

#[test]
fn results_are_pushed_to_a_directory_and_pulled_from_it() {
    let world = TestWorld::new();
    assert_snapshot!(world.talk("
        cache push shared --cache c
        cache pull nowhere --cache c
    "), @r#"
    $ stap-bundle cache push shared --cache c
    2> error: there is no cache: $WORLD/work/c/artifacts is no directory
    2> hint: --cache and --artifacts name the directories that were given to `build`
    [exit 2]
    $ stap-bundle cache pull nowhere --cache c
    2> error: nowhere is no directory
    2> hint: it is what `cache push DIR` wrote to, or what `build --artifacts DIR` uses
    [exit 2]
    "#);
    std::fs::create_dir_all(world.path("c/artifacts/ab/abcd")).unwrap();
    assert_snapshot!(world.talk("
        cache push shared --cache c
        cache pull c/artifacts --cache d
        --json cache pull c/artifacts --cache d
    "), @r#"
    $ stap-bundle cache push shared --cache c
    0 results copied, [SIZE]; 0 were there: shared
    2> warning: $WORLD/work/c/artifacts/ab/abcd is damaged and wasn't copied
    [exit 1]
    $ stap-bundle cache pull c/artifacts --cache d
    0 results copied, [SIZE]; 0 were there: $WORLD/work/d/artifacts
    2> warning: c/artifacts/ab/abcd is damaged and wasn't copied
    [exit 1]
    $ stap-bundle --json cache pull c/artifacts --cache d
    {
      "bytes": 0,
      "copied": 0,
      "damaged": [
        "c/artifacts/ab/abcd"
      ],
      "from": "c/artifacts",
      "not_taken": [],
      "schema": "cache-copy/1",
      "there": 0,
      "to": "$WORLD/work/d/artifacts"
    }
    [exit 1]
    "#);
}

#[test]
fn a_compile_server_is_host_and_port() {
    let world = TestWorld::new();
    world.config("empty.conf", "");
    assert_snapshot!(world.talk("
        build -r 1.0 -c empty.conf --dry-run --server builder
        build -r 1.0 -c empty.conf --dry-run --or-here
    "), @r#"
    $ stap-bundle build -r 1.0 -c empty.conf --dry-run --server builder
    2> error: invalid value 'builder' for '--server <HOST:PORT>': not HOST:PORT, such as builder.example:5001 or [::1]:5001
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle build -r 1.0 -c empty.conf --dry-run --or-here
    2> error: the following required arguments were not provided:
    2>   --server <HOST:PORT>
    2>
    2> Usage: stap-bundle build --server <HOST:PORT> --config <CONFIG> --dry-run --or-here <--kernel <REL>|--kernels <FILE>|--all-kernels> [SCRIPT]...
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}
