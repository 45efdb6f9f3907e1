//! Lists of kernels, from files.

use std::io::Read;
use std::path::Path;

use files::read::open_given;
use fleet::{ListedKernel, PassedOver};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;
use crate::words::count;

/// Longest list of kernels that is read, in bytes: a line of `uname -a` for each of a hundred thousand hosts.
const LONGEST_LIST: u64 = 16 << 20;

/// A list, or what else says something of many hosts.
pub(crate) fn read_text(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::of(Exit::Storage, &error).about(path.display());
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(open_given(path).map_err(|error| failed(error.into_source()))?)
    };
    let mut bytes = Vec::new();
    input.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST_LIST {
        let what = format!("{}: a list of kernels has at most {} MiB", path.display(), LONGEST_LIST >> 20);
        return Err(Failure::new(Exit::Usage, what));
    }
    Ok(bytes)
}

/// A list of a fleet has banners and failures in it: which lines are passed over must show, but not all of them.
pub(crate) fn warn_of_lines(ui: &mut Ui, path: &Path, lines: &[PassedOver]) {
    const SHOWN: usize = 5;
    const LONGEST: usize = 60;
    if lines.is_empty() {
        return;
    }
    let show = |PassedOver { line, text }: &PassedOver| {
        let cut: String = text.chars().take(LONGEST).collect();
        let dots = if cut.len() < text.len() { "…" } else { "" };
        format!("line {line}: `{cut}{dots}`")
    };
    let mut shown: Vec<String> = lines.iter().take(SHOWN).map(show).collect();
    if lines.len() > SHOWN {
        shown.push(format!("{} more", lines.len() - SHOWN));
    }
    let verb = if lines.len() == 1 { "names no kernel and is" } else { "name no kernel and are" };
    let which = count(lines.len(), "line");
    ui.warning(format!("{}: {which} {verb} passed over: {}", path.display(), shown.join(", ")));
}

/// Reads a list of kernels; lines that name none are warned of.
pub(crate) fn list(path: &Path, ui: &mut Ui) -> Result<Vec<ListedKernel>, Failure> {
    let list = fleet::kernels_in(&read_text(path)?);
    warn_of_lines(ui, path, &list.passed_over);
    Ok(list.kernels)
}
