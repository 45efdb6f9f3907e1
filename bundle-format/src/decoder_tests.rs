//! What reaches the decoder: row A8 of the attacks. The count is of this thread, and no reader has another.

use std::cell::RefCell;
use std::collections::BTreeSet;

use fixtures::forge::{Forge, farm, stranger};

use crate::{
    BundleError, Depth, Extent, KernelId, PublicKey, RawBundle, Stream, TrustedKeys, VerifiedBundle,
};

thread_local! {
    /// Everything that zstd was given to look at.
    static GIVEN: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Called where bytes are about to be decoded.
pub(crate) fn count(compressed: &[u8]) {
    GIVEN.with_borrow_mut(|given| given.push(compressed.to_vec()));
}

fn given() -> Vec<Vec<u8>> {
    GIVEN.take()
}

/// Reads a bundle in one of the ways in which one is read.
type Way = fn(VerifiedBundle<Stream<&[u8]>>) -> Result<(), BundleError>;

fn everything(bundle: VerifiedBundle<Stream<&[u8]>>) -> Result<(), BundleError> {
    let all = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    content(bundle, &all, Extent::Everything)
}

fn one_kernel(bundle: VerifiedBundle<Stream<&[u8]>>) -> Result<(), BundleError> {
    let last = bundle.manifest().kernels.last().unwrap().id;
    content(bundle, &[last].into(), Extent::Wanted)
}

fn content(
    bundle: VerifiedBundle<Stream<&[u8]>>,
    wanted: &BTreeSet<KernelId>,
    extent: Extent,
) -> Result<(), BundleError> {
    bundle.read_content(wanted, extent, &mut |_, _| Ok(())).map(drop)
}

fn deep_check(bundle: VerifiedBundle<Stream<&[u8]>>) -> Result<(), BundleError> {
    bundle.check(Depth::Modules).map(drop)
}

const WAYS: [Way; 3] = [everything, one_kernel, deep_check];

fn read(bytes: &[u8], way: Way) -> Result<(), BundleError> {
    let key = PublicKey::from_verifying_key(farm().verifying_key()).unwrap();
    way(RawBundle::read(Stream(bytes))?.verify(&TrustedKeys::any_of([key]))?)
}

/// Where each frame lies in the file, as the farm wrote it.
fn frames(forge: &Forge, bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let place = |frame: &Vec<u8>| {
        let at = bytes.windows(frame.len()).position(|window| window == frame.as_slice()).unwrap();
        at..at + frame.len()
    };
    forge.frames.iter().map(place).collect()
}

#[test]
fn a08_of_a_good_bundle_each_way_of_reading_decodes_the_signed_frames() {
    let forge = Forge::good();
    let bytes = forge.sealed().bytes();
    for way in WAYS {
        read(&bytes, way).unwrap();
        assert_eq!(given(), forge.frames);
    }
}

/// A flipped byte anywhere in a frame: the decoder is given none of that frame's bytes.
#[test]
fn a08_not_one_byte_that_is_not_what_was_signed_reaches_the_decoder() {
    let forge = Forge::good();
    let good = forge.sealed().bytes();
    let places = frames(&forge, &good);
    assert_eq!(places.len(), 2);
    for (index, place) in places.into_iter().enumerate() {
        for at in place {
            let mut bytes = good.clone();
            bytes[at] ^= 0x10;
            for way in WAYS {
                // A check tells all that is wrong at its end; what reads content ends there.
                let _ = read(&bytes, way);
                let given = given();
                let unsigned: usize =
                    given.iter().filter(|bytes| !forge.frames.contains(bytes)).map(Vec::len).sum();
                assert_eq!(unsigned, 0, "byte {at} of frame {index}");
                assert!(!given.contains(&forge.frames[index]), "byte {at}: frame {index} isn't in this file");
            }
        }
    }
}

/// Nor does anything of a bundle that no trusted key signed, whatever its digests say.
#[test]
fn a08_nothing_of_a_bundle_by_a_stranger_reaches_the_decoder() {
    let bytes = Forge::good().sealed().bytes();
    let stranger = PublicKey::from_verifying_key(stranger().verifying_key()).unwrap();
    let raw = RawBundle::read(Stream(bytes.as_slice())).unwrap();
    raw.verify(&TrustedKeys::any_of([stranger])).unwrap_err();
    assert!(given().is_empty());
}
