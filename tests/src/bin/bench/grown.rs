//! Many kernels from few: real modules, changed by a fixed rule. They show how times grow, never how sizes compare.
//!
//! Kernel N comes from release N mod R of the corpus. Its release has N for its last three characters. In each module
//! 300 bytes, scattered by a generator seeded with N and the script, get other values; the vermagic gets the new
//! release and the build id another value.

use std::io;
use std::sync::Arc;

use anyhow::{Context, Result};
use bundle_format::{
    BundleDraft, Digest, Kernel, KernelDraft, ModuleBytes, ModuleDraft, ModuleRecord, ScriptRecord,
};

use crate::corpus::Corpus;

/// Scripts of each grown kernel.
pub(crate) const SCRIPTS: usize = 12;
/// Bytes changed in each module.
const CHANGED: usize = 300;

/// `SplitMix64`: small, and the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// A module that is made when it is read, as a real one is read from a disk.
#[derive(Debug)]
struct Grown {
    body: Arc<dyn ModuleBytes>,
    /// What stands in the real module, and what instead of it.
    replaced: Vec<(Vec<u8>, Vec<u8>)>,
    seed: u64,
}

impl ModuleBytes for Grown {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut body = self.body.read()?;
        let mut numbers = Numbers(self.seed);
        let len = body.len() as u64;
        for _ in 0..CHANGED {
            let at = usize::try_from(numbers.next() % len).unwrap_or_default();
            if let Some(byte) = body.get_mut(at) {
                *byte = byte.wrapping_add(numbers.byte() | 1);
            }
        }
        for (old, new) in &self.replaced {
            replace(&mut body, old, new);
        }
        Ok(body)
    }
}

/// Replaces `old` by `new`, of the same length, wherever it stands.
fn replace(body: &mut [u8], old: &[u8], new: &[u8]) {
    let mut from = 0;
    while let Some(found) = body.get(from..).and_then(|rest| rest.windows(old.len()).position(|at| at == old))
    {
        from += found;
        if let Some(place) = body.get_mut(from..from + old.len()) {
            place.copy_from_slice(new);
        }
        from += old.len();
    }
}

/// A bundle of the kernels of these numbers.
pub(crate) fn draft(corpus: &Corpus, numbers: impl IntoIterator<Item = usize>) -> Result<BundleDraft> {
    let scripts: Vec<String> = corpus.common().into_iter().take(SCRIPTS).collect();
    let mut draft = corpus.empty_draft();
    for name in &scripts {
        draft.scripts.push(ScriptRecord::plain(name.parse()?, Digest::of(name.as_bytes())));
    }
    let kernels = corpus.kernels();
    for number in numbers {
        let (kernel, modules) = kernels.get(number % kernels.len()).context("the corpus has no kernel")?;
        draft.kernels.push(grow(kernel, modules, &scripts, number)?);
    }
    Ok(draft)
}

/// The release of the grown kernel `number`.
pub(crate) fn release(corpus: &Corpus, number: usize) -> Result<String> {
    let kernels = corpus.kernels();
    let (kernel, _) = kernels.get(number % kernels.len()).context("the corpus has no kernel")?;
    grown_release(kernel, number)
}

fn grown_release(kernel: &Kernel, number: usize) -> Result<String> {
    let release = kernel.release.to_string();
    let kept = release.len().checked_sub(3).and_then(|len| release.get(..len)).context("a short release")?;
    Ok(format!("{kept}{number:03}"))
}

fn grow(kernel: &Kernel, modules: &[ModuleDraft], scripts: &[String], number: usize) -> Result<KernelDraft> {
    let (old, new) = (kernel.release.to_string(), grown_release(kernel, number)?);
    let mut grown = KernelDraft::of(new.parse()?, kernel.machine.clone());
    grown.uname_v.clone_from(&kernel.uname_v);
    grown.symvers_sha256 = Some(Digest::of(new.as_bytes()));
    grown.vermagic = kernel.vermagic.as_ref().map(|vermagic| vermagic.replace(&old, &new));
    for (position, name) in (0u64..).zip(scripts) {
        let module =
            modules.iter().find(|module| module.record.name.as_str() == name).context("a red cell")?;
        let seed = (number as u64) << 16 | position;
        let mut numbers = Numbers(!seed);
        let mut replaced = vec![(old.clone().into_bytes(), new.clone().into_bytes())];
        let mut record = ModuleRecord { trailers: Vec::new(), ..module.record.clone() };
        if let Some(id) = module.record.build_id.as_deref().and_then(from_hexadecimal) {
            let other: Vec<u8> = id.iter().map(|_| numbers.byte()).collect();
            record.build_id = Some(hexadecimal(&other));
            replaced.push((id, other));
        }
        let bytes = Arc::new(Grown { body: Arc::clone(&module.bytes), replaced, seed });
        record.sha256 = Digest::of(&bytes.read()?);
        grown.modules.push(ModuleDraft { record, bytes });
    }
    Ok(grown)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A large bundle of what can't be compressed: how fast is a reader where only hashing takes time?
pub(crate) fn noise(corpus: &Corpus) -> Result<BundleDraft> {
    let mut draft = corpus.empty_draft();
    draft.scripts.push(ScriptRecord::plain("noise".parse()?, Digest::of(b"noise")));
    for number in 0..6 {
        let mut numbers = Numbers(number);
        let body: Vec<u8> =
            std::iter::repeat_with(|| numbers.next().to_le_bytes()).take(30 << 17).flatten().collect();
        let release = format!("1.0.{number}");
        let mut kernel = KernelDraft::of(release.parse()?, "x86_64".parse()?);
        kernel.vermagic = Some(format!("{release} SMP "));
        kernel.modules.push(ModuleDraft::of_bytes("noise".parse()?, body));
        draft.kernels.push(kernel);
    }
    Ok(draft)
}
