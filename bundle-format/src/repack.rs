//! What can be taken out of a verified bundle as it stands: an extra, or a subset of the kernels, which needs no private
//! key because the manifest stays the same (`docs/bundle-spec.md`, section 8.5).

use std::collections::BTreeSet;
use std::io::Write;

use crate::check::digest_problem;
use crate::container::member_header;
use crate::error::{BundleError, Part};
use crate::frames::{frame_of_header, needed_by, span_of_all};
use crate::kernel_id::KernelId;
use crate::limits::{BLOCK, END_MARK};
use crate::manifest::{Extra, FrameOf};
use crate::reader::{Present, VerifiedBundle};
use crate::source::{MemberReader, Source};
use crate::writer::MemberWriter;

impl<S: Source> VerifiedBundle<S> {
    /// Writes the extras for which `target` gives a place, in one pass. What was written is good only if this succeeds.
    pub fn copy_extras<W: Write>(
        mut self,
        target: &mut dyn FnMut(&Extra) -> std::io::Result<Option<W>>,
    ) -> Result<(), BundleError> {
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            let place = target(extra).map_err(|error| BundleError::Receiver(Box::new(error)))?;
            let Some(mut place) = place else {
                self.reader.skip(extra.size)?;
                continue;
            };
            let found = self.reader.copy_content(&extra.name, extra.size, &mut place)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, found)?;
            self.reader.padding(&extra.name, extra.size)?;
        }
        Ok(())
    }

    /// Writes a bundle with the same signatures, roots, manifest and extras, and of the frames only those of `wanted` and
    /// what they refer to, each byte for byte.
    ///
    /// Frames that aren't wanted may be damaged or absent: so this also saves what is good in a damaged file.
    pub fn write_subset(
        mut self,
        wanted: &BTreeSet<KernelId>,
        target: &mut dyn Write,
    ) -> Result<Present, BundleError> {
        let mut out = MemberWriter::new(target);
        self.head.write_bundle(&mut out)?;
        for extra in &self.manifest.extras {
            self.reader.header(&extra.name, extra.size)?;
            out.bytes(&member_header(&extra.name, extra.size)?)?;
            let found = self.reader.copy_content(&extra.name, extra.size, &mut out)?;
            digest_problem(Part::Extra, &extra.name, &extra.sha256, found)?;
            self.reader.padding(&extra.name, extra.size)?;
            out.padding(extra.size)?;
        }
        let frames = self.manifest.frames();
        let needed = needed_by(&frames, |of| wanted.contains(&of.kernel.id));
        copy_frames(&mut self.reader, &frames, &needed, &mut out)?;
        out.bytes(&[0; END_MARK])?;
        Ok(Present { present: needed.len(), total: frames.len() })
    }
}

fn copy_frames<S: Source>(
    reader: &mut MemberReader<S>,
    frames: &[FrameOf<'_>],
    needed: &BTreeSet<usize>,
    out: &mut MemberWriter<'_>,
) -> Result<(), BundleError> {
    if reader.remaining()? == Some(span_of_all(frames)) {
        for (index, of) in frames.iter().enumerate() {
            if needed.contains(&index) {
                reader.header(&of.member, of.frame.size)?;
                copy_frame(reader, of, out)?;
            } else {
                reader.skip(BLOCK as u64 + of.frame.size)?;
            }
        }
        return reader.end(0);
    }
    let mut missing = needed.clone();
    let mut next = 0;
    loop {
        let offset = reader.offset();
        let block = reader.block("a frame's header")?;
        if block == [0; BLOCK] {
            break;
        }
        let index = frame_of_header(frames, next, &block, offset)?;
        let Some(of) = frames.get(index) else { break };
        if missing.remove(&index) {
            copy_frame(reader, of, out)?;
        } else {
            reader.skip(of.frame.size)?;
        }
        next = index + 1;
    }
    if let Some(of) = missing.first().and_then(|index| frames.get(*index)) {
        let (release, kernel) = (of.kernel.release.clone(), of.kernel.id);
        return Err(BundleError::AbsentFrame { release, kernel });
    }
    reader.end(BLOCK)
}

/// Copies a frame's content, the header having been read, and compares its digest.
fn copy_frame<S: Source>(
    reader: &mut MemberReader<S>,
    of: &FrameOf<'_>,
    out: &mut MemberWriter<'_>,
) -> Result<(), BundleError> {
    let (name, size) = (of.member.as_str(), of.frame.size);
    out.bytes(&member_header(name, size)?)?;
    let found = reader.copy_content(name, size, out)?;
    digest_problem(Part::Frame, name, &of.frame.sha256, found)?;
    reader.padding(name, size)?;
    out.padding(size)
}

impl Write for MemberWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes(bytes).map_err(std::io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
