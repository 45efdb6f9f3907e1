//! Who signed what.

use fixtures::forge::{
    Archive, Forge, Member, PAYLOAD_TYPE, farm, key_id, public, secret, sign, signatures, signed_message,
    stranger,
};

use crate::refused;
use crate::world::{World, base64};

/// The order of the group of Ed25519, little-endian (RFC 8032, section 5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The encodings of the eight points of small order, and the two other spellings of them that decoders know.
const SMALL_ORDER: [[u8; 32]; 8] = [
    [0; 32],
    with(1, 0),
    with(0, 0x80),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x85,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0xfa,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

const fn with(first: u8, last: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// A root that lists the farm's key, of seed 7, and the stranger's, of seed 8, signed by these.
fn root(threshold: u64, seeds: &[u8]) -> Vec<u8> {
    let listed = [farm(), stranger()].iter().map(public).collect();
    let document = bundle_format::RootDocument::first("fleet".parse().unwrap(), listed, threshold, 1);
    let raw = document.write().unwrap();
    let message = bundle_format::Role::Root.signed_message(&raw);
    let entries: Vec<_> =
        seeds.iter().map(|seed| secret(*seed)).map(|key| (key_id(&key), sign(&key, &message))).collect();
    let count = u32::try_from(seeds.len()).unwrap();
    let length = u32::try_from(raw.len()).unwrap().to_be_bytes();
    [length.as_slice(), &signatures(count, &entries), &raw].concat()
}

/// A bundle that the farm signed, with these roots.
fn with_roots(roots: &[u8]) -> Vec<u8> {
    let mut forge = Forge::good();
    let (size, sha256) = (roots.len() as u64, bundle_format::Digest::of(roots));
    forge.manifest.roots = bundle_format::RootsRecord { first: 1, last: 1, size, sha256 };
    forge.sealed().spoil("roots", |_| Member::new("roots", roots.to_vec())).bytes()
}

/// A second root behind the first, which `change` makes of it; both keys signed it.
fn and_then(first: &[u8], change: impl FnOnce(&mut bundle_format::RootDocument)) -> Vec<u8> {
    let mut file = bundle_format::RootsFile::read(first).unwrap();
    let mut document = file.next().unwrap();
    change(&mut document);
    file.change(document).unwrap();
    for key in [farm(), stranger()] {
        if let Some(message) = file.pending().map(bundle_format::PendingRoot::message) {
            // A key that this root withdraws is not asked for, if the other one is enough.
            let _ = file.attach(&public(&key), sign(&key, &message));
        }
    }
    file.complete().unwrap().to_bytes().unwrap()
}

/// A bundle of this serial with two roots.
fn with_two_roots(serial: u64, change: impl FnOnce(&mut bundle_format::RootDocument)) -> Vec<u8> {
    let roots = and_then(&root(1, &[7, 8]), change);
    let mut forge = Forge::numbered("fleet", serial);
    let (size, sha256) = (roots.len() as u64, bundle_format::Digest::of(&roots));
    forge.manifest.roots = bundle_format::RootsRecord { first: 1, last: 2, size, sha256 };
    forge.sealed().spoil("roots", |_| Member::new("roots", roots)).bytes()
}

fn farm_revoked(document: &mut bundle_format::RootDocument) {
    let farm = public(&farm());
    for key in document.keys.iter_mut().filter(|key| key.public == farm) {
        key.status = bundle_format::KeyStatus::Revoked;
    }
}

fn serials_revoked(document: &mut bundle_format::RootDocument) {
    let name = "fleet".parse().unwrap();
    document.revoked_serials.push(bundle_format::RevokedSerials { name, epoch: 0, first: 1, last: 7 });
}

fn text() -> String {
    Forge::good().text()
}

fn farms(message: &[u8]) -> [u8; 64] {
    sign(&farm(), message)
}

fn signature() -> [u8; 64] {
    farms(&signed_message(PAYLOAD_TYPE, text().as_bytes()))
}

/// The good bundle with this for its `signatures`.
fn signed_with(count: u32, entries: &[([u8; 32], [u8; 64])]) -> Vec<u8> {
    Forge::good().container(text().as_bytes(), signatures(count, entries)).bytes()
}

fn by_farm(signature: [u8; 64]) -> Vec<u8> {
    signed_with(1, &[(key_id(&farm()), signature)])
}

/// The good bundle's signature over another spelling of the same manifest.
fn respelled(spell: impl FnOnce(String) -> String) -> Vec<u8> {
    let changed = spell(text());
    assert_ne!(changed, text());
    Forge::good().container(changed.as_bytes(), signatures(1, &[(key_id(&farm()), signature())])).bytes()
}

fn several(count: u8) -> Vec<([u8; 32], [u8; 64])> {
    let message = signed_message(PAYLOAD_TYPE, text().as_bytes());
    let keys = (0..count).map(|n| if n == 0 { farm() } else { secret(n + 100) });
    let mut entries: Vec<_> = keys.map(|key| (key_id(&key), sign(&key, &message))).collect();
    entries.sort_unstable();
    entries
}

fn farm_twice() -> Vec<u8> {
    signed_with(2, &[(key_id(&farm()), signature()), (key_id(&farm()), signature())])
}

fn key_id_that_begins_like_the_farms() -> Vec<u8> {
    let mut id = key_id(&farm());
    id[31] ^= 1;
    signed_with(1, &[(id, signature())])
}

/// S + L instead of S: the same equation holds without the range check.
fn malleable() -> [u8; 64] {
    let mut signature = signature();
    let mut carry = 0;
    for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    signature
}

/// R of small order and S = 0.
fn small_order_r() -> [u8; 64] {
    let mut signature = [0; 64];
    signature[0] = 1;
    signature
}

fn without_member(place: usize) -> Vec<u8> {
    let mut archive: Archive = Forge::good().sealed();
    archive.members.remove(place);
    archive.bytes()
}

fn by_stranger() -> Vec<u8> {
    let message = signed_message(PAYLOAD_TYPE, text().as_bytes());
    signed_with(1, &[(key_id(&stranger()), sign(&stranger(), &message))])
}

fn of_another_bundle() -> Vec<u8> {
    let other = Forge::numbered("fleet", 99).text();
    by_farm(farms(&signed_message(PAYLOAD_TYPE, other.as_bytes())))
}

fn manifest_of_another_bundle() -> Vec<u8> {
    let other = Forge::of("fleet", 9, &["6.12.1-test"]).sealed();
    let good = Forge::good().sealed();
    let mut mixed = good.clone();
    mixed.members[1] = other.members[1].clone();
    mixed.members[3] = other.members[3].clone();
    // The frame that both name is the same; what the manifest doesn't list stays behind it.
    mixed.bytes()
}

const CHANGED: &str = "the bundle was changed after signing";

refused! {
    b01_signatures_stripped: without_member(1) => 11, "expected `signatures`";
    b01_no_signature: signed_with(0, &[]) => 11, "0 signatures, expected 1 to 16";
    b01_signatures_empty: Forge::good().container(text().as_bytes(), Vec::new()).bytes()
        => 11, "expected `signatures`";
    b01_seventeen_signatures: { let mut block = signatures(16, &several(16)); block[3] = 17;
        Forge::good().container(text().as_bytes(), block).bytes() } => 11, "17 signatures, expected 1 to 16";
    b01_four_billion_signatures: signed_with(u32::MAX, &[(key_id(&farm()), signature())])
        => 11, "4294967295 signatures, expected 1 to 16";
    b01_signature_of_zeros: by_farm([0; 64]) => 10, CHANGED;
    b01_key_and_signature_of_zeros: signed_with(1, &[([0; 32], [0; 64])]) => 10, "which isn't trusted here";
    b01_fewer_than_counted: signed_with(2, &several(1)) => 11, "`signatures` member is not as format 1 has it";
    b01_more_than_counted: signed_with(1, &several(2)) => 11, "`signatures` member is not as format 1 has it";
    b01_signed_by_a_stranger: by_stranger() => 10, "which isn't trusted here";
    b02_serial_changed_after_signing: respelled(|text| text.replace("\"serial\":7", "\"serial\":8")) => 10, CHANGED;
    b02_signature_covers_a_prefix: respelled(|text| text + " ") => 10, CHANGED;
    b03_white_space_added: respelled(|text| text.replacen(',', ", ", 1)) => 10, CHANGED;
    b03_fields_reordered: respelled(|text| text
        .replacen("\"format\":1,\"minimum_reader\":0", "\"minimum_reader\":0,\"format\":1", 1)) => 10, CHANGED;
    b03_escape_for_a_letter: respelled(|text| text.replacen("\"name\":\"fleet\"", "\"name\":\"\\u0066leet\"", 1))
        => 10, CHANGED;
    b03_number_spelled_otherwise: respelled(|text| text.replacen("\"serial\":7", "\"serial\":7.0", 1)) => 10, CHANGED;
    b03_final_newline: respelled(|text| text + "\n") => 10, CHANGED;
    b04_raw_manifest_signed: by_farm(farms(text().as_bytes())) => 10, CHANGED;
    b04_signed_as_a_root: by_farm(farms(&signed_message("application/vnd.stap-bundle.root.v1+json", text().as_bytes())))
        => 10, CHANGED;
    b04_signed_as_a_result: by_farm(farms(&signed_message("application/vnd.stap-bundle.result.v1+json",
        text().as_bytes()))) => 10, CHANGED;
    b04_type_and_length_moved: by_farm(farms(&[b"DSSEv1 43 ".as_slice(), PAYLOAD_TYPE.as_bytes(), b" ",
        text().as_bytes()].concat())) => 10, CHANGED;
    b05_key_id_lies: signed_with(1, &[(key_id(&farm()), sign(&stranger(), &signed_message(PAYLOAD_TYPE,
        text().as_bytes())))]) => 10, CHANGED;
    b05_key_id_begins_like_the_farms: key_id_that_begins_like_the_farms() => 10, "which isn't trusted here";
    b06_one_key_twice: farm_twice() => 11, "signed twice";
    b06_one_key_twice_with_two_signatures: signed_with(2, &[(key_id(&farm()), signature()), (key_id(&farm()),
        [1; 64])]) => 11, "signed twice";
    b06_not_in_order: { let mut entries = several(3); entries.reverse(); signed_with(3, &entries) }
        => 11, "`signatures` member is not as format 1 has it";
    b06_bytes_behind_the_last_entry: { let mut block = signatures(1, &several(1)); block[1539] = 1;
        Forge::good().container(text().as_bytes(), block).bytes() }
        => 11, "`signatures` member is not as format 1 has it";
    b07_s_plus_l: by_farm(malleable()) => 10, CHANGED;
    b07_r_of_small_order: by_farm(small_order_r()) => 10, CHANGED;
    b07_s_not_reduced: { let mut high = signature(); high[63] |= 0xe0; by_farm(high) } => 10, CHANGED;
    b08_signature_of_another_bundle: of_another_bundle() => 10, CHANGED;
    b08_manifest_and_signature_of_another_bundle: manifest_of_another_bundle()
        => 11, "invalid header at byte";
    b09_good_signature_beside_a_bad_one_by_the_same_farm: { let mut entries = several(2);
        for entry in &mut entries { if entry.0 == key_id(&farm()) { entry.1[0] ^= 1; } }
        signed_with(2, &entries) } => 10, CHANGED;
    b10_roots_that_are_no_sequence: { let mut forge = Forge::good();
        forge.manifest.roots = bundle_format::RootsRecord { first: 1, last: 1, size: 4,
            sha256: bundle_format::Digest::of(b"root") };
        forge.sealed().spoil("roots", |_| Member::new("roots", b"root".to_vec())).bytes() } => 11, "roots are refused";
    b10_roots_that_the_manifest_does_not_name: Forge::good().sealed()
        .spoil("roots", |_| Member::new("roots", b"root".to_vec())).bytes() => 11, "roots are refused";
    b10_a_root_that_its_own_keys_did_not_sign: with_roots(&root(2, &[7])) => 10, "2 are needed";
    b10_a_root_that_no_pinned_key_signed: with_roots(&root(1, &[8])) => 10, "none of the roots";
}

/// The host keeps the news and nothing else (specification, section 5.4).
#[test]
fn b09_a_bundle_whose_own_roots_revoke_it_or_its_key() {
    for (bundle, message) in [
        (with_two_roots(7, farm_revoked), "revoked"),
        (with_two_roots(7, serials_revoked), "is revoked by root 2"),
    ] {
        let world = World::new();
        world.write("bad.stapb", &bundle);
        world.refuses("verify bad.stapb --deep --key farm.pub", 10, message);
        world.refuses("extract bad.stapb out --key farm.pub", 10, message);
        world.refuses("export --tar-gz bad.stapb -o out --key farm.pub", 10, message);
        let said = world.run("--root host install bad.stapb --all-kernels");
        assert!(said.exit == Some(10) && said.text.contains(message), "{}", said.text);
        // Known by now: the second time nothing is written at all.
        world.refuses("--root host install bad.stapb --all-kernels", 10, message);
        let said = world.run("--root host list");
        assert!(said.text.contains("fleet 1.5"), "{}", said.text);
    }
}

/// What a thief signed with the key, and what was installed before, once a bundle has brought the news.
#[test]
fn b09_a_host_that_has_the_news_takes_nothing_by_the_stolen_key() {
    let world = World::new();
    let mut news = Forge::numbered("fleet", 9);
    let roots = and_then(&root(1, &[7, 8]), farm_revoked);
    let (size, sha256) = (roots.len() as u64, bundle_format::Digest::of(&roots));
    news.manifest.roots = bundle_format::RootsRecord { first: 1, last: 2, size, sha256 };
    let message = signed_message(PAYLOAD_TYPE, news.text().as_bytes());
    let by_stranger = signatures(1, &[(key_id(&stranger()), sign(&stranger(), &message))]);
    let news = news.container(news.text().as_bytes(), by_stranger);
    world.write("news.stapb", &news.spoil("roots", |_| Member::new("roots", roots)).bytes());
    let said = world.run("--root host install news.stapb");
    assert_eq!(said.exit, Some(0), "{}", said.text);
    world.write("stolen.stapb", &Forge::numbered("fleet", 10).sealed().bytes());
    world.refuses("--root host install stolen.stapb", 10, "revoked");
    world.refuses("--root host rollback", 10, "revoked");
}

#[test]
fn b07_a_key_of_small_order_is_never_pinned() {
    for point in SMALL_ORDER {
        let world = World::new();
        world.write("weak.pub", pem(&point).as_bytes());
        world.write("bad.stapb", &by_farm(small_order_r()));
        world.refuses("--root host trust add weak.pub", 11, "weak.pub");
        world.refuses("verify bad.stapb --key weak.pub", 11, "weak.pub");
    }
}

#[test]
fn b06_a_second_spelling_of_a_key_is_never_pinned() {
    // y = p + 1 is y = 1 once more: RFC 8032, section 5.1.3, refuses it.
    let mut point = [0xff; 32];
    point[0] = 0xee;
    point[31] = 0x7f;
    let world = World::new();
    world.write("twin.pub", pem(&point).as_bytes());
    world.refuses("--root host trust add twin.pub", 11, "twin.pub");
}

/// SPKI PEM of a point, whatever it is (RFC 8410).
fn pem(point: &[u8; 32]) -> String {
    let der = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(), point].concat();
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", base64(&der))
}
