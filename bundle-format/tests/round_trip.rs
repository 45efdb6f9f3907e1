//! A bundle made in memory, read back, and spoiled in every way that takes one line to say.

#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test ends at a surprise")]

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;

use bundle_format::{
    BundleDraft, BundleError, ContainerError, Digest, Extent, KernelDraft, KernelId, ModuleDraft, ProblemId,
    PublicKey, RawBundle, RedCell, ScriptRecord, Stream, Toolchain, TrustedKeys,
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
        programs: Vec::new(),
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
        modules_compiler: Some("gcc-14 (Debian 14.4.0-3) 14.4.0".to_owned()),
        vermagic: Some(format!("{release} SMP mod_unload ")),
        toolchain: 0,
        modules: vec![module("beta", body(seed)), module("alpha", body(7))],
        red: vec![RedCell {
            script: "gamma".parse().unwrap(),
            reason: "no such probe".to_owned(),
            skipped: seed == 1,
        }],
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
fn what_compiled_modules_and_which_cells_were_skipped_comes_back() {
    let bytes = bundle(&[1]);
    let read = RawBundle::read(Stream(bytes.as_slice())).unwrap().verify(&trusted(1)).unwrap();
    let kernels = read.manifest().kernels_by_release();
    let skipped: Vec<bool> = kernels.iter().map(|kernel| kernel.red[0].skipped).collect();
    assert_eq!(skipped, [false, true, false]);
    let compilers = read.manifest().modules_compilers();
    let found: Vec<(&str, usize)> = compilers.iter().map(|(name, kernels)| (*name, kernels.len())).collect();
    assert_eq!(found, [("gcc-14 (Debian 14.4.0-3) 14.4.0", 3)]);
    let mut kernel = kernels[0].clone();
    assert_eq!(kernel.compiler_difference(), None);
    kernel.compiler = Some("gcc-16 (Debian 16.2.0-3) 16.2.0, GNU ld 2.47".to_owned());
    assert_eq!(kernel.compiler_difference().unwrap(), "built with gcc 16.2.0, its modules with gcc 14.4.0");
    // An older reader passes over fields that it doesn't know, and a cell that wasn't skipped has none.
    assert_eq!(String::from_utf8_lossy(&bytes).matches("\"skipped\":").count(), 1);
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
    for bytes in [b"#!/bin/sh\n".as_slice(), &[0; 2048], b"BZ"] {
        let error = read_all(bytes, 1).unwrap_err();
        assert!(matches!(error, BundleError::Container(ContainerError::NotABundle)), "{error}");
    }
}

#[test]
fn a_bundle_that_was_changed_on_the_way_is_called_what_it_is() {
    let golden = include_bytes!("../../fixtures/golden/format-1.stapb").as_slice();
    let lf: Vec<u8> = golden.iter().copied().filter(|byte| *byte != b'\r').collect();
    let crlf: Vec<u8> =
        golden.iter().flat_map(|byte| if *byte == b'\n' { b"\r\n".to_vec() } else { vec![*byte] }).collect();
    let mut tar = golden.to_vec();
    tar[..11].copy_from_slice(b"scripts.tar");
    for (bytes, expected) in [
        (b"".as_slice(), "empty, not a bundle"),
        (b"\x1f\x8b\x08\0", "compressed by gzip, not a bundle"),
        (b"\xfd7zXZ\0\0", "compressed by xz, not a bundle"),
        (b"PK\x03\x04\x14", "a zip archive, not a bundle"),
        (&tar, "a tar archive, not a bundle"),
        (b"c3RhcC1idW5kbGUAAAAA", "base64 text, not a bundle"),
        (b"\n <!DocType html>", "an HTML page, not a bundle"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the bundle itself"),
        (b"-----BEGIN PUBLIC KEY-----\n", "a key or a certificate (PEM), not a bundle"),
        (&lf, "damaged: its line ends were changed on the way, as in a copy in text mode"),
        (&crlf, "damaged: its line ends were changed on the way, as in a copy in text mode"),
    ] {
        let error = RawBundle::read(Cursor::new(bytes)).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.id(), ProblemId::NotABundle);
    }
    // A damaged archive is not to be unpacked.
    let mut damaged = golden.to_vec();
    damaged[100] ^= 1;
    let error = RawBundle::read(Cursor::new(damaged)).unwrap_err();
    assert!(matches!(error, BundleError::Container(ContainerError::NotABundle)), "{error}");
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
