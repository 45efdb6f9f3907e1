//! `/etc/stap-bundle/policy.toml`: what the administrator allows beyond whom the host believes.
//!
//! A policy only narrows whom the host believes: nothing in it makes a bundle acceptable that pins and roots refuse. Where there
//! is no file the defaults below hold. A file that can't be understood whole, or that others could change,
//! stops every install: half a policy would be none.

use std::io::ErrorKind;

use bundle_format::{BundleName, Digest, KeyId, Manifest, ScriptName};
use files::{FileError, FileSystem, Unprotected};
use serde::Deserialize;

use crate::host::paths::{ADMINISTRATION, POLICY};
use crate::host::version::StateVersion;
pub use crate::trust::pattern::Pattern;

const VERSION: StateVersion = StateVersion::new(1);
/// Most bytes of a policy: a thousand keys and names.
const MAX_POLICY: u64 = 256 << 10;
/// Seconds of a day.
const DAY: u64 = 24 * 3600;

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Version of this file's shape; absent is 1.
    pub format: Option<u32>,
    /// What may be installed.
    pub install: InstallPolicy,
    /// What is too old.
    pub time: TimePolicy,
    /// What is kept.
    pub generations: GenerationsPolicy,
    /// What becomes of scripts that probe programs.
    pub programs: ProgramsPolicy,
    /// What is written for the initscript.
    pub initscript: InitscriptPolicy,
    /// What becomes of initramfs images.
    pub onboot: OnbootPolicy,
}

/// `[install]`: what may be installed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstallPolicy {
    /// Names of bundles; `None` allows all.
    pub bundles: Option<Vec<Pattern>>,
    /// Names of scripts that a bundle may have; `None` allows all.
    pub scripts: Option<Vec<Pattern>>,
    /// Ids of those trusted keys that count; `None` lets all count.
    pub keys: Option<Vec<Digest>>,
    /// How many keys that count must have signed, if that is more than pins or root ask for.
    pub signatures: Option<usize>,
    /// How far a serial may be above that of the newest bundle of its name here; `None` is without limit.
    pub max_serial_jump: Option<u64>,
    /// Whether a bundle may take away a kernel that this host has, or a script that runs, without `--allow-removal`.
    pub allow_removal: bool,
}

/// `[time]`: what is too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimePolicy {
    /// How many days before its best-before a bundle is worth a word.
    pub warn_days: u64,
    /// How many days after its best-before it is still taken.
    pub grace_days: u64,
    /// How many hours ahead of a synchronised clock a bundle may have been made.
    pub future_hours: u64,
    /// How many days a bundle may have been made after the latest time that is known here, where no clock is
    /// synchronised.
    pub ahead_days: u64,
}

/// `[generations]`: what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct GenerationsPolicy {
    /// How many generations `gc` leaves, the current one among them.
    pub keep: usize,
    /// Whether each install that makes a generation removes those beyond `keep`, as `gc` does.
    pub automatic: bool,
    /// Most bytes of all generations, in MiB; an install that would need more is refused.
    pub quota_mib: Option<u64>,
}

/// `[programs]`: what becomes of scripts that probe programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProgramsPolicy {
    pub other_build: OtherBuild,
}

/// What a start does about a script whose module is made for another build of a program than this host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherBuild {
    /// It isn't started: its data would be missing or wrong.
    #[default]
    Refuse,
    /// It is started, with a warning: the rest of it may be wanted. The program may crash (docs/upstream/build-id-mismatch.md).
    Warn,
}

/// `[initscript]`: what is written for the unmodified initscript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct InitscriptPolicy {
    /// Whether `AUTOCOMPILE=no` and `ALLOW_CACHEONLY=yes` are set for it; by default where no `stap` is
    /// installed.
    pub cache_only: Option<bool>,
    /// Whether `adopt` may record modules that came as files; by default it may.
    pub adopt: Option<bool>,
}

/// `[onboot]`: what becomes of the images of scripts that start from the initramfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OnbootPolicy {
    /// Whether images that hold another set of modules are made again after an install, a rollback or an uninstall. An image is a
    /// host's lifeline, so by default they aren't.
    pub refresh: bool,
}

impl Default for TimePolicy {
    fn default() -> Self {
        Self { warn_days: 14, grace_days: 0, future_hours: 48, ahead_days: 730 }
    }
}

impl Default for GenerationsPolicy {
    fn default() -> Self {
        Self { keep: 3, automatic: true, quota_mib: None }
    }
}

impl TimePolicy {
    pub(crate) const fn warn_seconds(self) -> u64 {
        self.warn_days.saturating_mul(DAY)
    }

    pub(crate) const fn grace_seconds(self) -> u64 {
        self.grace_days.saturating_mul(DAY)
    }

    pub(crate) const fn ahead_seconds(self) -> u64 {
        self.ahead_days.saturating_mul(DAY)
    }

    pub(crate) const fn future_seconds(self) -> u64 {
        self.future_hours.saturating_mul(3600)
    }
}

impl GenerationsPolicy {
    /// The quota in bytes.
    #[must_use]
    pub const fn quota(self) -> Option<u64> {
        match self.quota_mib {
            Some(mib) => Some(mib.saturating_mul(1 << 20)),
            None => None,
        }
    }
}

/// Why there is no policy to go by.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Somebody other than root could change it.
    #[error("the policy is not protected")]
    Unprotected(#[source] Unprotected),
    /// It isn't what a policy must be.
    #[error("{ADMINISTRATION}/{POLICY}:{line}:{column}: {problem}")]
    Malformed {
        /// Line of the mistake, from 1.
        line: usize,
        /// Column of the mistake in characters, from 1.
        column: usize,
        problem: String,
    },
    #[error(transparent)]
    Storage(#[from] FileError),
}

/// What a policy has against a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyRefusal {
    /// A bundle of another name.
    #[error("the policy allows bundles called {}, not `{name}`", Pattern::list(allowed))]
    Bundle { name: BundleName, allowed: Vec<Pattern> },
    /// A script of another name.
    #[error("the policy allows scripts called {}, not `{script}`", Pattern::list(allowed))]
    Script { script: ScriptName, allowed: Vec<Pattern> },
    /// Too few signatures that count.
    #[error("{valid} of the keys that the policy counts signed it, needed {needed}")]
    Signatures {
        /// Signatures that hold and count.
        valid: usize,
        needed: usize,
    },
}

impl Policy {
    /// Reads this host's policy; the defaults where there is none.
    pub fn read(host: &FileSystem) -> Result<Self, PolicyError> {
        let directory = match host.open_dir(ADMINISTRATION) {
            Ok(directory) => directory,
            Err(error) if error.is_not_found() => return Ok(Self::default()),
            Err(error) => return Err(error.into()),
        };
        if directory.kind(POLICY)?.is_none() {
            return Ok(Self::default());
        }
        let directory =
            host.open_protected(ADMINISTRATION).map_err(|error| error.or(PolicyError::Unprotected))?;
        let bytes = match directory.read_protected(POLICY, MAX_POLICY) {
            Err(Unprotected::Storage(error)) if error.kind() == ErrorKind::FileTooLarge => {
                let problem = format!("it has more than {MAX_POLICY} bytes");
                return Err(PolicyError::Malformed { line: 1, column: 1, problem });
            }
            read => read.map_err(|error| error.or(PolicyError::Unprotected))?,
        };
        let text = String::from_utf8_lossy(&bytes);
        // Before its new words are called mistakes.
        VERSION
            .check_toml(&text)
            .map_err(|error| FileError::new("understand", directory.path().join(POLICY), error))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, PolicyError> {
        let malformed = |at: usize, problem: String| {
            let before = text.get(..at).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            PolicyError::Malformed { line, column, problem }
        };
        let policy: Self = toml::from_str(text).map_err(|error| {
            malformed(error.span().map_or(0, |span| span.start), error.message().replace('\n', " "))
        })?;
        if policy.generations.keep == 0 {
            let at = text.find("keep").unwrap_or(0);
            return Err(malformed(
                at,
                "`keep` counts the current generation, so it is at least 1".to_owned(),
            ));
        }
        Ok(policy)
    }

    /// What it has against a bundle that these keys signed.
    pub(crate) fn check(&self, manifest: &Manifest, signers: &[KeyId]) -> Result<(), PolicyRefusal> {
        let InstallPolicy { bundles, scripts, keys, signatures, .. } = &self.install;
        let allows = |allowed: &[Pattern], name: &str| allowed.iter().any(|pattern| pattern.matches(name));
        if let Some(allowed) = bundles.as_ref().filter(|allowed| !allows(allowed, manifest.name.as_str())) {
            return Err(PolicyRefusal::Bundle { name: manifest.name.clone(), allowed: allowed.clone() });
        }
        if let Some(allowed) = scripts {
            let other = manifest.scripts.iter().find(|script| !allows(allowed, script.name.as_str()));
            if let Some(script) = other {
                let script = script.name.clone();
                return Err(PolicyRefusal::Script { script, allowed: allowed.clone() });
            }
        }
        let counts = |key: &&KeyId| {
            keys.as_ref().is_none_or(|keys| keys.iter().any(|counting| counting.as_bytes() == key.as_bytes()))
        };
        let valid = signers.iter().filter(counts).count();
        let needed = signatures.unwrap_or(1).max(1);
        if valid < needed {
            return Err(PolicyRefusal::Signatures { valid, needed });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is, and with each line that is a comment there.
    #[test]
    fn the_packaged_policy_shows_all_of_one_with_its_defaults() {
        let block = include_str!("../../../packaging/policy.toml");
        assert_eq!(Policy::parse(block).unwrap(), Policy::default());
        let id = "0".repeat(64);
        let lines = block.lines().map(|line| line.strip_prefix("# ").unwrap_or(line).replace("<id>", &id));
        let policy = Policy::parse(&lines.collect::<Vec<_>>().join("\n")).unwrap();
        let InstallPolicy { bundles, scripts, keys, signatures, max_serial_jump, allow_removal } =
            policy.install;
        assert!(bundles.is_some() && scripts.is_some() && keys.is_some() && max_serial_jump.is_some());
        assert_eq!((signatures, allow_removal, policy.format), (Some(1), true, Some(1)));
        let InitscriptPolicy { cache_only, adopt } = policy.initscript;
        assert!(policy.generations.quota_mib.is_some() && cache_only.is_some() && adopt.is_some());
        assert_eq!(policy.programs.other_build, OtherBuild::Refuse);
    }

    #[test]
    fn an_empty_policy_is_the_default_one() {
        assert_eq!(Policy::parse("").unwrap(), Policy::default());
        assert!(!Policy::default().install.allow_removal);
        assert!(Policy::parse("[install]\nallow-removal = true\n").unwrap().install.allow_removal);
        let text = "[install]\nbundles = [\"fleet*\"]\nmax-serial-jump = 5\n[time]\nwarn-days = 3\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!(policy.install.max_serial_jump, Some(5));
        assert_eq!((policy.time.warn_days, policy.time.future_hours), (3, 48));
    }

    #[test]
    fn a_policy_for_a_newer_program_is_refused_before_its_new_words_are() {
        let newer = VERSION.number() + 1;
        let error = VERSION.check_toml(&format!("format = {newer}\n[domains]\nnew = true\n")).unwrap_err();
        assert!(error.to_string().ends_with("install the newer stap-bundle again"), "{error}");
        for good in ["format = 1\n[time]\nwarn-days = 3\n", "[time]\nwarn-days = 3\n"] {
            VERSION.check_toml(good).unwrap();
            Policy::parse(good).unwrap();
        }
        assert!(VERSION.check_toml("format = 0").is_err() && Policy::parse("format = \"1\"").is_err());
    }

    #[test]
    fn a_mistake_is_told_with_its_place() {
        for (text, place, word) in [
            ("[install]\nbundels = []\n", "2:1", "bundels"),
            ("[time]\nwarn-days = \"x\"\n", "2:13", "invalid type"),
            ("[install]\nkeys = [\"abc\"]\n", "2:", "abc"),
            ("[install]\nbundles = [\"a b\"]\n", "2:", "is no pattern"),
            ("[programs]\nother-build = \"ignore\"\n", "2:", "ignore"),
            ("[generations]\nkeep = 0\n", "2:1", "at least 1"),
            ("x", "1:", ""),
            ("[policy]\n", "1:2", "policy"),
        ] {
            let said = Policy::parse(text).unwrap_err().to_string();
            assert!(said.starts_with(&format!("/etc/stap-bundle/policy.toml:{place}")), "{said}");
            assert!(said.contains(word), "{said}");
        }
    }
}
