//! The test vectors of sections 14 and 18.2 beyond the first bundle: its frames in hexadecimal digits, a bundle with roots,
//! two signers and an extra, a subset of that one, a delta of the first bundle, and a part's header. All are read from the page.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::collections::BTreeSet;
use std::io::{Cursor, Seek, Write};

use bundle_format::{
    BaseFile, BundleError, BundleId, Digest, Extent, KernelId, NoBases, Packing, PartHeader, Present,
    PublicKey, RawBundle, RootDocument, RootsFile, Stream, TrustedKeys,
};
use ed25519_dalek::{Signer as _, SigningKey};
use support::{body, code_block, draft, kernel, key_pair, module, script};

const GOLDEN: &[u8] = include_bytes!("../../fixtures/golden/format-1.stapb");
const ROOTS: &[u8] = include_bytes!("../../fixtures/golden/format-1-roots.stapb");
const SUBSET: &[u8] = include_bytes!("../../fixtures/golden/format-1-subset.stapb");
const DELTA: &[u8] = include_bytes!("../../fixtures/golden/format-1-delta.stapb");
const NOTE: &[u8] = b"TEST ONLY\n";

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The test keys of a block: lines `secret`, `public`, `key id`.
fn keys_of(block: &str) -> (SigningKey, PublicKey) {
    let block = code_block(block);
    let value =
        |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let (secret, public) = key_pair(&from_hex(&value("secret")).try_into().unwrap());
    assert_eq!(from_hex(&value("public")), public.as_bytes());
    assert_eq!(value("key id"), public.id().to_string());
    (secret, public)
}

fn both() -> [(SigningKey, PublicKey); 2] {
    [keys_of("vector: key"), keys_of("vector: second key")]
}

/// Two roots: the first lists the first key, the second both, and asks for both.
fn roots() -> RootsFile {
    let [(first, first_public), (second, second_public)] = both();
    let document =
        RootDocument::first("golden".parse().unwrap(), vec![first_public.clone()], 1, 1_735_689_600);
    let mut file = RootsFile::create(document).unwrap();
    let message = file.pending().unwrap().message();
    assert!(file.attach(&first_public, first.sign(&message).to_bytes()).unwrap());
    let keys = vec![first_public.clone(), second_public.clone()];
    let wanted = RootDocument::first("golden".parse().unwrap(), keys, 2, 1_735_689_600);
    let next = RootDocument { keys: wanted.keys, threshold: 2, ..file.next().unwrap() };
    file.change(next).unwrap();
    let message = file.pending().unwrap().message();
    file.attach(&first_public, first.sign(&message).to_bytes()).unwrap();
    assert!(file.attach(&second_public, second.sign(&message).to_bytes()).unwrap());
    file
}

fn written() -> Vec<u8> {
    let kernels = vec![
        kernel("6.12.9-test", vec![module("alpha", body(1000, 1))]),
        kernel("6.12.10-test", vec![module("alpha", body(1000, 3))]),
    ];
    let mut draft = draft(vec![script("alpha")], kernels);
    draft.version = "1.1".parse().unwrap();
    draft.serial += 1;
    draft.roots = Some(roots().complete().unwrap());
    let unsigned = draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let unsigned = unsigned.with_extras(vec![("note.txt".to_owned(), NOTE.to_vec())]).unwrap();
    let message = unsigned.message();
    let signatures = both().map(|(secret, public)| (public, secret.sign(&message).to_bytes()));
    let mut bytes = Vec::new();
    unsigned.attach(&signatures).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn pinned() -> TrustedKeys {
    TrustedKeys::any_of([keys_of("vector: key").1])
}

fn kernel_called(release: &str) -> KernelId {
    let bundle = RawBundle::read(Stream(ROOTS)).unwrap().verify(&pinned()).unwrap();
    let kernel = bundle.manifest().kernels.iter().find(|kernel| kernel.release.as_str() == release);
    kernel.unwrap().id
}

fn subset() -> (Vec<u8>, Present) {
    let bundle = RawBundle::read(Stream(ROOTS)).unwrap().verify(&pinned()).unwrap();
    let mut bytes = Vec::new();
    let wanted = BTreeSet::from([kernel_called("6.12.9-test")]);
    let present = bundle.write_subset(&wanted, &mut bytes).unwrap();
    (bytes, present)
}

/// The first vector, as a file that a delta may be made of and decoded with.
fn base() -> BaseFile {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(GOLDEN).unwrap();
    file.rewind().unwrap();
    BaseFile::open(RawBundle::read(file).unwrap().verify(&pinned()).unwrap()).unwrap()
}

/// One module of the first vector as it was, one with another byte, and without its other script.
fn delta() -> Vec<u8> {
    let mut changed = body(1000, 3);
    changed[500] ^= 1;
    let kernels = vec![
        kernel("6.12.9-test", vec![module("alpha", body(1000, 1))]),
        kernel("6.12.10-test", vec![module("alpha", changed)]),
    ];
    let mut draft = draft(vec![script("alpha")], kernels);
    draft.version = "1.2".parse().unwrap();
    draft.serial += 2;
    let packing = Packing::default().delta_from(base());
    let unsigned = draft.pack_with(packing, Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let (secret, public) = keys_of("vector: key");
    let signature = secret.sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public, signature)]).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

/// Reads one kernel of a bundle from front to back; the number of its modules.
fn read_kernel(bytes: &[u8], release: &str) -> Result<usize, BundleError> {
    let mut modules = 0;
    let bundle = RawBundle::read(Stream(bytes))?.verify(&pinned())?;
    bundle.read_content(&BTreeSet::from([kernel_called(release)]), Extent::Everything, &mut |_, set| {
        modules += set.modules().count();
        Ok(())
    })?;
    Ok(modules)
}

#[test]
fn the_frames_of_the_first_vector_are_the_stated_bytes() {
    let bundle = RawBundle::read(Stream(GOLDEN)).unwrap().verify(&pinned()).unwrap();
    for of in bundle.manifest().frames() {
        let stated = from_hex(&code_block(&format!("vector: frame {}", of.frame.index)));
        assert_eq!(stated.len() as u64, of.frame.size);
        assert_eq!(Digest::of(&stated), of.frame.sha256);
        assert!(GOLDEN.windows(stated.len()).any(|window| window == stated));
    }
}

#[test]
fn the_writer_still_writes_the_second_vector() {
    assert!(written() == ROOTS, "other bytes than those of zstd 1.5.7: was zstd or the writer changed?");
    assert!(subset().0 == SUBSET);
}

#[test]
fn the_writer_still_writes_the_delta_of_the_vectors() {
    assert!(delta() == DELTA, "other bytes than those of zstd 1.5.7: was zstd or the writer changed?");
}

#[test]
fn the_delta_of_the_vectors_is_the_stated_one_and_needs_its_base() {
    let digests = code_block("vector: delta digests");
    let bundle = || RawBundle::read(Stream(DELTA)).unwrap().verify(&pinned()).unwrap();
    let manifest = bundle().manifest().clone();
    let from = manifest.from.clone().unwrap();
    for line in [
        format!("file       {} bytes  {}", DELTA.len(), Digest::of(DELTA)),
        format!("bundle id  {}", bundle().id()),
        format!("from       {}", from.id),
    ] {
        assert!(digests.contains(&line), "{line}");
    }
    assert_eq!(from, base().bundle());
    let of_base = base().manifest().clone();
    let plains = of_base.frames();
    let stated = code_block("vector: delta bases");
    for of in manifest.frames() {
        let base = of.frame.base.unwrap();
        let there = plains.iter().find(|one| one.frame.plain_sha256 == base).unwrap();
        let line = format!("frame {}  refers to frame {} of it, {base}\n", of.frame.index, there.frame.index);
        assert!(stated.contains(&line), "{line}");
        let content = from_hex(&code_block(&format!("vector: delta frame {}", of.frame.index)));
        assert_eq!(Digest::of(&content), of.frame.sha256);
    }
    let all: BTreeSet<KernelId> = manifest.kernels.iter().map(|kernel| kernel.id).collect();
    let mut bodies = Vec::new();
    let read = bundle().read_content_with(&all, Extent::Everything, &mut base(), &mut |_, set| {
        bodies.extend(set.modules().map(|module| module.bytes.to_vec()));
        Ok(())
    });
    read.unwrap();
    let mut changed = body(1000, 3);
    changed[500] ^= 1;
    assert_eq!(bodies, [body(1000, 1), changed]);
    let alone = bundle().read_content_with(&all, Extent::Everything, &mut NoBases, &mut |_, _| Ok(()));
    assert!(matches!(alone.unwrap_err(), BundleError::BaseAbsent { .. }));
}

#[test]
fn the_second_vector_and_its_subset_are_the_stated_ones() {
    let digests = code_block("vector: roots digests");
    let bundle = RawBundle::read(Stream(ROOTS)).unwrap().verify(&pinned()).unwrap();
    let roots = roots().complete().unwrap().to_bytes().unwrap();
    for line in [
        format!("file       {} bytes  {}", ROOTS.len(), Digest::of(ROOTS)),
        format!("subset     {} bytes  {}", SUBSET.len(), Digest::of(SUBSET)),
        format!("roots       {} bytes  {}", roots.len(), Digest::of(&roots)),
        format!("bundle id  {}", bundle.id()),
    ] {
        assert!(digests.contains(&line), "{line}");
    }
    let ids = both().map(|(_, public)| public.id());
    let mut sorted = ids;
    sorted.sort();
    assert_eq!(bundle.signers(), sorted);
    assert_eq!(bundle.judge().root().map(bundle_format::Root::version), Some(2));
    assert_eq!(
        &SUBSET[..ROOTS.len().min(4608)],
        &ROOTS[..4608],
        "signatures and roots are those of the whole"
    );
    for (file, release, modules) in
        [(ROOTS, "6.12.9-test", 1), (ROOTS, "6.12.10-test", 1), (SUBSET, "6.12.9-test", 1)]
    {
        assert_eq!(read_kernel(file, release).unwrap(), modules);
    }
    let absent = read_kernel(SUBSET, "6.12.10-test").unwrap_err();
    assert!(matches!(absent, BundleError::AbsentFrame { .. }), "{absent}");
}

#[test]
fn the_parts_header_of_the_vector_is_the_stated_one() {
    let stated = from_hex(&code_block("vector: part"));
    let bundle = RawBundle::read(Stream(GOLDEN)).unwrap().claimed_id();
    let piece = &GOLDEN[8192..];
    let header = PartHeader {
        bundle: BundleId::from_bytes(*bundle.as_bytes()),
        index: 1,
        count: 2,
        offset: 8192,
        length: piece.len() as u64,
        sha256: Digest::of(piece),
    };
    let bytes = header.to_bytes();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    assert_eq!(stated, bytes[..end]);
    assert_eq!(PartHeader::from_bytes(&bytes).unwrap(), header);
}
