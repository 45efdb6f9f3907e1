//! A file of a bundle that is installed already: what it lacks, the kept file may have, and the other way
//! round. What is kept after an install is never less than what was kept before.
//!
//! Files of one bundle have one manifest, so a frame is the same in all of them. Where the kept file has all,
//! nothing is taken from the new one; else the two are put together.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};

use bundle_format::{BundleError, CheckReport, Depth, Judge, Kernel, KernelId, RawBundle, VerifiedBundle};
use files::{FileError, FileSystem};

use crate::generation::InstalledBundle;
use crate::install::error::InstallError;

/// What the kept file has of the bundle that is to be installed again.
#[derive(Debug)]
pub(super) struct KeptFrames {
    file: File,
    whole: bool,
    report: CheckReport,
}

/// What a file has that is to be installed, put together with the kept one.
#[derive(Debug, Default)]
pub(super) struct Available {
    /// Kernels that can be unpacked; `None` where that is not known, or all can.
    pub(super) kernels: Option<BTreeSet<KernelId>>,
    /// Whether it has kernels that the kept file lacks.
    pub(super) is_more: bool,
    /// Kernels that the kept file had, damaged now, and that the new one doesn't bring.
    pub(super) lost: BTreeSet<KernelId>,
}

impl Available {
    /// Whether a kernel can be unpacked, as far as is known.
    pub(super) fn has(&self, kernel: &KernelId) -> bool {
        self.kernels.as_ref().is_none_or(|kernels| kernels.contains(kernel))
    }
}

impl KeptFrames {
    /// Reads the kept file of `installed` to its end. Nothing can be had from one that can't be read.
    pub(super) fn of(installed: &InstalledBundle) -> Option<Self> {
        let file = installed.kept().ok()?;
        let verified = RawBundle::read(file.try_clone().ok()?).ok()?.verify(installed.trusted()).ok()?;
        let report = verified.check(Depth::Digests).ok()?;
        let whole = report.problems.is_empty() && report.present.present == report.present.total;
        Some(Self { file, whole, report })
    }

    /// Whether it has every frame, so that no other file can add one.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The kept file, from its beginning.
    pub(super) fn file(&self) -> Result<File, InstallError> {
        from_start(&self.file)
    }

    /// Its good kernels.
    pub(super) fn kernels(&self) -> BTreeSet<KernelId> {
        self.report.intact()
    }

    /// A file with all good frames of `file` and of the kept one. What is wrong with `file` is refused, but under
    /// `partial` left out.
    pub(super) fn added_to(
        &self,
        host: &FileSystem,
        file: &File,
        judge: &Judge,
        partial: bool,
    ) -> Result<(File, Available, CheckReport), InstallError> {
        let mut report = verified(file, judge)?.check(Depth::Digests)?;
        if !partial && !report.problems.is_empty() {
            return Err(report.problems.swap_remove(0).into());
        }
        let mut joined = super::spool::place(host)?.nameless_file()?;
        let ours = good_frames(&report);
        let theirs = good_frames(&self.report);
        let kept = verified(&self.file, judge)?;
        let manifest = kept.shared_manifest();
        let both = verified(file, judge)?.write_union(&ours, kept, &theirs, &mut joined)?;
        let had = self.kernels();
        let was_there = |kernel: &&Kernel| {
            kernel.frames.iter().all(|frame| self.report.frames.contains_key(&frame.index))
        };
        let lost = manifest.kernels.iter().filter(was_there).map(|kernel| kernel.id);
        let available = Available {
            is_more: both.iter().any(|kernel| !had.contains(kernel)),
            lost: lost.filter(|kernel| !both.contains(kernel)).collect(),
            kernels: Some(both),
        };
        Ok((from_start(&joined)?, available, report))
    }
}

fn good_frames(report: &CheckReport) -> BTreeSet<usize> {
    report.frames.iter().filter(|(_, good)| **good).map(|(index, _)| *index).collect()
}

fn from_start(file: &File) -> Result<File, InstallError> {
    let wrong = |error| FileError::new("read", "(a file of the bundle)", error);
    let mut again = file.try_clone().map_err(wrong)?;
    again.seek(SeekFrom::Start(0)).map_err(wrong)?;
    Ok(again)
}

fn verified(file: &File, judge: &Judge) -> Result<VerifiedBundle<File>, InstallError> {
    let raw: Result<_, BundleError> = RawBundle::read(from_start(file)?);
    Ok(raw?.verify_by(judge.clone())?)
}
