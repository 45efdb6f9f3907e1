//! Row E12: a host on which not everything may be done: no right to load modules, a locked kernel, a disk that is read-only.

use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};

use fixtures::user::needs_root;

use super::*;

/// As /proc has it for a process; bit 16 is `CAP_SYS_MODULE`.
fn bounding_set(world: &World, set: &str) {
    let own = world.dir.path().join("proc/self");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("status"), format!("Name:\tstap-bundle\nCapEff:\t{set}\nCapBnd:\t{set}\n")).unwrap();
}

#[test]
fn e12_without_the_right_to_load_modules_none_is_tried() {
    let mut world = World::new();
    world.install(&bundle(1, &["counter", "other"]));
    bounding_set(&world, "000001fffefeffff");
    let report = world.start();
    for script in ["counter", "other"] {
        assert_eq!(reason(&report, script), "not-permitted");
    }
    assert_eq!((report.exit_code(), world.fake.calls().unwrap().len()), (0, 0));
    world.parameters.pass_all = true;
    let report = world.start();
    assert_eq!((report.exit_code(), reason(&report, "counter").as_str()), (1, "not-permitted"));
    assert_eq!(reason_of_status(&world, "counter"), "not-permitted");
    bounding_set(&world, "000001fffeffffff");
    assert!(world.start().all_run());
}

#[test]
fn e12_what_a_locked_kernel_refuses_is_named_by_the_rule_that_is_in_force() {
    const LOCKDOWN: &str = "sys/kernel/security/lockdown";
    const ENFORCED: &str = "sys/module/module/parameters/sig_enforce";
    const DISABLED: &str = "proc/sys/kernel/modules_disabled";
    let denied = "Operation not permitted";
    let rejected = "Key was rejected by service";
    let cases = [
        (LOCKDOWN, "none [integrity] confidentiality\n", denied, "lockdown"),
        (LOCKDOWN, "none integrity [confidentiality]\n", denied, "lockdown"),
        (LOCKDOWN, "[none] integrity confidentiality\n", denied, "not-permitted"),
        (ENFORCED, "Y\n", rejected, "signature-enforced"),
        (DISABLED, "1\n", denied, "modules-disabled"),
    ];
    // Nothing is known of the key of `signed`, so the kernel is asked.
    for (path, text, errno, id) in cases {
        let mut world = World::new();
        world.install(&bundle(1, &["signed"]));
        world.parameters.pass_all = true;
        let file = world.dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        let behaviour = format!("load fail ERROR: Couldn't insert module 'signed.ko': {errno}");
        world.fake.behave("signed", &behaviour).unwrap();
        let report = world.start();
        assert_eq!((reason(&report, "signed").as_str(), report.exit_code()), (id, 1));
        assert!(world.loaded().is_empty());
        // Of one that isn't signed it is known, so the kernel isn't asked.
        let mut world = World::new();
        world.install(&bundle(1, &["counter"]));
        world.parameters.pass_all = true;
        let file = world.dir.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        let report = world.start();
        let id = match id {
            "lockdown" | "signature-enforced" => "unsigned",
            "modules-disabled" => id,
            _ => continue,
        };
        assert_eq!((reason(&report, "counter").as_str(), report.exit_code()), (id, 1));
        assert!(world.fake.calls().unwrap().is_empty());
    }
}

/// A directory that can only be read until the value goes.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn new(path: PathBuf) -> Self {
        needs_root();
        mount_bind(&path, &path).unwrap();
        let mounted = Self(path);
        mount_remount(&mounted.0, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
        mounted
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn e12_on_a_read_only_var_everything_starts_and_stops_and_the_guard_says_that_there_is_none() {
    let mut world = World::new();
    world.parameters.pass_all = true;
    world.install(&bundle(1, &["counter", "latency"]));
    // A link to /run on hosts.
    let status_files = world.dir.path().join("var/run");
    let _ = fs::remove_dir_all(&status_files);
    std::os::unix::fs::symlink("../run", status_files).unwrap();
    let read_only = ReadOnly::new(world.dir.path().join("var"));
    assert!(fs::write(world.dir.path().join("var/x"), "").is_err());
    let choice =
        StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &world.parameters };
    let report = world.with_service(|service| {
        let guard = service.boot_guard().unwrap();
        let options = StartOptions { guard: Some(&guard), ..StartOptions::default() };
        service.start(&choice, &options, &|_| ()).unwrap()
    });
    assert!(report.all_run() && report.exit_code() == 0, "{report:?}");
    let [warning] = report.warnings.as_slice() else { panic!("{:?}", report.warnings) };
    assert!(
        warning.contains("this boot has no guard") && warning.contains("Read-only file system"),
        "{warning}"
    );
    assert_eq!(world.loaded(), ["counter", "latency"]);
    assert_eq!((world.stop(), world.loaded().len()), (0, 0));
    drop(read_only);
    assert!(world.start().all_run());
}
