//! The outer tar: headers, order, what stands between and behind the members.

use std::io::Write as _;

use fixtures::forge::{Archive, BLOCK, Forge, Member, first_member, header};

use crate::refused;

const FRAME: &str = "kernels/0000-6.12.1-test.tar.zst";
const SECOND: &str = "kernels/0001-6.13.0-test.tar.zst";

fn good() -> Archive {
    Forge::good().sealed()
}

/// The first frame's member with `bytes` at `offset` of its header.
fn frame_header(offset: usize, bytes: &[u8]) -> Vec<u8> {
    good().spoil(FRAME, |member| member.with(offset, bytes)).bytes()
}

/// The first frame's member as a file of another type.
fn typed(flag: u8, target: &str) -> Vec<u8> {
    good().spoil(FRAME, |member| member.of_type(flag, target)).bytes()
}

/// A member of another type before the first frame's.
fn before_frame(name: &str, flag: u8, content: &[u8]) -> Vec<u8> {
    good().insert_before(FRAME, Member::new(name, content).of_type(flag, "")).bytes()
}

/// A record of a PAX header.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let len = (1..1000).find(|len: &usize| len.to_string().len() + rest.len() == *len).unwrap();
    format!("{len}{rest}").into_bytes()
}

fn extra(name: &str, content: &[u8]) -> Forge {
    let mut forge = Forge::good();
    forge.add_extra(name, content);
    forge
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const NO_FRAME: &str = "expected `kernels/0000-6.12.1-test.tar.zst`";

refused! {
    a02_typeflag_hard_link: typed(b'1', "") => 11, NO_FRAME;
    a02_typeflag_symlink: typed(b'2', "/etc") => 11, NO_FRAME;
    a02_typeflag_directory: typed(b'5', "") => 11, NO_FRAME;
    a02_typeflag_contiguous: typed(b'7', "") => 11, NO_FRAME;
    a02_typeflag_nul: typed(0, "") => 11, NO_FRAME;
    a02_typeflag_volume: typed(b'V', "") => 11, NO_FRAME;
    a02_symlink_then_file_through_it: good()
        .insert_before(FRAME, Member::new("kernels", []).of_type(b'2', "/tmp")).bytes() => 11, NO_FRAME;
    a02_symlink_as_first_member: good()
        .insert_before("stap-bundle", Member::new("x", []).of_type(b'2', "/tmp")).bytes() => 11, "not a bundle";
    a02_link_name_in_a_regular_member: frame_header(157, b"/etc/passwd") => 11, NO_FRAME;
    a03_hardlink_to_shadow: typed(b'1', "/etc/shadow") => 11, NO_FRAME;
    a03_character_device: typed(b'3', "") => 11, NO_FRAME;
    a03_block_device: typed(b'4', "") => 11, NO_FRAME;
    a03_fifo: typed(b'6', "") => 11, NO_FRAME;
    a04_pax_size_smuggles_members: before_frame("PaxHeader/x", b'x', &pax("size", "0")) => 11, NO_FRAME;
    a04_pax_global_header: before_frame("GlobalHead", b'g', &pax("path", "../../etc/cron.d/x")) => 11, NO_FRAME;
    a04_pax_path: before_frame("PaxHeader/x", b'x', &pax("path", "/etc/passwd")) => 11, NO_FRAME;
    a04_pax_before_the_first_member: good()
        .insert_before("stap-bundle", Member::new("p", pax("size", "0")).of_type(b'x', "")).bytes()
        => 11, "not a bundle";
    a04_gnu_long_name: before_frame("././@LongLink", b'L', b"../../etc/passwd\0") => 11, NO_FRAME;
    a04_gnu_long_link: before_frame("././@LongLink", b'K', b"/etc/shadow\0") => 11, NO_FRAME;
    a04_tar_smuggled_in_padding: smuggled_in_padding() => 11, "is not zero";
    a04_size_in_base_256: frame_header(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0]) => 11, NO_FRAME;
    a04_size_with_blanks: frame_header(124, b"      1000 \0") => 11, NO_FRAME;
    a04_size_without_nul: frame_header(135, b" ") => 11, NO_FRAME;
    a04_manifest_size_in_base_256: good()
        .spoil("manifest.json", |member| member.with_size_field(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0])).bytes()
        => 11, "expected `manifest.json`";
    a04_manifest_size_negative: good()
        .spoil("manifest.json", |member| member.with_size_field(&[0xff; 12])).bytes()
        => 11, "expected `manifest.json`";
    a04_roots_size_with_blanks: good()
        .spoil("roots", |member| member.with_size_field(b"          0\0")).bytes()
        => 11, "expected `roots`";
    a04_checksum_of_six_digits: six_digits() => 11, NO_FRAME;
    a04_checksum_wrong: wrong_checksum() => 11, NO_FRAME;
    a04_name_in_the_prefix: frame_header(345, b"../../etc") => 11, NO_FRAME;
    a04_gnu_magic: frame_header(257, b"ustar  \0") => 11, NO_FRAME;
    a04_no_magic: frame_header(257, &[0; 8]) => 11, NO_FRAME;
    a04_bytes_behind_the_header_fields: frame_header(511, b"x") => 11, NO_FRAME;
    a05_frame_twice: good()
        .insert_before(SECOND, good().members[4].clone()).bytes() => 11, "invalid header at byte";
    a05_manifest_twice: good()
        .insert_before(FRAME, good().members[3].clone()).bytes() => 11, NO_FRAME;
    a05_signatures_twice: good()
        .insert_before("roots", good().members[1].clone()).bytes() => 11, "expected `roots`";
    a05_members_swapped: swapped() => 11, "bad.stapb: ";
    a06_byte_before: [b"x".as_slice(), &good().bytes()].concat() => 11, "not a bundle";
    a06_block_before: [[0; BLOCK].as_slice(), &good().bytes()].concat() => 11, "not a bundle";
    a06_bundle_within_a_tar: Archive::of(vec![Member::new("fleet.stapb", good().bytes())]).bytes()
        => 11, "not a bundle";
    a06_byte_between_members: inserted(FRAME, 1) => 11, NO_FRAME;
    a06_block_between_members: inserted(FRAME, BLOCK) => 11, "expected a frame, or the end mark";
    a06_unlisted_member_at_the_end: unlisted() => 11, "expected the end mark";
    a06_byte_after_the_end: [good().bytes().as_slice(), b"\0"].concat() => 11, "bytes follow the end mark";
    a06_block_after_the_end: [good().bytes().as_slice(), &[0; BLOCK]].concat() => 11, "bytes follow the end mark";
    a06_second_bundle: [good().bytes(), good().bytes()].concat() => 11, "bytes follow the end mark";
    a06_one_block_for_an_end: Archive { end: vec![0; BLOCK], ..good() }.bytes() => 11, "inside the end mark";
    a06_no_end: Archive { end: Vec::new(), ..good() }.bytes() => 11, "the copy is incomplete";
    a06_end_mark_not_zero: Archive { end: [vec![0; 1023], vec![1]].concat(), ..good() }.bytes()
        => 11, "a frame, or the end mark";
    a06_padding_not_zero: good().spoil(FRAME, |mut member| {
        if let Some(last) = member.padding.last_mut() { *last = 1; }
        member
    }).bytes() => 11, "is not zero";
    a06_compressed_bundle: gzip(&good().bytes()) => 11, "not a bundle";
    a06_extra_that_is_not_listed: good()
        .insert_before(FRAME, Member::new("notes.txt", b"hello".to_vec())).bytes() => 11, NO_FRAME;
    a06_extra_that_is_missing: { let mut archive = extra("notes.txt", b"hello").sealed(); archive.members.remove(4);
        archive.bytes() } => 11, "expected `notes.txt`";
    a10_extra_cut_short_at_8_gib: extra_of_eight_gib() => 11, "the copy is incomplete";
    a11_gnu_sparse_member: typed(b'S', "") => 11, NO_FRAME;
    a11_pax_sparse_member: before_frame("PaxHeader/x", b'x', &pax("GNU.sparse.realsize", "8589934592"))
        => 11, NO_FRAME;
    a13_setuid_mode: frame_header(100, b"0006777\0") => 11, NO_FRAME;
    a13_owner: frame_header(108, b"0001750\x000001750\0") => 11, NO_FRAME;
    a13_owner_by_name: frame_header(265, b"root") => 11, NO_FRAME;
    a13_time: frame_header(136, b"14500000000\0") => 11, NO_FRAME;
    a13_xattr: before_frame("PaxHeader/x", b'x', &pax("SCHILY.xattr.security.capability", "x")) => 11, NO_FRAME;
    a13_acl: before_frame("PaxHeader/x", b'x', &pax("SCHILY.acl.access", "user::rwx")) => 11, NO_FRAME;
    b01_magic_swapped: good().spoil("stap-bundle", |mut member| { member.content[0] = b'S'; member }).bytes()
        => 11, "not a bundle";
    b01_kind_unknown: good()
        .spoil("stap-bundle", |_| Member::new("stap-bundle", first_member(2))).bytes() => 11, "not as format 1 has it";
    b01_kind_not_the_signed_one: good()
        .spoil("stap-bundle", |_| Member::new("stap-bundle", first_member(1))).bytes() => 11, "its kind is";
    b02_byte_behind_the_first_fields: good()
        .spoil("stap-bundle", |mut member| { member.content[511] = 1; member }).bytes() => 11, "not as format 1 has it";
    d01_cut_within_the_first_member: good().bytes()[..700] => 11, "the copy is incomplete";
    d01_cut_within_the_manifest: good().bytes()[..5000] => 11, "the copy is incomplete";
    d01_cut_within_a_frame: { let at = good().content_at(SECOND); good().bytes()[..at + 7].to_vec() }
        => 11, "the copy is incomplete";
    d01_cut_before_the_last_byte: { let bytes = good().bytes(); bytes[..bytes.len() - 1].to_vec() }
        => 11, "the copy is incomplete";
    d01_empty_file: Vec::new() => 11, "not a bundle";
    d06_lost_packet: { let mut bytes = good().bytes(); let at = good().content_at(FRAME);
        bytes.drain(at + 100..at + 1500.min(bytes.len() - at)); bytes } => 11, "bad.stapb: ";
    d07_zeros: vec![0; 1 << 20] => 11, "not a bundle";
    d07_zeros_for_a_frame: { let mut bytes = good().bytes(); let at = good().content_at(FRAME) - BLOCK;
        bytes.truncate(at); bytes.resize(8 << 20, 0); bytes } => 11, "bytes follow the end mark";
}

fn smuggled_in_padding() -> Vec<u8> {
    good()
        .spoil(FRAME, |mut member| {
            let smuggled = header("etc/passwd", 0);
            member.padding.iter_mut().zip(smuggled).for_each(|(to, from)| *to = from);
            member
        })
        .bytes()
}

fn six_digits() -> Vec<u8> {
    good()
        .spoil(FRAME, |mut member| {
            let digits = member.header[149..155].to_vec();
            member.header[148..154].copy_from_slice(&digits);
            member.header[154..156].copy_from_slice(b"\0 ");
            member
        })
        .bytes()
}

fn wrong_checksum() -> Vec<u8> {
    good()
        .spoil(FRAME, |mut member| {
            member.header[154] ^= 1;
            member
        })
        .bytes()
}

fn swapped() -> Vec<u8> {
    let mut archive = good();
    archive.members.swap(4, 5);
    archive.bytes()
}

fn inserted(before: &str, len: usize) -> Vec<u8> {
    let mut bytes = good().bytes();
    let at = good().content_at(before) - BLOCK;
    bytes.splice(at..at, vec![0; len]);
    bytes
}

fn unlisted() -> Vec<u8> {
    let mut archive = good();
    archive.members.push(Member::new("kernels/0002-6.14.0-test.tar.zst", b"x".to_vec()));
    archive.bytes()
}

/// The header says 2^33 - 1 bytes, as the manifest does; 512 follow.
fn extra_of_eight_gib() -> Vec<u8> {
    let mut forge = extra("sources.tar.zst", &[0; 512]);
    forge.manifest.extras[0].size = (1 << 33) - 1;
    let sealed = forge.sealed();
    sealed.spoil("sources.tar.zst", |member| member.with_size_field(b"77777777777\0")).bytes()
}
