//! Every byte of a small bundle, every length of it, and every place where something may be put in (A6, B2, D1, D2).

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Cursor, Read};
use std::rc::Rc;

use bundle_format::{BundleError, Extent, KernelId, RawBundle, Source, Stream, TrustedKeys};
use fixtures::forge::{
    BLOCK, Forge, PAYLOAD_TYPE, farm, key_id, public, sign, signatures, signed_message, stranger,
};

fn read(source: impl Source, extent: Extent) -> Result<usize, BundleError> {
    let bundle = RawBundle::read(source)?.verify(&TrustedKeys::any_of([public(&farm())]))?;
    let all: BTreeSet<KernelId> = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    let mut modules = 0;
    bundle.read_content(&all, extent, &mut |_, set| {
        modules += set.modules().count();
        Ok(())
    })?;
    Ok(modules)
}

/// From a pipe, all of it, and from a file, only what is needed; both must refuse.
fn refused(bytes: &[u8]) -> bool {
    let from_file = read(Cursor::new(bytes), Extent::Wanted);
    read(Stream(bytes), Extent::Everything).is_err() && from_file.is_err()
}

/// A bundle with an extra, signed by the farm and by a stranger; where the stranger's entry stands.
fn bundle() -> (Vec<u8>, std::ops::Range<usize>) {
    let mut forge = Forge::good();
    forge.add_extra("sbom.spdx.json", b"{\"spdxVersion\":\"SPDX-2.3\"}");
    let text = forge.text();
    let message = signed_message(PAYLOAD_TYPE, text.as_bytes());
    let mut entries = [farm(), stranger()].map(|key| (key_id(&key), sign(&key, &message)));
    entries.sort_unstable();
    let place = entries.iter().position(|(id, _)| *id == key_id(&stranger())).unwrap();
    let archive = forge.container(text.as_bytes(), signatures(2, &entries));
    let begin = archive.content_at("signatures") + 4 + 96 * place;
    (archive.bytes(), begin..begin + 96)
}

#[test]
fn the_bundle_is_good() {
    let (bytes, _) = bundle();
    assert_eq!(read(Stream(bytes.as_slice()), Extent::Everything).unwrap(), 4);
    assert_eq!(read(Cursor::new(&bytes), Extent::Wanted).unwrap(), 4);
}

#[test]
fn a02_b02_every_flipped_byte_is_refused_but_those_of_an_unknown_signer() {
    let (bytes, unknown) = bundle();
    let extra = bytes.windows(14).rposition(|window| window == b"sbom.spdx.json").unwrap() + BLOCK;
    let mut spoiled = bytes.clone();
    let mut accepted = Vec::new();
    for index in 0..bytes.len() {
        let flip = if index % 2 == 0 { 1 } else { 0x80 };
        spoiled[index] ^= flip;
        let whole = read(Stream(spoiled.as_slice()), Extent::Everything).is_err();
        let part = read(Cursor::new(&spoiled), Extent::Wanted).is_err();
        // What nobody asked for is passed over in a file, and only there.
        let passed_over = (extra..extra + BLOCK).contains(&index);
        assert_eq!(
            whole,
            !unknown.contains(&index) || breaks_the_order(index, &unknown, &spoiled),
            "byte {index}"
        );
        assert!(part == whole || passed_over, "byte {index} of a file");
        if !whole {
            accepted.push(index);
        }
        spoiled[index] ^= flip;
    }
    let signature: Vec<usize> = (unknown.start + 32..unknown.end).collect();
    assert!(
        signature.iter().all(|index| accepted.contains(index)),
        "a stranger's signature is not looked at"
    );
}

/// Whether the key ids are no more ascending after the flip of a byte of the stranger's.
fn breaks_the_order(index: usize, unknown: &std::ops::Range<usize>, bytes: &[u8]) -> bool {
    let first = unknown.start - (unknown.start - 1540) % 96 - if unknown.start > 1540 { 96 } else { 0 };
    let ids = [&bytes[first..first + 32], &bytes[first + 96..first + 128]];
    index < unknown.start + 32 && ids[0] >= ids[1]
}

#[test]
fn d01_every_length_but_the_whole_is_refused() {
    let (bytes, _) = bundle();
    for len in 0..bytes.len() {
        assert!(refused(&bytes[..len]), "cut to {len} bytes");
    }
}

#[test]
fn a06_nothing_can_be_put_in_anywhere() {
    let (bytes, unknown) = bundle();
    for at in (0..=bytes.len()).filter(|at| !unknown.contains(at)) {
        let byte = if at % 2 == 0 { 0 } else { b'x' };
        let mut more = bytes.clone();
        more.insert(at, byte);
        assert!(read(Stream(more.as_slice()), Extent::Everything).is_err(), "a byte {byte} at {at}");
    }
    for at in (0..=bytes.len()).step_by(BLOCK) {
        for fill in [0, b'x'] {
            let mut more = bytes.clone();
            more.splice(at..at, [fill; BLOCK]);
            assert!(refused(&more), "a block of {fill} at {at}");
        }
    }
}

#[test]
fn a06_nothing_can_be_taken_out_anywhere() {
    let (bytes, _) = bundle();
    for at in (0..bytes.len()).step_by(BLOCK) {
        let mut less = bytes.clone();
        less.drain(at..at + BLOCK);
        let subset = read(Stream(less.as_slice()), Extent::Everything);
        assert!(subset.is_err(), "without the block at {at}");
    }
}

#[test]
fn a06_two_bundles_in_one_file_are_refused() {
    let (bytes, _) = bundle();
    assert!(refused(&[bytes.clone(), bytes.clone()].concat()));
    let without_end = &bytes[..bytes.len() - 2 * BLOCK];
    assert!(refused(&[without_end, bytes.as_slice()].concat()));
}

#[test]
fn d06_a_lost_packet_is_noticed_wherever_it_was() {
    let (bytes, unknown) = bundle();
    for len in [1, 53, 1400] {
        for at in (0..bytes.len() - len).step_by(211) {
            let lost = [&bytes[..at], &bytes[at + len..]].concat();
            assert!(refused(&lost), "{len} bytes at {at}");
            let zeroed = [&bytes[..at], &vec![0; len], &bytes[at + len..]].concat();
            let changed = (0..bytes.len()).filter(|index| zeroed[*index] != bytes[*index]);
            let harmless = changed.into_iter().all(|index| unknown.contains(&index));
            assert!(
                harmless || read(Stream(zeroed.as_slice()), Extent::Everything).is_err(),
                "{len} zeros at {at}"
            );
        }
    }
}

/// A source that gives each byte once, and other bytes to whoever comes back.
struct Counterfeit {
    bytes: Vec<u8>,
    at: usize,
    furthest: Rc<RefCell<u64>>,
}

impl Source for Counterfeit {
    fn read_full(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.bytes[self.at.min(self.bytes.len())..]).read(buffer)?;
        // Never again.
        self.bytes[self.at..self.at + read].fill(0x55);
        self.at += read;
        *self.furthest.borrow_mut() += read as u64;
        Ok(read)
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        self.at += usize::try_from(len).unwrap();
        Ok(())
    }

    fn remaining(&mut self) -> io::Result<Option<u64>> {
        Ok((self.bytes.len() as u64).checked_sub(self.at as u64))
    }
}

#[test]
fn d04_no_byte_is_read_twice() {
    for extent in [Extent::Everything, Extent::Wanted] {
        let (bytes, _) = bundle();
        let len = bytes.len() as u64;
        let furthest = Rc::new(RefCell::new(0));
        let source = Counterfeit { bytes, at: 0, furthest: furthest.clone() };
        assert_eq!(read(source, extent).unwrap(), 4);
        assert!(*furthest.borrow() <= len);
    }
}

#[test]
fn d07_a_stream_that_never_ends_is_left_at_the_end_mark() {
    struct Counted<R>(R, Rc<RefCell<u64>>);
    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(buffer)?;
            *self.1.borrow_mut() += read as u64;
            Ok(read)
        }
    }
    let (bytes, _) = bundle();
    let len = bytes.len() as u64;
    for filler in [0, b'x'] {
        let count = Rc::new(RefCell::new(0));
        let endless = Counted(Cursor::new(bytes.clone()).chain(io::repeat(filler)), count.clone());
        let error = read(Stream(endless), Extent::Everything).unwrap_err();
        assert!(matches!(error, BundleError::TrailingBytes { .. }), "{error}");
        assert_eq!(*count.borrow(), len + 1, "read beyond what had to be seen");
    }
    let count = Rc::new(RefCell::new(0));
    let nothing = Counted(io::repeat(0), count.clone());
    assert!(read(Stream(nothing), Extent::Everything).is_err());
    assert_eq!(*count.borrow(), BLOCK as u64);
}
