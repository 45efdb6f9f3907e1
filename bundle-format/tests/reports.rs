//! Payloads, subsets, extras and the report of all problems.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]

#[expect(dead_code, reason = "other tests use the rest")]
mod support;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{Cursor, Write};
use std::sync::OnceLock;

use bundle_format::{
    BundleError, CheckReport, ContainerError, Depth, Extent, KernelState, PROVENANCE_NAME, Payload,
    ProblemId, PublicKey, RawBundle, Stream, TrustedKeys, UnsignedBundle, VerifiedBundle,
    provenance_subjects,
};
use ed25519_dalek::{Signer, SigningKey};
use support::{SPEC, body, draft, kernel, key_pair, module, script};

const SEED: [u8; 32] = [7; 32];

/// Three kernels of one script; the second and third refer to the first.
fn unsigned() -> UnsignedBundle<Cursor<Vec<u8>>> {
    let kernels = ["6.12.1-test", "6.12.2-test", "6.12.3-test"];
    let kernels = kernels.iter().zip(0..).map(|(release, salt)| {
        let mut bytes = body(3000, 1);
        bytes[100] ^= salt;
        kernel(release, vec![module("alpha", bytes)])
    });
    let draft = draft(vec![script("alpha")], kernels.collect());
    draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap()
}

/// The good bundle, packed once: that takes most of a test's time.
fn good() -> Vec<u8> {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| sign(with_extras())).clone()
}

fn statement(unsigned: &UnsignedBundle<Cursor<Vec<u8>>>) -> Vec<u8> {
    let subjects = serde_json::to_string(&provenance_subjects(unsigned.manifest())).unwrap();
    format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":{subjects},"predicateType":"https://slsa.dev/provenance/v1","predicate":{{}}}}"#
    )
    .into_bytes()
}

fn with_extras() -> UnsignedBundle<Cursor<Vec<u8>>> {
    let unsigned = unsigned();
    let statement = statement(&unsigned);
    unsigned
        .with_extras(vec![("notes".to_owned(), b"hello".to_vec()), (PROVENANCE_NAME.to_owned(), statement)])
        .unwrap()
}

fn key(seed: u8) -> (SigningKey, PublicKey) {
    key_pair(&[seed; 32])
}

fn sign(unsigned: UnsignedBundle<Cursor<Vec<u8>>>) -> Vec<u8> {
    let (secret, public) = key_pair(&SEED);
    let signature = secret.sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public, signature)]).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn open(bytes: &[u8]) -> VerifiedBundle<Cursor<&[u8]>> {
    let trusted = TrustedKeys::any_of([key_pair(&SEED).1]);
    RawBundle::read(Cursor::new(bytes)).unwrap().verify(&trusted).unwrap()
}

fn check(bytes: &[u8], depth: Depth) -> CheckReport {
    open(bytes).check(depth).unwrap()
}

fn ids(report: &CheckReport) -> Vec<&'static str> {
    report.problems.iter().map(|problem| problem.id().as_str()).collect()
}

fn states(report: &CheckReport) -> Vec<KernelState> {
    report.kernels.iter().map(|(_, state)| *state).collect()
}

/// Where the content of the member begins.
fn content_of(bytes: &[u8], member: &str) -> usize {
    let name = [member.as_bytes(), &[0]].concat();
    let found = (0..bytes.len()).step_by(512).find(|at| bytes[*at..].starts_with(&name));
    found.unwrap() + 512
}

fn frame_content(bytes: &[u8], index: usize) -> usize {
    content_of(bytes, &format!("kernels/{index:04}-6.12.{}-test.tar.zst", index + 1))
}

#[test]
fn a_good_bundle_has_no_problem() {
    for depth in [Depth::Digests, Depth::Modules] {
        let report = check(&good(), depth);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_eq!(states(&report), [KernelState::Good; 3]);
        assert_eq!(report.modules, if depth == Depth::Modules { 3 } else { 0 });
    }
}

#[test]
fn each_damage_is_told_and_what_is_good_stays_good() {
    let mut bytes = good();
    let notes = content_of(&bytes, "notes");
    bytes[notes] ^= 1;
    let second = frame_content(&bytes, 1);
    bytes[second + 20] ^= 1;
    let last = bytes.len() - 1;
    bytes[last] = 1;
    for depth in [Depth::Digests, Depth::Modules] {
        let report = check(&bytes, depth);
        assert_eq!(ids(&report), ["extra-digest", "frame-digest", "member-header"], "{:?}", report.problems);
        assert_eq!(states(&report), [KernelState::Good, KernelState::Damaged, KernelState::Good]);
    }
    // The reference of all.
    let mut bytes = sign(unsigned());
    let first = frame_content(&bytes, 0);
    bytes[first + 20] ^= 1;
    let report = check(&bytes, Depth::Modules);
    assert_eq!(ids(&report), ["frame-digest"], "{:?}", report.problems);
    assert_eq!(states(&report), [KernelState::Damaged; 3]);
}

#[test]
fn every_spoiled_byte_behind_the_manifest_is_a_problem() {
    let bytes = good();
    let manifest_end = content_of(&bytes, "notes") - 512;
    // From a file and, for every seventh byte, from a stream.
    for at in manifest_end..bytes.len() {
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 4;
        assert!(!check(&spoiled, Depth::Digests).problems.is_empty(), "byte {at}");
        if at % 7 == 0 {
            let trusted = TrustedKeys::any_of([key_pair(&SEED).1]);
            let raw = RawBundle::read(Stream(spoiled.as_slice())).unwrap().verify(&trusted).unwrap();
            assert!(!raw.check(Depth::Digests).unwrap().problems.is_empty(), "byte {at} of a stream");
        }
    }
}

#[test]
fn a_file_that_ends_early_keeps_what_came_before() {
    let bytes = good();
    let cut = frame_content(&bytes, 1) + 10;
    let report = check(&bytes[..cut], Depth::Modules);
    assert_eq!(ids(&report), ["truncated"], "{:?}", report.problems);
    assert_eq!(states(&report), [KernelState::Good, KernelState::Damaged, KernelState::Damaged]);
    for cut in content_of(&bytes, "notes") - 512..bytes.len() {
        assert!(!check(&bytes[..cut], Depth::Digests).problems.is_empty(), "cut at {cut}");
    }
    let report = check(&[bytes.as_slice(), b"x"].concat(), Depth::Digests);
    assert_eq!(ids(&report), ["trailing-bytes"], "{:?}", report.problems);
    assert_eq!(states(&report), [KernelState::Good; 3]);
}

#[test]
fn b8_a_provenance_of_another_bundle_is_told() {
    let other = unsigned();
    let text = String::from_utf8(statement(&other)).unwrap();
    let digest = other.manifest().frames()[0].frame.sha256.to_string();
    for spoiled in [
        text.replace(&digest, &"0".repeat(64)),
        text.replace("0000-6.12.1", "0009-6.12.1"),
        text.replace("in-toto.io/Statement/v1", "in-toto.io/Statement/v0.1"),
        text.replace(r#""subject":["#, r#""subject":[{"name":"more","digest":{}},"#),
    ] {
        assert_ne!(spoiled, text);
        let extras = vec![(PROVENANCE_NAME.to_owned(), spoiled.into_bytes())];
        let report = check(&sign(unsigned().with_extras(extras).unwrap()), Depth::Digests);
        assert_eq!(ids(&report), ["provenance-subjects"], "{:?}", report.problems);
        assert_eq!(states(&report), [KernelState::Good; 3]);
    }
    let extras = vec![(PROVENANCE_NAME.to_owned(), b"{}".to_vec())];
    assert_eq!(ids(&check(&sign(unsigned().with_extras(extras).unwrap()), Depth::Digests)), ["json"]);
}

#[test]
fn a_subset_has_the_wanted_frames_and_their_references_byte_for_byte() {
    let bytes = good();
    let bundle = open(&bytes);
    let third = bundle.manifest().kernels_by_release()[2].id;
    let mut subset = Vec::new();
    let present = bundle.write_subset(&BTreeSet::from([third]), &mut subset).unwrap();
    assert_eq!((present.present, present.total), (2, 3));
    assert!(bytes.starts_with(&subset[..frame_content(&bytes, 0)]));
    let report = check(&subset, Depth::Modules);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
    assert_eq!(states(&report), [KernelState::Good, KernelState::Absent, KernelState::Good]);
    assert_eq!((report.present.present, report.modules), (2, 2));
    assert_eq!(open(&subset).id(), open(&bytes).id());
    let refused = open(&subset).read_content(
        &open(&bytes).manifest().kernels.iter().map(|kernel| kernel.id).collect(),
        Extent::Everything,
        &mut |_, _| Ok(()),
    );
    assert!(matches!(refused, Err(BundleError::AbsentFrame { .. })));
    // A subset of the subset, and one that asks for too much.
    let mut again = Vec::new();
    open(&subset).write_subset(&BTreeSet::from([third]), &mut again).unwrap();
    assert_eq!(again, subset);
    let second = open(&bytes).manifest().kernels_by_release()[1].id;
    let absent = open(&subset).write_subset(&BTreeSet::from([second]), &mut Vec::new());
    assert!(matches!(absent, Err(BundleError::AbsentFrame { .. })));
}

#[test]
fn a_subset_saves_what_is_good_in_a_damaged_file() {
    let mut bytes = good();
    let second = frame_content(&bytes, 1);
    bytes[second + 20] ^= 1;
    let kernels: Vec<_> =
        open(&bytes).manifest().kernels_by_release().iter().map(|kernel| kernel.id).collect();
    let mut saved = Vec::new();
    open(&bytes).write_subset(&BTreeSet::from([kernels[0], kernels[2]]), &mut saved).unwrap();
    assert!(check(&saved, Depth::Modules).problems.is_empty());
    let damaged = open(&bytes).write_subset(&BTreeSet::from([kernels[1]]), &mut Vec::new());
    assert_eq!(damaged.unwrap_err().id(), ProblemId::FrameDigest);
}

/// What has been written so far, while the writer has it.
struct Written<'w>(&'w RefCell<Vec<u8>>);

impl Write for Written<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The extras of that name, copied.
fn copied(bytes: &[u8], name: &str) -> Result<Vec<u8>, BundleError> {
    let written = RefCell::default();
    open(bytes).copy_extras(&mut |extra| Ok((extra.name == name).then_some(Written(&written))))?;
    Ok(written.into_inner())
}

#[test]
fn an_extra_is_copied_and_compared() {
    let mut bytes = good();
    assert_eq!(copied(&bytes, "notes").unwrap(), b"hello");
    assert_eq!(copied(&bytes, "absent").unwrap(), b"");
    let at = content_of(&bytes, "notes");
    bytes[at] ^= 1;
    assert_eq!(copied(&bytes, "notes").unwrap_err().id(), ProblemId::ExtraDigest);
}

fn payload() -> Vec<u8> {
    let mut bytes = Vec::new();
    with_extras().write_payload_to(&mut bytes).unwrap();
    bytes
}

fn read_payload(bytes: &[u8]) -> Result<Payload<Cursor<Vec<u8>>>, BundleError> {
    Payload::read(Cursor::new(bytes), Cursor::new(Vec::new()))
}

fn seal(payload: Payload<Cursor<Vec<u8>>>, seeds: &[u8]) -> Result<Vec<u8>, BundleError> {
    let message = payload.message();
    let signatures: Vec<_> = seeds
        .iter()
        .map(|seed| {
            let (secret, public) = key(*seed);
            (public, secret.sign(&message).to_bytes())
        })
        .collect();
    let mut bytes = Vec::new();
    payload.attach(&signatures)?.write_to(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_payload_is_no_bundle_and_becomes_the_same_one() {
    let error = RawBundle::read(Cursor::new(payload())).unwrap_err();
    assert!(matches!(error, BundleError::Container(ContainerError::Payload)), "{error:?}");
    let sealed = seal(read_payload(&payload()).unwrap(), &[SEED[0]]).unwrap();
    assert!(sealed == good(), "signed here or elsewhere, the bytes are the same");
}

#[test]
fn a_signature_is_added_and_nothing_else_changes() {
    let bytes = good();
    let twice = seal(read_payload(&bytes).unwrap(), &[9]).unwrap();
    assert_eq!(twice.len(), bytes.len());
    let changed: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != twice[*at]).collect();
    assert!(changed.iter().all(|at| (1536..1536 + 1540).contains(at)), "{changed:?}");
    for seed in [SEED[0], 9] {
        let trusted = TrustedKeys::any_of([key(seed).1]);
        RawBundle::read(Cursor::new(&twice)).unwrap().verify(&trusted).unwrap();
    }
    let again = seal(read_payload(&twice).unwrap(), &[9]).unwrap_err();
    assert_eq!(again.id(), ProblemId::SignatureTwice);
    assert_eq!(seal(read_payload(&payload()).unwrap(), &[9, 9]).unwrap_err().id(), ProblemId::SignatureTwice);
    // Nothing unseen is signed.
    let id = open(&bytes).manifest().kernels_by_release()[0].id;
    let mut subset = Vec::new();
    open(&bytes).write_subset(&BTreeSet::from([id]), &mut subset).unwrap();
    assert_eq!(read_payload(&subset).unwrap_err().id(), ProblemId::KernelAbsent);
}

#[test]
fn sixteen_keys_sign_and_a_seventeenth_does_not() {
    let seeds: Vec<u8> = (1..=17).collect();
    let bytes = seal(read_payload(&payload()).unwrap(), &seeds[..16]).unwrap();
    assert_eq!(RawBundle::read(Cursor::new(&bytes)).unwrap().claimed_signers().len(), 16);
    assert_eq!(seal(read_payload(&payload()).unwrap(), &seeds).unwrap_err().id(), ProblemId::SignaturesBlock);
    assert_eq!(seal(read_payload(&bytes).unwrap(), &[17]).unwrap_err().id(), ProblemId::SignaturesBlock);
    assert_eq!(seal(read_payload(&payload()).unwrap(), &[]).unwrap_err().id(), ProblemId::SignaturesBlock);
}

#[test]
fn a_damaged_payload_is_never_signed() {
    let bytes = payload();
    for at in 0..bytes.len() {
        let mut spoiled = bytes.clone();
        spoiled[at] ^= 0x10;
        // The manifest of a payload is proven by nothing yet: a farm signs what it says, if the rest agrees with it.
        if let Ok(payload) = read_payload(&spoiled) {
            assert!((1536..content_of(&bytes, "notes") - 512).contains(&at), "byte {at}");
            assert_ne!(payload.id(), read_payload(&bytes).unwrap().id(), "byte {at}");
        }
    }
    for cut in (0..bytes.len()).step_by(100) {
        assert!(read_payload(&bytes[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn another_keys_signature_is_not_attached() {
    let payload = read_payload(&payload()).unwrap();
    let signature = key(1).0.sign(&payload.message()).to_bytes();
    assert_eq!(payload.attach(&[(key(2).1, signature)]).unwrap_err().id(), ProblemId::SignatureInvalid);
}

#[test]
fn the_specification_lists_every_problem() {
    let (_, after) = SPEC.split_once("<!-- table: problems -->").unwrap();
    let rows = after.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    let rows: Vec<(String, String)> = rows
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[1].to_owned())
        })
        .collect();
    let known: Vec<(String, String)> =
        ProblemId::ALL.iter().map(|id| (id.to_string(), id.meaning().to_owned())).collect();
    assert_eq!(rows, known);
}
