//! The programs under test, built by `make`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use child::{Cancel, ChildCommand, Finished, Limits};
use object::Object;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{ElfFile, ProgramHeader};

/// The full program; `make` names it in `STAP_BUNDLE_FARM`.
pub fn farm() -> Result<PathBuf> {
    built("STAP_BUNDLE_FARM")
}

/// The static host program; `make` names it in `STAP_BUNDLE_HOST`.
pub fn host() -> Result<PathBuf> {
    built("STAP_BUNDLE_HOST")
}

/// As [`host`], for machines of arm64; `make` names it in `STAP_BUNDLE_HOST_ARM64`.
pub fn host_arm64() -> Result<PathBuf> {
    built("STAP_BUNDLE_HOST_ARM64")
}

fn built(variable: &str) -> Result<PathBuf> {
    let path = std::env::var_os(variable)
        .with_context(|| format!("{variable} is not set: run this through `make`"))?;
    let path = PathBuf::from(path);
    ensure!(path.is_file(), "{variable} is {}, which is no file: run this through `make`", path.display());
    Ok(path)
}

/// Whether an executable needs no interpreter and no shared library.
pub fn is_static(program: &Path) -> Result<bool> {
    let bytes = fs::read(program).with_context(|| program.display().to_string())?;
    let elf = ElfFile::<FileHeader64<object::Endianness>>::parse(&*bytes)?;
    let interpreter = elf.elf_program_headers().iter().any(|header| header.p_type(elf.endian()) == PT_INTERP);
    Ok(!interpreter && elf.imports()?.next().is_none())
}

/// Runs the full program with `arguments` in `directory`; the environment holds HOME and PATH alone.
pub fn run(program: &Path, directory: &Path, arguments: &[&str]) -> Result<Finished> {
    let limits = Limits { time: Some(Duration::from_secs(1500)), ..Limits::default() };
    let finished = command(program, directory, arguments).run(&limits, &Cancel::new())?;
    Ok(finished)
}

/// As [`run`], before it runs.
#[must_use]
pub fn command(program: &Path, directory: &Path, arguments: &[&str]) -> ChildCommand {
    ChildCommand::new(program)
        .args(arguments)
        .current_dir(directory)
        .env("HOME", directory)
        .env_from_here("PATH")
}

/// As [`run`], but any exit code other than those `allowed` is an error with all that was printed.
pub fn run_expecting(
    program: &Path,
    directory: &Path,
    arguments: &[&str],
    allowed: &[i32],
) -> Result<Finished> {
    let finished = run(program, directory, arguments)?;
    if let child::Ended::Code(code) = finished.status
        && allowed.contains(&code)
    {
        return Ok(finished);
    }
    bail!(
        "stap-bundle {} ended with {:?}, expected one of {allowed:?}\n{}{}",
        arguments.join(" "),
        finished.status,
        finished.stdout.text(),
        finished.stderr.text()
    )
}
