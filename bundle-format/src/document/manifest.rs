//! `manifest.json`: the signed account of all that a bundle holds (`docs/bundle-spec.md`, "Manifest").
//!
//! These are the shapes on the wire. Unknown fields are ignored unless `critical` names them. What
//! must hold between the fields is checked in [`crate::document::manifest_check`], once, before anything uses them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::document::compiler::COMPILER_DIVIDER;
use crate::document::kernel_record::{FrameOf, Kernel};
use crate::document::program_record::ProgramRecord;
use crate::document::script_record::ScriptRecord;
use crate::names::{
    BundleId, BundleName, BundleVersion, Digest, FieldHasher, KernelId, ScriptName, frame_name,
    is_module_certificate,
};

/// The version of the format this crate writes and the only major one it reads.
pub const FORMAT: u32 = 1;

/// Whether a bundle holds all that its modules need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BundleKind {
    /// All references are frames of this bundle.
    Full,
    /// References may be modules that are already installed on the host.
    Delta,
}

impl std::fmt::Display for BundleKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Full => "full",
            Self::Delta => "delta",
        })
    }
}

/// The whole document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Major version of the format; 1.
    pub format: u32,
    /// Smallest minor version of the format that a reader must know.
    pub minimum_reader: u32,
    /// Full or delta; equals the first member.
    pub kind: BundleKind,
    /// The bundle's name.
    pub name: BundleName,
    /// The version for people.
    pub version: BundleVersion,
    /// Orders the bundles of a name, within an epoch.
    pub serial: u64,
    /// Raised only by a root; orders before the serial.
    pub epoch: u64,
    /// Seconds since 1970: `SOURCE_DATE_EPOCH` or the newest input's time, never the clock.
    pub created: u64,
    /// Seconds since 1970 after which an install is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best_before: Option<u64>,
    /// What a reader must understand; an unknown entry is refused.
    pub critical: Vec<String>,
    /// The full bundle that has the bases; exactly in a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<BaseBundle>,
    /// The `roots` member.
    pub roots: RootsRecord,
    /// Members between the manifest and the frames, in their order.
    pub extras: Vec<Extra>,
    /// All scripts, by name.
    pub scripts: Vec<ScriptRecord>,
    /// What compiled them.
    pub toolchains: Vec<Toolchain>,
    /// Version of the zstd library that compressed the frames.
    pub zstd: String,
    /// All kernels, by id.
    pub kernels: Vec<Kernel>,
    /// [`Manifest::content_digest`].
    pub content: Digest,
}

/// The full bundle that a delta was made from. For messages, and to find its file: what a base is, its digest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseBundle {
    /// Its id.
    pub id: BundleId,
    /// Its version for people.
    pub version: BundleVersion,
    /// Its serial.
    pub serial: u64,
}

/// The `roots` member: which root documents travel along.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootsRecord {
    /// Version of the first root; 0 without roots.
    pub first: u64,
    /// Version of the last root; 0 without roots.
    pub last: u64,
    /// Bytes of the member.
    pub size: u64,
    /// Digest of the member.
    pub sha256: Digest,
}

/// A member between the manifest and the frames.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extra {
    /// The member's name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Digest,
}

impl Manifest {
    /// The digests of the certificates by whose keys the modules are signed for kernels.
    pub fn module_certificates(&self) -> impl Iterator<Item = Digest> {
        self.extras.iter().filter(|extra| extra.is_module_certificate()).map(|extra| extra.sha256)
    }
}

impl Extra {
    /// Whether it is the certificate of a key that signed modules; its digest is what their trailers name.
    #[must_use]
    pub fn is_module_certificate(&self) -> bool {
        is_module_certificate(&self.name)
    }
}

/// What compiled modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// What `stap --version` calls its version.
    pub stap: String,
    /// First line of `gcc --version`: what systemtap's own checks call. What compiled modules, each kernel says.
    pub compiler: String,
    /// Digest over the stap binary, runtime, tapsets and compiler.
    pub digest: Digest,
}

impl Manifest {
    /// All frames in the order of the file.
    #[must_use]
    pub fn frames(&self) -> Vec<FrameOf<'_>> {
        let mut frames: Vec<FrameOf<'_>> = self
            .kernels
            .iter()
            .flat_map(|kernel| {
                kernel.frames.iter().map(move |frame| FrameOf {
                    kernel,
                    frame,
                    member: frame_name(frame.index, &kernel.release),
                })
            })
            .collect();
        frames.sort_by_key(|of| of.frame.index);
        frames
    }

    /// The script of this name; the scripts are sorted, as the format has them.
    #[must_use]
    pub fn script(&self, name: &ScriptName) -> Option<&ScriptRecord> {
        let at = self.scripts.binary_search_by(|script| script.name.cmp(name)).ok()?;
        self.scripts.get(at)
    }

    /// The programs that scripts probe, each file once, by path.
    #[must_use]
    pub fn programs(&self) -> Vec<&ProgramRecord> {
        let all = self.scripts.iter().flat_map(|script| &script.programs);
        let each: BTreeMap<_, _> = all.map(|program| ((&program.path, program.sha256), program)).collect();
        each.into_values().collect()
    }

    /// The kernels in the natural order of their releases, for lists.
    #[must_use]
    pub fn kernels_by_release(&self) -> Vec<&Kernel> {
        let mut kernels: Vec<&Kernel> = self.kernels.iter().collect();
        kernels.sort_by(|a, b| a.release.cmp(&b.release).then(a.id.cmp(&b.id)));
        kernels
    }

    /// What compiled modules, and for which kernels, in the natural order of their releases; as far as the modules say it.
    #[must_use]
    pub fn modules_compilers(&self) -> BTreeMap<&str, Vec<&Kernel>> {
        let mut kernels_of: BTreeMap<&str, Vec<&Kernel>> = BTreeMap::new();
        for kernel in self.kernels_by_release() {
            for compiler in kernel.modules_compiler.iter().flat_map(|all| all.split(COMPILER_DIVIDER)) {
                kernels_of.entry(compiler).or_default().push(kernel);
            }
        }
        kernels_of
    }

    /// The kernels all of whose frames are among `frames`.
    pub(crate) fn kernels_of(&self, frames: &BTreeSet<usize>) -> BTreeSet<KernelId> {
        let is_there = |kernel: &&Kernel| kernel.frames.iter().all(|frame| frames.contains(&frame.index));
        self.kernels.iter().filter(is_there).map(|kernel| kernel.id).collect()
    }

    /// What the bundle is about: scripts, options and modules, whatever file carries them. Equal for a
    /// full bundle, a subset and a delta of the same things.
    #[must_use]
    pub fn content_digest(&self) -> Digest {
        let mut hash = FieldHasher::new().field("stap-bundle content 1");
        hash = hash.field((self.scripts.len() as u64).to_be_bytes());
        for script in &self.scripts {
            hash = hash
                .field(script.name.as_str())
                .field(script.source_sha256.as_bytes())
                .field(&script.options)
                .list(script.compile.iter())
                .list(script.arguments.iter())
                .list(script.run.iter())
                .field(&script.opts_line)
                .list(script.requires.iter().map(ScriptName::as_str))
                .list(script.users.iter());
        }
        hash = hash.field((self.kernels.len() as u64).to_be_bytes());
        for kernel in &self.kernels {
            hash = hash.field(kernel.id.as_bytes()).field(kernel.modules_sha256.as_bytes());
        }
        hash.finish()
    }

    /// The version of the format that this crate writes.
    #[must_use]
    pub const fn written_format() -> u32 {
        FORMAT
    }
}
