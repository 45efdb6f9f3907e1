//! What is wrong with a kernel as its sysroot sees it, in words.

use std::path::PathBuf;

use bundle_format::{KernelRelease, Toolchain};
use serde::{Deserialize, Serialize};

use super::parts::WarmUpPart;

/// Something that is wrong with a kernel as this sysroot sees it; reported once, not once per script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Diagnosis {
    /// Not even an empty script compiles.
    NothingCompiles {
        reason: String,
        /// Where what stap said was kept. Up to 0.1.0 nothing was: such a note is looked into again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        log: Option<PathBuf>,
    },
    /// The scan was complete and found not one tracepoint.
    NoTracepoints,
}

impl Diagnosis {
    /// Whether it was noted by a version that kept no log; its reason may be wrong.
    pub(crate) fn is_of_older_version(&self) -> bool {
        matches!(self, Self::NothingCompiles { log: None, .. })
    }

    pub(crate) fn part(&self) -> WarmUpPart {
        match self {
            Self::NothingCompiles { .. } => WarmUpPart::Configuration,
            Self::NoTracepoints => WarmUpPart::Scan,
        }
    }
}

/// What is wrong and what to do, in a sentence; told once for each kernel.
pub(crate) fn sentence(
    diagnosis: &Diagnosis,
    toolchain: Option<&Toolchain>,
    release: &KernelRelease,
) -> String {
    match diagnosis {
        Diagnosis::NoTracepoints => format!(
            "{} finds no tracepoint of kernel {release}, so no script that needs one compiles for it: build it with a newer \
             systemtap (another --sysroot)",
            systemtap(toolchain)
        ),
        Diagnosis::NothingCompiles { reason, .. } => {
            format!("nothing compiles for kernel {release}, not even an empty script: {reason}")
        }
    }
}

/// The same as the reason of a red cell, which names the kernel already.
pub(crate) fn diagnosed_reason(diagnosis: &Diagnosis, toolchain: Option<&Toolchain>) -> String {
    match diagnosis {
        Diagnosis::NoTracepoints => format!("{} finds no tracepoint of this kernel", systemtap(toolchain)),
        Diagnosis::NothingCompiles { reason, .. } => format!("nothing compiles for this kernel: {reason}"),
    }
}

/// Why nothing compiles for a kernel, as the reason of a red cell, and the log that says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NothingCompiles {
    pub why: String,
    pub log: Option<PathBuf>,
}

/// `None` if something may compile.
pub(crate) fn nothing_compiles(diagnoses: &[Diagnosis]) -> Option<NothingCompiles> {
    diagnoses.iter().find_map(|found| match found {
        // It may be lost: a full disk, a cleanup.
        Diagnosis::NothingCompiles { log, .. } => Some(NothingCompiles {
            why: diagnosed_reason(found, None),
            log: log.clone().filter(|log| log.is_file()),
        }),
        Diagnosis::NoTracepoints => None,
    })
}

/// Name and plain version: what stands behind a slash or a comma is of no use to a reader.
fn systemtap(toolchain: Option<&Toolchain>) -> String {
    let version = toolchain.and_then(|toolchain| toolchain.stap.split(['/', ',', ' ']).next());
    version.map_or_else(|| "systemtap".to_owned(), |version| format!("systemtap {version}"))
}

#[cfg(test)]
mod tests {
    use bundle_format::Digest;

    use super::*;
    use crate::words::{Circumstances, red_reason};

    #[test]
    fn a_sentence_names_the_version_and_what_to_do() {
        let toolchain = Toolchain {
            stap: "5.1/0.191, Debian version 5.1-5".to_owned(),
            compiler: "gcc".to_owned(),
            digest: Digest::of(b""),
        };
        let release = "6.12.1".parse().unwrap();
        assert_eq!(
            sentence(&Diagnosis::NoTracepoints, Some(&toolchain), &release),
            "systemtap 5.1 finds no tracepoint of kernel 6.12.1, so no script that needs one compiles for it: build it with \
             a newer systemtap (another --sysroot)"
        );
        let nothing = Diagnosis::NothingCompiles { reason: "x.c:1: error: y".to_owned(), log: None };
        assert_eq!(diagnosed_reason(&nothing, None), "nothing compiles for this kernel: x.c:1: error: y");
    }

    #[test]
    fn a_log_that_is_lost_is_not_shown_and_makes_no_build_look_again() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log.txt");
        let diagnoses = [Diagnosis::NothingCompiles { reason: "x".to_owned(), log: Some(log.clone()) }];
        assert_eq!(nothing_compiles(&diagnoses).unwrap().log, None);
        assert!(!diagnoses[0].is_of_older_version());
        std::fs::write(&log, "x").unwrap();
        assert_eq!(nothing_compiles(&diagnoses).unwrap().log, Some(log));
    }

    #[test]
    fn a_missing_compiler_was_blamed_on_the_systemtap() {
        let log = include_str!("../words/recorded/no_compiler_of_kernel.log");
        let reason = red_reason(log, &Circumstances::default()).text;
        let nothing = Diagnosis::NothingCompiles { reason, log: None };
        for text in [sentence(&nothing, None, &"1.0".parse().unwrap()), diagnosed_reason(&nothing, None)] {
            assert!(text.starts_with("nothing compiles for") && text.contains("gcc-14"), "{text}");
            assert!(!text.contains("newer systemtap"), "{text}");
        }
    }
}
