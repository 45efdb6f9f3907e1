//! Members around 2, 4 and 8 GiB (A10): made of nothing, so that they cost no disk. Those that hash them all take
//! minutes and are run by `make test-long`.

#![expect(clippy::unwrap_used, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use bundle_format::{
    BundleError, Digest, Extent, HashingWriter, KernelId, Present, RawBundle, Source, Stream, TrustedKeys,
};
use fixtures::forge::{Archive, BLOCK, Forge, Member, farm, header, public};

/// Sizes at which a number of 31, 32 or 33 bits ends.
const SIZES: [u64; 5] = [(1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 33) - 1];

/// The last byte of the large member; the others are zero.
const LAST: u8 = 0xa5;

/// A bundle whose extra has `size` bytes: what stands before the extra's content, and what behind it.
fn around(size: u64, sha256: Digest) -> (Vec<u8>, Vec<u8>) {
    let mut forge = Forge::good();
    forge.add_extra("sources.tar.zst", b"");
    forge.manifest.extras[0].size = size;
    forge.manifest.extras[0].sha256 = sha256;
    let mut sealed = forge.sealed();
    let frames = sealed.members.split_off(5);
    sealed.members.pop();
    sealed.end.clear();
    let before = [sealed.bytes(), header("sources.tar.zst", size).to_vec()].concat();
    let padding = vec![0; usize::try_from(size.next_multiple_of(BLOCK as u64) - size).unwrap()];
    (before, [padding, Archive::of(frames).bytes()].concat())
}

/// Zeros, and one byte at their end.
fn large(size: u64, last: u8) -> impl Read {
    io::repeat(0).take(size - 1).chain(io::Cursor::new([last]))
}

fn digest(size: u64) -> Digest {
    let mut hash = HashingWriter::new(io::sink());
    io::copy(&mut io::BufReader::with_capacity(1 << 20, large(size, LAST)), &mut hash).unwrap();
    hash.finish().1
}

fn read(source: impl Source, extent: Extent) -> Result<Present, BundleError> {
    let bundle = RawBundle::read(source)?.verify(&TrustedKeys::any_of([public(&farm())]))?;
    let all: BTreeSet<KernelId> = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    bundle.read_content(&all, extent, &mut |_, _| Ok(()))
}

/// The bundle as a file with a hole.
fn sparse(size: u64, sha256: Digest) -> File {
    let (before, after) = around(size, sha256);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&before).unwrap();
    file.seek(SeekFrom::Current(i64::try_from(size - 1).unwrap())).unwrap();
    file.write_all(&[LAST]).unwrap();
    file.write_all(&after).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a10_what_stands_behind_a_large_member_is_found_in_a_file() {
    for size in SIZES {
        let present = read(sparse(size, Digest::of(b"not looked at")), Extent::Wanted).unwrap();
        assert_eq!((present.present, present.total), (2, 2), "{size}");
        // One byte less than declared: nothing behind it is where it should be.
        let file = sparse(size, Digest::of(b""));
        let (before, _) = around(size, Digest::of(b""));
        let len = file.metadata().unwrap().len();
        file.set_len(len - 1).unwrap();
        assert!(read(file, Extent::Wanted).is_err(), "{size}");
        let file = sparse(size, Digest::of(b""));
        file.set_len(before.len() as u64 + size).unwrap();
        assert!(matches!(read(file, Extent::Wanted), Err(BundleError::Truncated { .. })), "{size}");
    }
}

#[test]
fn a10_a_member_of_8_gib_is_refused_before_it_is_looked_for() {
    for size in [1 << 33, (1 << 33) + 1, 1 << 40, (1 << 63) - 1] {
        let mut forge = Forge::good();
        forge.add_extra("sources.tar.zst", b"x");
        forge.manifest.extras[0].size = size;
        let bytes = forge.sealed().bytes();
        let error = read(Stream(bytes.as_slice()), Extent::Everything).unwrap_err().to_string();
        assert!(error.contains(&format!("has {size} bytes")), "{error}");
    }
}

#[test]
fn a10_headers_hold_their_sizes() {
    for size in SIZES {
        let member = Member::new("x", []).with_size_field(format!("{size:011o}\0").as_bytes());
        let read = std::str::from_utf8(&member.header[124..135]).unwrap().to_owned();
        assert_eq!(u64::from_str_radix(&read, 8).unwrap(), size);
        assert_eq!(member.header, header("x", size));
    }
}

#[test]
#[ignore = "hashes 45 GiB of zeros: make test-long"]
fn a10_every_byte_of_a_large_member_counts() {
    for size in SIZES {
        let sha256 = digest(size);
        let (before, after) = around(size, sha256);
        let stream = |last| {
            let all = before.as_slice().chain(large(size, last)).chain(after.as_slice());
            Stream(io::BufReader::with_capacity(1 << 20, all))
        };
        let present = read(stream(LAST), Extent::Everything).unwrap();
        assert_eq!(present.present, 2, "{size}");
        let error = read(stream(LAST ^ 1), Extent::Everything).unwrap_err();
        assert!(matches!(error, BundleError::Digest { .. }), "{size}: {error}");
    }
}
