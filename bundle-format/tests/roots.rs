//! Chains of roots against threats.md, rows B4 to B10: each attack is made properly, and refused.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]

#[expect(dead_code, reason = "what other tests need is not used here")]
mod support;

use std::io::Cursor;

use bundle_format::{
    BundleDraft, BundleError, Digest, Judge, KeyStatus, PublicKey, RawBundle, RevokedSerials, Role,
    RootChain, RootDocument, RootError, RootKey, RootsFile, Signatures, Stream, TrustedKeys, limits,
};
use ed25519_dalek::Signer;
use support::{body, draft, kernel, key_pair, module, script};

const A: u8 = 1;
const B: u8 = 2;
const C: u8 = 3;
const D: u8 = 4;

fn public(key: u8) -> PublicKey {
    key_pair(&[key; 32]).1
}

fn sign(key: u8, message: &[u8]) -> [u8; 64] {
    key_pair(&[key; 32]).0.sign(message).to_bytes()
}

/// The constant block of section 4, by hand: entries as they are given.
fn block(entries: &[(PublicKey, [u8; 64])]) -> Vec<u8> {
    let mut block = u32::try_from(entries.len()).unwrap().to_be_bytes().to_vec();
    for (key, signature) in entries {
        block.extend(key.id().as_bytes());
        block.extend(signature);
    }
    block.resize(1540, 0);
    block
}

/// One root of a member, signed by these keys in the order of their ids.
fn entry(document: &RootDocument, keys: &[u8]) -> Vec<u8> {
    entry_of_raw(&serde_json::to_vec(document).unwrap(), keys)
}

fn entry_of_raw(raw: &[u8], keys: &[u8]) -> Vec<u8> {
    let message = Role::Root.signed_message(raw);
    let mut entries: Vec<_> = keys.iter().map(|key| (public(*key), sign(*key, &message))).collect();
    entries.sort_by_key(|(key, _)| key.id());
    framed(raw, &block(&entries))
}

fn framed(raw: &[u8], block: &[u8]) -> Vec<u8> {
    [&u32::try_from(raw.len()).unwrap().to_be_bytes()[..], block, raw].concat()
}

/// Root 1 with these active keys.
fn first(keys: &[u8], threshold: u64) -> RootDocument {
    let name = "test".parse().unwrap();
    RootDocument::first(name, keys.iter().map(|key| public(*key)).collect(), threshold, 1_700_000_000)
}

/// The root after `before`, the same but for what `change` does.
fn after(before: &RootDocument, change: impl FnOnce(&mut RootDocument)) -> RootDocument {
    let mut document = before.clone();
    document.version += 1;
    document.prev = Some(Digest::of(&serde_json::to_vec(before).unwrap()));
    change(&mut document);
    document.keys.sort_by(|a, b| a.public.as_bytes().cmp(b.public.as_bytes()));
    document
}

fn set_status(document: &mut RootDocument, key: u8, status: KeyStatus) {
    let id = public(key).id();
    document.keys.iter_mut().find(|key| key.public.id() == id).unwrap().status = status;
}

fn add(document: &mut RootDocument, key: u8) {
    document.keys.push(RootKey { public: public(key), status: KeyStatus::Active });
}

fn pinned(keys: &[u8]) -> TrustedKeys {
    TrustedKeys::any_of(keys.iter().map(|key| public(*key)))
}

fn chain(member: &[u8]) -> RootChain {
    RootChain::read_trusted(member).unwrap()
}

fn refused(trusted: &TrustedKeys, member: &[u8]) -> RootError {
    trusted.accept_roots(member).unwrap_err()
}

fn base_draft() -> BundleDraft {
    draft(vec![script("alpha")], vec![kernel("6.12.9-test", vec![module("alpha", body(100, 1))])])
}

/// A bundle with these roots, signed by these keys.
fn bundle(roots: Option<RootChain>, keys: &[u8], change: impl FnOnce(&mut BundleDraft)) -> Vec<u8> {
    let mut draft = BundleDraft { roots, ..base_draft() };
    change(&mut draft);
    let unsigned = draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let message = unsigned.message();
    let signatures: Vec<_> = keys.iter().map(|key| (public(*key), sign(*key, &message))).collect();
    let mut bytes = Vec::new();
    unsigned.attach(&signatures).unwrap().write_to(&mut bytes).unwrap();
    bytes
}

fn plain(keys: &[u8]) -> Vec<u8> {
    bundle(None, keys, |_| {})
}

/// The version of the root that judged a good bundle; 0 for pins.
fn judged(trusted: &TrustedKeys, bytes: &[u8]) -> Result<u64, BundleError> {
    let verified = RawBundle::read(Stream(bytes))?.verify(trusted)?;
    Ok(verified.judge().root().map_or(0, bundle_format::Root::version))
}

#[test]
fn two_of_three_keys_judge_a_bundle_with_roots() {
    let roots = chain(&entry(&first(&[A, B, C], 2), &[A, B]));
    for signers in [&[A, B][..], &[B, C], &[A, B, C]] {
        assert_eq!(judged(&pinned(&[A]), &bundle(Some(roots.clone()), signers, |_| {})).unwrap(), 1);
    }
    let alone = judged(&pinned(&[A]), &bundle(Some(roots.clone()), &[A], |_| {})).unwrap_err();
    assert!(matches!(alone, BundleError::Threshold { valid: 1, threshold: 2 }), "{alone}");
    let with_stranger = judged(&pinned(&[A]), &bundle(Some(roots), &[A, D], |_| {})).unwrap_err();
    assert!(matches!(with_stranger, BundleError::Threshold { valid: 1, threshold: 2 }), "{with_stranger}");
}

#[test]
fn a_signature_beyond_the_threshold_must_hold_too() {
    let roots = chain(&entry(&first(&[A, B, C], 2), &[A, B]));
    let mut bytes = bundle(Some(roots), &[A, B, C], |_| {});
    for entry in 0..3 {
        let at = 1540 + 96 * entry + 40;
        bytes[at] ^= 1;
        let error = judged(&pinned(&[A]), &bytes).unwrap_err();
        assert!(matches!(error, BundleError::BadSignature { .. }), "{error}");
        bytes[at] ^= 1;
    }
    assert!(judged(&pinned(&[A]), &bytes).is_ok());
    let one = first(&[A, B], 1);
    let raw = serde_json::to_vec(&one).unwrap();
    let message = Role::Root.signed_message(&raw);
    let mut entries = [(public(A), sign(A, &message)), (public(B), sign(A, &message))];
    entries.sort_by_key(|(key, _)| key.id());
    let error = refused(&pinned(&[A]), &framed(&raw, &block(&entries)));
    assert!(matches!(error, RootError::BadSignature { key, .. } if key == public(B).id()), "{error}");
}

#[test]
fn b4_a_signature_of_one_role_serves_no_other() {
    let document = first(&[A], 1);
    let raw = serde_json::to_vec(&document).unwrap();
    for role in [Role::Manifest, Role::BuildResult] {
        let swapped = framed(&raw, &block(&[(public(A), sign(A, &role.signed_message(&raw)))]));
        let error = refused(&pinned(&[A]), &swapped);
        assert!(matches!(error, RootError::BadSignature { .. }), "{error}");
    }
    let unsigned = base_draft().pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    // The message ends with the raw manifest, whatever the role.
    let manifest = unsigned.message();
    let manifest = &manifest[manifest.iter().position(|byte| *byte == b'{').unwrap()..];
    for role in [Role::Root, Role::BuildResult] {
        let mut bytes = plain(&[A]);
        bytes[1540 + 32..1540 + 96].copy_from_slice(&sign(A, &role.signed_message(manifest)));
        let error = judged(&pinned(&[A]), &bytes).unwrap_err();
        assert!(matches!(error, BundleError::BadSignature { .. }), "{error}");
    }
}

#[test]
fn b5_a_key_id_is_compared_whole_and_never_read_from_a_document() {
    let roots = chain(&entry(&first(&[A, B], 2), &[A, B]));
    let mut bytes = bundle(Some(roots), &[A, B], |_| {});
    // The 31 first bytes of the id are those of a trusted key, the last one isn't.
    bytes[1540 + 31] ^= 1;
    let error = judged(&pinned(&[A, B]), &bytes).unwrap_err();
    assert!(matches!(error, BundleError::Threshold { valid: 1, threshold: 2 }), "{error}");
    // A document that names an id is no better off: the field is unknown and ignored.
    let text = serde_json::to_string(&first(&[A], 1)).unwrap();
    let lying = text.replacen("{\"public\"", &format!("{{\"id\":\"{}\",\"public\"", public(B).id()), 1);
    let error = refused(&pinned(&[B]), &entry_of_raw(lying.as_bytes(), &[B]));
    assert!(matches!(error, RootError::NoEntry), "{error}");
}

#[test]
fn b6_one_key_counts_once() {
    let document = first(&[A, B], 2);
    let raw = serde_json::to_vec(&document).unwrap();
    let message = Role::Root.signed_message(&raw);
    let twice = block(&[(public(A), sign(A, &message)), (public(A), sign(A, &message))]);
    let error = refused(&pinned(&[A]), &framed(&raw, &twice));
    assert!(matches!(error, RootError::Block { .. }), "{error}");
    let error = refused(&pinned(&[A]), &entry(&document, &[A]));
    assert!(matches!(error, RootError::Threshold { valid: 1, threshold: 2, .. }), "{error}");
    // One key under two ids, or listed twice, is no second vote either.
    let mut doubled = first(&[A], 1);
    doubled.keys.push(doubled.keys[0].clone());
    doubled.threshold = 2;
    let error = refused(&pinned(&[A]), &entry(&doubled, &[A]));
    assert!(matches!(error, RootError::Document { .. }), "{error}");
    let mut other_id = [(public(A), sign(A, &message)), (public(A), sign(A, &message))];
    other_id.sort_by_key(|(key, _)| key.id());
    let mut lying = block(&other_id);
    lying[4 + 96..4 + 128].copy_from_slice(&[0xff; 32]);
    let error = refused(&pinned(&[A]), &framed(&raw, &lying));
    assert!(matches!(error, RootError::Threshold { valid: 1, threshold: 2, .. }), "{error}");
    let mut bytes = bundle(Some(chain(&entry(&document, &[A, B]))), &[A], |_| {});
    bytes[1539] = 2;
    let (from, to) = (bytes[1540..1636].to_vec(), 1636..1732);
    bytes[to].copy_from_slice(&from);
    assert!(matches!(judged(&pinned(&[A]), &bytes).unwrap_err(), BundleError::Container(_)));
}

/// The eight points of small order of edwards25519, as they are encoded canonically.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

#[test]
fn b7_weak_keys_and_malleable_signatures_are_refused_at_a_root_s_load() {
    for point in SMALL_ORDER {
        let text = serde_json::to_string(&first(&[A], 1)).unwrap();
        let weak = format!("\"keys\":[{{\"public\":\"{point}\",\"status\":\"active\"}},");
        let error =
            refused(&pinned(&[A]), &entry_of_raw(text.replacen("\"keys\":[", &weak, 1).as_bytes(), &[A]));
        assert!(matches!(error, RootError::Json { .. }), "{point}: {error}");
    }
    let raw = serde_json::to_vec(&first(&[A], 1)).unwrap();
    let mut signature = sign(A, &Role::Root.signed_message(&raw));
    // S + L, little-endian from byte 32 on: the same number to a lax verifier.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    assert_eq!(order.len(), 64);
    let mut carry = 0u16;
    for index in 0..32 {
        let digit = u16::from(u8::from_str_radix(&order[2 * index..2 * index + 2], 16).unwrap());
        let sum = u16::from(signature[32 + index]) + digit + carry;
        signature[32 + index] = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let error = refused(&pinned(&[A]), &framed(&raw, &block(&[(public(A), signature)])));
    assert!(matches!(error, RootError::BadSignature { .. }), "{error}");
}

#[test]
fn b9_a_revoked_key_counts_no_more_for_what_is_installed_either() {
    let one = first(&[A, B, C], 2);
    let two = after(&one, |root| set_status(root, A, KeyStatus::Revoked));
    let old = chain(&entry(&one, &[A, B]));
    let both = chain(&[entry(&one, &[A, B]), entry(&two, &[B, C])].concat());
    let by_old_root = || TrustedKeys::by_recorded_root(both.clone(), 1, &old.newest().digest()).unwrap();
    let (with_a, without_a) =
        (bundle(Some(old.clone()), &[A, B], |_| {}), bundle(Some(old.clone()), &[B, C], |_| {}));
    for trusted in [TrustedKeys::by_chain(both.clone()), by_old_root()] {
        let error = judged(&trusted, &with_a).unwrap_err();
        let BundleError::Withdrawn { key, status: KeyStatus::Revoked, valid: 1, threshold: 2 } = error else {
            panic!("{error}")
        };
        assert_eq!(key, public(A).id());
    }
    assert_eq!(judged(&TrustedKeys::by_chain(both.clone()), &without_a).unwrap(), 2);
    assert_eq!(judged(&by_old_root(), &without_a).unwrap(), 1);
    // What pins alone had let in is cut off as well.
    let pins = TrustedKeys::any_of_less([public(A), public(B)], both);
    // The record of its root was lost, so pins judge a bundle that has roots.
    assert!(matches!(judged(&pins, &with_a).unwrap_err(), BundleError::Withdrawn { .. }));
    assert!(matches!(judged(&pins, &plain(&[A])).unwrap_err(), BundleError::Withdrawn { .. }));
    assert_eq!(judged(&pins, &plain(&[B])).unwrap(), 0);
}

#[test]
fn b9_a_revoked_bundle_is_refused_by_serial_and_by_content() {
    let one = first(&[A], 1);
    let old = chain(&entry(&one, &[A]));
    let bytes = bundle(Some(old.clone()), &[A], |_| {});
    let manifest = RawBundle::read(Stream(bytes.as_slice())).unwrap().verify(&pinned(&[A])).unwrap();
    let (serial, content) = (manifest.manifest().serial, manifest.manifest().content);
    let range =
        |name: &str, epoch, first, last| RevokedSerials { name: name.parse().unwrap(), epoch, first, last };
    let by = |change: &dyn Fn(&mut RootDocument)| {
        let two = after(&one, |root| change(root));
        let chain = chain(&[entry(&one, &[A]), entry(&two, &[A])].concat());
        let recorded = TrustedKeys::by_recorded_root(chain.clone(), 1, &old.newest().digest()).unwrap();
        let lost = TrustedKeys::any_of_less([public(A)], chain.clone());
        [TrustedKeys::by_chain(chain), recorded, lost].map(|trusted| judged(&trusted, &bytes))
    };
    for hit in [(serial, serial), (0, serial), (serial, limits_max())] {
        for result in by(&|root| root.revoked_serials = vec![range("golden", 0, hit.0, hit.1)]) {
            assert!(matches!(result.unwrap_err(), BundleError::Revoked { root: 2, .. }));
        }
    }
    for result in by(&|root| root.revoked_contents = vec![content]) {
        assert!(matches!(result.unwrap_err(), BundleError::Revoked { root: 2, .. }));
    }
    for miss in
        [range("golden", 0, 0, serial - 1), range("golden", 1, 0, serial), range("silver", 0, 0, serial)]
    {
        for result in by(&|root| root.revoked_serials = vec![miss.clone()]) {
            result.unwrap();
        }
    }
}

fn limits_max() -> u64 {
    u64::try_from(i64::MAX).unwrap()
}

#[test]
fn b10_a_chain_is_followed_root_by_root() {
    let one = first(&[A, B], 2);
    let two = after(&one, |root| {
        set_status(root, A, KeyStatus::Retired);
        add(root, C);
    });
    let three = after(&two, |root| {
        root.keys.retain(|key| key.status != KeyStatus::Retired);
        root.threshold = 1;
    });
    let (e1, e2, e3) = (entry(&one, &[A, B]), entry(&two, &[A, B, C]), entry(&three, &[B, C]));
    let all = [e1.clone(), e2.clone(), e3.clone()].concat();
    let version = |trusted: &TrustedKeys, member: &[u8]| {
        trusted.accept_roots(member).map(|chain| chain.newest().version())
    };
    assert_eq!(version(&pinned(&[A]), &all).unwrap(), 3);
    // C isn't listed before root 2: entered there, root 1 is proven backwards by its digest.
    assert_eq!(version(&pinned(&[C]), &all).unwrap(), 3);
    let entered = pinned(&[C]).accept_roots(&all).unwrap();
    assert_eq!(entered.roots()[0].version(), 2);
    let accepted = TrustedKeys::by_chain(chain(&e1));
    assert_eq!(version(&accepted, &all).unwrap(), 3);
    assert_eq!(version(&accepted, &[e2.clone(), e3.clone()].concat()).unwrap(), 3);
    let newest = TrustedKeys::by_chain(chain(&all));
    assert_eq!(version(&newest, &e1).unwrap(), 3, "an older chain changes nothing");
    assert_eq!(version(&newest, &e2).unwrap(), 3);

    let skipped = refused(&accepted, &[e1.clone(), e3.clone()].concat());
    assert!(matches!(skipped, RootError::Threshold { .. } | RootError::Order { .. }), "{skipped}");
    let gap = after(&one, |root| root.version = 3);
    let error = refused(&accepted, &[e1.clone(), entry(&gap, &[A, B])].concat());
    assert!(matches!(error, RootError::Order { expected: 2, found: 3 }), "{error}");
    let error = refused(&pinned(&[A]), &[e1.clone(), e1.clone()].concat());
    assert!(matches!(error, RootError::Order { expected: 2, found: 1 }), "{error}");
    let error = refused(&accepted, &[e1.clone(), e1.clone()].concat());
    assert!(matches!(error, RootError::Previous { .. } | RootError::Order { .. }), "{error}");
    let error = refused(&pinned(&[A]), &[e2.clone(), e1.clone()].concat());
    assert!(
        matches!(error, RootError::Order { .. } | RootError::Previous { .. } | RootError::Threshold { .. }),
        "{error}"
    );
}

#[test]
fn b10_a_root_signed_on_one_side_only_is_refused() {
    let one = first(&[A, B], 2);
    let two = after(&one, |root| {
        set_status(root, A, KeyStatus::Retired);
        set_status(root, B, KeyStatus::Retired);
        add(root, C);
        add(root, D);
    });
    let trusted = TrustedKeys::by_chain(chain(&entry(&one, &[A, B])));
    let whose = |keys: &[u8]| match refused(&trusted, &entry(&two, keys)) {
        RootError::Threshold { whose, .. } => whose,
        other => panic!("{other}"),
    };
    assert_eq!(whose(&[C, D]), Signatures::Predecessor);
    assert_eq!(whose(&[A, C, D]), Signatures::Predecessor);
    assert_eq!(whose(&[A, B]), Signatures::Own);
    assert_eq!(whose(&[A, B, C]), Signatures::Own);
    assert_eq!(trusted.accept_roots(&entry(&two, &[A, B, C, D])).unwrap().newest().version(), 2);
    // Nor may a first root be entered that its own keys didn't sign.
    let error = refused(&pinned(&[A]), &entry(&one, &[A]));
    assert!(matches!(error, RootError::Threshold { whose: Signatures::Own, .. }), "{error}");
}

#[test]
fn b10_two_roots_of_one_version_are_a_fork() {
    let one = first(&[A], 1);
    let two = after(&one, |root| root.epoch = 1);
    let other = after(&one, |root| root.epoch = 2);
    let (e1, e2, e_other) = (entry(&one, &[A]), entry(&two, &[A]), entry(&other, &[A]));
    let trusted = TrustedKeys::by_chain(chain(&[e1.clone(), e2].concat()));
    for offered in [[e1, e_other.clone()].concat(), e_other] {
        let error = refused(&trusted, &offered);
        let RootError::Fork { version: 2, known, found } = error else { panic!("{error}") };
        assert_ne!(known, found);
    }
    let wrong_parent = after(&one, |root| root.prev = Some(Digest::of(b"another root 1")));
    let error = refused(&pinned(&[A]), &[entry(&one, &[A]), entry(&wrong_parent, &[A])].concat());
    assert!(matches!(error, RootError::Previous { version: 2 }), "{error}");
}

#[test]
fn b10_a_chain_has_at_most_1024_roots_and_a_host_s_may_grow_on() {
    let mut members = Vec::new();
    let mut document = first(&[A], 1);
    for _ in 0..=limits::MAX_ROOT_COUNT {
        members.push(entry(&document, &[A]));
        document = after(&document, |_| {});
    }
    let most = members[..limits::MAX_ROOT_COUNT].concat();
    let accepted = pinned(&[A]).accept_roots(&most).unwrap();
    assert_eq!(accepted.newest().version(), 1024);
    let error = refused(&pinned(&[A]), &members.concat());
    assert!(matches!(error, RootError::Layout { .. }), "{error}");
    let grown = TrustedKeys::by_chain(accepted).accept_roots(&members[1024]).unwrap();
    assert_eq!((grown.roots()[0].version(), grown.newest().version()), (2, 1025));
    assert_eq!(RootChain::read_trusted(&grown.to_bytes().unwrap()).unwrap(), grown);
}

#[test]
fn retired_keys_count_for_nothing_new_and_for_all_that_is_old() {
    let one = first(&[A, B], 1);
    let two = after(&one, |root| set_status(root, A, KeyStatus::Retired));
    let old = chain(&entry(&one, &[A]));
    let both = chain(&[entry(&one, &[A]), entry(&two, &[A, B])].concat());
    let bytes = bundle(Some(old.clone()), &[A], |_| {});
    let error = judged(&TrustedKeys::by_chain(both.clone()), &bytes).unwrap_err();
    assert!(matches!(error, BundleError::Withdrawn { status: KeyStatus::Retired, .. }), "{error}");
    let recorded = TrustedKeys::by_recorded_root(both, 1, &old.newest().digest()).unwrap();
    assert_eq!(judged(&recorded, &bytes).unwrap(), 1);
}

#[test]
fn a_threshold_may_be_raised_and_lowered_by_both_sides() {
    let one = first(&[A, B, C], 1);
    let two = after(&one, |root| root.threshold = 3);
    let three = after(&two, |root| root.threshold = 1);
    let e1 = entry(&one, &[A]);
    let error = refused(&pinned(&[A]), &[e1.clone(), entry(&two, &[A])].concat());
    assert!(matches!(error, RootError::Threshold { whose: Signatures::Own, threshold: 3, .. }), "{error}");
    let e2 = entry(&two, &[A, B, C]);
    let error = refused(&pinned(&[A]), &[e1.clone(), e2.clone(), entry(&three, &[A])].concat());
    assert!(matches!(error, RootError::Threshold { whose: Signatures::Predecessor, .. }), "{error}");
    let all = [e1, e2, entry(&three, &[A, B, C])].concat();
    assert_eq!(pinned(&[A]).accept_roots(&all).unwrap().newest().version(), 3);
}

#[test]
fn only_a_root_raises_the_epoch() {
    let one = first(&[A], 1);
    let two = after(&one, |root| root.epoch = 1);
    let both = chain(&[entry(&one, &[A]), entry(&two, &[A])].concat());
    let bytes = bundle(Some(both.clone()), &[A], |_| {});
    assert_eq!(judged(&pinned(&[A]), &bytes).unwrap(), 2);
    // By the older root, the same bundle would be ahead of its time.
    let recorded = TrustedKeys::by_recorded_root(both.clone(), 1, &both.roots()[0].digest()).unwrap();
    let error = judged(&recorded, &bytes).unwrap_err();
    assert!(matches!(error, BundleError::Epoch { epoch: 1, allowed: 0, root: Some(1) }), "{error}");
    // Epoch 0 is still allowed by root 2: the floor decides.
    let old = bundle(Some(chain(&entry(&one, &[A]))), &[A], |_| {});
    assert_eq!(judged(&TrustedKeys::by_chain(both), &old).unwrap(), 2);
    let lowered = after(&two, |root| root.epoch = 0);
    let error =
        refused(&pinned(&[A]), &[entry(&one, &[A]), entry(&two, &[A]), entry(&lowered, &[A])].concat());
    assert!(matches!(error, RootError::Successor { .. }), "{error}");
}

#[test]
fn a_bundle_without_roots_is_judged_by_pins_or_by_the_accepted_chain() {
    assert_eq!(judged(&pinned(&[A, B]), &plain(&[B])).unwrap(), 0);
    let two_of_two = TrustedKeys::by_chain(chain(&entry(&first(&[A, B], 2), &[A, B])));
    assert!(matches!(judged(&two_of_two, &plain(&[B])).unwrap_err(), BundleError::Threshold { .. }));
    assert_eq!(judged(&two_of_two, &plain(&[A, B])).unwrap(), 1);
}

#[test]
fn nothing_that_was_revoked_comes_back() {
    let mut one = first(&[A, B], 1);
    set_status(&mut one, B, KeyStatus::Revoked);
    one.revoked_contents = vec![Digest::of(b"x")];
    let range = |first, last| RevokedSerials { name: "fleet".parse().unwrap(), epoch: 0, first, last };
    one.revoked_serials = vec![range(5, 9)];
    let e1 = entry(&one, &[A]);
    let with = |change: &dyn Fn(&mut RootDocument)| {
        let two = after(&one, |root| change(root));
        pinned(&[A]).accept_roots(&[e1.clone(), entry(&two, &[A])].concat())
    };
    for back in [
        &(|root: &mut RootDocument| set_status(root, B, KeyStatus::Active)) as &dyn Fn(&mut RootDocument),
        &|root| set_status(root, B, KeyStatus::Retired),
        &|root| root.keys.retain(|key| key.status == KeyStatus::Active),
        &|root| root.revoked_contents.clear(),
        &|root| root.revoked_serials.clear(),
        &|root| root.revoked_serials = vec![range(5, 8)],
        &|root| root.revoked_serials[0].epoch = 1,
        &|root| root.created -= 1,
        &|root| root.name = "other".parse().unwrap(),
    ] {
        let error = with(back).unwrap_err();
        assert!(matches!(error, RootError::Successor { version: 2, .. }), "{error}");
    }
    with(&|root| root.revoked_serials = vec![range(0, 6), range(7, 100)]).unwrap();
}

#[test]
fn documents_that_contradict_themselves_are_refused() {
    for spoil in [
        &(|root: &mut RootDocument| root.version = 0) as &dyn Fn(&mut RootDocument),
        &|root| root.prev = Some(Digest::of(b"")),
        &|root| root.version = 2,
        &|root| root.threshold = 0,
        &|root| root.threshold = 3,
        &|root| root.keys.reverse(),
        &|root| root.keys.iter_mut().for_each(|key| key.status = KeyStatus::Retired),
        &|root| root.revoked_contents = vec![Digest::of(b"a"), Digest::of(b"a")],
        &|root| {
            let serials =
                |first, last| RevokedSerials { name: "fleet".parse().unwrap(), epoch: 0, first, last };
            root.revoked_serials = vec![serials(1, 5), serials(5, 6)];
        },
        &|root| {
            root.keys = (0..17).map(|n| RootKey { public: public(n), status: KeyStatus::Active }).collect();
        },
    ] {
        let mut document = first(&[A, B], 2);
        spoil(&mut document);
        let error = refused(&pinned(&[A]), &entry(&document, &[A, B]));
        assert!(matches!(error, RootError::Document { .. }), "{error}");
    }
    let mut newer = first(&[A], 1);
    newer.critical = vec!["quorum".to_owned()];
    let error = refused(&pinned(&[A]), &entry(&newer, &[A]));
    assert!(matches!(error, RootError::Critical { .. }), "{error}");
}

#[test]
fn a_largest_document_stays_within_its_limit() {
    let keys = (0..64_u8).map(|n| RootKey {
        public: public(n),
        status: if n < 16 { KeyStatus::Active } else { KeyStatus::Retired },
    });
    let mut document = first(&[A], 1);
    document.keys = keys.collect();
    document.keys.sort_by(|a, b| a.public.as_bytes().cmp(b.public.as_bytes()));
    document.threshold = limits::MAX_THRESHOLD;
    (document.epoch, document.created) = (limits_max(), limits_max());
    let name = "n".repeat(64);
    document.revoked_serials = (0..limits::MAX_REVOKED as u64)
        .map(|n| {
            let epoch = limits_max() - 1000 + n;
            RevokedSerials { name: name.parse().unwrap(), epoch, first: limits_max(), last: limits_max() }
        })
        .collect();
    document.revoked_contents = (0..limits::MAX_REVOKED).map(|n| Digest::of(&n.to_be_bytes())).collect();
    document.revoked_contents.sort();
    let raw = document.write().unwrap();
    assert!(raw.len() < 48 << 10, "{} bytes", raw.len());
}

#[test]
fn no_flipped_byte_of_a_chain_leads_to_another_newest_root() {
    let one = first(&[A, B], 2);
    let two = after(&one, |root| add(root, C));
    let good = [entry(&one, &[A, B]), entry(&two, &[A, B])].concat();
    let expected = pinned(&[A]).accept_roots(&good).unwrap();
    for index in 0..good.len() {
        let mut bytes = good.clone();
        bytes[index] ^= 1;
        if let Ok(accepted) = pinned(&[A]).accept_roots(&bytes) {
            // A lost its entry in root 1 and so is met at root 2, which proves root 1 by its digest.
            assert!((8..200).contains(&index), "byte {index}");
            assert_eq!(accepted.roots(), &expected.roots()[1..]);
        }
    }
    for cut in 0..good.len() {
        let whole = cut == entry(&one, &[A, B]).len();
        assert_eq!(pinned(&[A]).accept_roots(&good[..cut]).is_ok(), whole, "{cut}");
    }
}

#[test]
fn the_manifest_names_the_versions_of_its_roots() {
    let one = first(&[A], 1);
    let two = after(&one, |_| {});
    let both = chain(&[entry(&one, &[A]), entry(&two, &[A])].concat());
    let good = bundle(Some(both), &[A], |_| {});
    let raw = RawBundle::read(Stream(good.as_slice())).unwrap();
    let judge: Judge = raw.judge(&pinned(&[A])).unwrap();
    let roots = &raw.unverified_manifest().unwrap().0.roots;
    assert_eq!((roots.first, roots.last), (1, 2));
    assert_eq!(judge.root().unwrap().version(), 2);
    // Signed properly, but with another last version.
    let at = good.windows(21).position(|window| window == b"{\"first\":1,\"last\":2,\"").unwrap();
    let mut lying = good.clone();
    lying[at + 18] = b'3';
    let start = good.windows(10).position(|window| window == b"{\"format\":").unwrap();
    let start =
        good[start + 1..].windows(10).rposition(|window| window == b"{\"format\":").unwrap() + start + 1;
    let len = raw.manifest_len();
    let signature = sign(A, &Role::Manifest.signed_message(&lying[start..start + len]));
    lying[1540 + 32..1540 + 96].copy_from_slice(&signature);
    let error = judged(&pinned(&[A]), &lying).unwrap_err();
    assert!(error.to_string().contains("roots 1 to 3"), "{error}");
}

#[test]
fn a_farm_makes_a_chain_step_by_step() {
    let mut file = RootsFile::create(first(&[A, B], 2)).unwrap();
    let attach = |file: &mut RootsFile, key: u8| {
        let message = file.pending().unwrap().message();
        file.attach(&public(key), sign(key, &message))
    };
    assert!(RootChain::read_trusted(&file.to_bytes().unwrap()).is_err(), "no host takes an unsigned root");
    assert!(!attach(&mut file, A).unwrap());
    assert!(pinned(&[A]).accept_roots(&file.to_bytes().unwrap()).is_err());
    assert!(matches!(attach(&mut file, D).unwrap_err(), RootError::Successor { .. }));
    let mut again = RootsFile::read(&file.to_bytes().unwrap()).unwrap();
    assert_eq!(again.lacking()[0].candidates, [public(B).id()]);
    assert!(attach(&mut again, B).unwrap());
    assert!(again.pending().is_none());

    let mut two = again.next().unwrap();
    set_status(&mut two, A, KeyStatus::Revoked);
    add(&mut two, C);
    assert_eq!(again.change(two).unwrap(), 0);
    let sides: Vec<_> = again.lacking().iter().map(|lacking| lacking.whose).collect();
    assert_eq!(sides, [Signatures::Predecessor, Signatures::Own]);
    assert!(!attach(&mut again, B).unwrap());
    assert!(!attach(&mut again, C).unwrap());
    assert!(again.clone().complete().is_err());
    assert_eq!(again.lacking().len(), 1);
    // The revoked key itself is one of root 1's two.
    assert!(attach(&mut again, A).unwrap());
    assert_eq!(again.complete().unwrap().newest().version(), 2);
}
