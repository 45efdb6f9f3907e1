//! How long a start, a status and a stop of 50 scripts take, with the stand-in for `staprun`. Figures, not a test:
//! `make bench-start MODULES=DIR`, where DIR has the real modules of one kernel, at least 50, as `extract` unpacks them.

#![expect(clippy::unwrap_used, reason = "a measurement ends at a surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Instant;

use bundle_format::{BundleDraft, Digest, KernelDraft, ModuleDraft, PublicKey, ScriptRecord, Toolchain};
use ed25519_dalek::{Signer as _, SigningKey};
use fixtures::fake_host::{FakeHost, ROOT_VARIABLE};
use installer::{
    CurrentGeneration, HostIdentity, HostRoot, InstallOptions, KernelChoice, TrustStore, install,
};
use script_config::{Configuration, GlobalParameters};
use service::{Host, Service, StartChoice, StartOptions};

/// Names the directory of the modules, whose own name is the kernel's release.
const MODULES: &str = "STAP_BUNDLE_FIGURE_MODULES";

const SCRIPTS: usize = 50;
const ROUNDS: usize = 9;
const UNAME_V: &str = "#1 SMP Debian 1";

/// What `.modinfo` says of the vermagic.
fn vermagic_of(module: &[u8]) -> String {
    let at = module.windows(9).position(|window| window == b"vermagic=").unwrap() + 9;
    let text: Vec<u8> = module[at..].iter().copied().take_while(|byte| *byte != 0).collect();
    String::from_utf8(text).unwrap()
}

fn modules() -> (String, Vec<(String, Vec<u8>)>) {
    let directory = PathBuf::from(std::env::var_os(MODULES).unwrap_or_else(|| panic!("{MODULES} isn't set")));
    let mut paths: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ko"));
    paths.sort();
    let name = |path: &PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let modules: Vec<_> =
        paths.iter().take(SCRIPTS).map(|path| (name(path), fs::read(path).unwrap())).collect();
    assert_eq!(modules.len(), SCRIPTS, "{} has too few modules", directory.display());
    (directory.file_name().unwrap().to_str().unwrap().to_owned(), modules)
}

fn bundle(key: &SigningKey, public: &PublicKey) -> (String, Vec<u8>) {
    let (release, modules) = modules();
    let script = |name: &String| {
        let mut script = ScriptRecord::plain(name.parse().unwrap(), Digest::of(name.as_bytes()));
        script.run = vec!["-L".to_owned()];
        script
    };
    let mut kernel = KernelDraft::of(release.parse().unwrap(), "x86_64".parse().unwrap());
    kernel.uname_v = Some(UNAME_V.to_owned());
    kernel.vermagic = Some(vermagic_of(&modules[0].1));
    let scripts = modules.iter().map(|(name, _)| script(name)).collect();
    let draft = |(name, bytes): (String, Vec<u8>)| ModuleDraft::of_bytes(name.parse().unwrap(), bytes);
    kernel.modules = modules.into_iter().map(draft).collect();
    let digest = Digest::of(b"toolchain");
    let draft = BundleDraft {
        name: "fleet".parse().unwrap(),
        version: "1".parse().unwrap(),
        serial: 1,
        created: 1_700_000_000,
        best_before: None,
        roots: None,
        scripts,
        toolchains: vec![Toolchain { stap: "5.6".to_owned(), compiler: "gcc 15".to_owned(), digest }],
        kernels: vec![kernel],
    };
    let unsigned = draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let signature = key.sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public.clone(), signature)]).unwrap().write_to(&mut bytes).unwrap();
    (release, bytes)
}

#[test]
#[ignore = "a measurement"]
fn fifty_scripts() {
    let dir = tempfile::tempdir().unwrap();
    FakeHost::create(dir.path()).unwrap();
    let root = HostRoot::open(dir.path()).unwrap();
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = PublicKey::from_verifying_key(key.verifying_key()).unwrap();
    TrustStore::open(&root).unwrap().add(&root, public.clone()).unwrap();
    let (release, bundle) = bundle(&key, &public);
    let identity = HostIdentity {
        release: Some(release.parse().unwrap()),
        machine: "x86_64".parse().unwrap(),
        version: Some(UNAME_V.to_owned()),
        uname_a: None,
        node: "node1".to_owned(),
    };
    let options = InstallOptions { kernels: KernelChoice::All, now: None, ..InstallOptions::default() };
    install(&root, &identity, Cursor::new(bundle), &options, &mut |_| {}).unwrap();
    let parameters = GlobalParameters::default();
    let mut host = Host::configured(dir.path(), &parameters);
    host.staprun = Some(fixtures::stand_in("fake-staprun"));
    host.staprun_environment = vec![(ROOT_VARIABLE.into(), dir.path().into())];
    let choice = StartChoice { named: &BTreeSet::new(), with_requirements: false, parameters: &parameters };
    let measure = |what: &str, act: &dyn Fn(&Service<'_>)| {
        let begun = Instant::now();
        let current = CurrentGeneration::open(&root).unwrap();
        act(&Service::new(&host, &identity, current.as_ref(), &Configuration::default()));
        println!("{what}: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    };
    for _ in 0..ROUNDS {
        measure("plan: 50 modules verified", &|service| {
            assert_eq!(service.plan(&choice).unwrap().ready().count(), SCRIPTS);
        });
        measure("start of 50", &|service| {
            assert!(service.start(&choice, &StartOptions::default(), &|_| ()).unwrap().all_run());
        });
        measure("status of 50", &|service| {
            assert_eq!(service.status(&BTreeSet::new()).unwrap().exit_code(), 0);
        });
        measure("stop of 50", &|service| assert_eq!(service.stop(&choice, &|_| ()).unwrap().exit_code(), 0));
    }
}
