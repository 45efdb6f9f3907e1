//! `split`: a bundle in parts, for media that are too small for it.

use crate::given_file::given;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bundle_format::limits::MAX_PARTS;
use bundle_format::{BundleId, Digest, HashingWriter, PART_HEADER, PartHeader, RawBundle};
use serde_json::json;

use crate::bundle_path::a_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::new_file::NewFile;
use crate::ui::{Mark, Ui};
use crate::words::{bytes, parse_size};

/// Smallest part: below that, headers would be most of it.
const MIN_SIZE: u64 = 4096;

/// Split a bundle into parts for small media
///
/// Each part says of which bundle it is, which part of how many, and has its own digest, so that `join` and `install`
/// name a part that is missing or damaged. They take the parts in any order. Parts prove nothing by themselves: the
/// joined bundle is verified like any other. A file that is there already is never written over.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  stap-bundle split scripts.stapb --size 700M -o parts\n  stap-bundle install parts/scripts.stapb.*"
)]
pub(crate) struct Args {
    /// The bundle.
    #[arg(value_parser = a_file)]
    file: PathBuf,
    /// Most bytes of a part, such as 700M.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// The directory to write into.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

/// A piece of the bundle.
struct Piece {
    path: PathBuf,
    header: PartHeader,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        if self.size < MIN_SIZE {
            let what = format!("--size {}: a part has at least {MIN_SIZE} bytes", self.size);
            return Err(Failure::new(Exit::Usage, what));
        }
        let about = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.file.display());
        let mut file = given(&self.file)?;
        let len = file.metadata().map_err(about)?.len();
        let raw = RawBundle::read(file.try_clone().map_err(about)?)
            .map_err(|error| Failure::from(error).about(self.file.display()))?;
        let pieces = self.pieces(&mut file, raw.claimed_id(), len)?;
        refuse_existing(&pieces)?;
        for (at, piece) in pieces.iter().enumerate() {
            if let Err(failure) = write_piece(&mut file, piece, &self.file) {
                // Half a set of parts helps nobody.
                for written in pieces.iter().take(at) {
                    let _ = fs::remove_file(&written.path);
                }
                return Err(failure);
            }
            ui.progress(format!("  {}: {}", piece.path.display(), bytes(piece.header.length + PART_HEADER)));
        }
        if ui.json {
            let paths: Vec<&PathBuf> = pieces.iter().map(|piece| &piece.path).collect();
            ui.document(&json!({ "bundle_id": raw.claimed_id(), "bytes": len, "parts": paths }));
            return Ok(Exit::Done);
        }
        let word = ui.mark(Mark::Strong, format!("{} parts", pieces.len()));
        ui.line(format!("{word} of {}, {}", self.file.display(), bytes(len)));
        Ok(Exit::Done)
    }

    /// Reads the bundle once, for the digests.
    fn pieces(&self, file: &mut File, bundle: BundleId, len: u64) -> Result<Vec<Piece>, Failure> {
        let about = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.file.display());
        let most = self.size - PART_HEADER;
        let count = u32::try_from(len.div_ceil(most)).ok().filter(|count| *count <= MAX_PARTS);
        let Some(count) = count else {
            let what = format!("parts of {} bytes would be more than {MAX_PARTS}", self.size);
            return Err(Failure::new(Exit::Usage, what).hint("give a larger --size"));
        };
        fs::create_dir_all(&self.output)
            .map_err(|error| Failure::of(Exit::Storage, &error).about(self.output.display()))?;
        let stem = self.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let digits = count.to_string().len().max(2);
        file.seek(SeekFrom::Start(0)).map_err(about)?;
        let mut pieces = Vec::new();
        for index in 0..count {
            let offset = u64::from(index) * most;
            let length = most.min(len - offset);
            let mut hash = HashingWriter::new(io::sink());
            let copied = io::copy(&mut Read::by_ref(file).take(length), &mut hash).map_err(about)?;
            if copied != length {
                return Err(changed(&self.file));
            }
            let sha256: Digest = hash.finish().1;
            let path = self.output.join(format!("{stem}.{:0digits$}", index + 1));
            let header = PartHeader { bundle, index, count, offset, length, sha256 };
            pieces.push(Piece { path, header });
        }
        Ok(pieces)
    }
}

fn write_piece(file: &mut File, piece: &Piece, source: &Path) -> Result<(), Failure> {
    let Piece { path, header } = piece;
    let found = NewFile::beside(path)?.create(path, |target| {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error);
        target.write_all(&header.to_bytes()).map_err(failed)?;
        file.seek(SeekFrom::Start(header.offset)).map_err(failed)?;
        let mut hash = HashingWriter::new(target);
        io::copy(&mut Read::by_ref(file).take(header.length), &mut hash).map_err(failed)?;
        Ok::<_, Failure>(hash.finish().1)
    })?;
    // It came about since we looked.
    let found = found.ok_or_else(|| exists(path))?;
    if found == header.sha256 {
        return Ok(());
    }
    let _ = fs::remove_file(path);
    Err(changed(source))
}

/// Parts of an earlier `split` may be all that is left of a bundle, and mixed with ours they are none.
fn refuse_existing(pieces: &[Piece]) -> Result<(), Failure> {
    let there = pieces.iter().find(|piece| piece.path.symlink_metadata().is_ok());
    there.map_or(Ok(()), |piece| Err(exists(&piece.path)))
}

fn exists(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} exists already", path.display()))
        .hint("nothing was written; move the old parts away, or name another directory with -o DIR")
}

fn changed(source: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} was changed while it was split", source.display()))
}
