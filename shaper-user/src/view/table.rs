//! Rows of cells as text.

use std::fmt::{Display, Write};

/// A heading and rows of as many cells each. There may be a million rows: all of them are one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    heading: Vec<&'static str>,
    /// A tab between cells, a line feed behind each row.
    text: String,
    /// Characters of the widest cell in each column.
    widths: Vec<usize>,
    /// Cells of the row that has been begun.
    n_cells: usize,
}

impl Table {
    /// Without rows; `heading` names the columns, or is empty for a table without one.
    #[must_use]
    pub fn new(heading: Vec<&'static str>) -> Self {
        Self {
            widths: heading.iter().map(|name| width(name)).collect(),
            heading,
            ..Self::default()
        }
    }

    /// Adds a cell to the row. A control character in it, which would break rows and columns, is shown as such.
    pub fn add(&mut self, cell: impl Display) {
        if self.n_cells > 0 {
            self.text.push('\t');
        }
        let begin = self.text.len();
        let _ = write!(self.text, "{cell}");
        if self.text[begin..].bytes().any(|byte| byte.is_ascii_control()) {
            let shown = self.text[begin..].replace(|c: char| c.is_ascii_control(), "\u{fffd}");
            self.text.replace_range(begin.., &shown);
        }
        let width = width(&self.text[begin..]);
        match self.widths.get_mut(self.n_cells) {
            Some(widest) => *widest = width.max(*widest),
            None => self.widths.push(width),
        }
        self.n_cells += 1;
    }

    /// Adds a cell; `-` if there is nothing to show.
    pub fn add_if(&mut self, cell: Option<impl Display>) {
        match cell {
            Some(cell) => self.add(cell),
            None => self.add(NONE),
        }
    }

    /// Ends the row.
    pub fn end_row(&mut self) {
        self.text.push('\n');
        self.n_cells = 0;
    }
}

/// What stands where there is nothing to show.
pub const NONE: &str = "-";

fn width(cell: &str) -> usize {
    if cell.is_ascii() {
        cell.len()
    } else {
        cell.chars().count()
    }
}

/// Columns as wide as their widest cell, two blanks between them, none at the end of a line.
#[must_use]
pub fn aligned(table: &Table, is_coloured: bool) -> String {
    let heading = table.heading.join("\t");
    let line_len = table.widths.iter().map(|width| width + 2).sum::<usize>() + 1;
    let n_rows = table.text.bytes().filter(|byte| *byte == b'\n').count();
    let mut text = String::with_capacity(line_len * (n_rows + 1));
    if is_coloured {
        text.push_str("\x1b[1m");
    }
    add_line(&mut text, &heading, &table.widths);
    text.push_str(if is_coloured { "\x1b[0m\n" } else { "\n" });
    for row in table.text.lines() {
        add_line(&mut text, row, &table.widths);
        text.push('\n');
    }
    text
}

fn add_line(text: &mut String, row: &str, widths: &[usize]) {
    let begin = text.len();
    for (cell, widest) in row.split('\t').zip(widths) {
        text.push_str(cell);
        let n_blanks = widest + 2 - width(cell);
        text.extend(std::iter::repeat_n(' ', n_blanks));
    }
    text.truncate(begin + text[begin..].trim_end().len());
}

/// One line for each row, a tab between cells, no heading.
#[must_use]
pub fn plain(table: &Table) -> &str {
    &table.text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec!["NAME", "RATE", "X"]);
        for row in [["a", "20.0 Mbit/s", "-"], ["größer", "-", ""]] {
            for cell in row {
                table.add(cell);
            }
            table.end_row();
        }
        table
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        assert_eq!(
            aligned(&table(), false),
            "NAME    RATE         X\n\
             a       20.0 Mbit/s  -\n\
             größer  -\n"
        );
    }

    #[test]
    fn only_the_heading_is_coloured() {
        let text = aligned(&table(), true);
        assert!(text.starts_with("\x1b[1mNAME    RATE         X\x1b[0m\n"));
        assert_eq!(text.matches('\x1b').count(), 2);
    }

    #[test]
    fn plain_text_has_a_tab_between_cells_and_no_heading() {
        assert_eq!(plain(&table()), "a\t20.0 Mbit/s\t-\ngrößer\t-\t\n");
    }

    #[test]
    fn no_cell_can_break_a_row_or_a_column() {
        let mut table = Table::new(vec!["A", "B"]);
        table.add("x\ty\nz");
        table.add_if(None::<&str>);
        table.end_row();
        assert_eq!(plain(&table), "x\u{fffd}y\u{fffd}z\t-\n");
        assert_eq!(aligned(&table, false), "A      B\nx\u{fffd}y\u{fffd}z  -\n");
    }
}
