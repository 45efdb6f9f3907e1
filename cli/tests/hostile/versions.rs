//! Good bundles at the wrong time: older, twice, too late, for somebody else. Bundle `fleet` with serial 5 is installed.

use fixtures::forge::{Forge, kernel};

use crate::world::{World, not_installed, refused};

fn fleet(serial: u64, change: impl FnOnce(&mut Forge)) -> Vec<u8> {
    let mut forge = Forge::numbered("fleet", serial);
    change(&mut forge);
    forge.sealed().bytes()
}

#[test]
fn c01_older_serial() {
    not_installed(&fleet(4, |_| ()), 13, "older than serial 5");
}

#[test]
fn c01_older_serial_with_a_newer_version_and_time() {
    let bundle = fleet(4, |forge| {
        forge.manifest.version = "99.0".parse().unwrap();
        forge.manifest.created = 1_900_000_000;
    });
    not_installed(&bundle, 13, "older than serial 5");
}

#[test]
fn c01_one_serial_with_two_contents() {
    let bundle = fleet(5, |forge| forge.manifest.scripts[0].options = "-D FOO=2".to_owned());
    not_installed(&bundle, 13, "has other content");
}

#[test]
fn c02_a_refused_bundle_raises_no_floor() {
    let world = World::new();
    let sealed = Forge::numbered("fleet", 1_000_000).sealed();
    let mut damaged = sealed.bytes();
    damaged[sealed.content_at("kernels/0001-6.13.0-test.tar.zst") + 9] ^= 1;
    world.write("damaged.stapb", &damaged);
    world.refuses("--root host install damaged.stapb", 11, "is damaged");
    world.write("next.stapb", &fleet(6, |_| ()));
    let said = world.run("--root host install next.stapb");
    assert_eq!(said.exit, Some(0), "{}", said.text);
}

#[test]
fn c04_best_before_has_passed() {
    // By the newest bundle that was installed: below --root there is no clock.
    not_installed(&fleet(9, |forge| forge.manifest.best_before = Some(1_600_000_000)), 13, "expired on");
}

#[test]
fn c05_best_before_of_1970() {
    not_installed(&fleet(9, |forge| forge.manifest.best_before = Some(0)), 13, "expired on 1970-01-01");
}

#[test]
fn c05_times_at_the_end_of_time_are_shown() {
    let world = World::new();
    let end = (1 << 63) - 1;
    let bundle = fleet(9, |forge| {
        forge.manifest.created = end;
        forge.manifest.best_before = Some(end);
    });
    world.write("late.stapb", &bundle);
    for line in ["verify late.stapb --key farm.pub", "inspect late.stapb --key farm.pub"] {
        let said = world.run(line);
        assert_eq!(said.exit, Some(0), "{}", said.text);
        assert!(said.text.contains("9223372036854775807 s since 1970"), "{}", said.text);
    }
}

#[test]
fn c06_script_that_another_bundle_has() {
    let bundle = Forge::numbered("other", 1).sealed().bytes();
    not_installed(&bundle, 16, "is in the installed bundle fleet already");
}

#[test]
fn c06_bundle_for_other_kernels() {
    let bundle = Forge::of("fleet", 9, &["5.10.0-test"]).sealed().bytes();
    not_installed(&bundle, 12, "bundle fleet is for 5.10.0-test");
}

#[test]
fn c06_kernel_of_another_machine() {
    let mut forge = Forge::of("fleet", 9, &["6.12.1-test"]);
    let kernel = forge.kernel("6.12.1-test");
    kernel.machine = "pdp11".parse().unwrap();
    kernel.id = kernel.computed_id();
    let id = kernel.id;
    let plain = String::from_utf8_lossy(&forge.plains[0]).into_owned();
    let old = plain.split_once("{\"kernel\":\"").unwrap().1[..64].to_owned();
    let mut plain = forge.plains[0].clone();
    let at = plain.windows(64).position(|window| window == old.as_bytes()).unwrap();
    plain.splice(at..at + 64, id.to_string().into_bytes());
    forge.set_plain(0, &plain);
    not_installed(&forge.sealed().bytes(), 12, "pdp11");
}

#[test]
fn a12_directories_of_two_kernels_that_are_one() {
    // Two kernels of one release get a part of their id behind it; a third one may be called like that.
    let mut forge = Forge::of("fleet", 9, &["6.12.1-test"]);
    let first = forge.kernel("6.12.1-test").clone();
    let twin = {
        let mut twin = kernel("6.12.1-test");
        twin.uname_v = Some("#2 SMP".to_owned());
        twin.id = twin.computed_id();
        twin
    };
    let named = kernel(&format!("6.12.1-test-{}", first.id.short()));
    let three = [first, twin, named];
    let plains: Vec<Vec<u8>> = three.iter().map(|kernel| fixtures::forge::set_of(kernel).bytes()).collect();
    forge.manifest.kernels = three.to_vec();
    forge.frames = vec![Vec::new(); 3];
    forge.plains = vec![Vec::new(); 3];
    for (index, kernel) in forge.manifest.kernels.iter_mut().enumerate() {
        kernel.frames[0].index = index;
        kernel.frames[0].reference = None;
    }
    for (index, plain) in plains.iter().enumerate() {
        forge.set_plain(index, plain);
    }
    forge.manifest.kernels.sort_by_key(|kernel| kernel.id);
    let world = World::new();
    world.write("twins.stapb", &forge.sealed().bytes());
    assert_eq!(world.run("verify twins.stapb --deep --key farm.pub").exit, Some(0));
    world.refuses("extract twins.stapb out --key farm.pub", 11, "would have the same directory");
}

#[test]
fn two_kernels_of_one_release_were_exported_into_one_package() {
    let mut forge = Forge::of("fleet", 9, &["6.12.1-test", "6.12.2-test"]);
    let mut twin = kernel("6.12.1-test");
    twin.uname_v = Some("#2 SMP".to_owned());
    twin.id = twin.computed_id();
    twin.frames[0].index = 1;
    let first = forge.kernel("6.12.1-test").clone();
    forge.manifest.kernels = vec![first, twin];
    let plains: Vec<Vec<u8>> =
        forge.manifest.kernels.iter().map(|kernel| fixtures::forge::set_of(kernel).bytes()).collect();
    for (index, plain) in plains.iter().enumerate() {
        forge.manifest.kernels[index].frames[0].index = index;
        forge.manifest.kernels[index].frames[0].reference = None;
        forge.set_plain(index, plain);
    }
    forge.manifest.kernels.sort_by_key(|kernel| kernel.id);
    let world = World::new();
    world.write("twins.stapb", &forge.sealed().bytes());
    assert_eq!(world.run("verify twins.stapb --deep --key farm.pub").exit, Some(0));
    world.refuses("export --tar-gz twins.stapb -o out --key farm.pub", 16, "two kernels 6.12.1-test");
}

/// Verified, unpacked and installed; no package can have it (specification, section 18.4).
#[test]
fn uprobes_was_left_out_of_packages_without_a_word() {
    let mut forge = Forge::of("fleet", 9, &["6.12.1-test"]);
    let plain = fixtures::forge::set_with_uprobes(forge.kernel("6.12.1-test"), b"uprobes");
    forge.set_plain(0, &plain);
    let world = World::new();
    world.write("old.stapb", &forge.sealed().bytes());
    assert_eq!(world.run("verify old.stapb --deep --key farm.pub").exit, Some(0));
    world.refuses("export --tar-gz old.stapb -o packages --key farm.pub", 30, "it has uprobes.ko");
    assert_eq!(world.run("extract old.stapb out --key farm.pub").exit, Some(0));
    assert_eq!(std::fs::read(world.path("out/6.12.1-test/uprobes/uprobes.ko")).unwrap(), b"uprobes");
}

#[test]
fn b01_no_key_no_bundle() {
    let world = World::new();
    world.write("good.stapb", &Forge::good().sealed().bytes());
    std::fs::create_dir(world.path("empty")).unwrap();
    world.refuses("verify good.stapb --root empty", 10, "no key");
    world.refuses("verify good.stapb --key stranger.pub", 10, "which isn't trusted here");
    world.refuses("extract good.stapb out --key stranger.pub", 10, "which isn't trusted here");
}

#[test]
fn a12_an_unsigned_manifest_could_act_on_the_terminal() {
    let world = World::new();
    let evil = Forge::good().text().replacen("\"kind\":\"full\"", "\"kind\":\"\\u001b[2J\"", 1);
    let archive =
        Forge::good().container(evil.as_bytes(), fixtures::forge::signatures(1, &[([9; 32], [9; 64])]));
    world.write("evil.stapb", &archive.bytes());
    world.refuses("inspect evil.stapb --unverified", 11, "manifest.json can't be read");
}

/// A delta of nothing, or what `from` makes of it.
fn delta(change: impl FnOnce(&mut bundle_format::Manifest)) -> Vec<u8> {
    let mut forge = Forge::good();
    forge.manifest.kind = bundle_format::BundleKind::Delta;
    let from = (bundle_format::BundleId::of_manifest(b"x"), "0.9".parse().unwrap());
    forge.manifest.from = Some(bundle_format::BaseBundle { id: from.0, version: from.1, serial: 1 });
    change(&mut forge.manifest);
    forge.sealed().bytes()
}

/// The first frame of all refers to one of another bundle.
fn with_base(manifest: &mut bundle_format::Manifest) {
    let frames = manifest.kernels.iter_mut().flat_map(|kernel| &mut kernel.frames);
    let first = frames.into_iter().find(|frame| frame.index == 0).unwrap();
    first.base = Some(bundle_format::Digest::of(b"a base"));
}

#[test]
fn a15_a_delta_names_what_it_is_made_from_and_a_full_bundle_nothing() {
    refused(&delta(|manifest| manifest.from = None), 11, "a delta names the bundle that it was made from");
    let mut forge = Forge::good();
    let (id, version) = (bundle_format::BundleId::of_manifest(b"x"), "0.9".parse().unwrap());
    forge.manifest.from = Some(bundle_format::BaseBundle { id, version, serial: 1 });
    refused(&forge.sealed().bytes(), 11, "a delta names the bundle that it was made from");
    let mut forge = Forge::good();
    with_base(&mut forge.manifest);
    refused(&forge.sealed().bytes(), 11, "has a base, but the bundle is no delta");
}

#[test]
fn a15_a_delta_whose_base_is_not_here_says_what_to_bring() {
    let world = World::new();
    world.write("delta.stapb", &delta(with_base));
    let said = world.run("verify delta.stapb --deep --key farm.pub");
    assert!(said.exit == Some(17) && said.text.contains("not looked into"), "{}", said.text);
    for line in [
        "extract delta.stapb out --key farm.pub",
        "export --tar-gz delta.stapb -o out/deeper --key farm.pub",
        "--root host install delta.stapb --all-kernels",
    ] {
        world.refuses(line, 17, "bring the full bundle");
    }
    // A delta that needs nothing is as good as a full bundle.
    world.write("delta.stapb", &delta(|_| ()));
    assert_eq!(world.run("verify delta.stapb --deep --key farm.pub").exit, Some(0));
}

#[test]
fn c03_a_serial_that_jumps_too_far_for_the_policy() {
    let world = World::new();
    std::fs::create_dir_all(world.path("host/etc/stap-bundle")).unwrap();
    world.write("host/etc/stap-bundle/policy.toml", b"[install]\nmax-serial-jump = 10\n");
    world.write("far.stapb", &fleet(1 << 62, |_| ()));
    world.refuses("--root host install far.stapb", 13, "max-serial-jump");
    world.write("near.stapb", &fleet(15, |_| ()));
    assert_eq!(world.run("--root host install near.stapb").exit, Some(0));
}

#[test]
fn c07_the_floor_of_a_host_that_lost_its_record() {
    let world = World::new();
    for copy in ["floors", "floors.copy"] {
        std::fs::remove_file(world.path("host/var/lib/stap-bundle/state").join(copy)).unwrap();
    }
    world.write("old.stapb", &fleet(4, |_| ()));
    world.refuses("--root host install old.stapb", 13, "older than serial 5");
    world.write("new.stapb", &fleet(6, |_| ()));
    let said = world.run("--root host install new.stapb");
    assert!(said.exit == Some(0) && said.text.contains("both copies"), "{}", said.text);
}

/// Keys have no date: what a clock says makes no signature good or bad.
#[test]
fn b11_no_date_makes_a_signature_good_or_bad() {
    let world = World::new();
    for created in [0, 2_147_483_648, 4_294_967_296] {
        world.write("dated.stapb", &fleet(9, |forge| forge.manifest.created = created));
        let said = world.run("verify dated.stapb --deep --key farm.pub");
        assert_eq!(said.exit, Some(0), "{created}: {}", said.text);
        world.refuses("verify dated.stapb --key stranger.pub", 10, "which isn't trusted here");
    }
}
