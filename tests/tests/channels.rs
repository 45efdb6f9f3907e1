//! The program's packages and a bundle's, by the channels of docs/operating/channels.md, in the trees of images: Debian's, and one into which dnf
//! installs.
#![cfg(feature = "lab")]
#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use child::{Cancel, ChildCommand, Ended, Limits};
use end_to_end::document::block;
use end_to_end::hosts::{HostTree, Hosts, Init};
use end_to_end::lab::repository;
use end_to_end::programs;
use fixtures::forge::{Forge, RELEASES, farm, public};

const CHANNELS: &str = "docs/operating/channels.md";
const PACKAGE: &str = "stap-scripts-site";
const BUNDLE: &str = "var/lib/stap-bundle/inbox/stap-scripts-site_3+1.3.stapb";

/// A signed bundle, and a tree of an image whose host will believe its farm and have its first kernel.
struct Site {
    directory: tempfile::TempDir,
    tree: HostTree,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bundle = Forge::numbered("site", 3).sealed().bytes();
        fs::write(directory.path().join("site.stapb"), bundle).unwrap();
        fs::write(directory.path().join("site.pub"), public(&farm()).to_pem().unwrap()).unwrap();
        let tree = HostTree::copy_of(&Hosts::open().unwrap().tree(Init::Systemd)).unwrap();
        fs::create_dir_all(tree.path("usr/lib/modules").join(RELEASES[0]).join("kernel")).unwrap();
        // `stap-bundle` is the farm's, and believes the key here.
        fs::create_dir(directory.path().join("bin")).unwrap();
        symlink(programs::farm().unwrap(), directory.path().join("bin/stap-bundle")).unwrap();
        Self { directory, tree }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, program: &str) -> ChildCommand {
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        ChildCommand::new(program)
            .current_dir(self.directory.path())
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("HOME", self.directory.path())
            .env("LC_ALL", "C.UTF-8")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("PACKAGE", PACKAGE)
            .combined_output()
    }

    /// A block of the page, with these variables.
    fn run(&self, name: &str, variables: &[(&str, &Path)]) -> String {
        let mut command = self.command("sh").args(["-euc", &block(CHANNELS, name).unwrap()]);
        for (variable, value) in variables {
            command = command.env(variable, value);
        }
        ended_well(&command)
    }

    /// A repository with the program's packages of this kind; a bundle's is made by the recipe.
    fn repository(&self, kind: &str) -> PathBuf {
        let repository = self.path(kind);
        fs::create_dir(&repository).unwrap();
        let packages = programs::host().unwrap().parent().unwrap().with_file_name("packages");
        for entry in fs::read_dir(packages).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == kind) {
                fs::copy(&path, repository.join(path.file_name().unwrap())).unwrap();
            }
        }
        repository
    }

    /// Nothing is enabled, started or installed yet; what is in the inbox is.
    fn the_bundle_is_in_the_inbox_and_installs(&self) {
        let tree = &self.tree;
        assert_eq!(fs::read(tree.path(BUNDLE)).unwrap(), fs::read(self.path("site.stapb")).unwrap());
        assert!(!tree.path("var/lib/stap-bundle/current").exists());
        let enabled = tree.path("etc/systemd/system/basic.target.wants/stap-bundle.service");
        assert!(enabled.symlink_metadata().is_err());
        self.believe();
        tree.stap_bundle(&["install", "--inbox"]).unwrap();
        assert!(tree.stap_bundle(&["list"]).unwrap().contains("site 1.3"));
        assert!(!tree.path(BUNDLE).exists());
    }

    fn believe(&self) {
        let key = self.path("site.pub").display().to_string();
        self.tree.stap_bundle(&["trust", "add", &key]).unwrap();
    }
}

fn ended_well(command: &ChildCommand) -> String {
    let finished = command.run(&Limits::within(Duration::from_secs(600)), &Cancel::new()).unwrap();
    let said = finished.stdout.text();
    assert_eq!(finished.status, Ended::Code(0), "{command}\n{said}");
    said
}

/// The recipes name no key: the exporter trusts it already.
const EXPORT: (&str, &str) = ("stap-bundle export", "stap-bundle export --key site.pub");

#[test]
fn apt_brings_the_program_and_a_bundle_into_an_image() {
    let site = Site::new();
    let mirror = site.repository("deb");
    let text = block(CHANNELS, "apt mirror").unwrap().replace(EXPORT.0, EXPORT.1);
    ended_well(
        &site.command("sh").args(["-euc", &text]).env("REPO", &mirror).env("BUNDLE", site.path("site.stapb")),
    );
    let inside = site.tree.path("srv/mirror");
    ended_well(&site.command("cp").arg("-r").arg(&mirror).arg(&inside));
    let host = block(CHANNELS, "apt host").unwrap();
    let said = ended_well(
        &site
            .command("chroot")
            .arg(site.tree.root())
            .args(["sh", "-euc", &host])
            .env("URL", "file:/srv/mirror"),
    );
    assert!(said.contains("Setting up stap-bundle ("), "{said}");
    site.the_bundle_is_in_the_inbox_and_installs();
    // The package goes, what is installed stays.
    ended_well(&site.command("chroot").arg(site.tree.root()).args(["apt-get", "purge", "--yes", PACKAGE]));
    assert!(site.tree.stap_bundle(&["list"]).unwrap().contains("site 1.3"));
    // The full program takes the place of the host's; what is left of that may be purged, and the state is the other's.
    let dpkg = |command: &str| {
        ended_well(&site.command("chroot").arg(site.tree.root()).args(["sh", "-euc", command]));
    };
    // What it needs besides isn't in this image.
    dpkg("dpkg --force-depends --install /srv/mirror/stap-bundle-farm_*.deb && dpkg --purge stap-bundle");
    assert!(site.tree.stap_bundle(&["list"]).unwrap().contains("site 1.3"));
    dpkg("dpkg --purge stap-bundle-farm");
    assert!(!site.tree.path("var/lib/stap-bundle").exists());
}

/// Debian's packages aren't in the database of rpm.
const STAND_INS: &str = "Name: systemtap-runtime\nVersion: 5.3\nRelease: 1\nSummary: x\nLicense: x\nBuildArch: noarch\nProvides: /bin/sh\n%description\nx\n%files\n";

#[test]
fn dnf_brings_the_program_and_a_bundle_and_rpm_upgrades_and_removes_it() {
    let site = Site::new();
    let mirror = site.repository("rpm");
    fs::write(site.path("runtime.spec"), STAND_INS).unwrap();
    let rpms = format!("_rpmdir {}", mirror.display());
    ended_well(&site.command("rpmbuild").args(["-bb", "--define", &rpms, "runtime.spec"]));
    let text = block(CHANNELS, "dnf mirror").unwrap().replace(EXPORT.0, EXPORT.1);
    ended_well(
        &site.command("sh").args(["-euc", &text]).env("REPO", &mirror).env("BUNDLE", site.path("site.stapb")),
    );
    let root = site.tree.root();
    fs::create_dir_all(site.tree.path("etc/yum.repos.d")).unwrap();
    let url = PathBuf::from(format!("file://{}", mirror.display()));
    let said = site.run("dnf host", &[("ROOT", root), ("URL", &url)]);
    assert!(said.contains("Complete!"), "{said}");
    site.the_bundle_is_in_the_inbox_and_installs();
    for path in
        ["etc/systemtap/config", "usr/bin/stap-bundle", "usr/share/man/man5/stap-bundle-policy.toml.5.gz"]
    {
        assert!(site.tree.path(path).exists(), "{path}");
    }
    // An upgrade keeps what the administrator changed.
    let logrotate = site.tree.path("etc/logrotate.d/stap-bundle");
    fs::write(&logrotate, "# changed\n").unwrap();
    let staged = programs::host().unwrap().parent().unwrap().to_owned();
    let build = repository().join("packaging/rpm/build.sh").canonicalize().unwrap();
    ended_well(
        &site
            .command("sh")
            .arg(build)
            .args(["stap-bundle", "x86_64"])
            .arg(staged.join("stage"))
            .arg(staged.join("notices"))
            .arg("newer")
            .env("VERSION", "99.0")
            .env("PACKAGER", "A test <test@localhost>")
            .env("SOURCE_DATE_EPOCH", "1795331695"),
    );
    let rpm = |words: &[&str]| ended_well(&site.command("rpm").arg("--root").arg(root).args(words));
    rpm(&["-U", "newer/stap-bundle-99.0-1.x86_64.rpm"]);
    assert!(site.tree.stap_bundle(&["list"]).unwrap().contains("site 1.3"));
    assert_eq!(fs::read_to_string(&logrotate).unwrap(), "# changed\n");
    rpm(&["-e", PACKAGE, "stap-bundle"]);
    assert!(!site.tree.path("usr/bin/stap-bundle").exists());
    assert!(site.tree.path("etc/logrotate.d/stap-bundle.rpmsave").exists());
    // rpm removes no state.
    assert!(site.tree.path("var/lib/stap-bundle/current").exists());
}

#[test]
fn a_play_and_a_stick_bring_a_bundle_into_the_inbox() {
    let site = Site::new();
    site.tree.install_product().unwrap();
    site.believe();
    let root = site.tree.root().display().to_string();
    let beneath = |text: String| text.replace("/var/lib/stap-bundle", &format!("{root}/var/lib/stap-bundle"));
    fs::write(site.path("play.yml"), beneath(block(CHANNELS, "ansible").unwrap())).unwrap();
    // The command that the play runs, for this tree.
    let wrapper = format!("#!/bin/sh\nexec {} --root {root} \"$@\"\n", programs::host().unwrap().display());
    fs::remove_file(site.path("bin/stap-bundle")).unwrap();
    fs::write(site.path("bin/stap-bundle"), wrapper).unwrap();
    fs::set_permissions(site.path("bin/stap-bundle"), fs::Permissions::from_mode(0o755)).unwrap();
    let play = |bundle: &str| {
        site.command("ansible-playbook").args([
            "-i",
            "localhost,",
            "-c",
            "local",
            "play.yml",
            "-e",
            &format!("bundle={bundle}"),
        ])
    };
    let said = ended_well(&play("site.stapb"));
    assert!(said.contains("changed=2") && said.contains("failed=0"), "{said}");
    assert!(site.tree.stap_bundle(&["list"]).unwrap().contains("site 1.3"));
    // A damaged one fails the play, and isn't tried again.
    fs::write(site.path("damaged.stapb"), "no bundle").unwrap();
    let failed = play("damaged.stapb").run(&Limits::default(), &Cancel::new()).unwrap();
    assert_eq!(failed.status, Ended::Code(2), "{}", failed.stdout.text());
    assert!(site.tree.path("var/lib/stap-bundle/inbox/refused/damaged.stapb").exists());

    fs::rename(site.path("site.stapb"), site.path("scripts.stapb")).unwrap();
    let stick = block(CHANNELS, "stick").unwrap();
    ended_well(&site.command("sh").args(["-euc", &beneath(stick)]).env("STICK", site.directory.path()));
    let arrived = site.tree.path("var/lib/stap-bundle/inbox/scripts.stapb");
    assert!(arrived.exists());
    site.tree.stap_bundle(&["install", "--inbox"]).unwrap();
    assert!(!arrived.exists());
}
