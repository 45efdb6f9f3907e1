//! Bundles in memory: what a build would have written, without one.

use std::io::Cursor;

use bundle_format::{
    BundleDraft, Digest, KernelDraft, ModuleDraft, RedCell, RootChain, ScriptRecord, Toolchain,
    UnsignedBundle, module_certificate_name,
};
use fixtures::module::tiny_module;
use signing::SigningKey;

/// A bundle to be; change what a test is about.
pub(crate) struct Bundle {
    pub(crate) name: &'static str,
    pub(crate) serial: u64,
    /// The first one is required by the others.
    pub(crate) scripts: Vec<&'static str>,
    pub(crate) kernels: Vec<&'static str>,
    /// Cells that failed: script and release.
    pub(crate) red: Vec<(&'static str, &'static str)>,
    pub(crate) best_before: Option<u64>,
    /// Whether it carries the extra `notes`.
    pub(crate) extras: bool,
    /// DER of a certificate by whose key its modules are said to be signed.
    pub(crate) certificate: Option<&'static [u8]>,
    /// Bytes of an extra that makes it larger.
    pub(crate) padding: usize,
    pub(crate) roots: Option<RootChain>,
    /// MiB of each script's buffer, an option.
    pub(crate) buffer: u32,
    /// The version of stap that compiled it.
    pub(crate) stap: &'static str,
    /// A macro of each script: another one changes modules, options and the kernels' builds.
    pub(crate) define: u32,
}

/// Two scripts for two kernels, one cell of which is red.
pub(crate) fn fleet(serial: u64) -> Bundle {
    Bundle {
        name: "fleet",
        serial,
        scripts: vec!["counter", "latency"],
        kernels: vec!["6.12.1-test", "6.13.0-test"],
        red: vec![("latency", "6.13.0-test")],
        best_before: None,
        extras: false,
        certificate: None,
        padding: 0,
        roots: None,
        buffer: 4,
        stap: "5.6",
        define: 1,
    }
}

/// The vermagic of a release's modules.
pub(crate) fn vermagic(release: &str) -> String {
    format!("{release} SMP preempt mod_unload modversions ")
}

impl Bundle {
    /// When it was built, in seconds since 1970.
    pub(crate) fn created(&self) -> u64 {
        1_700_000_000 + self.serial
    }

    /// The whole file.
    pub(crate) fn signed(&self, key: &SigningKey) -> Vec<u8> {
        self.signed_by(&[key])
    }

    /// The whole file, signed by several keys.
    pub(crate) fn signed_by(&self, keys: &[&SigningKey]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let unsigned = self.unsigned();
        let message = unsigned.message();
        let signatures: Vec<_> =
            keys.iter().map(|key| (key.public().clone(), key.signature(&message))).collect();
        unsigned.attach(&signatures).unwrap().write_to(&mut bytes).unwrap();
        bytes
    }

    /// The file that `build --no-sign` would write.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.unsigned().write_payload_to(&mut bytes).unwrap();
        bytes
    }

    /// A delta of the bundle in the file `old`.
    pub(crate) fn delta_from(&self, old: &std::path::Path, key: &SigningKey) -> Vec<u8> {
        let keys = bundle_format::TrustedKeys::any_of([key.public().clone()]);
        let file = std::fs::File::open(old).unwrap();
        let verified = bundle_format::RawBundle::read(file).unwrap().verify(&keys).unwrap();
        let base = bundle_format::BaseFile::open(verified).unwrap();
        let unsigned = self.packed(bundle_format::Packing::default().delta_from(base));
        let mut bytes = Vec::new();
        key.sign(unsigned).unwrap().write_to(&mut bytes).unwrap();
        bytes
    }

    fn unsigned(&self) -> UnsignedBundle<Cursor<Vec<u8>>> {
        self.packed(bundle_format::Packing::default())
    }

    fn packed(&self, packing: bundle_format::Packing<'_>) -> UnsignedBundle<Cursor<Vec<u8>>> {
        let draft = BundleDraft {
            name: self.name.parse().unwrap(),
            version: format!("1.{}", self.serial).parse().unwrap(),
            serial: self.serial,
            created: self.created(),
            best_before: self.best_before,
            roots: self.roots.clone(),
            scripts: self.scripts.iter().map(|name| self.script(name)).collect(),
            toolchains: vec![Toolchain {
                stap: self.stap.to_owned(),
                compiler: "gcc 15".to_owned(),
                digest: Digest::of(format!("toolchain {}", self.stap).as_bytes()),
            }],
            kernels: self.kernels.iter().map(|release| self.kernel(release)).collect(),
        };
        let unsigned = draft.pack_with(packing, Cursor::new(Vec::new()), &mut |_| {}).unwrap();
        let notes = self.extras.then(|| ("notes".to_owned(), b"made for a test\n".to_vec()));
        let padding = (self.padding > 0).then(|| ("padding".to_owned(), vec![7; self.padding]));
        let certificate =
            self.certificate.map(|der| (module_certificate_name(&Digest::of(der)), der.to_vec()));
        let extras: Vec<_> = notes.into_iter().chain(padding).chain(certificate).collect();
        if extras.is_empty() { unsigned } else { unsigned.with_extras(extras).unwrap() }
    }

    fn script(&self, name: &str) -> ScriptRecord {
        let first = self.scripts[0];
        ScriptRecord {
            name: name.parse().unwrap(),
            source_sha256: Digest::of(name.as_bytes()),
            options: format!("-D FOO={} -s {}", self.define, self.buffer),
            compile: vec!["-D".to_owned(), format!("FOO={}", self.define)],
            arguments: Vec::new(),
            run: vec!["-L".to_owned(), "-b".to_owned(), self.buffer.to_string()],
            opts_line: format!("-D FOO={} --", self.define),
            requires: if name == first { Vec::new() } else { vec![first.parse().unwrap()] },
            users: Vec::new(),
            programs: Vec::new(),
        }
    }

    fn kernel(&self, release: &str) -> KernelDraft {
        let is_red = |script: &&&str| self.red.contains(&(**script, release));
        let (red, green): (Vec<_>, Vec<_>) = self.scripts.iter().partition(is_red);
        let red_cell = |script: &str| RedCell {
            script: script.parse().unwrap(),
            reason: "no such probe".to_owned(),
            skipped: false,
        };
        KernelDraft {
            release: release.parse().unwrap(),
            machine: std::env::consts::ARCH.parse().unwrap(),
            uname_v: None,
            symvers_sha256: (self.define != 1).then(|| Digest::of(&self.define.to_le_bytes())),
            config_sha256: None,
            compiler: None,
            modules_compiler: None,
            vermagic: (!green.is_empty()).then(|| vermagic(release)),
            toolchain: 0,
            modules: green.into_iter().map(|script| self.module(script, release)).collect(),
            red: red.into_iter().map(red_cell).collect(),
        }
    }

    fn module(&self, script: &str, release: &str) -> ModuleDraft {
        let mut bytes = tiny_module(script, &vermagic(release));
        if self.define != 1 {
            bytes.extend(self.define.to_le_bytes());
        }
        ModuleDraft::of_bytes(script.parse().unwrap(), bytes)
    }
}
