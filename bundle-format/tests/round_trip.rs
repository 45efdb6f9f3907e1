//! A bundle made in memory, read back, and spoiled in every way that takes one line to say.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;

use bundle_format::{
    BundleDraft, BundleError, ContainerError, Digest, Extent, KernelDraft, KernelId, ModuleDraft, PublicKey,
    RawBundle, RedCell, ScriptRecord, Stream, Toolchain, TrustedKeys,
};
use ed25519_dalek::{Signer, SigningKey};

fn key(seed: u8) -> (SigningKey, PublicKey) {
    let secret = SigningKey::from_bytes(&[seed; 32]);
    let public = PublicKey::from_verifying_key(secret.verifying_key()).unwrap();
    (secret, public)
}

fn script(name: &str, requires: &[&str]) -> ScriptRecord {
    ScriptRecord {
        name: name.parse().unwrap(),
        source_sha256: Digest::of(name.as_bytes()),
        options: String::new(),
        compile: Vec::new(),
        arguments: Vec::new(),
        run: vec!["-L".to_owned()],
        opts_line: "--".to_owned(),
        requires: requires.iter().map(|name| name.parse().unwrap()).collect(),
        users: Vec::new(),
    }
}

fn module(name: &str, bytes: Vec<u8>) -> ModuleDraft {
    ModuleDraft::of_bytes(name.parse().unwrap(), bytes)
}

fn kernel(release: &str, seed: u8) -> KernelDraft {
    let body = |salt: u8| -> Vec<u8> { (0..3000u32).map(|i| ((i * i) >> 3) as u8 ^ salt).collect() };
    KernelDraft {
        release: release.parse().unwrap(),
        machine: "x86_64".parse().unwrap(),
        uname_v: Some("#1 SMP test".to_owned()),
        symvers_sha256: Some(Digest::of(&[seed])),
        config_sha256: None,
        compiler: None,
        vermagic: Some(format!("{release} SMP mod_unload ")),
        toolchain: 0,
        modules: vec![module("beta", body(seed)), module("alpha", body(7))],
        red: vec![RedCell { script: "gamma".parse().unwrap(), reason: "no such probe".to_owned() }],
    }
}

fn draft() -> BundleDraft {
    BundleDraft {
        name: "test".parse().unwrap(),
        version: "1".parse().unwrap(),
        serial: 1,
        created: 1,
        best_before: None,
        roots: None,
        scripts: vec![script("gamma", &["beta"]), script("alpha", &[]), script("beta", &["alpha"])],
        toolchains: vec![Toolchain { stap: "5.6".into(), compiler: "gcc".into(), digest: Digest::of(b"t") }],
        kernels: vec![kernel("6.12.10", 1), kernel("6.12.9", 2), kernel("7.1.0", 3)],
    }
}

fn bundle(signers: &[u8]) -> Vec<u8> {
    let unsigned = draft().pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let message = unsigned.message();
    let signatures: Vec<_> = signers
        .iter()
        .map(|seed| {
            let (secret, public) = key(*seed);
            (public, secret.sign(&message).to_bytes())
        })
        .collect();
    let mut bytes = Vec::new();
    unsigned.attach(&signatures).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn trusted(seed: u8) -> TrustedKeys {
    TrustedKeys::any_of([key(seed).1])
}

/// Reads everything, decodes every kernel, and counts the modules.
fn read_all(bytes: &[u8], seed: u8) -> Result<usize, BundleError> {
    let bundle = RawBundle::read(Stream(bytes))?.verify(&trusted(seed))?;
    let all: BTreeSet<KernelId> = bundle.manifest().kernels.iter().map(|kernel| kernel.id).collect();
    let mut modules = 0;
    bundle.read_content(&all, Extent::Everything, &mut |_, set| {
        modules += set.modules().count();
        Ok(())
    })?;
    Ok(modules)
}

#[test]
fn a_bundle_gives_back_its_modules() {
    assert_eq!(read_all(&bundle(&[1]), 1).unwrap(), 6);
}

#[test]
fn one_kernel_is_read_from_a_file_without_the_rest() {
    let bytes = bundle(&[1]);
    let bundle = RawBundle::read(Cursor::new(&bytes)).unwrap().verify(&trusted(1)).unwrap();
    let wanted = bundle.manifest().kernels_by_release()[1].id;
    let mut got = Vec::new();
    let present = bundle
        .read_content(&BTreeSet::from([wanted]), Extent::Wanted, &mut |kernel, set| {
            got.push((
                kernel.release.to_string(),
                set.modules().map(|module| module.bytes.len()).sum::<usize>(),
            ));
            Ok(())
        })
        .unwrap();
    assert_eq!(got, [("6.12.10".to_owned(), 6000)]);
    assert_eq!((present.present, present.total), (3, 3));
}

#[test]
fn the_same_draft_gives_the_same_bytes() {
    let mut shuffled = draft();
    shuffled.scripts.reverse();
    shuffled.kernels.reverse();
    let one = draft().pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let other = shuffled.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    assert_eq!(one.id(), other.id());
    assert_eq!(bundle(&[1]), bundle(&[1]));
}

#[test]
fn every_single_flipped_byte_is_refused() {
    let bytes = bundle(&[1]);
    let mut spoiled = bytes.clone();
    for index in 0..bytes.len() {
        spoiled[index] ^= 1;
        assert!(read_all(&spoiled, 1).is_err(), "flipped byte {index} was accepted");
        spoiled[index] = bytes[index];
    }
}

#[test]
fn a_bundle_cut_anywhere_is_refused() {
    let bytes = bundle(&[1]);
    for len in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        assert!(read_all(&bytes[..len], 1).is_err(), "cut to {len} bytes");
    }
}

#[test]
fn bytes_after_the_end_mark_are_refused() {
    let mut bytes = bundle(&[1]);
    bytes.push(0);
    assert!(matches!(read_all(&bytes, 1), Err(BundleError::TrailingBytes { .. })));
    let twice = [bundle(&[1]), bundle(&[1])].concat();
    assert!(matches!(read_all(&twice, 1), Err(BundleError::TrailingBytes { .. })));
}

#[test]
fn only_trusted_keys_count() {
    assert!(matches!(read_all(&bundle(&[2]), 1), Err(BundleError::NotTrusted { .. })));
    assert!(read_all(&bundle(&[2, 1]), 1).is_ok());
}

#[test]
fn a_signature_by_an_unknown_key_is_neither_counted_nor_checked() {
    let mut bytes = bundle(&[1, 2]);
    let id = key(2).1.id();
    let at = bytes.windows(32).position(|window| window == id.as_bytes()).unwrap() + 32;
    bytes[at] ^= 1;
    assert!(read_all(&bytes, 1).is_ok());
    assert!(matches!(read_all(&bytes, 2), Err(BundleError::BadSignature { .. })));
}

#[test]
fn absent_frames_are_known_and_a_wanted_one_is_an_error() {
    let bytes = bundle(&[1]);
    let manifest =
        RawBundle::read(Stream(bytes.as_slice())).unwrap().verify(&trusted(1)).unwrap().manifest().clone();
    let last = manifest.frames().last().unwrap().frame.clone();
    let span = 512 + usize::try_from(last.size.next_multiple_of(512)).unwrap();
    let mut subset = bytes.clone();
    subset.drain(bytes.len() - 1024 - span..bytes.len() - 1024);
    let open = || RawBundle::read(Stream(subset.as_slice())).unwrap().verify(&trusted(1)).unwrap();
    let releases = manifest.kernels_by_release();
    let present = open()
        .read_content(&BTreeSet::from([releases[0].id]), Extent::Everything, &mut |_, _| Ok(()))
        .unwrap();
    assert_eq!((present.present, present.total), (2, 3));
    let absent =
        open().read_content(&BTreeSet::from([releases[2].id]), Extent::Everything, &mut |_, _| Ok(()));
    assert!(matches!(absent, Err(BundleError::AbsentFrame { .. })));
}

#[test]
fn a_file_that_is_no_bundle_says_so() {
    for bytes in [b"".as_slice(), b"#!/bin/sh\n", &[0; 2048]] {
        let error = read_all(bytes, 1).unwrap_err();
        assert!(matches!(error, BundleError::Container(ContainerError::NotABundle)), "{error}");
    }
}

#[test]
fn a_draft_whose_module_changed_since_it_was_compiled_is_not_packed() {
    let mut draft = draft();
    draft.kernels[0].modules[0].bytes = Arc::new(vec![1, 2, 3]);
    assert!(matches!(draft.pack(Cursor::new(Vec::new()), &mut |_| {}), Err(BundleError::Digest { .. })));
}

#[test]
fn a_draft_that_contradicts_itself_is_not_packed() {
    let refused = |spoil: fn(&mut BundleDraft)| {
        let mut draft = draft();
        spoil(&mut draft);
        assert!(draft.pack(Cursor::new(Vec::new()), &mut |_| {}).is_err());
    };
    refused(|draft| draft.scripts.truncate(2));
    refused(|draft| draft.scripts[0].name = "Alpha".parse().unwrap());
    refused(|draft| draft.kernels.clear());
    refused(|draft| draft.kernels[0].red.clear());
    refused(|draft| draft.kernels[0].vermagic = Some("9.9.9 SMP ".to_owned()));
    refused(|draft| draft.scripts[1].requires = vec!["nobody".parse().unwrap()]);
    refused(|draft| draft.kernels[0].red[0].reason = "\u{1b}[2J".to_owned());
}
