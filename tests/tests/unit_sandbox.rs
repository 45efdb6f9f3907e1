//! What the unit's sandbox leaves to programs: a systemd of this machine runs them in it.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use child::{Cancel, ChildCommand, Ended, Finished, Limits};
use end_to_end::lab::{Lab, repository};
use end_to_end::programs;
use end_to_end::scratch::Farm;

/// Compiling for a kernel that no test has compiled for takes minutes.
const TIME_LIMIT: Duration = Duration::from_secs(1500);

/// Runs a script as the unit's start command.
fn in_unit(unit: &Path, script: &str) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("script");
    fs::write(&file, script).unwrap();
    ChildCommand::new("bash")
        .arg(repository().join("tests/lab/in-unit.sh"))
        .args([unit, &file])
        .env_from_here("PATH")
        .run(&Limits::within(TIME_LIMIT), &Cancel::new())
        .unwrap()
}

fn unit() -> PathBuf {
    repository().join("packaging/stap-bundle.service")
}

/// What it printed; it must end well.
fn said(finished: &Finished) -> String {
    let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
    assert!(finished.status.success(), "{:?}\n{said}", finished.status);
    said
}

/// The value of one line of /proc/self/status.
fn value<'t>(status: &'t str, name: &str) -> &'t str {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
}

#[test]
fn the_unit_denies_what_it_says_and_makes_no_mount_namespace() {
    let script = "cat /proc/self/status
        readlink /proc/self/ns/mnt /proc/1/ns/mnt | uniq | wc -l
        date -s 2001-01-01 >&2 && echo 'the clock was set'
        chrt -f 1 true && echo 'a realtime process was started'
        setarch -R true && echo 'another personality was taken'
        mknod /run/disk b 7 0 && echo 'a device was made'
        python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)' && echo 'a packet socket was made'
        exit 0";
    let said = said(&in_unit(&unit(), script));
    assert_eq!(value(&said, "Seccomp:"), "2", "{said}");
    let bounding = u64::from_str_radix(value(&said, "CapBnd:"), 16).unwrap();
    for (name, number, kept) in
        [("sys_module", 16, true), ("syslog", 34, true), ("sys_time", 25, false), ("sys_boot", 22, false)]
    {
        assert_eq!(bounding >> number & 1 == 1, kept, "{name}: {bounding:x}");
    }
    // Else debugfs as `staprun` mounts it would be seen by nobody else.
    assert!(said.lines().any(|line| line == "1"), "{said}");
    for done in ["was set", "was started", "was taken", "was made"] {
        assert!(!said.contains(done), "{said}");
    }
}

/// AUTOCOMPILE: the real bubblewrap and the real compiler. The compiled bytes are new, so that no cache has them.
#[test]
fn compiling_works_in_the_units_sandbox() {
    let lab = Lab::open().unwrap();
    let release = lab.bootable("stable").unwrap().release.clone();
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path();
    fs::set_permissions(own, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["scripts", "conf.d"] {
        fs::create_dir_all(own.join(name)).unwrap();
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    fs::write(own.join("scripts/fresh.stp"), format!("probe begin {{ printf(\"{now}\\n\") }}\n")).unwrap();
    let config = format!(
        "SCRIPT_PATH={0}/scripts\nCONFIG_PATH={0}/conf.d\nCACHE_PATH={0}/cache\nLOG_FILE={0}/log\n",
        own.display()
    );
    fs::write(own.join("config"), config).unwrap();
    let script = format!(
        "'{}' compile -y -c '{1}/config' --sysroot '{2}' -r '{release}' --cache '{3}' fresh
        cat /var/lib/stap-bundle/local/'{release}'/fresh.json",
        programs::farm().unwrap().display(),
        own.display(),
        lab.root().display(),
        Farm::cache(&lab).unwrap().display(),
    );
    let said = said(&in_unit(&unit(), &script));
    assert!(said.contains("1 to compile by") && said.contains("fresh: compiled for"), "{said}");
    let module = fs::read(own.join("cache").join(&release).join("fresh.ko")).unwrap();
    assert!(said.contains(&bundle_format::Digest::of(&module).to_string()), "{said}");
}

/// Each of these is left out of the unit because of bubblewrap, and would be seen by the test above.
#[test]
fn bubblewrap_fails_with_what_the_unit_leaves_out_for_it() {
    let bwrap = "setpriv --reuid 65534 --regid 65534 --clear-groups \\
        bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all --hostname localhost true";
    said(&in_unit(&unit(), bwrap));
    let text = fs::read_to_string(unit()).unwrap();
    for option in [
        "RestrictNamespaces=yes",
        "RestrictNamespaces=user mnt pid net ipc uts",
        "ProtectHostname=yes",
        "RestrictAddressFamilies=~AF_NETLINK",
    ] {
        let directory = tempfile::tempdir().unwrap();
        let stricter = directory.path().join("stap-bundle.service");
        fs::write(&stricter, text.replace("\n[Install]", &format!("{option}\n\n[Install]"))).unwrap();
        let finished = in_unit(&stricter, bwrap);
        let said = finished.stdout.text();
        assert!(matches!(finished.status, Ended::Code(1)) && said.contains("bwrap: "), "{option}: {said}");
    }
}
