//! `join`: the parts of a split bundle become the bundle again.

use std::io;
use std::path::PathBuf;

use bundle_format::{BundleError, RawBundle, Stream};
use serde_json::json;

use crate::bundle_path::a_file;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Kind, Outputs, ReplaceOption, in_words};
use crate::split_parts::{open_parts, told};
use crate::ui::{Mark, Ui};
use crate::words::{bytes, count};

/// Join the parts of a split bundle
///
/// In any order. A part that is missing, given twice, of another bundle or damaged is named, and nothing is written. The
/// joined file is verified like any other: `verify`, `install`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// All parts.
    #[arg(required = true, value_parser = a_file)]
    part: Vec<PathBuf>,
    /// The bundle to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    #[command(flatten)]
    replace: ReplaceOption,
}

impl Args {
    pub(crate) fn run(self, ui: &mut Ui) -> Result<Exit, Failure> {
        ui.leave_output_to(Some(&self.output))?;
        let parts = open_parts(&self.part)?;
        let claimed = parts.claimed_id();
        let count_of_parts = parts.count();
        // The first bytes must be those of that bundle, or the parts were mislabelled.
        let raw = RawBundle::read(Stream(parts)).map_err(told)?;
        let id = raw.claimed_id();
        if Some(id) != claimed {
            let what =
                format!("the parts say that they are of another bundle than {}, which they hold", id.short());
            return Err(Failure::new(Exit::Malformed, what));
        }
        let mut parts = open_parts(&self.part)?;
        let path = &self.output;
        let mut outputs = Outputs::new(self.replace.replace);
        outputs.inputs("the part", &self.part);
        let place = outputs.place("-o", path, Kind::Bundle(raw.claimed_kind()))?;
        let (size, written) = place.write(|target| {
            let failed =
                |error: io::Error| told(BundleError::Io { what: "the parts can't be joined", source: error });
            io::copy(&mut parts, target).map_err(failed)
        })?;
        written.tell(ui, path);
        if ui.json {
            ui.document(&json!({ "bundle": path, "bundle_id": id, "bytes": size, "parts": count_of_parts }));
            return Ok(Exit::Done);
        }
        let written = ui.mark(Mark::Strong, in_words(path).display());
        ui.line(format!("{written}: {} of {}", bytes(size), count(count_of_parts, "part")));
        ui.line(format!("  bundle id  {id}"));
        Ok(Exit::Done)
    }
}
