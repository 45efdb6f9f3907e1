//! Tables without borders, which survive a pipe; words in them may be coloured without moving a column.

use comfy_table::Table;

use crate::ui::{Mark, Ui};

/// An empty table.
pub(crate) fn plain(header: impl IntoIterator<Item = impl Into<String>>) -> Table {
    let mut table = Table::new();
    let header: Vec<String> = header.into_iter().map(Into::into).collect();
    table.load_style(comfy_table::presets::NOTHING).set_header(header);
    table
}

/// The table as text, in which each of `words` is coloured wherever it stands alone behind the first column. The table is
/// laid out before: escape sequences would count as width.
pub(crate) fn painted(ui: &Ui, table: &Table, words: &[(&str, Mark)]) -> String {
    let lines = table.trim_fmt();
    let lines: Vec<String> = lines.lines().map(|line| paint(ui, line, words)).collect();
    lines.join("\n")
}

fn paint(ui: &Ui, line: &str, words: &[(&str, Mark)]) -> String {
    let mut columns = 0;
    let parts = line.split(' ').map(|part| {
        columns += usize::from(!part.is_empty());
        match words.iter().find(|(word, _)| *word == part) {
            Some((_, mark)) if columns > 1 => ui.mark(*mark, part),
            _ => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(" ")
}
