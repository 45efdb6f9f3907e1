//! Lists of kernels as administrators gather them from a fleet.

use bundle_format::KernelRelease;

/// A line that names no kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` is neither a kernel release nor the output of `uname -r` or `uname -a`")]
pub struct KernelListError {
    /// Counted from 1.
    pub line: usize,
    pub text: String,
}

/// The releases in `text`, each once, in the order given: a release or the output of `uname -a` on each line. What follows
/// a `#` is a comment (in the output of `uname -a` it's the kernel's own build number); empty lines are passed over.
pub fn kernels_in(text: &str) -> Result<Vec<String>, Vec<KernelListError>> {
    let mut releases = Vec::new();
    let mut errors = Vec::new();
    for (position, line) in text.lines().enumerate() {
        match release_in(line.trim()) {
            Ok(Some(release)) if !releases.contains(&release) => releases.push(release),
            Ok(_) => {}
            Err(()) => errors.push(KernelListError { line: position + 1, text: line.trim().to_owned() }),
        }
    }
    if errors.is_empty() { Ok(releases) } else { Err(errors) }
}

fn release_in(line: &str) -> Result<Option<String>, ()> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let release = match &words[..] {
        [] => return Ok(None),
        [first, ..] if first.starts_with('#') => return Ok(None),
        // Kernel name, node name, release, `#1 SMP …`
        ["Linux", _, release, version, ..] if version.starts_with('#') => release,
        [release] => release,
        [release, comment, ..] if comment.starts_with('#') => release,
        _ => return Err(()),
    };
    let is_path = release.starts_with('/');
    if is_path || release.parse::<KernelRelease>().is_ok() {
        Ok(Some((*release).to_owned()))
    } else {
        Err(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_comments_and_lines_of_uname_are_read() {
        let text = "# web servers\n6.12.1-amd64\n\n  6.12.2-amd64  # db\n\
                    Linux web7 6.12.3-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.3-1 (2026-08-29) x86_64 GNU/Linux\r\n\
                    6.12.1-amd64\n/usr/src/own\n";
        let expected = ["6.12.1-amd64", "6.12.2-amd64", "6.12.3-amd64", "/usr/src/own"];
        assert_eq!(kernels_in(text).unwrap(), expected);
    }

    #[test]
    fn every_line_that_names_no_kernel_is_told() {
        let errors = kernels_in("6.12.1\nweb7 6.12.3\n6.12.1/x\n").unwrap_err();
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 3]);
        let text = errors[0].to_string();
        assert_eq!(
            text,
            "line 2: `web7 6.12.3` is neither a kernel release nor the output of `uname -r` or `uname -a`"
        );
    }
}
