//! `manifest.json`: the signed account of all that a bundle holds (`docs/bundle-spec.md`, "Manifest").
//!
//! These are the shapes on the wire. Unknown fields are ignored unless `critical` names them. What
//! must hold between the fields is checked in [`crate::document::manifest_check`], once, before anything uses them.

use std::collections::BTreeSet;
use std::fmt;

use script_config::{ScriptOptions, ScriptUsers};
use serde::{Deserialize, Serialize};

use crate::names::{
    BundleName, BundleVersion, Digest, FieldHasher, GroupName, KernelId, KernelRelease, Machine, ScriptName,
    frame_name,
};

/// The version of the format this crate writes and the only major one it reads.
pub const FORMAT: u32 = 1;

/// Whether a bundle holds all that its modules need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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

/// The SHA-256 of the raw manifest: what names a bundle. Signatures and absent frames don't change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BundleId(Digest);

impl BundleId {
    /// The id of the bundle with this raw manifest.
    #[must_use]
    pub fn of_manifest(raw: &[u8]) -> Self {
        Self(Digest::of(raw))
    }

    /// The id with these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The first 16 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for BundleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

/// One script and how it is compiled and run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptRecord {
    /// The name, of the module too.
    pub name: ScriptName,
    /// Digest of the script's text.
    pub source_sha256: Digest,
    /// `NAME_OPT` as it stood in the configuration, after expansion.
    pub options: String,
    /// Compile arguments, in the order given to `stap`.
    pub compile: Vec<String>,
    /// Arguments of the script, after its file name.
    pub arguments: Vec<String>,
    /// Run arguments for `staprun`.
    pub run: Vec<String>,
    /// Last line of the initscript's `.opts` file (INIT-CACHE-03).
    pub opts_line: String,
    /// Scripts that must run before this one, by name.
    pub requires: Vec<ScriptName>,
    /// Who besides root may start it: groups, by name.
    pub users: Vec<GroupName>,
}

impl ScriptRecord {
    /// A script as its configuration has it; `requires` in any order. The digest is that of its text.
    #[must_use]
    pub fn of_settings(
        name: ScriptName,
        source_sha256: Digest,
        options: &ScriptOptions,
        mut requires: Vec<ScriptName>,
        users: ScriptUsers,
    ) -> Self {
        requires.sort();
        requires.dedup();
        let users = match users {
            ScriptUsers::Root => Vec::new(),
            ScriptUsers::Stapusr => vec![GroupName::stapusr()],
        };
        Self {
            name,
            source_sha256,
            options: options.given().to_owned(),
            compile: options.compile_args(),
            arguments: options.script_args().to_vec(),
            run: options.staprun_args(),
            opts_line: options.opts_line(),
            requires,
            users,
        }
    }

    /// A script without options and requirements, run as a flight recorder in memory.
    #[must_use]
    pub fn plain(name: ScriptName, source_sha256: Digest) -> Self {
        Self {
            name,
            source_sha256,
            options: String::new(),
            compile: Vec::new(),
            arguments: Vec::new(),
            run: vec!["-L".to_owned()],
            opts_line: "--".to_owned(),
            requires: Vec::new(),
            users: Vec::new(),
        }
    }
}

/// What compiled modules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolchain {
    /// What `stap --version` calls its version.
    pub stap: String,
    /// First line of `gcc --version`.
    pub compiler: String,
    /// Digest over the stap binary, runtime, tapsets and compiler.
    pub digest: Digest,
}

/// One kernel, its frames and its red cells. The scripts that aren't red are green.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// [`KernelId::of`] the facts below, but for compiler and vermagic.
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

/// A job that failed and is recorded as such.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedCell {
    /// Which script.
    pub script: ScriptName,
    /// The normalised reason.
    pub reason: String,
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

    /// The kernels in the natural order of their releases, for lists.
    #[must_use]
    pub fn kernels_by_release(&self) -> Vec<&Kernel> {
        let mut kernels: Vec<&Kernel> = self.kernels.iter().collect();
        kernels.sort_by(|a, b| a.release.cmp(&b.release).then(a.id.cmp(&b.id)));
        kernels
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
