//! Bundles whose frames refer to what is installed.

use std::fs;
use std::io::Read;
use std::time::Duration;

use bundle_format::{
    BaseFile, BundleDraft, BundleError, BundleKind, Digest, Frame, KernelDraft, ModuleDraft, Packing,
    RawBundle, ScriptRecord, Toolchain, TrustedKeys,
};
use ed25519_dalek::{Signer as _, SigningKey};

use super::world::{RUNNING_V, World, farm, public, stranger};
use crate::generation::Look;
use crate::{
    BundleSource, InstallError, InstallOutcome, InstallWarning, KernelChoice, Mending, TrustStore, fsck,
    install,
};

const SCRIPTS: usize = 12;
const RELEASES: [&str; 4] = ["6.12.1", "6.12.2", "6.12.3", "6.12.4"];

/// Bytes that can't be compressed, as machine code hardly can.
fn noise(seed: &str, len: usize) -> Vec<u8> {
    let block = |number: usize| *Digest::of(format!("{seed} {number}").as_bytes()).as_bytes();
    (0..len.div_ceil(32)).flat_map(block).take(len).collect()
}

/// A module: the code of a script's version, most of which stays when the script is changed, and which differs between
/// kernels in a few places.
fn module(script: &str, version: usize, release: &str) -> Vec<u8> {
    let mut bytes = noise(script, 60_000);
    bytes[30_000..34_000].copy_from_slice(&noise(&format!("{script} {version}"), 4000));
    for at in 0..20 {
        let place = at * 3000 + 7;
        bytes[place..place + 4].copy_from_slice(&noise(&format!("{script} {release} {at}"), 4));
    }
    bytes
}

/// A bundle of `SCRIPTS` scripts; `versions` are those that were changed, and how often.
struct Made {
    serial: u64,
    versions: &'static [(usize, usize)],
    releases: &'static [&'static str],
}

impl Made {
    const fn of(serial: u64, versions: &'static [(usize, usize)]) -> Self {
        Self { serial, versions, releases: &RELEASES }
    }

    fn draft(&self) -> BundleDraft {
        let names: Vec<String> = (0..SCRIPTS).map(|number| format!("script_{number}")).collect();
        let version = |number: usize| {
            self.versions.iter().find(|(script, _)| *script == number).map_or(0, |(_, version)| *version)
        };
        let kernel = |release: &&str| {
            let mut kernel = KernelDraft::of(release.parse().unwrap(), "x86_64".parse().unwrap());
            kernel.uname_v = (*release == "6.12.1").then(|| RUNNING_V.to_owned());
            kernel.vermagic = Some(format!("{release} SMP "));
            let modules = names.iter().enumerate().map(|(number, name)| {
                ModuleDraft::of_bytes(name.parse().unwrap(), module(name, version(number), release))
            });
            kernel.modules = modules.collect();
            kernel
        };
        let script = |(number, name): (usize, &String)| {
            ScriptRecord::plain(
                name.parse().unwrap(),
                Digest::of(format!("{name} {}", version(number)).as_bytes()),
            )
        };
        BundleDraft {
            name: "fleet".parse().unwrap(),
            version: format!("1.{}", self.serial).parse().unwrap(),
            serial: self.serial,
            created: 1_700_000_000 + self.serial,
            best_before: None,
            roots: None,
            scripts: names.iter().enumerate().map(script).collect(),
            toolchains: vec![Toolchain {
                stap: "5.6".to_owned(),
                compiler: "gcc 15".to_owned(),
                digest: Digest::of(b"toolchain"),
            }],
            kernels: self.releases.iter().map(kernel).collect(),
        }
    }

    fn packed(&self, packing: Packing<'_>) -> Vec<u8> {
        self.packed_by(&farm(), packing)
    }

    fn packed_by(&self, key: &SigningKey, packing: Packing<'_>) -> Vec<u8> {
        let unsigned =
            self.draft().pack_with(packing, std::io::Cursor::new(Vec::new()), &mut |_| {}).unwrap();
        let signature = key.sign(&unsigned.message()).to_bytes();
        let mut bytes = Vec::new();
        unsigned.attach(&[(public(key), signature)]).unwrap().write_to(&mut bytes).unwrap();
        bytes
    }

    fn full(&self) -> Vec<u8> {
        self.packed(Packing::default())
    }

    fn delta_from(&self, old: &[u8]) -> Vec<u8> {
        self.packed(Packing::default().delta_from(base(old).unwrap()))
    }
}

fn base(bytes: &[u8]) -> Result<BaseFile, BundleError> {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let base = BaseFile::open(RawBundle::read(file)?.verify(&keys())?)?;
    base.check_is_full().map(|()| base)
}

fn keys() -> TrustedKeys {
    TrustedKeys::any_of([public(&farm())])
}

fn frames(bytes: &[u8]) -> Vec<Frame> {
    let bundle = RawBundle::read(std::io::Cursor::new(bytes)).unwrap().verify(&keys()).unwrap();
    bundle.manifest().frames().iter().map(|of| of.frame.clone()).collect()
}

/// Counts the bytes that are read of it.
struct Counting<'b> {
    bytes: &'b [u8],
    read: &'b mut usize,
}

impl Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.bytes.read(buffer)?;
        *self.read += read;
        Ok(read)
    }
}

fn is_whole(world: &World, made: &Made, releases: &[&str]) {
    let current = world.current();
    let bundle = &current.bundles()[0];
    assert_eq!(current.first_problem(bundle, Look::Digests), None);
    assert_eq!(fsck(&world.host, None, None).unwrap().unwrap().problems, []);
    let unpacked =
        crate::generation::unpacked_kernels(current.directory(), "fleet", &bundle.manifest).unwrap();
    let mut there: Vec<String> = unpacked.iter().map(|kernel| kernel.release.to_string()).collect();
    there.sort();
    assert_eq!(there, releases);
    let last = SCRIPTS - 1;
    let version = made.versions.iter().find(|(script, _)| *script == last).map_or(0, |(_, version)| *version);
    for kernel in &unpacked {
        let path = format!("var/lib/stap-bundle/current/kernels/{}/script_{last}.ko", kernel.id.short());
        let expected = module(&format!("script_{last}"), version, kernel.release.as_str());
        assert!(fs::read(world.path(&path)).unwrap() == expected);
    }
}

fn named(world: World, releases: &[&str]) -> World {
    let mut world = world;
    world.options.kernels =
        KernelChoice::Named(releases.iter().map(|release| release.parse().unwrap()).collect());
    world
}

const CHANGED: Made = Made::of(2, &[(SCRIPTS - 1, 1)]);
const THIRD: Made = Made::of(3, &[(SCRIPTS - 1, 2)]);

#[test]
fn an_upgrade_by_a_delta_of_one_changed_script_reads_less_than_a_twentieth_of_the_full_bundle() {
    let old = Made::of(1, &[]).full();
    let full = CHANGED.full();
    let delta = CHANGED.delta_from(&old);
    let world = World::new();
    world.install(&old).unwrap();
    let mut read = 0;
    let source = Counting { bytes: &delta, read: &mut read };
    let report =
        install(&world.host, &world.identity, BundleSource::stream(source), &world.options, &mut |_| {})
            .unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    is_whole(&world, &CHANGED, &["6.12.1", "6.12.2"]);
    assert!(
        read >= delta.len() && read * 20 < full.len(),
        "{read} of {}, the full one has {}",
        delta.len(),
        full.len()
    );
}

#[test]
fn a_delta_says_what_it_is_made_from_and_has_the_content_of_the_full_bundle() {
    let old = Made::of(1, &[]).full();
    let full = CHANGED.full();
    let delta = CHANGED.delta_from(&old);
    assert!(CHANGED.delta_from(&old) == delta, "the same inputs, the same bytes");
    let read = |bytes: &[u8]| {
        RawBundle::read(std::io::Cursor::new(bytes.to_vec())).unwrap().verify(&keys()).unwrap()
    };
    let full = read(&full);
    let delta_bundle = read(&delta);
    let manifest = delta_bundle.manifest();
    assert_eq!((manifest.kind, manifest.content), (BundleKind::Delta, full.manifest().content));
    let from = manifest.from.clone().unwrap();
    assert_eq!((from.id, from.serial), (read(&old).id(), 1));
    let plain =
        |bytes: &[u8]| -> Vec<Digest> { frames(bytes).iter().map(|frame| frame.plain_sha256).collect() };
    assert!(frames(&delta).iter().any(|frame| frame.base.is_some_and(|base| plain(&old).contains(&base))));
    assert!(frames(&delta).iter().all(|frame| frame.base.is_some() || frame.reference.is_some()));
    // A delta or a subset is nothing to make one from.
    assert!(matches!(base(&delta), Err(BundleError::NoBase { .. })));
}

#[test]
fn what_a_delta_needs_is_rebuilt_from_what_is_unpacked_or_taken_from_what_is_kept() {
    let old = Made::of(1, &[]).full();
    let delta = CHANGED.delta_from(&old);
    for spoil in ["nothing", "kept", "unpacked"] {
        let world = named(World::new(), &["6.12.1"]);
        world.install(&old).unwrap();
        let kernel = world.current().bundles()[0]
            .manifest
            .kernels
            .iter()
            .find(|kernel| kernel.release.as_str() == "6.12.1")
            .unwrap()
            .id
            .short();
        match spoil {
            // The kept file's last frame: the manifest still holds.
            "kept" => {
                let kept = world.path("var/lib/stap-bundle/current/bundles/fleet/bundle.stapb");
                let mut bytes = fs::read(&kept).unwrap();
                let at = bytes.len() - 3000;
                bytes[at] ^= 1;
                fs::write(kept, bytes).unwrap();
            }
            "unpacked" => {
                let module = format!("var/lib/stap-bundle/current/kernels/{kernel}/script_3.ko");
                fs::write(world.path(&module), "x").unwrap();
            }
            _ => {}
        }
        world.install(&delta).unwrap_or_else(|error| panic!("{spoil}: {error}"));
        if spoil != "kept" {
            is_whole(&world, &CHANGED, &["6.12.1"]);
        }
    }
}

#[test]
fn a_kernel_that_comes_later_is_unpacked_from_the_delta_and_the_kept_base() {
    let old = Made::of(1, &[]).full();
    let delta = CHANGED.delta_from(&old);
    let world = named(World::new(), &["6.12.1"]);
    world.install(&old).unwrap();
    world.install(&delta).unwrap();
    let world = named(world, &["6.12.4"]);
    let kept = world.current().bundles()[0].kept().unwrap();
    install(&world.host, &world.identity, kept, &world.options, &mut |_| {}).unwrap();
    is_whole(&world, &CHANGED, &["6.12.1", "6.12.4"]);
    // Again and again, and by another delta of the same bundle.
    let third = THIRD.delta_from(&old);
    let mut world = named(world, &["6.12.3"]);
    world.options.allow_removal = true;
    let report = world.install(&third).unwrap();
    assert!(report.warnings.is_empty(), "{:?}", report.warnings);
    is_whole(&world, &THIRD, &["6.12.3"]);
    let before = world.tree();
    let again = world.install(&third).unwrap();
    assert!(matches!(again.outcome, InstallOutcome::AlreadyInstalled { .. }));
    assert_eq!(world.tree(), before);
    // A full bundle needs no base any more.
    world.install(&Made::of(4, &[]).full()).unwrap();
    assert!(!world.path("var/lib/stap-bundle/current/bundles/fleet/base.stapb").exists());
}

#[test]
fn a_host_without_the_base_is_told_which_bundle_to_bring_and_nothing_changes() {
    let old = Made::of(1, &[]).full();
    let delta = CHANGED.delta_from(&old);
    let world = World::new();
    let other = Made::of(1, &[(0, 5)]).full();
    for dry_run in [true, false] {
        let mut world = named(World::new(), &["6.12.1"]);
        world.options.dry_run = dry_run;
        let before = world.tree();
        let error = world.install(&delta).unwrap_err();
        assert_eq!(world.tree(), before);
        let InstallError::Bundle(BundleError::BaseAbsent { release, from: Some(from), .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!((release.as_str(), from.version.as_str()), ("6.12.1", "1.1"));
        assert!(error.to_string().contains("a frame of version 1.1, which is not here"), "{error}");
    }
    // Another content under the same version has other frames.
    world.install(&other).unwrap();
    let before = world.tree();
    let error = world.install(&delta).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::BaseAbsent { .. })), "{error}");
    assert_eq!(world.tree(), before);
}

#[test]
fn a_base_that_is_not_kept_is_told_and_a_damaged_one_is_found_by_fsck() {
    let old = Made::of(1, &[]).full();
    let delta = CHANGED.delta_from(&old);
    let world = named(World::new(), &["6.12.1"]);
    // A kernel of another bundle of the same modules has the same frame, though that isn't the one it was made from.
    let twin = Made { serial: 1, versions: &[], releases: &["6.12.1"] }.full();
    world.install(&twin).unwrap();
    let report = world.install(&delta).unwrap();
    assert!(
        matches!(report.warnings.as_slice(), [InstallWarning::BaseNotKept { .. }]),
        "{:?}",
        report.warnings
    );
    is_whole(&world, &CHANGED, &["6.12.1"]);

    let world = named(World::new(), &["6.12.1"]);
    world.install(&old).unwrap();
    world.install(&delta).unwrap();
    let kept = world.path("var/lib/stap-bundle/current/bundles/fleet/base.stapb");
    let mut bytes = fs::read(&kept).unwrap();
    let at = bytes.len() - 3000;
    bytes[at] ^= 1;
    fs::write(kept, bytes).unwrap();
    let report = fsck(&world.host, None, None).unwrap().unwrap();
    let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
    assert!(problem.path.ends_with("base.stapb") && problem.mending == Mending::ByFullBundle, "{problem:?}");
}

#[test]
fn a_kept_base_was_dropped_when_the_key_that_signed_it_was_taken_back() {
    let old = Made::of(1, &[]).full();
    let delta = CHANGED.packed_by(&stranger(), Packing::default().delta_from(base(&old).unwrap()));
    let world = named(World::new(), &["6.12.1"]);
    TrustStore::open(&world.host)
        .unwrap()
        .add(&world.host, public(&stranger()), None, Duration::ZERO)
        .unwrap();
    world.install(&old).unwrap();
    world.install(&delta).unwrap();
    let id = public(&farm()).id().to_string();
    TrustStore::open(&world.host).unwrap().remove(&world.host, &id, None, Duration::ZERO).unwrap();
    assert_eq!(fsck(&world.host, None, None).unwrap().unwrap().problems, []);
    // Its frames are the delta's, which is believed: a later kernel is unpacked from both.
    let world = named(world, &["6.12.4"]);
    let kept = world.current().bundles()[0].kept().unwrap();
    install(&world.host, &world.identity, kept, &world.options, &mut |_| {}).unwrap();
    is_whole(&world, &CHANGED, &["6.12.1", "6.12.4"]);
    // Another bundle in its place is none.
    let path = world.path("var/lib/stap-bundle/current/bundles/fleet/base.stapb");
    fs::write(path, THIRD.full()).unwrap();
    let report = fsck(&world.host, None, None).unwrap().unwrap();
    let [problem] = report.problems.as_slice() else { panic!("{:?}", report.problems) };
    assert!(problem.what.contains("from which the delta was made"), "{problem:?}");
    let kept = world.current().bundles()[0].kept().unwrap();
    let world = named(world, &["6.12.3"]);
    let error = install(&world.host, &world.identity, kept, &world.options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, InstallError::Bundle(BundleError::BaseAbsent { .. })), "{error}");
}
