//! Lines of columns for people: text to the left, numbers to the right, by what a terminal shows.

use unicode_width::UnicodeWidthStr as _;

use crate::printer::{Printer, clean};

/// The most that a column is widened for its cells: a stranger's long name moves no other line.
const WIDTH_MAX: usize = 64;

/// Columns with their sides and least widths, and what is between them.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    gap: usize,
    columns: Vec<(Side, usize)>,
}

#[derive(Clone, Copy, Debug)]
enum Side {
    Left,
    Right,
}

impl Columns {
    /// No columns yet, with `gap` blanks between them.
    pub(crate) fn new(gap: usize) -> Self {
        Self { gap, columns: Vec::new() }
    }

    /// Adds a column of text.
    pub(crate) fn left(mut self, width: usize) -> Self {
        self.columns.push((Side::Left, width));
        self
    }

    /// Adds a column of numbers.
    pub(crate) fn right(mut self, width: usize) -> Self {
        self.columns.push((Side::Right, width));
        self
    }

    /// Widens each column to the cells of these rows, up to [`WIDTH_MAX`].
    pub(crate) fn fit<C: AsRef<str>>(mut self, rows: &[Vec<C>]) -> Self {
        for row in rows {
            for ((_, width), cell) in self.columns.iter_mut().zip(row) {
                *width = (*width).max(shown(cell.as_ref()).width().min(WIDTH_MAX));
            }
        }
        self
    }

    /// A row as a line. A cell that is too long moves those after it.
    pub(crate) fn line<C: AsRef<str>>(&self, row: &[C]) -> String {
        let mut line = String::new();
        for (nth, ((side, width), cell)) in self.columns.iter().zip(row).enumerate() {
            let cell = shown(cell.as_ref());
            let blank = " ".repeat(width.saturating_sub(cell.width()));
            let gap = if nth == 0 { 0 } else { self.gap };
            line.extend(std::iter::repeat_n(' ', gap));
            line += &match side {
                Side::Left => cell + &blank,
                Side::Right => blank + &cell,
            };
        }
        line.truncate(line.trim_end().len());
        line
    }

    /// Writes rows below each other, in columns that they fit into.
    pub(crate) fn print<C: AsRef<str>>(self, rows: &[Vec<C>], printer: &Printer) {
        let columns = self.fit(rows);
        rows.iter().for_each(|row| printer.line(columns.line(row)));
    }
}

/// A cell is in one line, and commands nothing.
fn shown(cell: &str) -> String {
    clean(&cell.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_a_terminal_shows() {
        let rows = [
            vec!["node", "rows", "loss"],
            vec!["São Paulo", "12", "-0.5000"],
            vec!["東京", "9000", "0.25"],
            vec!["e\u{301}", "", ""],
        ];
        let columns = Columns::new(2).left(6).right(3).right(0).fit(&rows);
        let lines: Vec<String> = rows.iter().map(|row| columns.line(row)).collect();
        assert_eq!(
            lines,
            [
                "node       rows     loss",
                "São Paulo    12  -0.5000",
                "東京       9000     0.25",
                "e\u{301}",
            ]
        );
    }

    #[test]
    fn a_strangers_cell_neither_commands_nor_makes_lines() {
        let columns = Columns::new(1).left(4).left(0);
        assert_eq!(columns.line(&["a\u{1b}[1m\nb", "c\u{202e}d "]), "a [1m b c d");
        assert_eq!(columns.line(&["too long", "x"]), "too long x");
        assert_eq!(columns.line(&["", "x"]), "     x");
        assert_eq!(columns.line(&["a", ""]), "a");
        let columns = columns.fit(&[vec!["x".repeat(1_000)]]);
        assert_eq!(columns.line(&["a", "b"]), format!("{:<64} b", "a"));
    }
}
