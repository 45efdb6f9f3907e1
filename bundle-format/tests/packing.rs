//! Packing: the same bytes on any number of threads, memory that doesn't grow, frames copied from an older bundle.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]

#[expect(dead_code, reason = "each test crate uses some of it")]
mod support;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bundle_format::{
    BundleDraft, BundleError, Digest, Extent, FramePacked, KernelDraft, KernelId, ModuleBytes, ModuleDraft,
    Packing, RawBundle, Source, TrustedKeys, UnsignedBundle, VerifiedBundle, limits,
};
use ed25519_dalek::Signer;
use support::{draft, kernel, key_pair, script};

const KEY: [u8; 32] = [7; 32];

/// What can't be compressed, another for each seed.
fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

/// A module's body in release `number` of a family: noise, changed in one byte of a thousand.
fn body_of(family: u32, script: u32, number: u32) -> Vec<u8> {
    let mut body = noise(30_000, family * 100 + script);
    for at in (0..body.len()).step_by(1000) {
        body[at] ^= number.to_le_bytes()[0];
    }
    body
}

/// A module that counts how often it is read.
#[derive(Debug)]
struct Counted {
    body: Vec<u8>,
    reads: Arc<AtomicUsize>,
}

impl ModuleBytes for Counted {
    fn read(&self) -> io::Result<Vec<u8>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        Ok(self.body.clone())
    }
}

/// Releases `FAMILY.0.NUMBER`, each with the modules `alpha` and `beta`; and what counts the reads of modules.
fn fleet(releases: &[(u32, u32)]) -> (BundleDraft, Arc<AtomicUsize>) {
    let reads = Arc::new(AtomicUsize::new(0));
    let module = |name: &str, body: Vec<u8>| {
        let mut module = ModuleDraft::of_bytes(name.parse().unwrap(), body.clone());
        module.bytes = Arc::new(Counted { body, reads: Arc::clone(&reads) });
        module
    };
    let kernels: Vec<KernelDraft> = releases
        .iter()
        .map(|(family, number)| {
            let modules = [("alpha", 1), ("beta", 2)];
            let modules = modules.map(|(name, script)| module(name, body_of(*family, script, *number)));
            kernel(&format!("{family}.0.{number}"), modules.into())
        })
        .collect();
    (draft(vec![script("alpha"), script("beta")], kernels), reads)
}

/// Two families side by side, as two architectures or flavours are.
fn interleaved(count: u32) -> Vec<(u32, u32)> {
    (0..count).flat_map(|number| [(5, number), (6, number)]).collect()
}

fn threads(count: usize) -> Packing<'static> {
    Packing::default().threads(NonZeroUsize::new(count).unwrap())
}

type Memory = Cursor<Vec<u8>>;

fn pack(
    draft: &BundleDraft,
    packing: Packing<'_>,
) -> Result<(UnsignedBundle<Memory>, Vec<FramePacked>), BundleError> {
    let mut packed = Vec::new();
    let unsigned = draft.pack_with(packing, Cursor::new(Vec::new()), &mut |frame| packed.push(frame))?;
    Ok((unsigned, packed))
}

fn signed(unsigned: UnsignedBundle<Memory>) -> Vec<u8> {
    let (secret, public) = key_pair(&KEY);
    let signature = secret.sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public, signature)]).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> VerifiedBundle<Cursor<&[u8]>> {
    let trusted = TrustedKeys::any_of([key_pair(&KEY).1]);
    RawBundle::read(Cursor::new(bytes)).unwrap().verify(&trusted).unwrap()
}

/// All modules by release and name.
fn content(bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let bundle = open(bytes);
    let all: BTreeSet<KernelId> = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    let mut content = BTreeMap::new();
    bundle
        .read_content(&all, Extent::Everything, &mut |kernel, set| {
            for module in set.modules() {
                content.insert(format!("{}/{}", kernel.release, module.record.name), module.bytes.to_vec());
            }
            Ok(())
        })
        .unwrap();
    content
}

#[test]
fn the_number_of_threads_does_not_change_the_bytes() {
    let (draft, _) = fleet(&interleaved(6));
    let with = |count| {
        let (unsigned, packed) = pack(&draft, threads(count)).unwrap();
        let done: Vec<usize> = packed.iter().map(|frame| frame.done).collect();
        assert_eq!(done, (1..=12).collect::<Vec<_>>(), "{count} threads");
        (unsigned.id(), signed(unsigned))
    };
    let one = with(1);
    assert_eq!(content(&one.1).len(), 24);
    for count in [2, 5] {
        assert!(with(count) == one, "{count} threads");
    }
}

#[test]
fn each_family_has_one_frame_that_stands_alone() {
    let (draft, _) = fleet(&interleaved(4));
    let (unsigned, _) = pack(&draft, threads(2)).unwrap();
    let references: Vec<_> = unsigned.manifest().frames().iter().map(|of| of.frame.reference).collect();
    // Natural order: 5.0.0 to 5.0.3, then 6.0.0 to 6.0.3.
    assert_eq!(references, [None, Some(0), Some(0), Some(0), None, Some(4), Some(4), Some(4)]);
}

/// Counts the bytes that are read from it, and not those that are passed over.
struct Counting<'b> {
    bytes: Cursor<&'b [u8]>,
    read: &'b Cell<u64>,
}

impl Source for Counting<'_> {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read_full(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        self.bytes.skip(len)
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        self.bytes.remaining()
    }
}

#[test]
fn one_kernel_of_many_needs_the_manifest_and_two_frames() {
    let bytes = signed(pack(&fleet(&interleaved(30)).0, threads(2)).unwrap().0);
    let read = Cell::new(0);
    let trusted = TrustedKeys::any_of([key_pair(&KEY).1]);
    let raw = RawBundle::read(Counting { bytes: Cursor::new(&bytes), read: &read }).unwrap();
    let bundle = raw.verify(&trusted).unwrap();
    let before = read.get();
    let frames =
        bundle.manifest().frames().iter().map(|of| (of.kernel.id, of.frame.clone())).collect::<Vec<_>>();
    for (id, frame) in [&frames[0], &frames[29], &frames[59]] {
        read.set(0);
        let raw = RawBundle::read(Counting { bytes: Cursor::new(&bytes), read: &read }).unwrap();
        let wanted = BTreeSet::from([*id]);
        raw.verify(&trusted).unwrap().read_content(&wanted, Extent::Wanted, &mut |_, _| Ok(())).unwrap();
        let needed = [Some(frame.index), frame.reference].into_iter().flatten();
        let needed: u64 = needed.map(|index| 512 + frames[index].1.size.next_multiple_of(512)).sum();
        // And the end mark.
        assert_eq!(read.get(), before + needed + 1024, "frame {}", frame.index);
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_kernels() {
    for count in [1, 2] {
        let (draft, reads) = fleet(&interleaved(30));
        let ahead = Cell::new(0);
        draft
            .pack_with(threads(count), Cursor::new(Vec::new()), &mut |frame| {
                // Two modules a kernel.
                let read = reads.load(Ordering::SeqCst).div_ceil(2);
                ahead.set(ahead.get().max(read - (frame.done - 1)));
            })
            .unwrap();
        assert_eq!(reads.load(Ordering::SeqCst), 120, "each module is read once");
        assert!(ahead.get() <= 2 * count, "{} frames at once with {count} threads", ahead.get());
    }
}

#[test]
fn the_first_spoiled_module_is_named_on_any_number_of_threads() {
    let releases = interleaved(4);
    for count in [1, 2, 5] {
        let (mut draft, _) = fleet(&releases);
        for position in [6, 3, 5] {
            draft.kernels[position].modules[1].bytes = Arc::new(noise(10, position.try_into().unwrap()));
        }
        let mut packed = Vec::new();
        let error = draft
            .pack_with(threads(count), Cursor::new(Vec::new()), &mut |frame| packed.push(frame.done))
            .unwrap_err();
        // Kernel 6 is 5.0.3, the fourth in order; 3 and 5 are of the second family.
        assert!(
            matches!(&error, BundleError::Digest { found, .. } if *found == Digest::of(&noise(10, 6))),
            "{error}"
        );
        assert_eq!(packed, [1, 2, 3], "{count} threads");
    }
}

#[test]
fn packing_stops_when_it_is_told() {
    let (draft, reads) = fleet(&interleaved(30));
    let done = Cell::new(0);
    let stop = || done.get() >= 3;
    let error = draft
        .pack_with(threads(2).cancelled(&stop), Cursor::new(Vec::new()), &mut |frame| done.set(frame.done))
        .unwrap_err();
    assert!(matches!(error, BundleError::Cancelled), "{error}");
    assert!(reads.load(Ordering::SeqCst) < 60, "{reads:?} of 120 modules were read");
}

#[test]
fn unchanged_frames_are_copied_byte_for_byte() {
    let (old, _) = fleet(&[(5, 1), (5, 3), (6, 1), (6, 2)]);
    let old = signed(pack(&old, threads(1)).unwrap().0);
    // 5.0.3 is gone; 5.0.0 is new, and would come first without the older bundle.
    let (new, reads) = fleet(&[(5, 0), (5, 1), (6, 1), (6, 2)]);
    let (unsigned, packed) = pack(&new, threads(2).reuse(open(&old))).unwrap();
    assert_eq!(reads.load(Ordering::SeqCst), 2, "only the new kernel's modules are read");
    let copied: Vec<bool> = packed.iter().map(|frame| frame.copied).collect();
    assert_eq!(copied, [true, true, true, false]);
    assert_eq!(packed[3].reference, Some(0), "the new one refers to the copied 5.0.1");
    let manifest = unsigned.manifest().clone();
    let new_bytes = signed(unsigned);
    let old_frames: Vec<Digest> = open(&old).manifest().frames().iter().map(|of| of.frame.sha256).collect();
    let new_frames: Vec<Digest> = manifest.frames().iter().map(|of| of.frame.sha256).collect();
    assert_eq!(new_frames[..3], [old_frames[0], old_frames[2], old_frames[3]]);
    // The same content as without, and the same bytes however often.
    let (without, _) = pack(&new, threads(1)).unwrap();
    assert_eq!(without.manifest().content, manifest.content);
    assert_eq!(content(&signed(without)), content(&new_bytes));
    for count in [1, 5] {
        let (again, _) = pack(&new, threads(count).reuse(open(&old))).unwrap();
        assert!(signed(again) == new_bytes, "{count} threads");
    }
}

#[test]
fn a_frame_whose_reference_is_gone_is_made_anew() {
    let (old, _) = fleet(&[(5, 1), (5, 2), (5, 3)]);
    let old = signed(pack(&old, threads(1)).unwrap().0);
    let (new, _) = fleet(&[(5, 2), (5, 3)]);
    let (unsigned, packed) = pack(&new, threads(1).reuse(open(&old))).unwrap();
    assert!(packed.iter().all(|frame| !frame.copied));
    let (without, _) = pack(&new, threads(1)).unwrap();
    assert!(signed(unsigned) == signed(without));
}

#[test]
fn nothing_is_copied_where_a_module_changed() {
    let (old, _) = fleet(&[(5, 1)]);
    let old = signed(pack(&old, threads(1)).unwrap().0);
    let (mut new, _) = fleet(&[(5, 1)]);
    new.kernels[0].modules[0] = ModuleDraft::of_bytes("alpha".parse().unwrap(), noise(30_000, 9));
    let (unsigned, packed) = pack(&new, threads(1).reuse(open(&old))).unwrap();
    assert!(!packed[0].copied);
    assert_eq!(content(&signed(unsigned))["5.0.1/alpha"], noise(30_000, 9));
}

#[test]
fn a_subset_gives_what_it_has() {
    let (old, _) = fleet(&[(5, 1), (5, 2), (6, 1)]);
    let mut old = signed(pack(&old, threads(1)).unwrap().0);
    // Its last frame is cut out, as `subset` does.
    let span = 512 + open(&old).manifest().frames()[2].frame.size.next_multiple_of(512);
    let end = old.len() - 1024;
    old.drain(end - usize::try_from(span).unwrap()..end);
    let (new, _) = fleet(&[(5, 1), (5, 2), (6, 1)]);
    let (unsigned, packed) = pack(&new, threads(1).reuse(open(&old))).unwrap();
    assert_eq!(packed.iter().map(|frame| frame.copied).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(content(&signed(unsigned)).len(), 6);
}

#[test]
fn a_damaged_frame_of_the_older_bundle_is_not_copied() {
    let (draft, _) = fleet(&[(5, 1), (5, 2)]);
    let mut old = signed(pack(&draft, threads(1)).unwrap().0);
    // In the middle of the first frame, which is nearly all of the file.
    let at = old.len() / 2;
    old[at] ^= 1;
    let error = pack(&draft, threads(1).reuse(open(&old))).unwrap_err();
    let BundleError::OldBundle(cause) = error else { panic!("{error}") };
    assert!(matches!(*cause, BundleError::Digest { .. }), "{cause}");
}

/// Kernels of two frames each: what is at the border of a frame's limit, and a little beside.
#[test]
fn kernels_of_several_frames_refer_part_to_part() {
    let names: Vec<String> = (0..5).map(|index| format!("big_{index}")).collect();
    let kernels = [1, 2].map(|number: u8| {
        let modules = names.iter().zip(1..).map(|(name, salt): (&String, u8)| {
            let mut body = vec![salt; 8 << 20];
            body[0] = number;
            ModuleDraft::of_bytes(name.parse().unwrap(), body)
        });
        kernel(&format!("5.0.{number}"), modules.collect())
    });
    let draft = draft(names.iter().map(|name| script(name)).collect(), kernels.into());
    let (unsigned, _) = pack(&draft, threads(2)).unwrap();
    let frames = unsigned.manifest().frames();
    let releases: Vec<String> = frames.iter().map(|of| of.kernel.release.to_string()).collect();
    assert_eq!(releases, ["5.0.1", "5.0.2", "5.0.1", "5.0.2"]);
    assert!(frames.iter().all(|of| of.frame.plain_size <= limits::MAX_PLAIN_FRAME));
    assert_eq!(content(&signed(unsigned)).len(), 10);
}
