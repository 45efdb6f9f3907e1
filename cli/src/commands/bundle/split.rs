//! `split`: a bundle in parts, for media that are too small for it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use bundle_format::limits::MAX_PARTS;
use bundle_format::{BundleId, Digest, HashingWriter, PART_HEADER, PartHeader, RawBundle};
use serde_json::json;

use crate::bundle_path::{a_directory, a_file};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::given_file::given;
use crate::output::{Kind, OutputPlace, Outputs, Replace};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, parse_size};

/// Smallest part: below that, headers would be most of it.
const MIN_SIZE: u64 = 4096;

/// Split a bundle into parts for small media
///
/// Each part says of which bundle it is, which part of how many, and has its own digest, so that `join` and `install`
/// name a part that is missing or damaged. They take the parts in any order. Parts prove nothing by themselves: the
/// joined bundle is verified like any other. A file that is there already is never replaced: an old part may be all that is left of a
/// bundle.
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
    #[arg(short, long, value_name = "DIR", default_value = ".", value_parser = a_directory)]
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
        let mut outputs = Outputs::new(Replace::Never);
        outputs.input("the bundle", &self.file);
        let mut places = Vec::new();
        for piece in &pieces {
            piece.check_there(&self.file)?;
            places.push(outputs.place("-o", &piece.path, Kind::Part)?);
        }
        let mut written: Vec<&Path> = Vec::new();
        for (piece, place) in pieces.iter().zip(places) {
            match write_piece(&mut file, piece, place, &self.file) {
                Ok(is_new) => written.extend(is_new.then_some(piece.path.as_path())),
                Err(failure) => {
                    // Half a set of parts helps nobody.
                    for path in written {
                        let _ = fs::remove_file(path);
                    }
                    return Err(failure);
                }
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

impl Piece {
    /// Refuses if another file is in its place; the part itself may be there. All parts are looked at before any is written, for mixed
    /// with those of another bundle they are none.
    fn check_there(&self, source: &Path) -> Result<(), Failure> {
        let Ok(metadata) = self.path.symlink_metadata() else { return Ok(()) };
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error).about(self.path.display());
        if metadata.is_file() && metadata.len() == PART_HEADER + self.header.length {
            let mut there = given(&self.path)?;
            let mut header = vec![0; self.header.to_bytes().len()];
            there.read_exact(&mut header).map_err(failed)?;
            let mut hash = HashingWriter::new(io::sink());
            io::copy(&mut there, &mut hash).map_err(failed)?;
            if header == self.header.to_bytes() && hash.finish().1 == self.header.sha256 {
                return Ok(());
            }
        }
        let what = format!("{} exists already and is no part of {}", self.path.display(), source.display());
        Err(Failure::new(Exit::Conflict, what)
            .hint("nothing was written; move the old parts away, or name another directory with -o DIR"))
    }
}

/// Writes a part; whether it wasn't there yet.
fn write_piece(file: &mut File, piece: &Piece, place: OutputPlace, source: &Path) -> Result<bool, Failure> {
    let Piece { header, .. } = piece;
    let ((), written) = place.write(|target| {
        let failed = |error: io::Error| Failure::of(Exit::Storage, &error);
        target.write_all(&header.to_bytes()).map_err(failed)?;
        file.seek(SeekFrom::Start(header.offset)).map_err(failed)?;
        let mut hash = HashingWriter::new(target);
        io::copy(&mut Read::by_ref(file).take(header.length), &mut hash).map_err(failed)?;
        if hash.finish().1 == header.sha256 { Ok(()) } else { Err(changed(source)) }
    })?;
    Ok(!written.is_unchanged)
}

fn changed(source: &Path) -> Failure {
    Failure::new(Exit::Failed, format!("{} was changed while it was split", source.display()))
}
