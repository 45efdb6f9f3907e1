//! What is wrong with a kernel as its sysroot sees it, in words.

use bundle_format::{KernelRelease, Toolchain};
use serde::{Deserialize, Serialize};

use super::parts::WarmUpPart;
use crate::words::is_explained;

/// Something that is wrong with a kernel as this sysroot sees it; reported once, not once per script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Diagnosis {
    /// Not even an empty script compiles.
    NothingCompiles { reason: String },
    /// The scan was complete and found not one tracepoint.
    NoTracepoints,
}

impl Diagnosis {
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
    let systemtap = systemtap(toolchain);
    match diagnosis {
        Diagnosis::NoTracepoints => format!(
            "{systemtap} finds no tracepoint of kernel {release}, so no script that needs one compiles for it: build it \
             with a newer systemtap (another --sysroot)"
        ),
        Diagnosis::NothingCompiles { reason } if is_explained(reason) => {
            format!("nothing compiles for kernel {release}, not even an empty script: {reason}")
        }
        Diagnosis::NothingCompiles { reason } => format!(
            "{systemtap} compiles nothing for kernel {release}, not even an empty script ({reason}): build it with a \
             newer systemtap (another --sysroot)"
        ),
    }
}

/// The same as the reason of a red cell, which names the kernel already.
pub(crate) fn diagnosed_reason(diagnosis: &Diagnosis, toolchain: Option<&Toolchain>) -> String {
    let systemtap = systemtap(toolchain);
    match diagnosis {
        Diagnosis::NoTracepoints => format!("{systemtap} finds no tracepoint of this kernel"),
        Diagnosis::NothingCompiles { reason } if is_explained(reason) => {
            format!("nothing compiles for this kernel: {reason}")
        }
        Diagnosis::NothingCompiles { reason } => {
            format!("{systemtap} compiles nothing for this kernel: {reason}")
        }
    }
}

/// Why nothing compiles for a kernel, as the reason of a red cell; `None` if something may.
pub(crate) fn nothing_compiles(diagnoses: &[Diagnosis], toolchain: Option<&Toolchain>) -> Option<String> {
    let nothing = diagnoses.iter().find(|found| matches!(found, Diagnosis::NothingCompiles { .. }))?;
    Some(diagnosed_reason(nothing, toolchain))
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
        let nothing = Diagnosis::NothingCompiles { reason: "x.c:1: error: y".to_owned() };
        assert_eq!(
            diagnosed_reason(&nothing, None),
            "systemtap compiles nothing for this kernel: x.c:1: error: y"
        );
    }

    #[test]
    fn a_missing_compiler_was_blamed_on_the_systemtap() {
        let log = "/bin/sh: 1: gcc-12: not found\nmake[1]: *** [Makefile:9: x] Error 127\n";
        let nothing = Diagnosis::NothingCompiles { reason: crate::words::red_reason(log) };
        for text in [sentence(&nothing, None, &"1.0".parse().unwrap()), diagnosed_reason(&nothing, None)] {
            assert!(text.starts_with("nothing compiles for") && text.contains("install compiler"), "{text}");
            assert!(!text.contains("systemtap"), "{text}");
        }
    }
}
