//! Runs the emergency recipe of `docs/bundle-spec.md` exactly as it stands there.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test ends at a surprise")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bundle_format::{RootDocument, RootsFile, ScriptRecord};
use ed25519_dalek::Signer as _;
use support::{body, code_block, draft, kernel, key_pair, module, script, signed};

const FARM: [u8; 32] = [7; 32];
const STRANGER: [u8; 32] = [8; 32];

/// Release, and the modules that must come out.
type Expected = Vec<(&'static str, Vec<(&'static str, Vec<u8>)>)>;

/// A directory for one test, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("stap-bundle-recipe-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Runs the recipe on `bundle` with the farm's key.
    fn run(&self, bundle: &[u8]) -> Output {
        for (program, package) in [("openssl", "openssl"), ("zstd", "zstd"), ("tar", "tar"), ("sh", "dash")] {
            let found =
                Command::new("sh").args(["-c", "command -v \"$1\" > /dev/null", "sh", program]).status();
            assert!(
                found.is_ok_and(|status| status.success()),
                "`{program}` is missing: install Debian package `{package}`"
            );
        }
        let out = self.0.join("out");
        for left in [out.clone(), self.0.join("out.unverified")] {
            if left.exists() {
                fs::remove_dir_all(left).unwrap();
            }
        }
        fs::write(self.0.join("recipe.sh"), code_block("emergency recipe")).unwrap();
        fs::write(self.0.join("farm.pub"), key_pair(&FARM).1.to_pem().unwrap()).unwrap();
        fs::write(self.0.join("test.stapb"), bundle).unwrap();
        Command::new("sh")
            .args(["-eu", "recipe.sh", "test.stapb", "farm.pub", "out"])
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    fn refused(&self, bundle: &[u8], what: &str) {
        let ended = self.run(bundle);
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success(), "{what} was accepted: {told}");
        assert!(ended.stdout.is_empty() && !self.0.join("out").exists(), "{what}");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Bytes that don't compress, but are much the same for each `salt`.
fn noise(seed: u32, salt: u8) -> Vec<u8> {
    let mut state = seed;
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(40_000)
    .collect();
    bytes.iter_mut().step_by(997).for_each(|byte| *byte ^= salt);
    bytes
}

fn expected() -> Expected {
    ["6.12.9-9", "6.12.9+deb13-10", "7.1.0~rc2"]
        .into_iter()
        .zip(1..)
        .map(|(release, salt)| {
            (release, vec![("alpha", noise(1, salt)), ("beta", noise(2, salt)), ("gamma", body(500, salt))])
        })
        .collect()
}

fn bundle(seed: &[u8; 32]) -> Vec<u8> {
    // Text that a careless reader of JSON would take for fields.
    let options = r#"-D'A="{\"index\":0}"' {"id":"\\","plain_size":1}],[{"#.to_owned();
    let tricky = ScriptRecord { options, ..script("alpha") };
    let scripts = vec![tricky, script("beta"), script("gamma")];
    let modules = |list: &[(&str, Vec<u8>)]| {
        list.iter().map(|(name, bytes)| module(name, bytes.clone())).collect::<Vec<_>>()
    };
    let kernels = expected().iter().map(|(release, list)| kernel(release, modules(list))).collect();
    signed(&draft(scripts, kernels), seed)
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_recipe_unpacks_every_module_of_every_kernel() {
    let scratch = Scratch::new("unpack");
    let bytes = bundle(&FARM);
    assert!(bytes.windows(12).any(|window| window == b"\"reference\":"), "no frame uses a reference");
    let ended = scratch.run(&bytes);
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(ended.status.success(), "{told}");
    assert!(ended.stdout.starts_with(b"verified: 3 frames"), "{ended:?}");
    let out = scratch.0.join("out");
    assert_eq!(files(&out), ["0000-6.12.9+deb13-10", "0001-6.12.9-9", "0002-7.1.0~rc2"]);
    for (release, modules) in expected() {
        let suffix = format!("-{release}");
        let name = files(&out).into_iter().find(|name| name[4..] == suffix).unwrap();
        assert_eq!(files(&out.join(&name)), ["SET.json", "alpha.ko", "beta.ko", "gamma.ko"]);
        for (module, bytes) in modules {
            let found = fs::read(out.join(&name).join(format!("{module}.ko"))).unwrap();
            assert!(found == bytes, "{module} of {release}");
        }
    }
    assert!(!scratch.0.join("out.unverified").exists());
}

#[test]
fn the_recipe_trusts_the_given_key_and_passes_over_roots() {
    let scratch = Scratch::new("roots");
    let keys = [FARM, STRANGER].map(|seed| key_pair(&seed));
    let document = RootDocument::first(
        "golden".parse().unwrap(),
        keys.iter().map(|(_, public)| public.clone()).collect(),
        2,
        1_700_000_000,
    );
    let mut file = RootsFile::create(document).unwrap();
    let message = file.pending().unwrap().message();
    for (secret, public) in &keys {
        file.attach(public, secret.sign(&message).to_bytes()).unwrap();
    }
    let kernels = vec![kernel("6.12.9-9", vec![module("alpha", body(500, 1))])];
    let mut bundle = draft(vec![script("alpha")], kernels);
    bundle.roots = Some(file.complete().unwrap());
    let ended = scratch.run(&signed(&bundle, &FARM));
    assert!(ended.stdout.starts_with(b"verified: 1 frames"), "{ended:?}");
    scratch.refused(&signed(&bundle, &STRANGER), "a bundle with roots that the given key did not sign");
}

#[test]
fn the_recipe_refuses_a_changed_bundle() {
    let scratch = Scratch::new("changed");
    let bytes = bundle(&FARM);
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        bytes
    };
    let find = |text: &[u8]| bytes.windows(text.len()).position(|window| window == text).unwrap();
    for (at, what) in [
        (528, "another kind"),
        (1539, "another count of signatures"),
        (1545, "another key id"),
        (1580, "another signature"),
        (find(b"\"serial\":1735689600") + 12, "another serial"),
        (find(b"kernels/0000") + 512 + 5000, "a damaged frame"),
        (find(b"kernels/0002") + 512 + 20, "a damaged frame with a reference"),
    ] {
        scratch.refused(&flipped(at), what);
    }
    scratch.refused(&bytes[..bytes.len() - 2048], "a bundle cut short");
}

/// tar's own words said neither that it was refused nor why.
#[test]
fn the_recipe_refuses_a_subset_and_says_so() {
    let scratch = Scratch::new("subset");
    let trusted = bundle_format::TrustedKeys::any_of([key_pair(&FARM).1]);
    let whole = bundle(&FARM);
    let whole = bundle_format::RawBundle::read(bundle_format::Stream(whole.as_slice()))
        .unwrap()
        .verify(&trusted)
        .unwrap();
    let first = whole.manifest().kernels_by_release()[0].id;
    let mut subset = Vec::new();
    whole.write_subset(&std::collections::BTreeSet::from([first]), &mut subset).unwrap();
    scratch.refused(&subset, "a subset");
    let told = scratch.run(&subset).stderr;
    let told = String::from_utf8_lossy(&told);
    assert!(told.contains("REFUSED: frame") && told.contains("this is a subset"), "{told}");
}

#[test]
fn the_recipe_refuses_a_strangers_bundle() {
    let scratch = Scratch::new("stranger");
    scratch.refused(&bundle(&STRANGER), "a bundle signed by a stranger");
}

#[test]
fn the_recipe_refuses_what_a_farm_gone_mad_signs() {
    use fixtures::forge::{Archive, Forge, Member, crafted_frame, set_of};
    let scratch = Scratch::new("hostile");
    assert_eq!(fixtures::forge::farm().to_bytes(), FARM, "the recipe has the key of these bundles");
    let good = Forge::good();
    let with_plain = |spoil: &dyn Fn(Archive) -> Archive| {
        let mut forge = good.clone();
        let first = forge.manifest.frames()[0].kernel.clone();
        forge.set_plain(0, &spoil(set_of(&first)).bytes());
        let second = forge.plains[1].clone();
        forge.set_plain(1, &second);
        forge.sealed().bytes()
    };
    let link = |flag: u8, target: &'static str| {
        with_plain(&move |set| {
            set.spoil("latency.ko", |_| Member::new("latency.ko", []).of_type(flag, target))
        })
    };
    let typed = |flag: u8, target: &'static str| {
        with_plain(&move |set| set.spoil("latency.ko", |member| member.of_type(flag, target)))
    };
    let named = |name: &'static str| {
        with_plain(&move |set| set.insert_before("latency.ko", Member::new(name, b"x".to_vec())))
    };
    let mut bomb = good.clone();
    bomb.record(1).reference = None;
    bomb.record(1).plain_size = 1 << 20;
    bomb.set_frame(1, crafted_frame(20, 1 << 20, 64));
    let mut swapped = good.clone();
    let one = swapped.plains[0].clone();
    swapped.record(1).plain_sha256 = bundle_format::Digest::of(&one);
    let text = |from: &str, to: &str| good.with_text(from, to).bytes();
    for (bundle, what) in [
        (named("../../evil.ko"), "a name that climbs"),
        (named("/tmp/evil.ko"), "an absolute name"),
        (named(".bashrc"), "another file than a module"),
        (named("x\nSET.json"), "a name with a line break"),
        (typed(b'5', ""), "a directory for a module"),
        (bomb.sealed().bytes(), "a frame of other content than signed"),
        (swapped.sealed().bytes(), "another plain tar than signed"),
        (text("\"release\":\"6.12.1-test\"", "\"release\":\"../x\""), "a release that climbs"),
        (
            text("\"release\":\"6.12.1-test\"", "\"release\":\"6.12.1-test\\n0 - x\""),
            "a release with a line break",
        ),
        (text("\"critical\":[]", "\"critical\":[\"moon\"]"), "what a newer reader must know"),
        (text("{\"format\":1", "{\"format\":2"), "a newer format"),
        (good.sealed().bytes()[..6000].to_vec(), "a bundle cut short"),
        (link(b'2', "/etc/passwd"), "a symbolic link"),
        (link(b'1', "counter.ko"), "a hard link"),
        (link(b'6', ""), "a pipe"),
        (
            with_plain(&|set| set.spoil("latency.ko", |member| member.with(100, b"0006777\0"))),
            "a mode that is not 0644",
        ),
    ] {
        scratch.refused(&bundle, what);
    }
}
