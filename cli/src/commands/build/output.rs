//! The file that a build writes: its place is tried before anything is compiled, and it is whole or not there.

use std::fs::File;
use std::io::{self, BufWriter};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bundle_format::SignedBundle;
use tempfile::NamedTempFile;

use crate::exit::Exit;
use crate::failure::Failure;

/// A file under a temporary name, beside the place where it will stand.
#[derive(Debug)]
pub(super) struct Output {
    /// As given; else named after the bundle, in the current directory.
    path: Option<PathBuf>,
    file: NamedTempFile,
}

impl Output {
    /// Makes the temporary file, and looks whether the report's directory is there.
    pub(super) fn prepare(path: Option<&Path>, report: Option<&Path>) -> Result<Self, Failure> {
        if let Some(report) = report.filter(|report| !parent_of(report).is_dir()) {
            let what = format!("{}: there is no directory for it", report.display());
            return Err(
                Failure::new(Exit::Storage, what).hint("make it first, or name another place with --report")
            );
        }
        let directory = path.map_or(Path::new("."), parent_of);
        let file = NamedTempFile::new_in(directory).map_err(|error| {
            let kind = error.kind();
            Failure::of(Exit::Storage, &io::Error::from(kind))
                .about(format!("can't write into {}", directory.display()))
                .hint("name another place with -o FILE")
        })?;
        Ok(Self { path: path.map(Path::to_owned), file })
    }

    /// Writes the bundle and gives it its name; returns that and the length in bytes.
    pub(super) fn write(mut self, signed: &mut SignedBundle<File>) -> Result<(PathBuf, u64), Failure> {
        let path = self.path.unwrap_or_else(|| {
            let manifest = signed.manifest();
            PathBuf::from(format!("{}-{}.stapb", manifest.name, manifest.version))
        });
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(path.display());
        let mut buffered = BufWriter::new(&mut self.file);
        let size =
            signed.write_to(&mut buffered).map_err(|error| Failure::from(error).about(path.display()))?;
        buffered.into_inner().map_err(|error| failed(error.into_error()))?;
        self.file.as_file().set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed)?;
        self.file.as_file().sync_all().map_err(failed)?;
        self.file.persist(&path).map_err(|error| failed(error.error))?;
        Ok((path, size))
    }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
