//! The specification as text, and small bundles.

use std::io::Cursor;

use bundle_format::{BundleDraft, Digest, KernelDraft, ModuleDraft, PublicKey, ScriptRecord, Toolchain};
use ed25519_dalek::{Signer, SigningKey};

/// `docs/bundle-spec.md`.
pub const SPEC: &str = include_str!("../../../docs/bundle-spec.md");

/// The first code block after the comment `<!-- NAME -->` of the specification.
pub fn code_block(name: &str) -> String {
    let marker = format!("<!-- {name} -->");
    let (_, after) = SPEC.split_once(&marker).unwrap_or_else(|| panic!("the specification lacks {marker}"));
    let lines = after.lines().skip_while(|line| !line.starts_with("```")).skip(1);
    lines.take_while(|line| !line.starts_with("```")).flat_map(|line| [line, "\n"]).collect()
}

/// A key pair from its 32 secret bytes.
pub fn key_pair(seed: &[u8; 32]) -> (SigningKey, PublicKey) {
    let secret = SigningKey::from_bytes(seed);
    let public = PublicKey::from_verifying_key(secret.verifying_key()).unwrap();
    (secret, public)
}

/// A module body without meaning, as the specification's test vector has it.
pub fn body(len: u32, salt: u8) -> Vec<u8> {
    (0..len).map(|i| ((i * i) >> 3).to_le_bytes()[0] ^ salt).collect()
}

/// A module of that name and body.
pub fn module(name: &str, bytes: Vec<u8>) -> ModuleDraft {
    ModuleDraft::of_bytes(name.parse().unwrap(), bytes)
}

/// A script without options.
pub fn script(name: &str) -> ScriptRecord {
    ScriptRecord {
        name: name.parse().unwrap(),
        source_sha256: Digest::of(format!("probe begin {{ println(\"{name}\") }}\n").as_bytes()),
        options: String::new(),
        compile: Vec::new(),
        arguments: Vec::new(),
        run: vec!["-L".to_owned()],
        opts_line: "-L".to_owned(),
        requires: Vec::new(),
        users: Vec::new(),
        programs: Vec::new(),
    }
}

/// A kernel without red cells.
pub fn kernel(release: &str, modules: Vec<ModuleDraft>) -> KernelDraft {
    KernelDraft {
        release: release.parse().unwrap(),
        machine: "x86_64".parse().unwrap(),
        uname_v: Some(format!("#1 SMP test {release}")),
        symvers_sha256: Some(Digest::of(release.as_bytes())),
        config_sha256: None,
        compiler: None,
        modules_compiler: None,
        vermagic: Some(format!("{release} SMP mod_unload ")),
        toolchain: 0,
        modules,
        red: Vec::new(),
    }
}

/// A bundle of these scripts and kernels.
pub fn draft(scripts: Vec<ScriptRecord>, kernels: Vec<KernelDraft>) -> BundleDraft {
    let toolchain =
        Toolchain { stap: "5.6".to_owned(), compiler: "gcc 14".to_owned(), digest: Digest::of(b"toolchain") };
    BundleDraft {
        name: "golden".parse().unwrap(),
        version: "1.0".parse().unwrap(),
        serial: 1_735_689_600,
        created: 1_735_689_600,
        best_before: Some(1_767_225_600),
        roots: None,
        scripts,
        toolchains: vec![toolchain],
        kernels,
    }
}

/// The bundle's bytes, signed by one key.
pub fn signed(draft: &BundleDraft, seed: &[u8; 32]) -> Vec<u8> {
    let unsigned = draft.pack(Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let (secret, public) = key_pair(seed);
    let signature = secret.sign(&unsigned.message()).to_bytes();
    let mut bytes = Vec::new();
    unsigned.attach(&[(public, signature)]).unwrap().write_to(&mut bytes).unwrap();
    bytes
}
