//! Rows of cells as text.

use std::fmt::Write;

/// A heading and rows of as many cells each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Names of the columns.
    pub heading: Vec<&'static str>,
    /// What they hold.
    pub rows: Vec<Vec<String>>,
}

/// Columns as wide as their widest cell, two blanks between them, none at the end of a line.
#[must_use]
pub fn aligned(table: &Table, is_coloured: bool) -> String {
    let width = |cell: &str| cell.chars().count();
    let mut widths: Vec<usize> = table.heading.iter().map(|name| width(name)).collect();
    for row in &table.rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = width(cell).max(*widest);
        }
    }
    let mut text = String::new();
    let mut add_line = |cells: &mut dyn Iterator<Item = &str>, is_bold: bool| {
        let mut line = String::new();
        for (cell, widest) in cells.zip(&widths) {
            let _ = write!(line, "{cell:<widest$}  ");
        }
        let line = line.trim_end();
        let _ = if is_bold {
            writeln!(text, "\x1b[1m{line}\x1b[0m")
        } else {
            writeln!(text, "{line}")
        };
    };
    add_line(&mut table.heading.iter().copied(), is_coloured);
    for row in &table.rows {
        add_line(&mut row.iter().map(String::as_str), false);
    }
    text
}

/// One line for each row, a tab between cells, no heading.
#[must_use]
pub fn plain(table: &Table) -> String {
    table.rows.iter().fold(String::new(), |mut text, row| {
        text.push_str(&row.join("\t"));
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        Table {
            heading: vec!["NAME", "RATE", "X"],
            rows: vec![row(["a", "20.0 Mbit/s", "-"]), row(["größer", "-", ""])],
        }
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
}
