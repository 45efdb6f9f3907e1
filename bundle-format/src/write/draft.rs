//! A bundle before its frames are made: what the builder hands over.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::document::{ModuleRecord, RedCell, RootChain, ScriptRecord, Toolchain};
use crate::limits::{BLOCK, END_MARK, MAX_PLAIN_FRAME};
use crate::names::{BundleName, BundleVersion, Digest, KernelId, KernelRelease, Machine, ScriptName};

/// Gives a module's bytes when they are needed, so that a bundle of many kernels isn't held in memory.
pub trait ModuleBytes: fmt::Debug + Send + Sync {
    /// The body: the ELF without an appended kernel signature.
    fn read(&self) -> io::Result<Vec<u8>>;
}

impl ModuleBytes for Vec<u8> {
    fn read(&self) -> io::Result<Vec<u8>> {
        Ok(self.clone())
    }
}

/// A module and where its bytes come from.
#[derive(Debug, Clone)]
pub struct ModuleDraft {
    /// What SET.json will say; size and digest are compared when the bytes are read.
    pub record: ModuleRecord,
    /// The bytes.
    pub bytes: Arc<dyn ModuleBytes>,
}

impl ModuleDraft {
    /// A module whose body is in memory, without the facts of its ELF.
    #[must_use]
    pub fn of_bytes(name: ScriptName, body: Vec<u8>) -> Self {
        let record = ModuleRecord::of_body(name, body.len() as u64, Digest::of(&body));
        Self { record, bytes: Arc::new(body) }
    }
}

/// A kernel and its cells; every script of the bundle is in `modules` or in `red`.
#[derive(Debug, Clone)]
pub struct KernelDraft {
    /// What `uname -r` prints.
    pub release: KernelRelease,
    /// What `uname -m` prints.
    pub machine: Machine,
    /// What `uname -v` prints, if the build tree tells.
    pub uname_v: Option<String>,
    /// Digest of the build tree's Module.symvers.
    pub symvers_sha256: Option<Digest>,
    /// Digest of the build tree's configuration.
    pub config_sha256: Option<Digest>,
    /// What compiled the kernel itself, if the build tree tells.
    pub compiler: Option<String>,
    /// What compiled the modules, by their own words; several are divided by [`crate::COMPILER_DIVIDER`].
    pub modules_compiler: Option<String>,
    /// The modules' common vermagic; `None` if there are none.
    pub vermagic: Option<String>,
    /// Index in [`BundleDraft::toolchains`].
    pub toolchain: usize,
    /// Green cells, in any order.
    pub modules: Vec<ModuleDraft>,
    /// Red cells, in any order.
    pub red: Vec<RedCell>,
}

impl KernelDraft {
    /// A kernel of which nothing else is known yet, without cells, compiled by the first toolchain.
    #[must_use]
    pub const fn of(release: KernelRelease, machine: Machine) -> Self {
        Self {
            release,
            machine,
            uname_v: None,
            symvers_sha256: None,
            config_sha256: None,
            compiler: None,
            modules_compiler: None,
            vermagic: None,
            toolchain: 0,
            modules: Vec::new(),
            red: Vec::new(),
        }
    }

    /// The kernel's id.
    #[must_use]
    pub fn id(&self) -> KernelId {
        KernelId::of(
            &self.release,
            &self.machine,
            self.uname_v.as_deref(),
            self.symvers_sha256.as_ref(),
            self.config_sha256.as_ref(),
        )
    }

    /// Splits the modules into frames: sorted by name, each frame's plain tar within the limit.
    pub(crate) fn frames(&self) -> Vec<Vec<&ModuleDraft>> {
        let mut modules: Vec<&ModuleDraft> = self.modules.iter().collect();
        modules.sort_by(|a, b| a.record.name.cmp(&b.record.name));
        let mut frames: Vec<Vec<&ModuleDraft>> = Vec::new();
        let mut room = 0;
        for module in modules {
            // A header, the body and its padding, and this module's share of SET.json.
            let span = module.record.size + 2 * BLOCK as u64 + set_share(&module.record);
            match frames.last_mut() {
                Some(frame) if span <= room => frame.push(module),
                _ => {
                    frames.push(vec![module]);
                    room = MAX_PLAIN_FRAME - (END_MARK + 2 * BLOCK) as u64 - SET_SHARE;
                }
            }
            room = room.saturating_sub(span);
        }
        frames
    }
}

/// Most bytes of a module that this writer takes: it is in one frame, beside headers and its own record in `SET.json`.
pub const MAX_MODULE: u64 = MAX_PLAIN_FRAME - (16 << 10);
/// More bytes than one module's record takes in SET.json without trailers.
const SET_SHARE: u64 = 512;

/// More bytes than a module's record takes in SET.json.
fn set_share(module: &ModuleRecord) -> u64 {
    let trailers = module.trailers.iter().map(|trailer| trailer.bytes.len() as u64 + SET_SHARE);
    SET_SHARE + trailers.sum::<u64>()
}

/// All that goes into a bundle.
#[derive(Debug, Clone)]
pub struct BundleDraft {
    /// The bundle's name.
    pub name: BundleName,
    /// The version for people.
    pub version: BundleVersion,
    /// Orders the bundles of this name.
    pub serial: u64,
    /// Seconds since 1970; never the clock (see `docs/bundle-spec.md`, "Determinism").
    pub created: u64,
    /// Seconds since 1970 after which an install is refused.
    pub best_before: Option<u64>,
    /// The farm's roots, which also give the epoch; `None` for hosts that pin keys alone.
    pub roots: Option<RootChain>,
    /// All scripts, in any order.
    pub scripts: Vec<ScriptRecord>,
    /// What compiled them.
    pub toolchains: Vec<Toolchain>,
    /// All kernels, in any order.
    pub kernels: Vec<KernelDraft>,
}
