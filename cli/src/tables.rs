//! Tables without borders, which survive a pipe; words in them may be coloured without moving a column.

#[cfg(feature = "farm")]
use std::ops::Range;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

use crate::ui::{Mark, Ui};

/// An empty table, as wide as the terminal at most; in a pipe, as wide as it has to be.
pub(crate) fn plain(header: impl IntoIterator<Item = impl Into<String>>) -> Table {
    within(terminal_width(), header)
}

fn within(width: Option<u16>, header: impl IntoIterator<Item = impl Into<String>>) -> Table {
    let mut table = Table::new();
    let header: Vec<String> = header.into_iter().map(Into::into).collect();
    table.load_style(comfy_table::presets::NOTHING).set_header(header);
    if let Some(width) = width {
        table.set_width(width).set_content_arrangement(ContentArrangement::Dynamic);
    }
    table
}

/// Which columns are side by side where all of them are too wide: each block begins with the first column.
#[cfg(feature = "farm")]
pub(crate) fn blocks(first: usize, columns: &[usize], width: Option<u16>) -> Vec<Range<usize>> {
    /// What is before and behind a cell.
    const PADDING: usize = 2;
    let width = width.map_or(usize::MAX, usize::from);
    let mut blocks = Vec::new();
    let mut begin = 0;
    let mut used = first + PADDING;
    for (at, column) in columns.iter().enumerate() {
        if at > begin && used + column + PADDING > width {
            blocks.push(begin..at);
            begin = at;
            used = first + PADDING;
        }
        used += column + PADDING;
    }
    blocks.push(begin..columns.len());
    blocks
}

/// The width of the terminal that standard output is, if it is one.
pub(crate) fn terminal_width() -> Option<u16> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    // A terminal that doesn't know its size says 0.
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// The table as text. Cells that are too wide go on in the next line, but no word is broken: a release is to be copied.
pub(crate) fn text(table: &mut Table) -> String {
    for column in 0..table.column_count() {
        let cells = table.column_cells_with_header_iter(column).flatten();
        let longest = |content: String| content.split_whitespace().map(|word| word.chars().count()).max();
        let longest = cells.filter_map(|cell| longest(cell.content())).max().unwrap_or_default();
        let Some(column) = table.column_mut(column) else { continue };
        let least = u16::try_from(longest).unwrap_or(u16::MAX).saturating_add(column.padding_width());
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
    }
    table.trim_fmt()
}

/// The table as text, in which each of `words` is coloured wherever it stands alone behind the first column. The table is
/// laid out before: escape sequences would count as width.
pub(crate) fn painted(ui: &Ui, table: &mut Table, words: &[(&str, Mark)]) -> String {
    let lines = text(table);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        for (width, lines) in [(None, 2), (Some(200), 2), (Some(40), 4), (Some(27), 5)] {
            let mut table = within(width, ["GENERATION", "KERNELS"]);
            table.add_row(["1", "6.12.1-amd64, 6.12.2-amd64, 6.12.3-amd64, 6.12.4-amd64"]);
            let text = text(&mut table);
            let widest = text.lines().map(str::len).max().unwrap_or_default();
            assert!(widest <= width.map_or(usize::MAX, usize::from), "{text}");
            assert_eq!(text.lines().count(), lines, "{text}");
            assert_eq!(text.matches("-amd64").count(), 4, "{text}");
        }
    }

    #[cfg(feature = "farm")]
    #[test]
    fn columns_that_do_not_fit_stand_in_the_next_block() {
        let ends = |columns: &[usize], width| -> Vec<usize> {
            blocks(6, columns, width).into_iter().map(|block| block.end).collect()
        };
        assert_eq!(ends(&[10, 10, 10], None), [3]);
        assert_eq!(ends(&[10, 10, 10], Some(44)), [3]);
        assert_eq!(ends(&[10, 10, 10], Some(43)), [2, 3]);
        assert_eq!(ends(&[10, 10], Some(5)), [1, 2]);
        assert_eq!(ends(&[], Some(5)), [0]);
    }
}
