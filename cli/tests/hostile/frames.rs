//! The frames: their records, the zstd stream, the tar within, SET.json.

use bundle_format::{Digest, Frame, SetDocument, Trailer};
use fixtures::forge::{
    Archive, Forge, Member, bodies, compress, crafted_frame, kernel, record, set_of, set_with,
};

use crate::refused;

const RELEASE: &str = "6.12.1-test";

/// The good bundle with another tar in its first frame, or what `spoil` makes of it.
fn plain(spoil: impl FnOnce(Archive) -> Archive) -> Vec<u8> {
    let mut forge = Forge::good();
    forge.set_plain(0, &spoil(set_of(&kernel(RELEASE))).bytes());
    repacked(forge)
}

/// The second frame refers to the first one's tar, so it must be packed anew.
fn repacked(mut forge: Forge) -> Vec<u8> {
    let second = forge.plains[1].clone();
    forge.set_plain(1, &second);
    forge.sealed().bytes()
}

/// The good bundle with another account in its first frame, and modules that fit it.
fn set(spoil: impl FnOnce(&mut SetDocument, &mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let kernel = kernel(RELEASE);
    let mut bodies = bodies(&kernel);
    let modules = bodies.iter().map(|(name, body)| record(name, body)).collect();
    let mut document = SetDocument { kernel: kernel.id, modules, uprobes: None };
    spoil(&mut document, &mut bodies);
    plain(|_| set_with(&document, &bodies))
}

/// The good bundle with the text of the account changed.
fn set_text(from: &str, to: &str) -> Vec<u8> {
    plain(|archive| {
        let text = String::from_utf8(archive.members[0].content.clone()).unwrap();
        assert!(text.contains(from));
        archive.spoil("SET.json", |_| Member::new("SET.json", text.replacen(from, to, 1)))
    })
}

/// The good bundle with these bytes for its second frame.
fn frame(compressed: Vec<u8>) -> Vec<u8> {
    let mut forge = Forge::good();
    forge.record(1).reference = None;
    forge.set_frame(1, compressed);
    forge.sealed().bytes()
}

/// The good bundle with the record of its second frame changed.
fn recorded(change: impl FnOnce(&mut Frame)) -> Vec<u8> {
    let mut forge = Forge::good();
    change(forge.record(1));
    forge.sealed().bytes()
}

/// The second kernel's tar, packed without a reference.
fn second() -> Vec<u8> {
    Forge::good().plains[1].clone()
}

fn alone() -> Vec<u8> {
    compress(&second(), None)
}

/// The frame of the second kernel with a byte of its header changed.
fn descriptor(change: impl FnOnce(u8) -> u8) -> Vec<u8> {
    let mut compressed = alone();
    compressed[4] = change(compressed[4]);
    frame(compressed)
}

/// A chain of four frames, each of which refers to the one before.
fn chain() -> Vec<u8> {
    let mut forge = Forge::of("fleet", 7, &["6.1.0", "6.2.0", "6.3.0", "6.4.0"]);
    for index in 1..4 {
        forge.record(index).reference = Some(index - 1);
        let plain = forge.plains[index].clone();
        forge.set_plain(index, &plain);
    }
    forge.sealed().bytes()
}

fn live_references() -> Vec<u8> {
    let releases: Vec<String> = (0..12).map(|n| format!("6.{n}.0")).collect();
    let releases: Vec<&str> = releases.iter().map(String::as_str).collect();
    let mut forge = Forge::of("fleet", 7, &releases);
    for index in 0..12 {
        let record = forge.record(index);
        record.plain_size = 32 << 20;
        record.reference = (index >= 6).then(|| index - 6);
    }
    forge.sealed().bytes()
}

fn ten_thousand_and_one_frames() -> Vec<u8> {
    let mut forge = Forge::good();
    let one = forge.record(0).clone();
    let frames = (0..10_001).map(|index| Frame { index, reference: None, ..one.clone() });
    let kernels = &mut forge.manifest.kernels;
    kernels.truncate(1);
    kernels[0].frames = frames.collect();
    forge.frames.clear();
    forge.sealed().bytes()
}

/// 10 GiB of zeros in 320 KiB, which is as small as zstd's largest blocks make them; the record says what the frame's own header
/// says.
pub(crate) fn bomb(said: u64) -> Vec<u8> {
    let mut forge = Forge::good();
    let record = forge.record(1);
    record.reference = None;
    record.plain_size = said;
    forge.set_frame(1, crafted_frame(20, said, 81_920));
    forge.sealed().bytes()
}

fn flipped_within(name: &str) -> Vec<u8> {
    let sealed = Forge::good().sealed();
    let mut bytes = sealed.bytes();
    bytes[sealed.content_at(name) + 40] ^= 1;
    bytes
}

/// Two frames for one kernel, with the same module in both.
fn module_in_two_frames() -> Vec<u8> {
    let mut forge = Forge::good();
    let (release, first) = (RELEASE, forge.record(0).clone());
    let plain = forge.plains[0].clone();
    forge.kernel(release).frames.push(Frame { index: 2, reference: None, ..first });
    forge.frames.push(Vec::new());
    forge.plains.push(Vec::new());
    forge.set_plain(2, &plain);
    forge.sealed().bytes()
}

fn swapped_kernels() -> Vec<u8> {
    let mut forge = Forge::good();
    let (one, two) = (forge.plains[0].clone(), forge.plains[1].clone());
    forge.set_plain(0, &two);
    forge.set_plain(1, &one);
    forge.sealed().bytes()
}

fn cell_turned_green() -> Vec<u8> {
    set(|document, bodies| {
        document.modules.pop();
        bodies.pop();
    })
}

fn shadow_member(flag: u8, target: &str) -> Vec<u8> {
    plain(|archive| archive.spoil("latency.ko", |member| member.of_type(flag, target)))
}

const NOT_A_FRAME: &str = "kernels/0001-6.13.0-test.tar.zst is not a valid frame";
const NOT_CANONICAL: &str = "is not the canonical one";

refused! {
    a02_symlink_in_a_set: shadow_member(b'2', "/etc") => 11, NOT_CANONICAL;
    a03_hardlink_in_a_set: shadow_member(b'1', "/etc/shadow") => 11, NOT_CANONICAL;
    a03_device_in_a_set: shadow_member(b'3', "") => 11, NOT_CANONICAL;
    a04_pax_in_a_set: plain(|archive| archive.insert_before("latency.ko",
        Member::new("PaxHeader/x", b"10 size=0\n".to_vec()).of_type(b'x', ""))) => 11, NOT_CANONICAL;
    a05_module_twice_in_a_set: set(|document, bodies| {
        document.modules.push(document.modules[1].clone());
        bodies.push(bodies[1].clone());
    }) => 11, "not sorted by name";
    a05_member_twice_in_a_set: plain(|archive| {
        let twin = archive.members[1].clone();
        archive.insert_before("latency.ko", twin)
    }) => 11, NOT_CANONICAL;
    a05_module_in_two_frames: module_in_two_frames() => 11, "is in two frames";
    a05_json_key_twice_in_a_set: set_text("{\"kernel\"", "{\"x\":1,\"x\":2,\"kernel\"") => 11, "SET.json can't be read";
    a06_bytes_behind_the_set: plain(|archive| Archive { end: vec![0; 1536], ..archive })
        => 11, "the end mark is missing or followed by bytes";
    a06_set_without_an_end: plain(|archive| Archive { end: Vec::new(), ..archive })
        => 11, "the end mark is missing or followed by bytes";
    a06_unlisted_module_in_a_set: plain(|mut archive| {
        archive.members.push(Member::new("evil.ko", b"x".to_vec()));
        archive
    }) => 11, "the end mark is missing or followed by bytes";
    a06_padding_in_a_set: plain(|archive| archive.spoil("SET.json", |mut member| {
        member.padding[0] = 1;
        member
    })) => 11, "is not zero";
    a06_set_that_does_not_begin_with_its_account: plain(|mut archive| { archive.members.rotate_left(1); archive })
        => 11, "the contents of kernels/0000-6.12.1-test.tar.zst are not valid";
    a07_bomb_of_10_gib_that_says_so: bomb(10 << 30) => 11, "has 10737418240 plain bytes";
    a07_bomb_of_10_gib_that_says_32_mib: bomb(32 << 20) => 11, NOT_A_FRAME;
    a07_bomb_of_10_gib_that_says_1_mib: bomb(1 << 20) => 11, NOT_A_FRAME;
    a07_more_than_the_record_says: recorded(|frame| frame.plain_size -= 512) => 11, "the manifest says";
    a07_less_than_the_record_says: recorded(|frame| frame.plain_size += 512) => 11, "the manifest says";
    a07_window_of_128_mib: window(27) => 11, NOT_A_FRAME;
    a07_window_of_2_tib: window(41) => 11, NOT_A_FRAME;
    a07_frame_larger_than_it_can_be: recorded(|frame| frame.size = frame.plain_size * 2 + 2048)
        => 11, "compressed bytes";
    a07_plain_bytes_none: recorded(|frame| frame.plain_size = 0) => 11, "has 0 plain bytes";
    a07_plain_bytes_one_over: recorded(|frame| frame.plain_size = (32 << 20) + 1) => 11, "plain bytes";
    a07_two_zstd_frames: frame([alone(), alone()].concat()) => 11, "bytes follow the frame";
    a07_byte_behind_the_zstd_frame: frame([alone().as_slice(), b"x"].concat()) => 11, "bytes follow the frame";
    a07_skippable_frame_in_front: frame([b"\x50\x2a\x4d\x18\x00\x00\x00\x00".as_slice(), &alone()].concat())
        => 11, "does not begin as a zstd frame";
    a07_skippable_frame_behind: frame([alone().as_slice(), b"\x50\x2a\x4d\x18\x00\x00\x00\x00"].concat())
        => 11, "bytes follow the frame";
    a07_dictionary_id: descriptor(|byte| byte | 1) => 11, "names a dictionary";
    a07_no_checksum: descriptor(|byte| byte & !0b100) => 11, "has no checksum";
    a07_reserved_bit: descriptor(|byte| byte | 0b1000) => 11, "a reserved bit is set";
    a07_no_zstd_at_all: frame(second()) => 11, "does not begin as a zstd frame";
    a07_frame_of_four_bytes: frame(alone()[..4].to_vec()) => 11, NOT_A_FRAME;
    a08_corrupt_stream: { let mut bytes = alone(); let at = bytes.len() / 2; bytes[at] ^= 0x55; frame(bytes) }
        => 11, NOT_A_FRAME;
    a08_checksum_wrong: { let mut bytes = alone(); let at = bytes.len() - 1; bytes[at] ^= 1; frame(bytes) }
        => 11, NOT_A_FRAME;
    a08_stream_cut_short: { let mut bytes = alone(); bytes.truncate(bytes.len() - 5); frame(bytes) }
        => 11, NOT_A_FRAME;
    a08_unsigned_bytes_never_reach_the_decoder: flipped_within("kernels/0001-6.13.0-test.tar.zst")
        => 11, "`kernels/0001-6.13.0-test.tar.zst` is damaged: expected SHA-256";
    a08_plain_tar_is_not_what_was_signed: recorded(|frame| frame.plain_sha256 = Digest::of(b"other"))
        => 11, "is damaged: expected SHA-256";
    a08_account_is_not_what_was_signed: recorded(|frame| frame.set_sha256 = Digest::of(b"other"))
        => 11, "SET.json is damaged: expected SHA-256";
    a09_frames_one_over: ten_thousand_and_one_frames() => 11, "10001 frames, limit 10000";
    a09_trailer_one_byte_over: set(|document, _| document.modules[0].trailers.push(Trailer {
        certificate: Digest::of(b""), bytes: "00".repeat((1 << 16) + 1) })) => 11, "is too long";
    a09_account_of_too_many_values: set_text("{\"kernel\"", &format!("{{\"x\":[{}0],\"kernel\"", "0,".repeat(200_000)))
        => 11, "SET.json can't be read";
    a10_frame_of_2_32: recorded(|frame| frame.size = 1 << 32) => 11, "has 4294967296 compressed bytes";
    a10_frame_of_2_33: recorded(|frame| frame.size = 1 << 33) => 11, "has 8589934592 compressed bytes";
    a10_frame_of_2_63: recorded(|frame| { frame.size = (1 << 63) - 1; frame.plain_size = (1 << 63) - 1; })
        => 11, "has 9223372036854775807 plain bytes";
    a10_frame_index_of_2_63: recorded(|frame| frame.index = usize::MAX >> 1) => 11, "frame indexes are not 0 to 1";
    a10_module_of_2_33: set(|document, _| document.modules[0].size = 1 << 33) => 11, "at most 8,589,934,591 fit";
    a10_module_of_2_63: set(|document, _| document.modules[0].size = (1 << 63) - 1)
        => 11, "at most 8,589,934,591 fit";
    a10_module_of_8_gib_less_one: set(|document, _| document.modules[0].size = (1 << 33) - 1) => 11, NOT_CANONICAL;
    a11_sparse_module: shadow_member(b'S', "") => 11, NOT_CANONICAL;
    a12_module_called_otherwise: set_text("\"name\":\"counter\"", "\"name\":\"../counter\"")
        => 11, "SET.json can't be read";
    a12_srcversion_with_an_escape: set(|document, _| document.modules[0].srcversion = Some("\u{1b}c".to_owned()))
        => 11, "is not printable";
    a12_trailer_that_is_no_hexadecimal: set(|document, _| document.modules[0].trailers.push(Trailer {
        certificate: Digest::of(b""), bytes: "zz".to_owned() })) => 11, "not lower-case hexadecimal";
    a13_setuid_module: plain(|archive| archive.spoil("latency.ko", |member| member.with(100, b"0006777\0")))
        => 11, NOT_CANONICAL;
    a15_reference_to_itself: recorded(|frame| frame.reference = Some(1)) => 11, "which is not an earlier one";
    a15_reference_forward: { let mut forge = Forge::good(); forge.record(0).reference = Some(1);
        forge.record(1).reference = None; forge.sealed().bytes() } => 11, "which is not an earlier one";
    a15_references_in_a_circle: { let mut forge = Forge::good(); forge.record(0).reference = Some(1);
        forge.sealed().bytes() } => 11, "which is not an earlier one";
    a15_reference_to_nowhere: recorded(|frame| frame.reference = Some(usize::MAX >> 1))
        => 11, "which is not an earlier one";
    a15_chain_of_three: chain() => 11, "a chain of more than 2 references";
    a15_references_that_fill_the_memory: live_references() => 11, "bytes of references are in use";
    a15_reference_that_is_not_the_one: { let mut forge = Forge::good(); forge.record(1).reference = None;
        forge.sealed().bytes() } => 11, NOT_A_FRAME;
    b08_module_that_the_account_does_not_mean: plain(|archive| archive.spoil("latency.ko", |mut member| {
        member.content[70] ^= 1;
        member
    })) => 11, "latency.ko in kernels/0000-6.12.1-test.tar.zst is damaged";
    c06_set_of_another_kernel: swapped_kernels() => 11, "SET.json is for kernel";
    c06_module_left_out: cell_turned_green() => 11, "its modules are not the green cells";
    c06_modules_of_another_bundle: { let mut forge = Forge::good();
        forge.kernel(RELEASE).modules_sha256 = Digest::of(b"other"); forge.sealed().bytes() }
        => 11, "modules_sha256 is";
    c06_uprobes_that_nobody_needs: set(|document, bodies| {
        document.uprobes = Some(bundle_format::FileRecord { size: 1, sha256: Digest::of(b"u") });
        bodies.push(("uprobes/uprobes".to_owned(), b"u".to_vec()));
    }) => 11, "exactly if a module needs it";
    c06_uprobes_that_are_missing: set(|document, _| document.modules[0].needs_uprobes = true)
        => 11, "exactly if a module needs it";
    d02_flip_in_the_first_frame: flipped_within("kernels/0000-6.12.1-test.tar.zst")
        => 11, "`kernels/0000-6.12.1-test.tar.zst` is damaged";
    d03_frame_of_another_bundle: { let mut archive = Forge::good().sealed();
        let other = Forge::of("fleet", 7, &["6.12.1-test", "6.13.0-test", "6.14.0-test"]).frames[2].clone();
        let len = archive.members[5].content.len();
        archive.members[5].content.splice(.., other.into_iter().chain(std::iter::repeat(0)).take(len));
        archive.bytes() } => 11, "is damaged";
}

/// A frame that asks for a window of 2^`log` bytes, for the size that the record says.
fn window(log: u8) -> Vec<u8> {
    let mut forge = Forge::good();
    let record = forge.record(1);
    record.reference = None;
    record.plain_size = 32 << 20;
    forge.set_frame(1, crafted_frame(log, 32 << 20, 256));
    forge.sealed().bytes()
}

#[test]
fn d03_absent_frame_of_a_wanted_kernel() {
    let world = crate::world::World::new();
    let mut archive = Forge::good().sealed();
    archive.members.remove(5);
    world.write("subset.stapb", &archive.bytes());
    assert_eq!(world.run("verify subset.stapb --key farm.pub").exit, Some(0), "a subset is a bundle");
    let missing = "kernel 6.13.0-test";
    let deep = world.run("verify subset.stapb --deep --key farm.pub");
    assert!(deep.exit == Some(0) && deep.text.contains("present 1 of 2"), "{}", deep.text);
    world.refuses("extract subset.stapb out --key farm.pub", 17, missing);
    world.refuses("--root host install subset.stapb --all-kernels", 17, missing);
}

#[test]
fn d03_absent_reference_of_a_frame() {
    let mut archive = Forge::good().sealed();
    archive.members.remove(4);
    crate::world::refused(&archive.bytes(), 11, "which it refers to, is absent");
}
