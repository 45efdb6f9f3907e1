//! Why a script isn't started: a closed list, each entry with an id that stays and with what to do.

use std::path::PathBuf;

use bundle_format::{BundleName, KernelRelease};
use installer::OtherProgram;
use script_config::ScriptName;

use crate::reasons::module_check::ModuleMismatch;
use crate::reasons::reason::Reason;
use crate::staprun::StaprunRefusal;

/// Why a script is refused before anything is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartRefusal {
    /// No installed bundle offers it.
    #[error("no installed bundle offers it")]
    NotOffered,
    /// What is installed can't be read or isn't believed, so it isn't known whether a bundle offers it.
    #[error("it isn't known whether an installed bundle offers it: {problem}")]
    OffersUnknown { problem: String },
    /// No kernel runs, as under `--root`, so none can be compared.
    #[error("no kernel runs here for which bundle {bundle} could have a module")]
    NoKernel {
        /// The bundle's name.
        bundle: BundleName,
    },
    /// The bundle that offers it has nothing for this kernel.
    #[error("bundle {bundle} has no modules for kernel {release}")]
    AnotherKernel {
        /// The bundle's name.
        bundle: BundleName,
        /// This host's release.
        release: KernelRelease,
    },
    /// The bundle has modules for this release, but of another build of it (`uname -v`).
    #[error("bundle {bundle} is for another build of kernel {release}: {built}, this host runs {running}")]
    AnotherBuild {
        /// The bundle's name.
        bundle: BundleName,
        /// This host's release.
        release: KernelRelease,
        /// `uname -v` of the kernel that the modules are for.
        built: String,
        /// `uname -v` of this host.
        running: String,
    },
    /// It probes a program, and this host has another build of it, or none.
    #[error("{0}")]
    AnotherProgram(OtherProgram),
    /// The farm has no module of it for this kernel: it didn't compile, or was left out.
    #[error("it was not built for this kernel: {reason}")]
    RedOnFarm {
        /// The farm's reason.
        reason: String,
    },
    /// The bundle was made for this kernel, but its modules weren't unpacked: the kernel came later.
    #[error("bundle {bundle} has modules for kernel {release}, but they aren't unpacked")]
    NotUnpacked {
        /// The bundle's name.
        bundle: BundleName,
        /// This host's release.
        release: KernelRelease,
    },
    /// The installed bundle isn't signed by a key that is trusted now.
    #[error("bundle {bundle} is not believed: {reason}")]
    Untrusted {
        /// The bundle's name.
        bundle: String,
        /// Why not.
        reason: String,
    },
    /// Two bundles offer it, so it isn't known which one is meant.
    #[error("{detail}")]
    OfferedTwice { detail: String },
    /// A key or a bundle that it depends on was revoked.
    #[error("it is revoked: {reason}")]
    Revoked { reason: String },
    /// The module isn't on the disk.
    #[error("its module is missing: {detail}")]
    Missing {
        /// What was looked for.
        detail: String,
    },
    /// What is on the disk isn't what was signed.
    #[error("its module is not the one that was signed: {detail}")]
    Tampered { detail: String },
    /// What was compiled or adopted on this host isn't what its record says, or is for another kernel or text.
    #[error("what was compiled or adopted on this host can't be used: {detail}")]
    LocalOutdated {
        /// What doesn't fit.
        detail: String,
    },
    /// Others could have written the record of what was compiled on this host.
    #[error("the record of its compile on this host doesn't count: {detail}")]
    LocalUnprotected {
        /// Who can write where, and the command that mends it.
        detail: String,
    },
    /// A newer program wrote the record of what was compiled on this host.
    #[error("the record of its compile on this host can't be used: {detail}")]
    LocalNewer {
        /// Which file, and which versions.
        detail: String,
    },
    /// A module that came as a file, for which nobody vouches.
    #[error("{} is of no trusted bundle, and has no record on this host", module.display())]
    NotAdopted { module: PathBuf },
    /// A newer program wrote down why a start left it out.
    #[error("a start left it out, and why is in {detail}")]
    LastTryNewer {
        /// Which file, and which versions.
        detail: String,
    },
    /// It was to be compiled on this host before this start, in vain.
    #[error("it could not be compiled on this host: {reason}")]
    NotCompiled { reason: String },
    /// This host's configuration asks for what its module doesn't have, or has settings for it that are wrong.
    #[error("this host's settings for it can't be used: {detail}")]
    HostSettings { detail: String },
    /// It needs the shared module for user-space probes, which this version doesn't load.
    #[error("it needs uprobes.ko, as on kernels before 3.5")]
    NeedsUprobes,
    /// What was signed isn't what the manifest says.
    #[error("its module is not what the manifest says: {0}")]
    WrongModule(ModuleMismatch),
    /// A module of that name is loaded, and isn't systemtap's.
    #[error("a kernel module of that name is loaded, and isn't one of systemtap's")]
    ForeignModule,
    /// A systemtap module of that name is loaded whose script doesn't run.
    #[error("a module of that name is loaded, but its script doesn't run")]
    LeftLoaded,
    /// It was named alone, and what it requires doesn't run.
    #[error("it requires {}, not running", list(.0))]
    RequirementsNotRunning(Vec<ScriptName>),
    /// What it requires was refused or has failed.
    #[error("it requires {0}, which can't be started")]
    RequirementFailed(ScriptName),
    /// What it requires has done its work and ended.
    #[error("it requires {0}, which has done its work and ended")]
    RequirementDone(ScriptName),
    /// It comes after one that failed, and `PASSALL` is yes.
    #[error("{0} failed before it, and PASSALL is yes")]
    AfterFailure(ScriptName),
    /// Somebody has masked it.
    #[error("it is masked (by {by})")]
    Masked { by: String },
    /// What it requires, directly or not, is masked and doesn't run.
    #[error("it requires {0}, which is masked or requires what is")]
    RequirementMasked(ScriptName),
    /// The file of masks can't be read, so each script may be a masked one.
    #[error("it isn't known which scripts are masked: {problem}")]
    MasksUnknown { problem: String, way_out: &'static str },
    /// The kernel's command line says that nothing is started in this boot.
    #[error("the kernel was booted with stap_bundle.enable=0")]
    DisabledForThisBoot,
    /// The kernel's command line leaves it out in this boot.
    #[error("the kernel was booted with stap_bundle.skip={0}")]
    SkippedForThisBoot(ScriptName),
    /// The machine went down while it was loaded at boot.
    #[error("the machine went down while {0} was started at boot")]
    BootGuard(ScriptName),
    /// The machine went down again and again after starts at boot.
    #[error("the machine went down again and again after starts at boot")]
    BootGuardNothing,
    /// A newer program wrote the boot guard's record.
    #[error("which scripts bring this machine down is in {0}")]
    BootGuardNewer(String),
    /// This process has no right to load modules, and neither has `staprun` started by it.
    #[error("this process may not load modules: it runs without CAP_SYS_MODULE")]
    NotPermitted,
    /// The kernel verifies signatures, and its module has none.
    #[error("{rule}; its module isn't signed for kernels")]
    Unsigned { rule: String },
    /// The kernel verifies signatures, and has none of the keys by which its module is signed.
    #[error("{rule}; it has no key of those that signed its module: {}", signers.join(", "))]
    NoKernelKey { rule: String, signers: Vec<String> },
    /// `kernel.modules_disabled`.
    #[error("kernel.modules_disabled is set: no more modules in this boot")]
    ModulesDisabled,
    /// The place for its data won't do.
    #[error("its output {} {problem}", output.display())]
    Output {
        /// The file that `-o` names.
        output: PathBuf,
        problem: &'static str,
    },
}

/// The id of [`StartRefusal::NotCompiled`], by which `status` knows it again.
pub(crate) const NOT_COMPILED: &str = "not-compiled";

impl StartRefusal {
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::NotOffered => "not-offered",
            Self::OffersUnknown { .. } => "offers-unknown",
            Self::NoKernel { .. } => "no-kernel",
            Self::AnotherKernel { .. } => "another-kernel",
            Self::AnotherBuild { .. } => "another-kernel-build",
            Self::AnotherProgram(_) => "another-program",
            Self::RedOnFarm { .. } => "red-on-farm",
            Self::NotUnpacked { .. } => "not-unpacked",
            Self::Untrusted { .. } => "untrusted",
            Self::OfferedTwice { .. } => "offered-twice",
            Self::Revoked { .. } => "revoked",
            Self::Missing { .. } => "missing",
            Self::Tampered { .. } => "tampered",
            Self::LocalOutdated { .. } => "local-outdated",
            Self::LocalUnprotected { .. } => "local-unprotected",
            Self::LocalNewer { .. } => "local-newer",
            Self::NotAdopted { .. } => "not-adopted",
            Self::LastTryNewer { .. } => "last-try-newer",
            Self::NotCompiled { .. } => "not-compiled",
            Self::HostSettings { .. } => "host-settings",
            Self::NeedsUprobes => "needs-uprobes",
            Self::WrongModule(_) => "wrong-module",
            Self::ForeignModule => "foreign-module",
            Self::LeftLoaded => "left-loaded",
            Self::RequirementsNotRunning(_) => "requirement-not-running",
            Self::RequirementFailed(_) => "requirement-failed",
            Self::RequirementDone(_) => "requirement-done",
            Self::AfterFailure(_) => "after-failure",
            Self::Masked { .. } => "masked",
            Self::RequirementMasked(_) => "requirement-masked",
            Self::MasksUnknown { .. } => "masks-unknown",
            Self::DisabledForThisBoot => "disabled-for-this-boot",
            Self::SkippedForThisBoot(_) => "skipped-for-this-boot",
            Self::BootGuard(_) => "boot-guard",
            Self::BootGuardNothing => "boot-guard-nothing",
            Self::BootGuardNewer(_) => "boot-guard-newer",
            Self::NotPermitted => "not-permitted",
            Self::Unsigned { .. } => "unsigned",
            Self::NoKernelKey { .. } => "no-kernel-key",
            Self::ModulesDisabled => "modules-disabled",
            Self::Output { .. } => "output",
        }
    }

    /// Whether a start of all passes over the script: the farm has told that there is no module of it for this kernel,
    /// or none was unpacked yet. Everything else is a fault that a start must not be quiet about.
    pub(crate) const fn is_absence(&self) -> bool {
        matches!(
            self,
            Self::RedOnFarm { .. }
                | Self::AnotherProgram(_)
                | Self::NoKernel { .. }
                | Self::AnotherKernel { .. }
                | Self::AnotherBuild { .. }
                | Self::NotUnpacked { .. }
                | Self::NotCompiled { .. }
                | Self::Masked { .. }
                | Self::RequirementMasked(_)
                | Self::DisabledForThisBoot
                | Self::SkippedForThisBoot(_)
                | Self::BootGuard(_)
                | Self::BootGuardNothing
                | Self::BootGuardNewer(_)
        )
    }

    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::NotOffered => "stap-bundle list shows what is offered; install a bundle that has it",
            Self::OffersUnknown { .. } => "mend what is named; stap-bundle list shows what can be read",
            Self::NoKernel { .. } => "ask on the host itself, without --root",
            Self::AnotherKernel { .. } | Self::AnotherBuild { .. } => {
                "build a bundle for this kernel and install it"
            }
            Self::AnotherProgram(_) => {
                "build a bundle where that program is as on this host; other-build = \"warn\" in policy.toml has it started all the same"
            }
            Self::RedOnFarm { .. } => "ask the farm for it, or leave it out for this kernel",
            Self::NotUnpacked { .. } => {
                "the next start unpacks them from the bundle that is kept: stap-bundle start"
            }
            Self::Untrusted { .. } => {
                "install the bundle again, signed by a trusted key; see stap-bundle trust list"
            }
            Self::OfferedTwice { .. } => "install a version of one of the bundles without it",
            Self::Revoked { .. } => "install a newer bundle",
            Self::Missing { .. } | Self::Tampered { .. } => {
                "stap-bundle fsck says what was changed, and fsck --repair mends it; find out who changed it"
            }
            Self::LocalOutdated { .. } => {
                "compile it again: stap-bundle compile; if it came as a file, bring that again and adopt it, or forget it: stap-bundle cleanup NAME"
            }
            Self::LocalUnprotected { .. } => {
                "who can write there could have any module loaded: find out who did, then stap-bundle compile"
            }
            Self::LocalNewer { .. } => "with the newer stap-bundle it can be started again",
            Self::NotAdopted { .. } => {
                "on the farm, stap-bundle import makes a signed bundle of it; or, to vouch for it here: stap-bundle adopt NAME"
            }
            Self::LastTryNewer { .. } => "start it by name to see the reason again",
            Self::NotCompiled { .. } => {
                "mend what the compiler says; the log file has all of it, and stap-bundle compile tries again"
            }
            Self::HostSettings { .. } => {
                "mend the line; NAME_OPT of a host changes run options only, what is compiled comes from the farm in a new bundle"
            }
            Self::NeedsUprobes => "a newer stap-bundle is needed",
            Self::WrongModule(_) => "build the bundle again; the farm put another module in its place",
            Self::ForeignModule => "rename the script, or unload that module by hand",
            Self::LeftLoaded => "stop the script first; if that is refused, see who has loaded it",
            Self::RequirementsNotRunning(_) => "start them first, or add -R",
            Self::RequirementDone(_) => {
                "a script can require one that goes on running; take it out of its requirements (NAME_REQ)"
            }
            Self::Masked { .. } => "stap-bundle unmask NAME lets it start again",
            Self::RequirementMasked(_) => "stap-bundle unmask NAME lets what it requires start again",
            Self::MasksUnknown { way_out, .. } => way_out,
            Self::RequirementFailed(_) | Self::AfterFailure(_) => "see the reason of the script named",
            Self::DisabledForThisBoot | Self::SkippedForThisBoot(_) => {
                "start it by name, or boot without that word"
            }
            Self::BootGuard(_) | Self::BootGuardNothing => {
                "install a newer bundle, or start it by name; stap-bundle boot-guard reset has the next boot try again"
            }
            Self::BootGuardNewer(_) => {
                "start it by name; stap-bundle boot-guard reset forgets what the newer stap-bundle knew of boots"
            }
            Self::NotPermitted => StaprunRefusal::NotPermitted.advice(),
            Self::Unsigned { .. } => {
                "install a bundle whose modules the farm has signed: stap-bundle sign-modules"
            }
            Self::NoKernelKey { .. } => "stap-bundle doctor says how this host gets the key",
            Self::ModulesDisabled => StaprunRefusal::ModulesDisabled.advice(),
            Self::Output { .. } => {
                "give -o an absolute path in a directory that exists and can be written to"
            }
        }
    }
}

/// Whether a reason with that id ends with a mask.
pub(crate) fn is_of_masks(id: &str) -> bool {
    matches!(id, "masked" | "requirement-masked" | "masks-unknown")
}

impl From<&StartRefusal> for Reason {
    fn from(refusal: &StartRefusal) -> Self {
        Self { id: refusal.id().into(), text: refusal.to_string(), advice: refusal.advice().into() }
    }
}

fn list(scripts: &[ScriptName]) -> String {
    scripts.iter().map(ScriptName::as_str).collect::<Vec<_>>().join(", ")
}
