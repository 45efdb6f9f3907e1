//! Records what hosts of five kinds show of their kernel's keys and rules, for the tests of `doctor`: trees of plain files in
//! `fixtures/doctor`, and `key.der`, the certificate of a key for modules. The key itself is thrown away.

#![expect(clippy::print_stderr, reason = "a program for a terminal")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use child::{Cancel, ChildCommand, Limits};
use end_to_end::hosts::{HostTree, Hosts, Init};
use end_to_end::lab::{Lab, repository};
use end_to_end::machine::{Disk, Kernel, Machine};
use end_to_end::programs;
use end_to_end::secure_boot;

/// Has shim's own program ask for the key at the next boot, with a password that nobody needs.
const IMPORT: &str =
    "mokutil --generate-hash=test >/run/hash && mokutil --import /media/key.der --hash-file /run/hash";

fn main() -> Result<()> {
    let work = tempfile::tempdir()?;
    let lab = Lab::open()?;
    let hosts = Hosts::open()?;
    let key = ["key", "generate", "--module", "--out", "test-key"];
    programs::run_expecting(&programs::farm()?, work.path(), &key, &[0])?;
    let certificate = work.path().join("test-key.der");

    let tree = HostTree::copy_of(&hosts.tree(Init::Systemd))?;
    secure_boot::add_to(&tree)?;
    tree.write("usr/lib/lab/record-doctor", &fs::read(repository().join("tests/vm/record-doctor"))?, 0o755)?;
    tree.write("media/key.der", &fs::read(&certificate)?, 0o644)?;
    let image = work.path().join("host.img");
    tree.image(&image)?;

    let target = repository().join("fixtures/doctor");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&target)?;
    fs::copy(&certificate, target.join("key.der"))?;
    let kernel = Kernel::of(&lab, &hosts, lab.bootable("stable")?)?;
    let with_keys =
        |name: &str, enrolled: &[PathBuf]| secure_boot::kernel(&kernel, &work.path().join(name), enrolled);
    let kinds = [
        ("plain", kernel.clone(), "true"),
        ("sig_enforce", kernel.clone().with("module.sig_enforce=1"), "true"),
        ("lockdown", kernel.clone().with("lockdown=integrity"), "true"),
        ("mok-enrolled", with_keys("enrolled", &[certificate])?, "true"),
        ("mok-pending", with_keys("pending", &[])?, IMPORT),
    ];
    for (name, kernel, before) in kinds {
        record(&kernel, Disk::over(&image)?, before, &target.join(name))?;
        eprintln!("{name} is recorded");
    }
    Ok(())
}

/// Boots, runs a command, and copies the files that count.
fn record(kernel: &Kernel, disk: Disk, before: &str, target: &Path) -> Result<()> {
    let mut machine = Machine::boot(kernel, disk)?;
    machine.ok(before)?;
    machine.ok("/usr/lib/lab/record-doctor /run/recorded")?;
    let packed = machine.ok("tar -C /run/recorded -cz proc sys | base64 -w 0")?;
    fs::create_dir(target)?;
    let unpack = ChildCommand::new("sh")
        .args(["-c", "base64 -d | tar -xz --no-same-owner"])
        .current_dir(target)
        .env_from_here("PATH")
        .input(packed);
    let finished = unpack.run(&Limits::within(Duration::from_secs(60)), &Cancel::new())?;
    ensure!(finished.status.success(), "{}", finished.stderr.text());
    Ok(())
}
