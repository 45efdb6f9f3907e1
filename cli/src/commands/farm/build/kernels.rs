//! Which kernels a build is for: releases and paths as typed, lists in files, or all that there are.

use std::collections::BTreeSet;
use std::path::PathBuf;

use builder::{PlanError, PlanProblem};
use fleet::{ListedKernel, kernels_in};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::kernel_lists::{read_text, warn_of_lines};
use crate::ui::Ui;
use crate::words::first_of;

/// The options that say which kernels.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
pub(in crate::commands::farm) struct KernelOptions {
    /// A kernel release, or the path of a build tree; may be given several times.
    #[arg(short, long = "kernel", value_name = "REL")]
    release: Vec<String>,
    /// A list of kernels: releases, or what `uname -a` says, one a line
    ///
    /// A host's name may stand before or behind a release: hosts of another build of it, which would refuse the bundle, are
    /// warned of by name. Tables (CSV) and the output of ansible, pdsh and ssh are read too. A line that begins with `#` is a
    /// comment; lines that name no kernel are warned of and passed over. `-` is the standard input.
    #[arg(long, value_name = "FILE")]
    kernels: Vec<PathBuf>,
    /// Every kernel that has a build tree in a sysroot.
    #[arg(long)]
    all_kernels: bool,
}

/// The kernels that a build is for, and what lists say of their hosts.
pub(in crate::commands::farm) struct GivenKernels {
    pub(in crate::commands::farm) releases: Vec<String>,
    pub(in crate::commands::farm) listed: Vec<ListedKernel>,
}

impl KernelOptions {
    /// The kernels as typed and as read from files; lines that name none are warned of.
    pub(in crate::commands::farm) fn read(&self, ui: &mut Ui) -> Result<GivenKernels, Failure> {
        let mut releases = self.release.clone();
        let mut listed = Vec::new();
        for path in &self.kernels {
            let list = kernels_in(&read_text(path).map_err(no_bundle)?);
            warn_of_lines(ui, path, &list.passed_over);
            listed.extend(list.kernels);
        }
        for ListedKernel { kernel, .. } in &listed {
            if !releases.contains(kernel) {
                releases.push(kernel.clone());
            }
        }
        if releases.is_empty() && !self.all_kernels {
            return Err(Failure::new(Exit::Usage, "the list of kernels is empty").hint(
                "each line is a release, with the host's name if you like, or the output of `uname -a`; a table needs a column \
                 of releases",
            ));
        }
        Ok(GivenKernels { releases, listed })
    }

    /// The lists, as named.
    pub(super) fn lists(&self) -> &[PathBuf] {
        &self.kernels
    }

    pub(in crate::commands::farm) const fn all(&self) -> bool {
        self.all_kernels
    }
}

/// Without its list a build writes none.
fn no_bundle(failure: Failure) -> Failure {
    match failure.exit {
        Exit::Storage => Failure { exit: Exit::NoBundle, ..failure },
        _ => failure,
    }
}

/// Which hosts of a list run the kernels without a build tree: it may be one that nobody needs.
pub(super) fn with_hosts(mut failure: Failure, error: &PlanError, listed: &[ListedKernel]) -> Failure {
    for problem in &error.problems {
        let (PlanProblem::NoBuildTree { release, .. } | PlanProblem::Tree { release, .. }) = problem else {
            continue;
        };
        let of_release = listed.iter().filter(|listed| listed.kernel == release.as_str());
        let hosts: BTreeSet<&str> = of_release.filter_map(|listed| listed.host.as_deref()).collect();
        if !hosts.is_empty() {
            failure = failure.hint(format!("{release} runs on {}", first_of(hosts)));
        }
    }
    failure
}

/// Reads `REL=PROGRAM`.
pub(super) fn compiler(text: &str) -> Result<(String, String), String> {
    let is_name = |program: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        !program.is_empty() && !program.starts_with('-') && program.bytes().all(is_plain)
    };
    match text.split_once('=') {
        Some((release, program)) if !release.is_empty() && is_name(program) => {
            Ok((release.to_owned(), program.to_owned()))
        }
        _ => {
            Err("expected REL=PROGRAM: a kernel release, and the name of a program in the sysroot's /usr/bin"
                .to_owned())
        }
    }
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
