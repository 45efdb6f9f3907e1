//! Machines with Secure Boot: the firmware believes Microsoft, Microsoft has signed shim, and shim believes the machine owner's keys (MOK),
//! and one of these has signed the kernel's image. Nobody has to answer a dialogue.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use child::{Cancel, ChildCommand, Limits};

use crate::firmware::Firmware;
use crate::hosts::HostTree;
use crate::lab::repository;
use crate::machine::Kernel;

/// A package mirror may be slow.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Variables in which Microsoft's keys are enrolled, of Debian's package `ovmf`.
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.ms.fd";

/// Debian's, of the package `shim-signed`.
const SHIM: &str = "/usr/lib/shim/shimx64.efi.signed";

/// Whose the enrolled keys are; it means nothing.
const OWNER: &str = "d4a1a4a0-63c6-4b4f-9c6e-6b8f4a9d7a11";

/// The kernel, started under Secure Boot. `certificates` (DER) are enrolled, and one of the key that signs its image. `directory` is
/// emptied and takes the firmware's files.
pub fn kernel(kernel: &Kernel, directory: &Path, certificates: &[PathBuf]) -> Result<Kernel> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    let firmware = Firmware::new(directory);
    let boot = firmware.disk().join("EFI/BOOT");
    fs::create_dir_all(&boot)?;
    let key = directory.join("image.key");
    let certificate = directory.join("image.pem");
    run(ChildCommand::new("openssl")
        .args(["req", "-new", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=image of a test"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate))?;
    fs::copy(SHIM, boot.join("BOOTX64.EFI")).context(SHIM)?;
    // By this name shim starts what comes next.
    run(ChildCommand::new(repository().join("tests/vm/signed-image"))
        .args([&kernel.image, &kernel.initrd])
        .arg(&kernel.parameters)
        .args([&boot.join("grubx64.efi"), &key, &certificate]))?;
    enroll(&firmware.variables(), &certificate, certificates)?;
    Ok(Kernel { firmware: Some(firmware), ..kernel.clone() })
}

/// Makes the file of the firmware's variables.
fn enroll(variables: &Path, image: &Path, certificates: &[PathBuf]) -> Result<()> {
    let program = std::env::var_os("STAP_BUNDLE_VIRT_FW_VARS")
        .context("STAP_BUNDLE_VIRT_FW_VARS is not set: run this through `make`")?;
    let mut command = ChildCommand::new(program).args(["--input", VARIABLES, "--output"]).arg(variables);
    command = command.args(["--add-mok", OWNER]).arg(image);
    for certificate in certificates {
        command = command.args(["--add-mok", OWNER]).arg(certificate);
    }
    run(command)
}

/// Lays over a host what it needs under Secure Boot: `tests/lab/secure-boot.sh`.
pub fn add_to(tree: &HostTree) -> Result<()> {
    let script = repository().join("tests/lab/secure-boot.sh");
    let made = ChildCommand::new("bash").arg(script).arg("make").inherit_environment();
    let finished = made.run(&Limits::within(TIME_LIMIT), &Cancel::new())?;
    ensure!(finished.status.success(), "{}", finished.stderr.text());
    let laid = PathBuf::from(finished.stdout.text().trim()).join("tree/.");
    run(ChildCommand::new("cp").arg("-a").arg(laid).arg(tree.root()))
}

fn run(command: ChildCommand) -> Result<()> {
    let command = command.env_from_here("PATH").combined_output();
    let finished = command.run(&Limits::within(TIME_LIMIT), &Cancel::new())?;
    ensure!(
        finished.status.success(),
        "{command} ended with {:?}:\n{}",
        finished.status,
        finished.stdout.text()
    );
    Ok(())
}
