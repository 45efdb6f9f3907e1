//! The members between manifest and frames: passed over, checked, or taken out.

use std::collections::BTreeMap;
use std::io::Write;

use crate::container::Source;
use crate::document::{BundleError, Extra, Part, digest_problem};
use crate::limits::MAX_CERTIFICATE;
use crate::names::{Digest, SOURCES_NAME};
use crate::read::sources::{Sources, check_packed_size, read_sources};
use crate::read::verified::VerifiedBundle;

impl<S: Source> VerifiedBundle<S> {
    pub(crate) fn pass_extras(&mut self) -> Result<(), BundleError> {
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            self.reader.skip(&extra.name, extra.size)?;
        }
        Ok(())
    }

    /// Hashes all of them; also looks into the scripts if [`Self::checking_sources`] asked for it.
    pub(crate) fn check_extras(&mut self) -> Result<(), BundleError> {
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            if self.with_sources && extra.name == SOURCES_NAME {
                check_packed_size(extra.size)?;
                let packed = self.reader.body(&extra.name, extra.size)?;
                digest_problem(Part::Extra, &extra.name, &extra.sha256, Digest::of(&packed))?;
                read_sources(&packed, &self.manifest)?;
                continue;
            }
            let found = self.reader.hash_body(&extra.name, extra.size)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, found)?;
        }
        Ok(())
    }

    /// The scripts that travel with the bundle; `None` if it carries none. No frame is read.
    pub fn sources(mut self) -> Result<Option<Sources>, BundleError> {
        let Some(extra) = self.manifest.extras.iter().find(|extra| extra.name == SOURCES_NAME) else {
            return Ok(None);
        };
        check_packed_size(extra.size)?;
        let expected = extra.sha256;
        let mut packed = Vec::new();
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            if extra.name != SOURCES_NAME {
                self.reader.skip(&extra.name, extra.size)?;
                continue;
            }
            packed = self.reader.body(&extra.name, extra.size)?;
            break;
        }
        digest_problem(Part::Extra, SOURCES_NAME, &expected, Digest::of(&packed))?;
        read_sources(&packed, &self.manifest).map(Some)
    }

    /// The certificates of the keys that signed modules, by their digests. The other extras are passed over, so what can be
    /// done afterwards is [`Self::read_content`] for wanted kernels.
    pub fn take_module_certificates(&mut self) -> Result<BTreeMap<Digest, Vec<u8>>, BundleError> {
        let mut certificates = BTreeMap::new();
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            if extra.is_module_certificate() && extra.size <= MAX_CERTIFICATE {
                let der = self.reader.body(&extra.name, extra.size)?;
                digest_problem(Part::Extra, &extra.name, &extra.sha256, Digest::of(&der))?;
                certificates.insert(extra.sha256, der);
            } else {
                self.reader.skip(&extra.name, extra.size)?;
            }
        }
        self.extras_passed = true;
        Ok(certificates)
    }

    /// All extras, as they are. No frame is read.
    pub fn extras(mut self) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
        let mut extras = Vec::new();
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            let bytes = self.reader.body(&extra.name, extra.size)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, Digest::of(&bytes))?;
            extras.push((extra.name.clone(), bytes));
        }
        Ok(extras)
    }

    /// Writes the extras for which `target` gives a place, in one pass. What was written is good only if this succeeds.
    pub fn copy_extras<W: Write>(
        mut self,
        target: &mut dyn FnMut(&Extra) -> std::io::Result<Option<W>>,
    ) -> Result<(), BundleError> {
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            let place = target(extra).map_err(|error| BundleError::Receiver(Box::new(error)))?;
            let Some(mut place) = place else {
                self.reader.skip(&extra.name, extra.size)?;
                continue;
            };
            let found = self.reader.copy_content(&extra.name, extra.size, &mut place)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, found)?;
            self.reader.padding(&extra.name, extra.size)?;
        }
        Ok(())
    }
}
