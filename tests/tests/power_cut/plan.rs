//! What is done to the host, and what is installed after each step.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bundle_format::{BundleDraft, Digest, KernelDraft, ModuleDraft, Packing, ScriptRecord, Toolchain};
use end_to_end::write_log::Chance;
use signing::SigningKey;

/// The bundle that is installed first and stays.
pub(crate) const STORAGE: u64 = 0;

/// How often the round of steps is gone through.
const ROUNDS: u64 = 6;

/// A serial above all others.
pub(crate) const LAST: u64 = 3 * ROUNDS + 1;

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Installed {
    /// The serial of `fleet`; 0 if it isn't there.
    pub(crate) fleet: u64,
    /// Whether `storage` is there.
    pub(crate) storage: bool,
    /// The highest serial of `fleet` that was ever current.
    pub(crate) highest: u64,
}

/// One command.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) line: String,
    pub(crate) after: Installed,
}

/// What is there before the first step.
pub(crate) const NOTHING: Installed = Installed { fleet: 0, storage: false, highest: 0 };

/// The steps: two bundles side by side, one of them upgraded, rolled back and collected again and again.
pub(crate) fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = |line: String, fleet: u64, highest: u64| {
        steps.push(Step { line, after: Installed { fleet, storage: true, highest } });
    };
    step("host install /tmp/media/storage.stapb".to_owned(), 0, 0);
    for round in 0..ROUNDS {
        let first = 3 * round + 1;
        let install = |serial: u64| format!("host install /tmp/media/fleet-{serial}.stapb");
        step(install(first), first, first);
        step(install(first + 1), first + 1, first + 1);
        step("host rollback".to_owned(), first, first + 1);
        step(install(first + 2), first + 2, first + 2);
        step("host gc --keep 1".to_owned(), first + 2, first + 2);
    }
    steps
}

/// The modules that must be there, by name.
pub(crate) fn modules(installed: Installed) -> BTreeMap<String, Vec<u8>> {
    let mut modules = BTreeMap::new();
    if installed.storage {
        modules.extend(scripts_of(STORAGE).into_iter().map(|name| (name.to_owned(), module(name, STORAGE))));
    }
    if installed.fleet > 0 {
        let names = scripts_of(installed.fleet).into_iter();
        modules.extend(names.map(|name| (name.to_owned(), module(name, installed.fleet))));
    }
    modules
}

/// Every other `fleet` has a script more.
fn scripts_of(serial: u64) -> Vec<&'static str> {
    match serial {
        STORAGE => vec!["blocks"],
        odd if odd % 2 == 1 => vec!["counter", "latency"],
        _ => vec!["counter", "extra", "latency"],
    }
}

/// Bytes that no other serial has, some pages of them.
fn module(name: &str, serial: u64) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<(String, u64), Vec<u8>>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap();
    made.entry((name.to_owned(), serial)).or_insert_with(|| make_module(name, serial)).clone()
}

fn make_module(name: &str, serial: u64) -> Vec<u8> {
    let mut chance = Chance::of(serial * 1000 + name.len() as u64);
    let mut bytes = b"\x7fELF".to_vec();
    let len = 9_000 + chance.below(40_000);
    bytes.extend((0..len / 8).flat_map(|_| chance.next().to_le_bytes()));
    bytes
}

/// The bundle `fleet` of that serial, or `storage`, for one kernel.
pub(crate) fn bundle(serial: u64, release: &str, key: &SigningKey) -> Vec<u8> {
    let scripts = scripts_of(serial);
    let record = |name: &&str| ScriptRecord::plain(name.parse().unwrap(), Digest::of(name.as_bytes()));
    let draft = |name: &&str| ModuleDraft::of_bytes(name.parse().unwrap(), module(name, serial));
    let mut kernel = KernelDraft::of(release.parse().unwrap(), std::env::consts::ARCH.parse().unwrap());
    kernel.vermagic = Some(format!("{release} SMP preempt mod_unload modversions "));
    kernel.modules = scripts.iter().map(draft).collect();
    let draft = BundleDraft {
        name: if serial == STORAGE { "storage" } else { "fleet" }.parse().unwrap(),
        version: format!("1.{serial}").parse().unwrap(),
        serial: serial.max(1),
        created: 1_700_000_000 + serial,
        best_before: None,
        roots: None,
        scripts: scripts.iter().map(record).collect(),
        toolchains: vec![Toolchain {
            stap: "5.6".to_owned(),
            compiler: "gcc 15".to_owned(),
            digest: Digest::of(b"toolchain"),
        }],
        kernels: vec![kernel],
    };
    let packed = draft.pack_with(Packing::default(), std::io::Cursor::new(Vec::new()), &mut |_| {}).unwrap();
    let mut bytes = Vec::new();
    key.sign(packed).unwrap().write_to(&mut bytes).unwrap();
    bytes
}
