//! Firmware with Secure Boot in a machine: what it is given.

use std::path::{Path, PathBuf};

use child::ChildCommand;

/// Debian's, of the package `ovmf`.
const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";

/// A firmware with its variables and the disk from which it starts a kernel.
#[derive(Debug, Clone)]
pub(crate) struct Firmware {
    directory: PathBuf,
}

impl Firmware {
    /// One whose files are in a directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The file of its variables.
    pub(crate) fn variables(&self) -> PathBuf {
        self.directory.join("variables")
    }

    /// What is on its disk.
    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    /// Has the emulator start it. Only code that the processor runs in its management mode writes variables.
    pub(crate) fn start(&self, emulator: ChildCommand) -> ChildCommand {
        emulator
            .args(["-machine", "q35,smm=on"])
            .args(["-global", "driver=cfi.pflash01,property=secure,value=on"])
            .args(["-global", "ICH9-LPC.disable_s3=1"])
            .args(["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={CODE}")])
            .args(["-drive", &format!("if=pflash,unit=1,format=raw,file={}", self.variables().display())])
            .args(["-drive", &format!("if=virtio,format=raw,readonly=on,file=fat:{}", self.disk().display())])
    }
}
