//! `onboot stage`: what an image is given, and what starts of it.

use std::fs;
use std::path::Path;

use fixtures::fake_host::FakeHost;
use insta::assert_snapshot;

use crate::bundles::fleet;
use crate::made_up_kernel;
use crate::running::start;
use crate::world::TestWorld;

const RELEASE: &str = "6.12.1-test";

/// A host with counter and latency installed, both in its list; and the root of an image.
fn installed() -> TestWorld {
    let world = TestWorld::new();
    FakeHost::create(&world.path("host")).unwrap();
    world.bundle("fleet.stapb", &fleet(1));
    assert_eq!(world.run("trust add --root host farm.pub").exit, Some(0));
    assert_eq!(world.run("install --root host fleet.stapb").exit, Some(0));
    world.write("host/etc/stap-bundle/onboot", "counter\nlatency\n");
    for program in ["usr/bin/staprun", "usr/lib/systemtap/stapio"] {
        world.write(&format!("host/{program}"), "#!/bin/sh\n");
        world.chmod(&format!("host/{program}"), 0o755);
    }
    new_image(&world);
    world
}

fn new_image(world: &TestWorld) {
    let _ = fs::remove_dir_all(world.path("image"));
    fs::create_dir(world.path("image")).unwrap();
    world.chmod("image", 0o755);
}

fn files(root: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(root).sort_by_file_name();
    let files = entries.into_iter().map(Result::unwrap).filter(|entry| !entry.file_type().is_dir());
    files.map(|entry| entry.path().strip_prefix(root).unwrap().display().to_string()).collect()
}

/// The scripts that run after the start in the initramfs, and those that don't with the ids of the reasons.
fn start_in_image(world: &TestWorld) -> (Vec<String>, Vec<String>) {
    let image = world.path("image");
    FakeHost::create(&image).unwrap();
    let report = made_up_kernel::start_before_root(&image, RELEASE);
    let failed = report.scripts.iter().filter_map(|script| Some((&script.script, script.outcome.problem()?)));
    let failed = failed.map(|(script, reason)| format!("{script}: {}", reason.id)).collect();
    (made_up_kernel::loaded(&image), failed)
}

#[test]
fn an_image_gets_what_its_own_start_needs_and_no_more() {
    let world = installed();
    assert_snapshot!(world.run("onboot stage --root host --into image -r 6.12.1-test"), @r#"
    $ stap-bundle onboot stage --root host --into image -r 6.12.1-test
    [exit 0]
    "#);
    let found = files(&world.path("image"));
    assert_snapshot!(found.join("\n"), @r#"
    etc/stap-bundle/onboot
    etc/stap-bundle/trust/default/[FARM-KEY].pub
    var/lib/stap-bundle/current
    var/lib/stap-bundle/generations/1/bundles/fleet/bundle.stapb
    var/lib/stap-bundle/generations/1/bundles/fleet/sets/2994bf7ec0cac4b1.json
    var/lib/stap-bundle/generations/1/kernels/2994bf7ec0cac4b1/counter.ko
    var/lib/stap-bundle/generations/1/kernels/2994bf7ec0cac4b1/latency.ko
    var/lib/stap-bundle/generations/1/lock
    var/lib/stap-bundle/state/floors
    var/lib/stap-bundle/state/floors.copy
    "#);
    let (size, kept) = ("bundles/fleet/bundle.stapb", "var/lib/stap-bundle/generations/1");
    let len = |root: &str| fs::metadata(world.path(root).join(kept).join(size)).unwrap().len();
    assert!(len("image") < len("host"), "{} of {}", len("image"), len("host"));
    assert_eq!(start_in_image(&world), (vec!["counter".to_owned(), "latency".to_owned()], Vec::new()));
    // /run goes along; the root file system has everything that the initramfs had.
    let run = world.path("host/run");
    let _ = fs::remove_dir_all(&run);
    fs::rename(world.path("image/run"), &run).unwrap();
    let id = world.path("host/proc/sys/kernel/random/boot_id");
    fs::copy(world.path("image/proc/sys/kernel/random/boot_id"), id).unwrap();
    let status = world.json("status --root host");
    assert_eq!(status["onboot"]["early"]["running"], serde_json::json!(["counter", "latency"]), "{status}");
    assert_eq!(status["onboot"]["early"]["generation"], 1);
}

#[test]
fn a_module_that_was_changed_in_the_image_is_not_loaded() {
    let world = installed();
    assert_eq!(world.run("onboot stage --root host --into image -r 6.12.1-test").exit, Some(0));
    let module = files(&world.path("image")).into_iter().find(|file| file.ends_with("counter.ko")).unwrap();
    let path = world.path("image").join(module);
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (loaded, failed) = start_in_image(&world);
    assert_eq!(
        (loaded, failed),
        (Vec::new(), vec!["counter: tampered".to_owned(), "latency: requirement-failed".to_owned()])
    );
}

#[test]
fn a_kernel_without_modules_gets_an_image_without_scripts() {
    let world = installed();
    assert_snapshot!(world.run("onboot stage --root host --into image -r 6.99.0-other"), @r#"
    $ stap-bundle onboot stage --root host --into image -r 6.99.0-other
    2> warning: the image of kernel 6.99.0-other lacks counter: bundle fleet has no modules for kernel 6.99.0-other
    2> warning: the image of kernel 6.99.0-other lacks latency: bundle fleet has no modules for kernel 6.99.0-other
    [exit 0]
    "#);
    assert_eq!(files(&world.path("image")), Vec::<String>::new());
}

#[test]
fn a_script_whose_module_is_damaged_is_left_out_with_what_requires_it() {
    let world = installed();
    let module = files(&world.path("host")).into_iter().find(|file| file.ends_with("latency.ko")).unwrap();
    fs::write(world.path("host").join(module), "nothing").unwrap();
    assert_snapshot!(world.run("onboot stage --root host --into image -r 6.12.1-test"), @r#"
    $ stap-bundle onboot stage --root host --into image -r 6.12.1-test
    2> warning: the image of kernel 6.12.1-test lacks latency: its module is not the one that was signed: latency.ko has 7 bytes, signed are 360
    [exit 0]
    "#);
    let list = fs::read_to_string(world.path("image/etc/stap-bundle/onboot")).unwrap();
    assert!(list.ends_with("\ncounter\n"), "{list}");
    assert_eq!(start_in_image(&world).0, ["counter"]);
}

#[test]
fn what_others_could_have_written_is_not_made_root_s_in_an_image() {
    for file in ["etc/stap-bundle/trust/default", "var/lib/stap-bundle/state"] {
        let world = installed();
        world.chmod(&format!("host/{file}"), 0o777);
        let said = world.run("onboot stage --root host --into image -r 6.12.1-test");
        assert!(said.stderr.contains("can be written by others (mode 0777)"), "{file}: {said}");
        assert_eq!(files(&world.path("image")), Vec::<String>::new(), "{file}");
        let status = world.run("status --root host");
        assert!(!status.stdout.contains(" has counter, latency"), "{status}");
    }
}

#[test]
fn without_staprun_an_image_gets_nothing() {
    for program in ["usr/bin/staprun", "usr/lib/systemtap/stapio"] {
        let world = installed();
        fs::remove_file(world.path("host").join(program)).unwrap();
        let said = world.run("onboot stage --root host --into image -r 6.12.1-test");
        assert!(said.stderr.contains("install the package systemtap-runtime"), "{said}");
        assert_eq!(files(&world.path("image")), Vec::<String>::new());
    }
}

#[test]
fn a_staging_that_fails_leaves_no_promise() {
    let world = installed();
    assert_eq!(world.run("onboot stage --root host --into image -r 6.12.1-test").exit, Some(0));
    // Nothing of an older run is in a fresh image.
    let said = world.run("onboot stage --root host --into image -r 6.12.1-test");
    assert!(said.stderr.contains("exists already: --into takes the root of a new image"), "{said}");
    let found = world.json("status --root host")["onboot"]["images"][0].clone();
    assert_eq!(found["scripts"], serde_json::json!([]), "{found}");
    assert!(found["problem"].as_str().unwrap().contains("out of date"), "{found}");
}

#[test]
fn what_the_boot_guard_leaves_out_is_left_out_in_the_image_too() {
    let world = installed();
    made_up_kernel::start(&world.path("host"), RELEASE, true).unwrap();
    let record = world.path("host/var/lib/stap-bundle/state/boot-guard.json");
    let mut guard: serde_json::Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    guard["stage"] = "one-by-one".into();
    guard["culprits"] = serde_json::json!(["latency"]);
    fs::write(&record, guard.to_string()).unwrap();
    assert_eq!(world.run("onboot stage --root host --into image -r 6.12.1-test").exit, Some(0));
    assert_eq!(start_in_image(&world).0, ["counter"]);
    // There is no generation before in an image.
    guard["stage"] = "previous".into();
    fs::write(&record, guard.to_string()).unwrap();
    new_image(&world);
    assert_eq!(world.run("onboot stage --root host --into image -r 6.12.1-test").exit, Some(0));
    assert_eq!(start_in_image(&world).0, Vec::<String>::new());
    let said = world.run("boot-guard reset --root host");
    assert_eq!(said.exit, Some(0), "{said}");
    assert!(world.run("status --root host").stdout.contains("is out of date (options, masks,"));
}

#[test]
fn a_host_without_a_list_writes_nothing() {
    let world = installed();
    fs::remove_file(world.path("host/etc/stap-bundle/onboot")).unwrap();
    world.write("image/etc/systemtap/config", "");
    let said = world.run("onboot stage --root host --into image -r 6.12.1-test");
    assert_eq!((said.exit, said.stderr.as_str()), (Some(0), ""), "{said}");
    assert!(!world.path("host/var/lib/stap-bundle/state/onboot").exists());
}

#[test]
fn what_is_no_fresh_image_stays_as_it_is() {
    let world = installed();
    let before = files(&world.path("host"));
    assert_snapshot!(world.run("onboot stage --root host --into host -r 6.12.1-test"), @r#"
    $ stap-bundle onboot stage --root host --into host -r 6.12.1-test
    2> warning: the image of kernel 6.12.1-test has no early scripts: host/etc/stap-bundle exists already: --into takes the root of a new image
    [exit 0]
    "#);
    // But for the record that its image has nothing.
    let mut after = files(&world.path("host"));
    after.retain(|file| file != "var/lib/stap-bundle/state/onboot/6.12.1-test.json");
    assert_eq!(after, before);
    assert_eq!(start(&world), ["counter", "latency"]);
}

#[test]
fn status_says_what_an_image_has_and_when_it_is_out_of_date() {
    let world = installed();
    world.write("host/boot/initrd.img-6.12.1-test", "an image");
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root

    starting from the initramfs: counter, latency
      kernel 6.12.1-test: its image has no early scripts yet: run `stap-bundle onboot --refresh`
    [exit 3]
    "#);
    assert_eq!(world.run("onboot stage --root host --into image -r 6.12.1-test").exit, Some(0));
    let image = fs::File::options().write(true).open(world.path("host/boot/initrd.img-6.12.1-test")).unwrap();
    image.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 1
    bundle fleet 1.1

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root

    starting from the initramfs: counter, latency
      kernel 6.12.1-test: /boot/initrd.img-6.12.1-test has counter, latency (generation 1)
    [exit 3]
    "#);
    // It was given its scripts, and then its making was cut.
    image.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(9)).unwrap();
    let said = world.run("status --root host");
    assert!(
        said.stdout
            .contains("wasn't finished: it is older than its record: run `stap-bundle onboot --refresh`"),
        "{said}"
    );
    image.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
    world.bundle("newer.stapb", &fleet(2));
    assert_snapshot!(world.run("install --root host newer.stapb"), @r#"
    $ stap-bundle install --root host newer.stapb
    installed: fleet 1.2 as generation 2
      6.12.1-test: 2 modules
      no script, kernel or module differs from generation 1
    2> fleet 1.2 is signed by trusted key [FARM-KEY-SHORT]
    2> staging generation 2 with 1 kernel
    2>   6.12.1-test: 2 modules, [SIZE]
    2> switching from generation 1 to generation 2
    [exit 0]
    "#);
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 2
    bundle fleet 1.2

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root

    starting from the initramfs: counter, latency
      kernel 6.12.1-test: /boot/initrd.img-6.12.1-test has counter, latency (generation 1)
      kernel 6.12.1-test: its image has modules of generation 1, current is 2: run `stap-bundle onboot --refresh`
    [exit 3]
    "#);
    new_image(&world);
    assert_eq!(world.run("onboot stage --root host --into image -r 6.12.1-test").exit, Some(0));
    let said = world.run("status --root host");
    assert!(!said.stdout.contains("--refresh"), "{said}");
    // A mask decides what starts, too.
    assert_eq!(world.run("mask --root host counter").exit, Some(0));
    let said = world.run("status --root host");
    assert!(said.stdout.contains("is out of date (options, masks, trust, boot guard or program)"), "{said}");
    assert_eq!(world.run("unmask --root host counter").exit, Some(0));
    // A record that can't be read is one image's problem.
    let record = world.path("host/var/lib/stap-bundle/state/onboot/6.12.1-test.json");
    let good = fs::read(&record).unwrap();
    fs::write(&record, "").unwrap();
    let said = world.run("status --root host");
    assert!(said.stdout.contains("its image isn't known: "), "{said}");
    fs::write(&record, good).unwrap();
    // Taken out of the list, they are still in the image.
    fs::remove_file(world.path("host/etc/stap-bundle/onboot")).unwrap();
    assert_snapshot!(world.run("status --root host"), @r#"
    $ stap-bundle status --root host
    no kernel runs here, generation 2
    bundle fleet 1.2

     SCRIPT   STATE    KERNEL  BUNDLE  SINCE  MODULE  DATA  REQUIRES
     counter  stopped  -       fleet   -      -       -     -
     latency  stopped  -       fleet   -      -       -     counter
    counter, latency: no kernel runs here for which bundle fleet could have a module
        ask on the host itself, without --root

    starting from the initramfs: no script
      kernel 6.12.1-test: /boot/initrd.img-6.12.1-test has counter, latency (generation 2)
      kernel 6.12.1-test: its image is out of date: run `stap-bundle onboot --refresh`
    [exit 3]
    "#);
}

#[test]
fn the_list_is_for_a_host_that_runs() {
    assert_snapshot!(TestWorld::new().talk("
        onboot --root host counter
        onboot counter --remove
        onboot --refresh counter
        onboot -R
    "), @r#"
    $ stap-bundle onboot --root host counter
    2> error: `onboot` takes no --root: no kernel runs in a directory
    2> hint: run it on the host itself
    [exit 2]
    $ stap-bundle onboot counter --remove
    2> error: the argument '[SCRIPT]...' cannot be used with '--remove'
    2>
    2> Usage: stap-bundle onboot <SCRIPT>...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle onboot --refresh counter
    2> error: the argument '--refresh' cannot be used with '[SCRIPT]...'
    2>
    2> Usage: stap-bundle onboot --refresh [SCRIPT]...
    2>
    2> For more information, try '--help'.
    [exit 2]
    $ stap-bundle onboot -R
    2> error: the following required arguments were not provided:
    2>   <SCRIPT>...
    2>
    2> Usage: stap-bundle onboot --recursive <SCRIPT>...
    2>
    2> For more information, try '--help'.
    [exit 2]
    "#);
}
