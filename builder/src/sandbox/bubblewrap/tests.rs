use std::os::unix::fs::PermissionsExt;

use child::{Cancel, Limits};

use super::*;
use crate::sandbox::Overlay;
use crate::state::BuildDirectories;
use crate::testing::fake_sysroot;

#[test]
fn the_command_line_is_the_one_that_was_seen_working() {
    let root = fake_sysroot(&[]);
    let base = tempfile::tempdir().unwrap();
    let sysroot = Sysroot::open(root.path()).unwrap();
    let directories = BuildDirectories::beneath(&base.path().join("cache"));
    directories.prepare(&Sandbox::without_user_change()).unwrap();
    let sandbox = Sandbox::without_user_change();
    let argv = ["stap".to_owned(), "-p4".to_owned()];
    let line = |directories: &BuildDirectories| {
        let work = directories.new_work(&Sandbox::without_user_change()).unwrap();
        let inside = Inside { warm: Some(Path::new("/warm")), ..Inside::new(&sysroot, &work) };
        let line = sandbox.command(&inside, &argv).display();
        line.replace(work.path().to_str().unwrap(), "/w")
            .replace(work.temporary().unwrap_or(Path::new("/none")).to_str().unwrap(), "/t")
    };
    let expected = |tmp: &str| {
        format!(
            "/bin/sh --ro-bind {} / --proc /proc --dev /dev {tmp} --bind /w /mnt --ro-bind /warm /mnt/warm --unshare-all --hostname localhost \
             --die-with-parent --new-session --clearenv --setenv PATH /usr/bin:/bin --setenv HOME /mnt --setenv SYSTEMTAP_DIR /mnt/stapdir \
             --setenv STAP_NTHREADS 1 --setenv LC_ALL C.UTF-8 --setenv TZ UTC --chdir /mnt stap -p4",
            sysroot.path().display()
        )
    };
    assert_eq!(line(&directories), expected("--tmpfs /tmp"));
    let work = directories.new_work(&Sandbox::without_user_change()).unwrap();
    let alone = Inside { one_processor: true, ..Inside::new(&sysroot, &work) };
    let processors = format!(
        "--tmpfs /sys --dir /sys/devices/system/cpu --ro-bind {}/one-processor /sys/devices/system/cpu/online",
        work.path().display()
    );
    assert!(sandbox.command(&alone, &argv).display().contains(&processors));
    let elsewhere = directories.with_temporary(&base.path().join("temp"));
    elsewhere.prepare(&Sandbox::without_user_change()).unwrap();
    assert_eq!(line(&elsewhere), expected("--bind /t /tmp"));
}

#[test]
fn a_job_of_roots_has_a_user_of_its_own_or_a_namespace_without_rights() {
    let locks = tempfile::tempdir().unwrap();
    let with = |users| Sandbox::of_test(Program::find("/bin/sh").unwrap(), users);
    let outer = |sandbox: &Sandbox| sandbox.outer_command(&sandbox.lease().unwrap()).display();
    let numbers = with(JobUsers::of_test(&[4711], locks.path()));
    assert_eq!(outer(&numbers), "/bin/sh --reuid 4711 --regid 4711 --clear-groups /bin/sh");
    let namespace = with(JobUsers::Namespace { why: "test".to_owned() });
    assert_eq!(outer(&namespace), "/bin/sh --unshare-user --uid 65534 --gid 65534 --cap-drop ALL");
    assert_eq!(outer(&with(JobUsers::Own)), "/bin/sh");
}

#[test]
fn a_directory_that_the_root_lacks_is_shown_at_its_own_path() {
    let root = fake_sysroot(&[]);
    let base = root.path().display().to_string();
    fs::create_dir_all(root.path().join("srv/other")).unwrap();
    let line = |shown: &str| {
        let sysroot = Sysroot::open(root.path()).unwrap();
        let sysroot = sysroot.under(&Overlay::of_directories([PathBuf::from(shown)]));
        let command = mounted(ChildCommand::new("bwrap"), &sysroot);
        command.display().replace(&base, "ROOT")
    };
    assert_eq!(
        line("/srv/tree/x"),
        "bwrap --symlink usr/lib /lib --dir /mnt --dir /srv --ro-bind ROOT/srv/other /srv/other \
         --ro-bind ROOT/usr /usr --ro-bind /srv/tree/x /srv/tree/x"
    );
}

#[test]
fn a_closed_directory_on_the_way_is_found() {
    let base = tempfile::tempdir().unwrap();
    let closed = base.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(first_closed(&base.path().join("open/later")), None);
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(first_closed(&closed.join("below")), Some(closed));
}

#[test]
fn the_sandbox_own_complaints_are_told_from_those_of_stap() {
    assert!(is_sandbox_failure("bwrap: No permissions to create new namespace\n"));
    assert!(is_sandbox_failure("setpriv: setresuid failed\nmore"));
    assert!(!is_sandbox_failure("semantic error: bwrap: nothing\n"));
    assert!(!is_sandbox_failure(""));
}

/// Not the default place for temporary files: bubblewrap puts a fresh one over /tmp.
fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
    base
}

/// A real sandbox, and the directory of one job.
fn work_in(base: &Path) -> (Sandbox, JobDirectory) {
    let sandbox = Sandbox::find().unwrap();
    let directories = BuildDirectories::beneath(base);
    directories.prepare(&sandbox).unwrap();
    let work = directories.new_work(&sandbox).unwrap();
    (sandbox, work)
}

/// The reason for `setpriv`: with bubblewrap alone, root outside could write this file.
#[test]
fn a_root_owned_file_on_a_writable_mount_is_not_written() {
    assert!(rustix::process::geteuid().is_root(), "this test must be run as root");
    let base = base();
    let (sandbox, work) = work_in(base.path());
    let precious = work.path().join("precious");
    fs::write(&precious, "before").unwrap();
    let script = "id -u; echo own > own; echo after > precious; echo x > /usr/x; cat /proc/net/dev | wc -l";
    let argv = ["/bin/sh", "-c", script].map(str::to_owned);
    let sysroot = Sysroot::open(Path::new("/")).unwrap();
    let command = sandbox.command(&Inside::new(&sysroot, &work), &argv).combined_output();
    let output = command.run(&Limits::default(), &Cancel::new()).unwrap().stdout.text();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "before", "{output}");
    assert_eq!(fs::read_to_string(work.path().join("own")).unwrap(), "own\n", "{output}");
    let number = work.user().number().unwrap();
    assert_eq!(fs::metadata(work.path().join("own")).unwrap().uid(), number);
    assert!(output.starts_with(&format!("{number}\n")) && output.contains("Permission denied"), "{output}");
    assert!(output.contains("Read-only file system") && output.trim_end().ends_with("\n3"), "{output}");
}

/// Of an ordinary user, jobs and cache have one owner: the read-only mount is what keeps a job from writing there.
#[test]
fn what_leaders_have_made_is_not_written_even_by_its_owner() {
    let base = base();
    let (sandbox, work) = work_in(base.path());
    work.make(WARM_DIRECTORY).unwrap();
    let store = base.path().join("store");
    fs::create_dir(&store).unwrap();
    fs::write(store.join("stapconf_x.h"), "before").unwrap();
    let user = work.user().number();
    for path in [store.clone(), store.join("stapconf_x.h")] {
        std::os::unix::fs::chown(path, user, user).unwrap();
    }
    let script = "cat warm/stapconf_x.h; echo x > warm/stapconf_x.h; rm -f warm/stapconf_x.h; echo x > warm/new; \
                  mount -o remount,rw /mnt/warm; umount /mnt/warm; \
                  unshare -Urm sh -c 'mount -o remount,bind,rw /mnt/warm && echo x > /mnt/warm/new'; true";
    let argv = ["/bin/sh", "-c", script].map(str::to_owned);
    let sysroot = Sysroot::open(Path::new("/")).unwrap();
    let inside = Inside { warm: Some(&store), ..Inside::new(&sysroot, &work) };
    let command = sandbox.command(&inside, &argv).combined_output();
    let output = command.run(&Limits::default(), &Cancel::new()).unwrap().stdout.text();
    assert!(output.starts_with("before") && output.contains("Read-only file system"), "{output}");
    assert_eq!(fs::read_to_string(store.join("stapconf_x.h")).unwrap(), "before", "{output}");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1, "{output}");
}

/// stap names what it caches by a header's path, size and time.
#[test]
fn what_is_hidden_is_not_there_and_what_is_beside_it_is_as_it_was() {
    let base = base();
    let (sandbox, work) = work_in(base.path());
    let directory = base.path().join("events");
    fs::create_dir_all(directory.join("sub")).unwrap();
    for name in ["seen.h", "hidden.h", "sub/below.h"] {
        fs::write(directory.join(name), name).unwrap();
    }
    let seen = fs::File::options().write(true).open(directory.join("seen.h")).unwrap();
    seen.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_234_567)).unwrap();
    std::os::unix::fs::symlink("seen.h", directory.join("link.h")).unwrap();
    let narrowed = [NarrowedDirectory {
        host: directory.clone(),
        inside: directory.clone(),
        hidden: ["hidden.h".to_owned()].into(),
    }];
    let sysroot = Sysroot::open(Path::new("/")).unwrap();
    let inside = Inside { narrowed: &narrowed, ..Inside::new(&sysroot, &work) };
    let script =
        "cd \"$0\"; echo *; stat -c '%s %Y' seen.h; cat link.h sub/below.h; echo x > new; echo x > seen.h";
    let argv = ["/bin/sh", "-c", script, directory.to_str().unwrap()].map(str::to_owned);
    let command = sandbox.command(&inside, &argv).combined_output();
    let output = command.run(&Limits::default(), &Cancel::new()).unwrap().stdout.text();
    assert!(output.starts_with("link.h seen.h sub\n6 1234567\nseen.hsub/below.h"), "{output}");
    assert_eq!(output.matches("Read-only file system").count(), 2, "{output}");
}
