//! A kernel in the manifest, with its frames and red cells.

use serde::{Deserialize, Serialize};

use crate::document::compiler::{COMPILER_DIVIDER, compiler_difference};
use crate::names::{Digest, KernelId, KernelRelease, Machine, ScriptName};

/// One kernel, its frames and its red cells. The scripts that aren't red are green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// [`KernelId::of`] the facts below, but for compilers and vermagic.
    pub id: KernelId,
    /// What `uname -r` prints.
    pub release: KernelRelease,
    /// What `uname -m` prints.
    pub machine: Machine,
    /// What `uname -v` prints, if the build tree tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uname_v: Option<String>,
    /// Digest of the build tree's Module.symvers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symvers_sha256: Option<Digest>,
    /// Digest of the build tree's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<Digest>,
    /// What compiled the kernel itself, if the build tree tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    /// What compiled the modules, by their own words; absent if none says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules_compiler: Option<String>,
    /// The modules' common vermagic; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vermagic: Option<String>,
    /// Index in `toolchains`.
    pub toolchain: usize,
    /// Its frames, by index.
    pub frames: Vec<Frame>,
    /// Its red cells, by script.
    pub red: Vec<RedCell>,
    /// [`crate::document::set::modules_digest`] of all its modules, however they are split into frames.
    pub modules_sha256: Digest,
}

impl Kernel {
    /// The id that the facts give.
    #[must_use]
    pub fn computed_id(&self) -> KernelId {
        KernelId::of(
            &self.release,
            &self.machine,
            self.uname_v.as_deref(),
            self.symvers_sha256.as_ref(),
            self.config_sha256.as_ref(),
        )
    }

    /// In what the compiler of the kernel and those of its modules differ, as far as both are known: in kind or major version.
    #[must_use]
    pub fn compiler_difference(&self) -> Option<String> {
        let modules = self.modules_compiler.as_ref()?.split(COMPILER_DIVIDER);
        let kernel = self.compiler.as_ref()?;
        modules.into_iter().find_map(|compiler| compiler_difference(kernel, compiler))
    }

    /// Whether the script `name` has a module for this kernel; red cells are sorted, as the format has them.
    #[must_use]
    pub fn is_green(&self, name: &ScriptName) -> bool {
        self.red.binary_search_by(|cell| cell.script.cmp(name)).is_err()
    }
}

/// One zstd frame: the canonical tar of a SET.json and its modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Position among all frames of the bundle.
    pub index: usize,
    /// Frame whose plain tar is the dictionary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<usize>,
    /// Digest of the plain tar of the frame that must be installed on the host; only in a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// Compressed bytes.
    pub size: u64,
    /// Digest of the compressed bytes.
    pub sha256: Digest,
    /// Bytes of the plain tar.
    pub plain_size: u64,
    /// Digest of the plain tar.
    pub plain_sha256: Digest,
    /// Digest of its SET.json.
    pub set_sha256: Digest,
}

/// A script without a module for this kernel, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedCell {
    /// Which script.
    pub script: ScriptName,
    /// The normalised reason.
    pub reason: String,
    /// It wasn't tried: the farm was asked to leave it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
}

/// A frame with the kernel it belongs to and the name of its member.
#[derive(Debug, Clone)]
pub struct FrameOf<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// The frame.
    pub frame: &'a Frame,
    /// The member's name.
    pub member: String,
}
