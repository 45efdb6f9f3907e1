//! The file that a bundle is installed from.

use std::collections::BTreeSet;
use std::fs::File;

use bundle_format::{Extent, Judge, Manifest, Positioned, Source, VerifiedBundle};
use files::FileSystem;

use crate::install::choice::Chosen;
use crate::install::error::InstallError;
use crate::install::kept_frames::{Available, KeptFrames};
use crate::install::options::InstallOptions;
use crate::install::source::Arriving;
use crate::install::spool;

/// A proven bundle on its way in.
pub(super) struct Incoming<'i> {
    pub(super) host: &'i FileSystem,
    pub(super) manifest: &'i Manifest,
    pub(super) judge: &'i Judge,
    pub(super) options: &'i InstallOptions,
}

/// What to unpack from, and to keep.
pub(super) enum Content<S> {
    /// What came, and another reader of it.
    AsItCame(VerifiedBundle<S>, Positioned),
    /// One that was made of it.
    Made(File, Available),
    /// The kept file of the same bundle, which has all that it could have.
    Kept(File),
}

impl Incoming<'_> {
    /// The file to install from: another than the source where that may stall, where only a part of it is wanted, or where what
    /// is kept of the same bundle has to be joined with it.
    pub(super) fn content<S: Arriving>(
        &self,
        mut bundle: VerifiedBundle<S>,
        again: Option<&KeptFrames>,
        chosen: &mut Chosen,
    ) -> Result<Content<S>, InstallError> {
        let Self { host, manifest, judge, options } = *self;
        if let Some(again) = again.filter(|again| again.is_whole()) {
            // Nothing can be added to it; only a damaged file must not be called installed.
            if !options.partial {
                bundle.source_mut().forget();
                read_unchanged(bundle)?;
            }
            return Ok(Content::Kept(again.file()?));
        }
        if let Some(another) = bundle.source().again().filter(|_| !options.partial && again.is_none()) {
            return Ok(Content::AsItCame(bundle, another));
        }
        let mut file = spool::fill(host, bundle.into_source(), manifest)?;
        let mut available = Available::default();
        if let Some(again) = again {
            let (joined, found, report) = again.added_to(host, &file, judge, options.partial)?;
            if options.partial {
                let had = found.kernels.clone().unwrap_or_default();
                spool::leave_out(manifest, &report, &had, chosen)?;
            }
            (file, available) = (joined, found);
        } else if options.partial {
            let (whole, report) = spool::whole_part(host, file, judge)?;
            spool::leave_out(manifest, &report, &BTreeSet::new(), chosen)?;
            available.kernels = Some(report.intact());
            file = whole;
        }
        Ok(Content::Made(file, available))
    }
}

/// Reads a bundle of which nothing is to be written: a damaged copy must not be called installed.
pub(super) fn read_unchanged(bundle: VerifiedBundle<impl Source>) -> Result<(), InstallError> {
    bundle.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(()))?;
    Ok(())
}
