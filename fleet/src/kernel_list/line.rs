//! One line of words: a release, with a host before or behind it, or what `uname` prints.

use std::net::Ipv4Addr;

use super::{KernelRelease, ListedKernel, Machine};

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A comment, or a heading.
    Nothing,
    Kernel(ListedKernel),
    /// It names no kernel.
    Junk,
}

/// Reads a line that may begin with `HOST:`, as pdsh, clush and loops of ssh write it.
pub(super) fn line_of(line: &str) -> Line {
    if let Some((host, rest)) = line.split_once(char::is_whitespace)
        && let Some(host) = host.strip_suffix(':').filter(|host| is_host(host))
        && let Line::Kernel(kernel) = in_words(rest)
    {
        return Line::Kernel(kernel.on(Some(host)));
    }
    in_words(line)
}

/// Reads a line without such a beginning.
pub(super) fn in_words(line: &str) -> Line {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    // Of `uname -a` the build may begin with `#` and any name.
    let is_uname = words.iter().take(2).any(|word| *word == "Linux");
    let is_comment =
        |word: &&str| !is_uname && word.strip_prefix('#').is_some_and(|rest| !starts_with_digit(rest));
    let end = words.iter().position(is_comment).unwrap_or(words.len());
    let words = words.get(..end).unwrap_or_default();
    kernel_of(words).map_or(Line::Junk, Line::Kernel)
}

fn kernel_of(words: &[&str]) -> Option<ListedKernel> {
    match words {
        ["Linux", rest @ ..] => of_uname(rest),
        [host, "Linux", rest @ ..] if is_host(host) => Some(of_uname(rest)?.on(Some(host))),
        [path] if path.starts_with('/') => Some(ListedKernel::new(path)),
        [release, host] if is_release(release) && is_host_alone(host) => {
            Some(ListedKernel::new(release).on(Some(host)))
        }
        [release, rest @ ..] if is_release(release) => with_build(release, rest),
        [host, release, rest @ ..] if is_host(host) && is_release(release) => {
            Some(with_build(release, rest)?.on(Some(host)))
        }
        _ => None,
    }
}

/// What `uname` prints behind the name of the system: node, which may be absent, and release.
fn of_uname(words: &[&str]) -> Option<ListedKernel> {
    match words {
        [node, release, rest @ ..] if is_release(release) => Some(with_build(release, rest)?.on(Some(node))),
        [release, rest @ ..] if is_release(release) => with_build(release, rest),
        _ => None,
    }
}

fn is_host_alone(word: &str) -> bool {
    is_host(word) && machine(word).is_none() && !is_release(word)
}

/// A release and what `uname -v` and `uname -m` print behind it, if anything is there.
fn with_build(release: &str, rest: &[&str]) -> Option<ListedKernel> {
    let end =
        rest.iter().rposition(|word| !matches!(*word, "GNU/Linux" | "Linux")).map_or(0, |last| last + 1);
    let rest = rest.get(..end)?;
    let of_build = rest.iter().rposition(|word| machine(word).is_none() && *word != "unknown");
    let (build, behind) = rest.split_at(of_build.map_or(0, |last| last + 1));
    if build.first().is_some_and(|first| !first.starts_with('#')) {
        return None;
    }
    let uname_v = (!build.is_empty()).then(|| build.join(" "));
    // `uname -m` comes first; behind it are processor and platform, which say the same or `unknown`.
    Some(ListedKernel {
        uname_v,
        machine: behind.first().and_then(|word| machine(word)),
        ..ListedKernel::new(release)
    })
}

/// A kernel's release begins with its version: `6.12.1-amd64`. Four numbers alone are an address, but for kernels 2.6.
pub(super) fn is_release(word: &str) -> bool {
    let Some((major, rest)) = word.split_once('.') else { return false };
    let is_version =
        !major.is_empty() && major.bytes().all(|byte| byte.is_ascii_digit()) && starts_with_digit(rest);
    let is_address = word.parse::<Ipv4Addr>().is_ok() && !word.starts_with("2.6.");
    is_version && !is_address && word.parse::<KernelRelease>().is_ok()
}

/// Whether a word may be a kernel: a release, or the path of a build tree.
pub(super) fn may_be_release(word: &str) -> bool {
    is_release(word) || word.starts_with('/')
}

pub(super) fn is_host(word: &str) -> bool {
    let is_allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '@' | '[' | ']');
    !word.is_empty() && word.len() <= 255 && word.chars().all(is_allowed)
}

/// The machines that `uname -m` prints for kernels that have modules of systemtap.
pub(super) fn machine(word: &str) -> Option<Machine> {
    const NAMES: [&str; 13] = [
        "x86_64", "aarch64", "ppc64le", "ppc64", "s390x", "riscv64", "i386", "i486", "i586", "i686",
        "armv6l", "armv7l", "armv8l",
    ];
    NAMES.contains(&word).then(|| word.parse().ok()).flatten()
}

fn starts_with_digit(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}
