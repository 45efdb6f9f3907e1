//! Deltas that lie about what they refer to, and bundles that lie to a good delta.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;

use bundle_format::{BaseBundle, BundleId};
use fixtures::forge::{Forge, compress, crafted_frame};

use crate::world::World;

/// The bundle that the deltas are made from.
fn base() -> Forge {
    Forge::numbered("fleet", 6)
}

/// A delta of it whose second frame refers to a plain tar of `of`, changed before it is signed.
fn delta_of(of: &Forge, change: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::numbered("fleet", 8);
    forge.make_delta(1, &of.plains[0]);
    let id = BundleId::of_manifest(base().text().as_bytes());
    forge.manifest.from = Some(BaseBundle { id, version: "1.6".parse().unwrap(), serial: 6 });
    change(&mut forge);
    forge.sealed().bytes()
}

fn world(delta: &[u8]) -> World {
    let world = World::new();
    world.write("base.stapb", &base().sealed().bytes());
    world.write("delta.stapb", delta);
    world
}

/// Refused by whoever looks into it with the right bundle at hand, and by a host that has that bundle installed.
fn refused(delta: &[u8], message: &str) {
    let world = world(delta);
    for line in [
        "verify delta.stapb --deep --key farm.pub --base base.stapb",
        "extract delta.stapb out --key farm.pub --base base.stapb",
        "sign delta.stapb --dry-run --base base.stapb",
    ] {
        world.refuses(line, 11, message);
    }
    assert_eq!(world.run("--root host install base.stapb --all-kernels").exit, Some(0));
    world.refuses("--root host install delta.stapb --all-kernels", 11, message);
}

#[test]
fn a15_a_good_delta_is_taken_with_its_base() {
    let world = world(&delta_of(&base(), |_| ()));
    for line in [
        "verify delta.stapb --deep --key farm.pub --base base.stapb",
        "extract delta.stapb out --key farm.pub --base base.stapb",
        "sign delta.stapb --dry-run --base base.stapb",
        "--root host install base.stapb --all-kernels",
        "--root host install delta.stapb --all-kernels",
    ] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{line}: {}", said.text);
    }
}

#[test]
fn a07_a_bomb_behind_a_base() {
    refused(
        &delta_of(&base(), |forge| forge.set_frame(1, crafted_frame(20, 1 << 20, 64))),
        "is not a valid frame",
    );
}

#[test]
fn d02_a_frame_with_a_base_that_decodes_to_something_else() {
    let delta = delta_of(&base(), |forge| {
        let other = forge.plains[0].clone();
        forge.set_frame(1, compress(&other, Some(&base().plains[0])));
    });
    refused(&delta, "is damaged: expected SHA-256");
    let delta = delta_of(&base(), |forge| {
        let mut other = forge.plains[1].clone();
        *other.last_mut().unwrap() ^= 1;
        forge.set_frame(1, compress(&other, Some(&base().plains[0])));
    });
    refused(&delta, "is damaged: expected SHA-256");
}

#[test]
fn a15_three_steps_from_a_base() {
    let world = World::new();
    let mut forge = Forge::of("fleet", 8, &["5.10.0", "6.1.0", "6.12.0"]);
    forge.make_delta(0, &base().plains[0]);
    for (index, reference) in [(1, 0), (2, 1)] {
        forge.record(index).reference = Some(reference);
        let plain = forge.plains[index].clone();
        forge.set_plain(index, &plain);
    }
    world.write("delta.stapb", &forge.sealed().bytes());
    world.refuses("verify delta.stapb --key farm.pub", 11, "references");
    world.refuses("--root host install delta.stapb --all-kernels", 11, "references");
}

/// The delta names a bundle, and refers to what that one never had: nobody could ever install it.
#[test]
fn a_delta_that_its_own_base_does_not_fit_was_called_verified() {
    let stranger = Forge::of("fleet", 3, &["5.4.0"]);
    let world = world(&delta_of(&stranger, |_| ()));
    let said = world.run("verify delta.stapb --deep --key farm.pub --base base.stapb");
    assert!(said.exit == Some(17) && said.text.contains("not decoded"), "{}", said.text);
    world.refuses("extract delta.stapb out --key farm.pub --base base.stapb", 17, "which is not here");
    world.write("other.stapb", &stranger.sealed().bytes());
    let line = "verify delta.stapb --deep --key farm.pub --base other.stapb";
    world.refuses(line, 17, "from which the delta was made");
}

#[test]
fn d02_a_damaged_base_is_not_the_deltas_damage() {
    let world = world(&delta_of(&base(), |_| ()));
    let mut bytes = base().sealed().bytes();
    let at = base().sealed().content_at("kernels/0000-6.12.1-test.tar.zst") + 40;
    bytes[at] ^= 1;
    world.write("base.stapb", &bytes);
    let said = world.run("--json verify delta.stapb --deep --key farm.pub --base base.stapb");
    assert!(said.exit == Some(11) && said.text.contains("in the bundle that it refers to"), "{}", said.text);
    assert!(said.text.contains("undecoded") && !said.text.contains("\"damaged\""), "{}", said.text);
    let line = "extract delta.stapb out --key farm.pub --base base.stapb";
    world.refuses(line, 11, "in the bundle that it refers to");
}

/// Neither what is unpacked nor the bundle that is kept can be used, so nothing is guessed.
#[test]
fn e05_an_installed_base_that_was_changed_is_not_used() {
    let world = world(&delta_of(&base(), |_| ()));
    assert_eq!(world.run("--root host install base.stapb --all-kernels").exit, Some(0));
    // Generations share files: what is spoiled twice is whole again.
    let mut spoiled = BTreeSet::new();
    for entry in walkdir::WalkDir::new(world.path("host/var/lib/stap-bundle")) {
        let path = entry.unwrap().into_path();
        let is_module = path.extension().is_some_and(|extension| extension == "ko");
        let is_kept = path.extension().is_some_and(|extension| extension == "stapb");
        let is_ours = path.is_file() && !path.is_symlink() && (is_module || is_kept);
        if is_ours && spoiled.insert(path.metadata().unwrap().ino()) {
            let mut bytes = std::fs::read(&path).unwrap();
            // Of a kept bundle the frames, behind the signed head.
            let at = if is_kept { bytes.len() - 2048 } else { bytes.len() / 2 };
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    assert!(spoiled.len() >= 3, "{spoiled:?}");
    world.refuses("--root host install delta.stapb --all-kernels", 17, "bring the full bundle");
}
