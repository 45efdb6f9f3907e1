//! Which kernels a build is for: releases and paths as typed, lists in files, or all that there are.

use std::io::Read;
use std::path::{Path, PathBuf};

use builder::kernels_in;
use files::read::open_given;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::words::count;

/// Longest list of kernels that is read, in bytes: a line of `uname -a` for each of a hundred thousand hosts.
const LONGEST_LIST: u64 = 16 << 20;

/// The options that say which kernels.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct KernelOptions {
    /// A kernel release, or the path of a build tree; may be given several times.
    #[arg(short, long = "release", value_name = "REL")]
    release: Vec<String>,
    /// A list of kernels: releases, or what `uname -a` says, one a line
    ///
    /// What follows a `#` is a comment. `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    kernels: Vec<PathBuf>,
    /// Compile for every kernel of which a sysroot has a build tree.
    #[arg(long)]
    all_kernels: bool,
}

impl KernelOptions {
    /// The kernels as typed and as read from files.
    pub(super) fn releases(&self) -> Result<Vec<String>, Failure> {
        let mut releases = self.release.clone();
        for path in &self.kernels {
            for release in read_list(path)? {
                if !releases.contains(&release) {
                    releases.push(release);
                }
            }
        }
        if releases.is_empty() && !self.all_kernels {
            return Err(Failure::new(Exit::Usage, "the list of kernels is empty")
                .hint("each line is a release, or the output of `uname -r` or `uname -a`"));
        }
        Ok(releases)
    }

    /// The lists, as named.
    pub(super) fn lists(&self) -> &[PathBuf] {
        &self.kernels
    }

    pub(super) const fn all(&self) -> bool {
        self.all_kernels
    }
}

fn read_list(path: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::NoBundle, &error).about(path.display());
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(open_given(path).map_err(|error| failed(error.into_source()))?)
    };
    let mut bytes = Vec::new();
    input.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST_LIST {
        let what = format!("{}: a list of kernels has at most {} MiB", path.display(), LONGEST_LIST >> 20);
        return Err(Failure::new(Exit::Usage, what));
    }
    kernels_in(&String::from_utf8_lossy(&bytes)).map_err(|errors| {
        let what = format!("{}: {} can't be used", path.display(), count(errors.len(), "line"));
        let mut failure = Failure::new(Exit::Usage, what);
        failure.because = errors.iter().map(ToString::to_string).collect();
        failure
    })
}

/// Reads `REL=DIR`.
pub(super) fn pin(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((release, directory)) if !release.is_empty() && !directory.is_empty() => {
            Ok((release.to_owned(), PathBuf::from(directory)))
        }
        _ => Err("expected REL=DIR: a kernel release and one of the sysroots".to_owned()),
    }
}
