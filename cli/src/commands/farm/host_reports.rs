//! Reports of hosts: a file of them, or many in a directory; and hosts, by their reports or by a list of kernels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use files::read::open_given;
use fleet::{Collected, FleetHost, HostReport, NotTaken};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::kernel_lists::{read_text, warn_of_lines};
use crate::ui::Ui;
use crate::words::count;

/// Reads reports: each file, and each file of a directory. Those made before `oldest` aren't taken.
pub(super) fn reports(paths: &[PathBuf], oldest: u64) -> Result<Collected, Failure> {
    let mut texts = Vec::new();
    for path in paths {
        for file in files_of(path)? {
            let text = String::from_utf8_lossy(&read_text(&file)?).into_owned();
            texts.push((file.display().to_string(), text));
        }
    }
    Ok(fleet::collect(texts.iter().map(|(name, text)| (name.as_str(), text.as_str())), oldest))
}

/// The hosts of a file: of a list of kernels, or of reports.
pub(super) fn hosts(path: &Path, ui: &mut Ui) -> Result<Vec<FleetHost>, Failure> {
    if !path.is_dir() {
        let bytes = read_text(path)?;
        let text = String::from_utf8_lossy(&bytes);
        if !HostReport::is_in(&text) {
            let list = fleet::kernels_in(&bytes);
            warn_of_lines(ui, path, &list.passed_over);
            return Ok(list.kernels.into_iter().map(FleetHost::from).collect());
        }
        let name = path.display().to_string();
        return Ok(of_reports(&fleet::collect([(name.as_str(), &*text)].into_iter(), 0), ui));
    }
    Ok(of_reports(&reports(&[path.to_owned()], 0)?, ui))
}

fn of_reports(collected: &Collected, ui: &mut Ui) -> Vec<FleetHost> {
    warn_of_reports(collected, ui);
    collected.hosts.values().map(FleetHost::from).collect()
}

/// A file that is none of reports has many lines: not all of them must show.
pub(super) fn warn_of_reports(collected: &Collected, ui: &mut Ui) {
    const SHOWN: usize = 5;
    let mut lines: BTreeMap<&str, Vec<&NotTaken>> = BTreeMap::new();
    for line in &collected.not_taken {
        lines.entry(&line.file).or_default().push(line);
    }
    for (file, lines) in lines {
        for NotTaken { line, why, .. } in lines.iter().take(SHOWN) {
            ui.warning(format!("{file}:{line}: passed over: {why}"));
        }
        if lines.len() > SHOWN {
            ui.warning(format!("{file}: {} more are passed over", count(lines.len() - SHOWN, "line")));
        }
    }
}

/// The file, or the files of a directory by name; what is hidden there is none.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |error: &std::io::Error| Failure::of(Exit::Storage, error).about(path.display());
    let entries = std::fs::read_dir(path).map_err(|error| failed(&error))?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed(&error))?;
        let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !is_hidden
            && open_given(&entry.path()).is_ok_and(|file| file.metadata().is_ok_and(|file| file.is_file()))
        {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}
