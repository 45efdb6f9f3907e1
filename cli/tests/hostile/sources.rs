//! Scripts that travel along, and aren't what they should be. An extra never changes what is installed, so a plain install
//! takes such a bundle and looks at none of it; `verify` and an install that was asked for the scripts refuse it.

use fixtures::forge::{Archive, Forge, Member, SCRIPTS, compress, crafted_frame};

use crate::world::World;

const NAME: &str = "sources.tar.zst";
const NOT_THEIRS: &str = "`sources.tar.zst` does not hold the scripts of this bundle";

/// The tar that belongs there; a script's text is its name.
fn good() -> Archive {
    let member = |script: &&str| Member::new(&format!("{script}.stp"), script.as_bytes());
    Archive::of(SCRIPTS.iter().map(member).collect())
}

fn carrying(content: &[u8]) -> Vec<u8> {
    let mut forge = Forge::good();
    forge.add_extra(NAME, content);
    forge.sealed().bytes()
}

fn refused(content: &[u8], message: &str) {
    let world = World::new();
    world.write("bad.stapb", &carrying(content));
    world.refuses("verify bad.stapb --key farm.pub", 11, message);
    world.refuses("--root host install bad.stapb --all-kernels --with-source", 11, message);
    world.refuses("--root host install bad.stapb --all-kernels --with-source --dry-run", 11, message);
    // Without the switch the scripts are no matter of the install, and no script comes.
    let said = world.run("--root host install bad.stapb --all-kernels");
    assert_eq!(said.exit, Some(0), "{}", said.text);
    assert!(!world.path("host/etc/systemtap/script.d").exists());
}

fn refused_tar(archive: &Archive, message: &str) {
    refused(&compress(&archive.bytes(), None), message);
}

/// Otherwise the refusals would prove nothing.
#[test]
fn the_scripts_that_all_others_were_made_from_are_good() {
    let world = World::new();
    world.write("good.stapb", &carrying(&compress(&good().bytes(), None)));
    for line in ["verify good.stapb --key farm.pub", "--root host install good.stapb --with-source"] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{line}: {}", said.text);
    }
    for script in SCRIPTS {
        let placed = std::fs::read(world.path(&format!("host/etc/systemtap/script.d/{script}.stp"))).unwrap();
        assert_eq!(placed, script.as_bytes());
    }
}

#[test]
fn a01_source_with_a_way_out() {
    for name in
        ["../counter.stp", "/etc/systemtap/script.d/counter.stp", "./counter.stp", "counter.stp/", "counter"]
    {
        let bad = Archive::of(vec![Member::new(name, *b"counter"), Member::new("latency.stp", *b"latency")]);
        refused_tar(&bad, NOT_THEIRS);
    }
}

#[test]
fn a02_source_that_is_a_link() {
    for flag in [b'1', b'2', b'5', b'L', b'x'] {
        refused_tar(&good().spoil("counter.stp", |member| member.of_type(flag, "/etc/shadow")), NOT_THEIRS);
    }
}

#[test]
fn a05_source_twice_or_of_nobody() {
    refused_tar(&good().insert_before("latency.stp", Member::new("counter.stp", *b"counter")), NOT_THEIRS);
    refused_tar(&good().insert_before("latency.stp", Member::new("extra.stp", *b"extra")), NOT_THEIRS);
    let mut more = good();
    more.members.push(Member::new("more.stp", *b"more"));
    refused_tar(&more, NOT_THEIRS);
    more.members.truncate(1);
    refused_tar(&more, NOT_THEIRS);
}

#[test]
fn a06_source_with_bytes_behind_or_without_an_end() {
    let mut bad = good();
    bad.end.extend([0; 512]);
    refused_tar(&bad, NOT_THEIRS);
    bad.end.truncate(512);
    refused_tar(&bad, NOT_THEIRS);
    let frame = compress(&good().bytes(), None);
    refused(&[frame.as_slice(), b"x"].concat(), NOT_THEIRS);
    refused(&[frame.as_slice(), &frame].concat(), NOT_THEIRS);
    refused(b"", NOT_THEIRS);
}

/// Zeros for a gigabyte are a few kilobytes of frame.
#[test]
fn a07_sources_that_unpack_to_a_gigabyte() {
    refused(&crafted_frame(20, 1 << 30, 8192), "limit 33554432");
}

#[test]
fn a10_source_of_eight_gib() {
    let field = b"77777777777\0";
    refused_tar(
        &good().spoil("counter.stp", |member| member.with_size_field(field)),
        "at most 33554432 are allowed",
    );
}

#[test]
fn b02_source_of_another_text() {
    let other =
        Archive::of(vec![Member::new("counter.stp", *b"Counter"), Member::new("latency.stp", *b"latency")]);
    refused_tar(&other, "the manifest says");
}
