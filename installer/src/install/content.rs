//! The file that a bundle is installed from.

use std::collections::BTreeSet;
use std::fs::File;

use bundle_format::{Extent, Positioned, Source, VerifiedBundle};

use crate::install::error::InstallError;
use crate::install::installation::Installation;
use crate::install::kept_frames::KeptFrames;
use crate::install::place::Placing;
use crate::install::source::Arriving;
use crate::install::spool;
use crate::state::State;

/// What to unpack from, and to keep.
pub(super) enum Content<S> {
    /// What came, and another reader of it.
    AsItCame(Box<VerifiedBundle<S>>, Positioned),
    /// One that was made of it.
    Made(File),
    /// The kept file of the same bundle, which has all that it could have.
    Kept(File),
}

impl Placing<'_> {
    /// The file to install from: another than the source where that may stall, where only a part of it is wanted, or where what
    /// is kept of the same bundle has to be joined with it.
    pub(super) fn content<S: Arriving>(
        &mut self,
        mut bundle: VerifiedBundle<S>,
        again: Option<&KeptFrames>,
    ) -> Result<Content<S>, InstallError> {
        let Self { before: State { host, .. }, judge, ref mut installation, .. } = *self;
        let Installation { manifest, options, ref mut chosen, ref mut available, .. } = *installation;
        if let Some(again) = again.filter(|again| again.is_whole()) {
            // Nothing can be added to it; only a damaged file must not be called installed.
            if !options.partial {
                bundle.source_mut().forget();
                read_unchanged(bundle)?;
            }
            return Ok(Content::Kept(again.file()?));
        }
        if let Some(another) = bundle.source().again().filter(|_| !options.partial && again.is_none()) {
            return Ok(Content::AsItCame(Box::new(bundle), another));
        }
        let mut file = spool::fill(host, bundle.into_source(), manifest)?;
        if let Some(again) = again {
            let (joined, found, report) = again.added_to(host, &file, judge, options.partial)?;
            if options.partial {
                let had = found.kernels.clone().unwrap_or_default();
                spool::leave_out(manifest, &report, &had, chosen)?;
            }
            file = joined;
            *available = found;
        } else if options.partial {
            let (whole, report) = spool::whole_part(host, file, judge)?;
            spool::leave_out(manifest, &report, &BTreeSet::new(), chosen)?;
            available.kernels = Some(report.intact());
            file = whole;
        }
        Ok(Content::Made(file))
    }
}

/// Reads a bundle without writing any of it: a damaged copy must not be called installed.
pub(super) fn read_unchanged(bundle: VerifiedBundle<impl Source>) -> Result<(), InstallError> {
    bundle.read_content(&BTreeSet::new(), Extent::Everything, &mut |_, _| Ok(()))?;
    Ok(())
}
