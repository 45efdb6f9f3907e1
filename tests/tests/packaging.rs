//! The files that a package places are read by the programs that will read them.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use child::{Cancel, ChildCommand, Limits};
use end_to_end::hosts::{make_install, make_install_of};
use end_to_end::lab::repository;
use end_to_end::programs;

#[test]
fn systemd_reads_the_units_without_complaint() {
    let directory = tempfile::tempdir().unwrap();
    let names = [
        "stap-bundle.service",
        "stap-bundle-inbox.path",
        "stap-bundle-inbox.service",
        "stap-bundle-late.service",
        "stap-bundle-settled.service",
        "stap-bundle-settled.timer",
    ];
    let mut programs = 0;
    let paths = names.map(|name| {
        let unit = fs::read_to_string(repository().join("packaging").join(name)).unwrap();
        programs += unit.matches("=/usr/bin/stap-bundle ").count();
        let path = directory.path().join(name);
        // systemd-analyze wants the program to exist on this machine, where nothing is installed.
        fs::write(&path, unit.replace("=/usr/bin/stap-bundle ", "=/bin/true ")).unwrap();
        path
    });
    assert_eq!(programs, 5);
    let finished = ChildCommand::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .args(&paths)
        .env_from_here("PATH")
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    let said = format!("{}{}", finished.stdout.text(), finished.stderr.text());
    assert!(finished.status.success() && !said.contains("stap-bundle"), "{said}");
}

/// The most of 10 that systemd's own judgement (252) makes of each unit; 9.5 where nothing is set.
const EXPOSURES: [(&str, f64); 4] = [
    ("stap-bundle.service", 6.8),
    ("stap-bundle-inbox.service", 1.9),
    ("stap-bundle-settled.service", 0.9),
    ("farm/stap-server.service", 1.8),
];

fn security(unit: &Path, json: &str) -> String {
    let finished = ChildCommand::new("systemd-analyze")
        .args(["security", "--offline=true", json])
        .arg(unit)
        .env("LC_ALL", "C.UTF-8")
        .env_from_here("PATH")
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    assert!(finished.status.success(), "{}", finished.stderr.text());
    finished.stdout.text()
}

/// What a comment must name where systemd would have more: one of `KILL`, `@debug`, `AF_UNIX`, or the option itself.
fn names_of(field: &str) -> Vec<String> {
    let (option, value) = field.split_once('=').unwrap();
    if !["CapabilityBoundingSet", "SystemCallFilter", "RestrictAddressFamilies"].contains(&option) {
        return vec![format!("{option}=")];
    }
    let value = value.trim_start_matches('~').trim_start_matches("CAP_");
    // A group is given as `SET(UID|GID|PCAP)` or `AUDIT_*`.
    let (prefix, choices) = value.split_once('(').unwrap_or(("", value));
    let choices = choices.trim_end_matches(')').split('|');
    choices.map(|choice| format!("{prefix}{}", choice.trim_end_matches('*'))).collect()
}

/// Each option of systemd's own list is set, or a comment says why it isn't.
#[test]
fn the_units_have_every_sandbox_option_or_say_why_not() {
    for (name, most) in EXPOSURES {
        let path = repository().join("packaging").join(name);
        let unit = fs::read_to_string(&path).unwrap();
        let comments: Vec<&str> = unit.lines().filter(|line| line.starts_with('#')).collect();
        let comments = comments.join("\n");
        let rows: serde_json::Value = serde_json::from_str(&security(&path, "--json=short")).unwrap();
        let rows = rows.as_array().unwrap();
        assert!(rows.len() > 70, "{name}: {} rows", rows.len());
        for row in rows.iter().filter(|row| row["set"] != true) {
            let field = row["name"].as_str().unwrap();
            let said = |name: &String| {
                comments.contains(name.as_str()) || unit.lines().any(|line| line.starts_with(name.as_str()))
            };
            let known = names_of(field).iter().any(said);
            assert!(known, "{name}: {field} is neither set nor named in a comment: {row}");
        }
        // Of several sets, an old systemd keeps what is in all of them.
        assert_eq!(unit.matches("\nCapabilityBoundingSet=").count(), 1, "{name}");
        let text = security(&path, "--no-pager");
        let overall = text.lines().find(|line| line.contains("Overall exposure level")).unwrap();
        let figure: f64 = overall.rsplit(": ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(figure <= most, "{name}: {figure}, at most {most}");
    }
}

/// What `make install` places, besides the manual pages of commands: mode and path, or path and target.
const PLACED: &str = "\
/etc/init.d/stap-bundle 755
/etc/init.d/systemtap -> stap-bundle
/etc/kernel/postinst.d/stap-bundle 755
/etc/logrotate.d/stap-bundle 644
/etc/systemtap/config 644
/usr/bin/stap-bundle 755
/usr/lib/dracut/modules.d/90stap-bundle/module-setup.sh 755
/usr/lib/dracut/modules.d/90stap-bundle/start.sh 755
/usr/lib/kernel/install.d/90-stap-bundle.install 755
/usr/lib/systemd/system-preset/90-stap-bundle.preset 644
/usr/lib/systemd/system/stap-bundle-inbox.path 644
/usr/lib/systemd/system/stap-bundle-inbox.service 644
/usr/lib/systemd/system/stap-bundle-late.service 644
/usr/lib/systemd/system/stap-bundle-settled.service 644
/usr/lib/systemd/system/stap-bundle-settled.timer 644
/usr/lib/systemd/system/stap-bundle.service 644
/usr/lib/systemd/system/systemtap.service -> stap-bundle.service
/usr/lib/sysusers.d/stap-bundle.conf 644
/usr/lib/tmpfiles.d/stap-bundle.conf 644
/usr/libexec/stap-bundle/systemtap -> ../../bin/stap-bundle
/usr/sbin/systemtap -> ../bin/stap-bundle
/usr/share/bash-completion/completions/stap-bundle 644
/usr/share/bash-completion/completions/systemtap -> stap-bundle
/usr/share/fish/vendor_completions.d/stap-bundle.fish 644
/usr/share/fish/vendor_completions.d/systemtap.fish -> stap-bundle.fish
/usr/share/initramfs-tools/hooks/stap-bundle 755
/usr/share/initramfs-tools/scripts/init-premount/stap-bundle 755
/usr/share/man/man5/stap-bundle-policy.toml.5 644
/usr/share/zsh/site-functions/_stap-bundle 644
";

/// Every file and link beneath `directory`, as in [`PLACED`], sorted.
fn listed(root: &Path, directory: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let metadata = path.symlink_metadata().unwrap();
        let shown = format!("/{}", path.strip_prefix(root).unwrap().display());
        if metadata.is_symlink() {
            lines.push(format!("{shown} -> {}", fs::read_link(&path).unwrap().display()));
            assert!(path.canonicalize().unwrap().starts_with(root), "{shown} leads out of DESTDIR");
        } else if metadata.is_dir() {
            listed(root, &path, lines);
        } else {
            lines.push(format!("{shown} {:o}", metadata.permissions().mode() & 0o7777));
        }
    }
}

#[test]
fn make_install_places_everything_and_enables_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let said = make_install(&root).unwrap();
    assert!(!said.contains("left alone"), "{said}");
    let mut lines = Vec::new();
    listed(&root, &root, &mut lines);
    let (mut pages, mut others): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.starts_with("/usr/share/man/man1/"));
    others.sort();
    pages.sort();
    assert_eq!(others.join("\n") + "\n", PLACED);
    for page in ["stap-bundle.1 644", "stap-bundle-boot-guard.1 644", "stap-bundle-start.1 644"] {
        assert!(pages.contains(&format!("/usr/share/man/man1/{page}")), "{pages:?}");
    }
    assert_eq!(
        fs::read(root.join("usr/bin/stap-bundle")).unwrap(),
        fs::read(programs::host().unwrap()).unwrap()
    );
    for directory in [
        "etc/systemtap/conf.d",
        "etc/systemtap/script.d",
        "etc/stap-bundle/trust",
        "var/lib/stap-bundle/inbox",
    ] {
        assert_eq!(fs::read_dir(root.join(directory)).unwrap().count(), 0, "{directory}");
    }
    // The configuration says nothing but what is the default anyway.
    let config = fs::read_to_string(root.join("etc/systemtap/config")).unwrap();
    assert!(config.lines().all(|line| line.starts_with('#')), "{config}");
}

/// What it places besides, if the program has compile servers.
const PLACED_FOR_SERVERS: [&str; 5] = [
    "/usr/lib/systemd/system/stap-server.service 644",
    "/usr/lib/sysusers.d/stap-bundle-server.conf 644",
    "/usr/libexec/stap-bundle/stap-server -> ../../bin/stap-bundle",
    "/usr/sbin/stap-server -> ../bin/stap-bundle",
    "/usr/share/man/man1/stap-server.1 -> stap-bundle-server.1",
];

#[test]
fn the_full_program_brings_compile_servers_as_a_service() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().canonicalize().unwrap();
    let foreign = root.join("usr/lib/systemd/system/stap-server.service");
    for _ in 0..2 {
        let said = make_install_of("farm", &root).unwrap();
        assert!(!said.contains("left alone"), "{said}");
    }
    let mut lines = Vec::new();
    listed(&root, &root, &mut lines);
    for line in PLACED_FOR_SERVERS {
        assert!(lines.iter().any(|placed| placed == line), "{line}: {lines:?}");
    }
    // The link is the program by its other name.
    let said = ChildCommand::new(root.join("usr/sbin/stap-server")).arg("frobnicate");
    let said = said.env_from_here("PATH").run(&Limits::default(), &Cancel::new()).unwrap();
    assert!(said.stderr.text().contains("Usage: stap-server"), "{}", said.stderr.text());
    // The user of the unit is the one that is made.
    let users = ChildCommand::new("systemd-sysusers").args(["--dry-run", "--root"]).arg(&root);
    let users = users.env_from_here("PATH").run(&Limits::default(), &Cancel::new()).unwrap();
    let said = format!("{}{}", users.stdout.text(), users.stderr.text());
    assert!(users.status.success() && said.contains("'stap-server'"), "{said}");
    fs::write(&foreign, "[Unit]\nDescription=the stock one\n").unwrap();
    let said = make_install_of("farm", &root).unwrap();
    assert!(said.contains("/usr/lib/systemd/system/stap-server.service is taken: left alone"), "{said}");
    assert!(fs::read_to_string(&foreign).unwrap().contains("the stock one"));
}

#[test]
fn make_install_leaves_what_somebody_else_has_placed() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = [
        "usr/sbin/systemtap",
        "etc/init.d/systemtap",
        "usr/lib/systemd/system/systemtap.service",
        "etc/systemtap/config",
    ];
    for path in foreign {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "the stock one\n").unwrap();
    }
    // Twice, as an upgrade of a package does.
    for _ in 0..2 {
        let said = make_install(directory.path()).unwrap();
        for path in &foreign[..3] {
            assert!(said.contains(&format!("/{path} is taken: left alone")), "{said}");
        }
    }
    for path in foreign {
        assert_eq!(fs::read_to_string(directory.path().join(path)).unwrap(), "the stock one\n");
    }
    assert!(directory.path().join("usr/libexec/stap-bundle/systemtap").exists());
}

/// The packages that `make deb` and `make rpm` have made.
fn packages(kind: &str) -> Vec<PathBuf> {
    let directory = programs::host().unwrap().parent().unwrap().with_file_name("packages");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == kind));
    paths.sort();
    paths
}

/// But for what the overrides and the filters name, each with its reason.
#[test]
fn lintian_and_rpmlint_find_nothing_in_the_packages() {
    assert_eq!((packages("deb").len(), packages("rpm").len()), (3, 2));
    let lintian = ChildCommand::new("lintian").args([
        "--info",
        "--pedantic",
        "--display-info",
        "--fail-on",
        "error,warning,info,pedantic",
    ]);
    let finished = lintian
        .args(packages("deb"))
        .env_from_here("PATH")
        .env("LC_ALL", "C.UTF-8")
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    assert!(finished.status.success(), "{}", finished.stdout.text());
    let rpmlint = ChildCommand::new("rpmlint").arg("-c").arg(repository().join("packaging/rpm/rpmlint.toml"));
    let finished = rpmlint
        .args(packages("rpm"))
        .env_from_here("PATH")
        .env("LC_ALL", "C.UTF-8")
        .run(&Limits::default(), &Cancel::new())
        .unwrap();
    let said = finished.stdout.text();
    assert!(finished.status.success() && said.contains("0 errors, 0 warnings"), "{said}");
}

#[test]
fn the_host_program_is_one_small_static_file() {
    let program = fs::read(programs::host().unwrap()).unwrap();
    assert!(program.len() <= 7_600_000, "{} bytes", program.len());
    let file = object::File::parse(&*program).unwrap();
    // It needs no interpreter, so no library either.
    assert!(object::Object::section_by_name(&file, ".interp").is_none());
}
