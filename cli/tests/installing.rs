//! What `make install` places, in a temporary DESTDIR.

#![expect(clippy::unwrap_used, reason = "a test program fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stap-bundle");

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging").join(name)
}

fn install(directory: &Path) -> Output {
    install_for(directory, "/usr")
}

fn install_for(directory: &Path, prefix: &str) -> Output {
    let pages = directory.join("pages");
    fs::create_dir_all(&pages).unwrap();
    for page in ["stap-bundle.1", "stap-bundle-server.1", "stap-bundle-policy.toml.5"] {
        fs::write(pages.join(page), ".TH STAP-BUNDLE\n").unwrap();
    }
    let completions = directory.join("completions");
    fs::create_dir_all(&completions).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        fs::write(completions.join(shell), "").unwrap();
    }
    let output = Command::new(packaging("install.sh"))
        .arg(PROGRAM)
        .arg(&pages)
        .arg(&completions)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("DESTDIR", directory.join("dest"))
        .env("prefix", prefix)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

/// Everything below a directory: path, then mode or link target.
fn tree(root: &Path) -> Vec<String> {
    let entries = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name().into_iter();
    let describe = |entry: walkdir::DirEntry| {
        let path = entry.path().strip_prefix(root).unwrap().display().to_string();
        if entry.path_is_symlink() {
            return Some(format!("{path} -> {}", fs::read_link(entry.path()).unwrap().display()));
        }
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        entry.file_type().is_file().then(|| format!("{path} {mode:o}"))
    };
    entries.filter_map(|entry| describe(entry.unwrap())).collect()
}

#[test]
fn make_install_places_all_that_belongs_to_the_program() {
    let directory = tempfile::tempdir().unwrap();
    install(directory.path());
    let expected = "\
etc/init.d/stap-bundle 755
etc/init.d/systemtap -> stap-bundle
etc/kernel/postinst.d/stap-bundle 755
etc/logrotate.d/stap-bundle 644
etc/systemtap/config 644
usr/bin/stap-bundle 755
usr/lib/dracut/modules.d/90stap-bundle/module-setup.sh 755
usr/lib/dracut/modules.d/90stap-bundle/start.sh 755
usr/lib/systemd/system/stap-bundle-inbox.path 644
usr/lib/systemd/system/stap-bundle-inbox.service 644
usr/lib/systemd/system/stap-bundle-late.service 644
usr/lib/systemd/system/stap-bundle-settled.service 644
usr/lib/systemd/system/stap-bundle-settled.timer 644
usr/lib/systemd/system/stap-bundle.service 644
usr/lib/systemd/system/stap-server.service 644
usr/lib/systemd/system/systemtap.service -> stap-bundle.service
usr/lib/kernel/install.d/90-stap-bundle.install 755
usr/lib/systemd/system-preset/90-stap-bundle.preset 644
usr/lib/sysusers.d/stap-bundle-server.conf 644
usr/lib/sysusers.d/stap-bundle.conf 644
usr/lib/tmpfiles.d/stap-bundle.conf 644
usr/libexec/stap-bundle/stap-server -> ../../bin/stap-bundle
usr/libexec/stap-bundle/systemtap -> ../../bin/stap-bundle
usr/sbin/stap-server -> ../bin/stap-bundle
usr/sbin/systemtap -> ../bin/stap-bundle
usr/share/bash-completion/completions/stap-bundle 644
usr/share/bash-completion/completions/stap-server -> stap-bundle
usr/share/bash-completion/completions/systemtap -> stap-bundle
usr/share/fish/vendor_completions.d/stap-bundle.fish 644
usr/share/initramfs-tools/hooks/stap-bundle 755
usr/share/initramfs-tools/scripts/init-premount/stap-bundle 755
usr/share/fish/vendor_completions.d/stap-server.fish -> stap-bundle.fish
usr/share/fish/vendor_completions.d/systemtap.fish -> stap-bundle.fish
usr/share/man/man1/stap-bundle-server.1 644
usr/share/man/man1/stap-bundle.1 644
usr/share/man/man5/stap-bundle-policy.toml.5 644
usr/share/man/man1/stap-server.1 -> stap-bundle-server.1
usr/share/zsh/site-functions/_stap-bundle 644";
    let dest = directory.path().join("dest");
    let mut found = tree(&dest);
    let mut wanted: Vec<&str> = expected.lines().collect();
    found.sort();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    let config = fs::read_to_string(dest.join("etc/systemtap/config")).unwrap();
    assert!(config.lines().all(|line| line.starts_with('#')), "{config}");
    // The links lead to the program, and each is called by its own name: what isn't an action is usage.
    for (link, usage) in [("systemtap", 3), ("stap-server", 2)] {
        for directory in ["usr/sbin", "usr/libexec/stap-bundle"] {
            let output = Command::new(dest.join(directory).join(link)).arg("offboot").output().unwrap();
            assert_eq!(output.status.code(), Some(usage), "{directory}/{link}: {output:?}");
        }
    }
}

#[test]
fn another_prefix_is_in_what_calls_the_program_too() {
    let directory = tempfile::tempdir().unwrap();
    install_for(directory.path(), "/opt/site");
    let dest = directory.path().join("dest");
    assert!(!dest.join("usr").exists());
    for (path, words) in [
        ("opt/site/lib/systemd/system/stap-bundle.service", "ExecStart=/opt/site/bin/stap-bundle start"),
        (
            "opt/site/lib/systemd/system/stap-bundle-inbox.service",
            "ExecStart=/opt/site/bin/stap-bundle install",
        ),
        ("etc/init.d/stap-bundle", "SYSTEMTAP=/opt/site/libexec/stap-bundle/systemtap"),
        ("etc/kernel/postinst.d/stap-bundle", "/opt/site/bin/stap-bundle unpack"),
        ("opt/site/share/initramfs-tools/hooks/stap-bundle", "/opt/site/bin/stap-bundle onboot stage"),
        ("opt/site/lib/dracut/modules.d/90stap-bundle/start.sh", "/opt/site/bin/stap-bundle start --onboot"),
    ] {
        let text = fs::read_to_string(dest.join(path)).unwrap();
        assert!(text.contains(words) && !text.contains("/usr/bin/stap-bundle"), "{path}: {text}");
    }
    let output = Command::new(dest.join("opt/site/sbin/systemtap")).arg("offboot").output().unwrap();
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn what_others_have_placed_stays() {
    let directory = tempfile::tempdir().unwrap();
    let dest = directory.path().join("dest");
    for name in ["etc/init.d", "usr/sbin", "usr/lib/systemd/system", "etc/systemtap"] {
        fs::create_dir_all(dest.join(name)).unwrap();
    }
    fs::write(dest.join("etc/init.d/systemtap"), "the original").unwrap();
    symlink("/elsewhere", dest.join("usr/sbin/systemtap")).unwrap();
    fs::write(dest.join("etc/systemtap/config"), "PASSALL=no\n").unwrap();
    let said = String::from_utf8(install(directory.path()).stderr).unwrap();
    assert_eq!(
        said,
        "/usr/sbin/systemtap is taken: left alone\n/etc/init.d/systemtap is taken: left alone\n"
    );
    assert_eq!(fs::read_to_string(dest.join("etc/init.d/systemtap")).unwrap(), "the original");
    assert_eq!(fs::read_to_string(dest.join("etc/systemtap/config")).unwrap(), "PASSALL=no\n");
    // A second time it finds its own links.
    fs::remove_file(dest.join("usr/sbin/systemtap")).unwrap();
    fs::remove_file(dest.join("etc/init.d/systemtap")).unwrap();
    install(directory.path());
    assert_eq!(install(directory.path()).stderr, b"");
}

/// The init script with the paths of a test, and stand-ins that print how they were called.
fn init_script(directory: &Path) -> PathBuf {
    for name in ["stap-bundle", "systemtap"] {
        let program = directory.join(name);
        fs::write(&program, format!("#!/bin/sh\necho {name} \"$@\"\nexit 6\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let here = directory.display();
    let text = fs::read_to_string(packaging("stap-bundle.init")).unwrap();
    let text = text
        .replace("SYSTEMTAP=/usr/libexec/stap-bundle/systemtap", &format!("SYSTEMTAP={here}/systemtap"))
        .replace("PROGRAM=/usr/bin/stap-bundle", &format!("PROGRAM={here}/stap-bundle"))
        .replace("/etc/default/stap-bundle", &format!("{here}/default"));
    let script = directory.join("init");
    fs::write(&script, text).unwrap();
    fs::write(directory.join("default"), "START_SECONDS=7\nSETTLE_SECONDS=0\n").unwrap();
    script
}

#[test]
fn init_boot_01_the_init_script_has_its_headers_and_hands_names_on() {
    let text = fs::read_to_string(packaging("stap-bundle.init")).unwrap();
    for line in [
        "# chkconfig: - 00 99",
        "# Provides:          stap-bundle",
        "# Required-Start:    $local_fs",
        "# Required-Stop:     $local_fs",
        "# Default-Start:     2 3 4 5",
        "# Default-Stop:      0 1 6",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    let directory = tempfile::tempdir().unwrap();
    let script = init_script(directory.path());
    let run = |words: &[&str]| {
        let output = Command::new("sh").arg(&script).args(words).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    };
    assert_eq!(run(&["start"]), ("stap-bundle start --boot --timeout 7\n".into(), Some(6)));
    assert_eq!(run(&["start", "-R", "foo"]), ("systemtap start -R foo\n".into(), Some(6)));
    assert_eq!(run(&["status"]), ("systemtap status\n".into(), Some(6)));
    assert_eq!(run(&[]), ("systemtap\n".into(), Some(6)));
    fs::remove_file(directory.path().join("systemtap")).unwrap();
    assert_eq!(run(&["stop"]), (String::new(), Some(5)));
}

#[test]
fn init_boot_02_the_unit_is_early_and_only_the_preset_enables_it() {
    let unit = fs::read_to_string(packaging("stap-bundle.service")).unwrap();
    for line in [
        "DefaultDependencies=no",
        "After=local-fs.target",
        "Before=basic.target shutdown.target",
        "Type=oneshot",
        "RemainAfterExit=yes",
        "ExecStart=/usr/bin/stap-bundle start --boot --timeout 120",
    ] {
        assert!(unit.lines().any(|found| found == line), "{line}");
    }
    let preset = fs::read_to_string(packaging("stap-bundle.preset")).unwrap();
    assert_eq!(preset, "enable stap-bundle.service\ndisable stap-bundle-inbox.path\n");
}

/// Whatever the program does, a kernel's package goes on.
#[test]
fn the_hooks_of_kernel_updates_hand_the_release_on_and_never_fail() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let program = here.join("stap-bundle");
    fs::write(&program, format!("#!/bin/sh\necho \"$@\" >>{}/called\nexit 12\n", here.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for (name, arguments) in [
        ("postinst.d", &["6.12.1-test", "/boot/vmlinuz-6.12.1-test"][..]),
        ("90-stap-bundle.install", &["add", "6.13.0-test", "/boot/x"]),
        ("90-stap-bundle.install", &["remove", "6.13.0-test"]),
        ("postinst.d", &[]),
    ] {
        let text = fs::read_to_string(packaging("kernel").join(name)).unwrap();
        let text = text
            .replace("/usr/bin/stap-bundle", program.to_str().unwrap())
            .replace("/var/lib/stap-bundle/current", program.to_str().unwrap());
        let hook = here.join("hook");
        fs::write(&hook, text).unwrap();
        let status = Command::new("sh").arg(&hook).args(arguments).status().unwrap();
        assert_eq!(status.code(), Some(0), "{name} {arguments:?}");
    }
    let called = fs::read_to_string(here.join("called")).unwrap();
    assert_eq!(called, "unpack -r 6.12.1-test --wait 60\nunpack -r 6.13.0-test --wait 60\n");
}
