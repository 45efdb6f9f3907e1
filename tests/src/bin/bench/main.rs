//! `make bench`: sizes, times and memory of bundles of real modules, against ordinary tools in the same run.
//!
//! The corpus is made from the lab's kernels by the program under test; what is compiled is kept in its cache. For
//! figures on scaling only, real modules are changed by a fixed rule until there are 300 kernels (`grown.rs`).

mod corpus;
mod figures;
mod grown;
mod measure;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bundle_format::{BundleDraft, Packing, RawBundle, TrustedKeys};

use corpus::Corpus;
use figures::Figures;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        // How the benchmark calls itself, so that each step's time and memory are its own.
        ["pack", what, target] => return pack(what, target, None),
        ["pack", what, target, old] => return pack(what, target, Some(Path::new(old))),
        ["tar", what, target] => return write_tar(what, target),
        _ => bail!("the benchmark takes no arguments: run `make bench`"),
    }
    let corpus = Corpus::make()?;
    let mut figures = Figures::new(&corpus)?;
    figures.sizes()?;
    figures.packing()?;
    figures.one_of_many()?;
    figures.installing()?;
    figures.verifying()?;
    figures.keeping()?;
    let mut out = io::stdout().lock();
    let met = figures.print(&mut out)?;
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `corpus`, `noise`, a number of grown kernels, or `@N`, the grown kernel N alone.
fn draft(what: &str, corpus: &Corpus) -> Result<BundleDraft> {
    match what {
        "corpus" => corpus.draft(),
        "noise" => grown::noise(corpus),
        _ => match what.strip_prefix('@') {
            Some(number) => grown::draft(corpus, [number.parse()?]),
            None => grown::draft(corpus, 0..what.parse().context("a number of kernels")?),
        },
    }
}

fn pack(what: &str, target: &str, old: Option<&Path>) -> Result<ExitCode> {
    let corpus = Corpus::open()?;
    let key = signing::PrivateKeyFile::open(&corpus.key())?;
    let mut packing = Packing::default();
    if let Some(old) = old {
        let trusted = TrustedKeys::any_of([key.public().clone()]);
        packing = packing.reuse(RawBundle::read(File::open(old)?)?.verify(&trusted)?);
    }
    let unsigned = draft(what, &corpus)?.pack_with(packing, tempfile::tempfile()?, &mut |_| {})?;
    let mut file = io::BufWriter::new(File::create(target)?);
    signing::sign_with_all(&[key], unsigned)?.write_to(&mut file)?;
    file.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The modules that `pack` packs, as one tar, kernel by kernel.
fn write_tar(what: &str, target: &str) -> Result<ExitCode> {
    let draft = draft(what, &Corpus::open()?)?;
    let mut tar = tar::Builder::new(io::BufWriter::new(File::create(target)?));
    for kernel in &draft.kernels {
        for module in &kernel.modules {
            let body = module.bytes.read()?;
            let mut header = tar::Header::new_ustar();
            header.set_size(body.len() as u64);
            header.set_mode(0o644);
            let path: PathBuf = format!("{}/{}.ko", kernel.release, module.record.name).into();
            tar.append_data(&mut header, path, body.as_slice())?;
        }
    }
    tar.into_inner()?.flush()?;
    Ok(ExitCode::SUCCESS)
}
