//! An error with the line it is in.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A part of one of the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index of the file; out of range for what stands in no file.
    pub(super) file: usize,
    /// Bytes in it.
    pub(super) span: Range<usize>,
}

impl Place {
    pub(super) fn new(file: usize, span: Range<usize>) -> Self {
        Self { file, span }
    }

    /// A part of the operator's main file.
    #[must_use]
    pub fn in_main_file(span: Range<usize>) -> Self {
        Self { file: 0, span }
    }
}

/// What is wrong, where, and how to write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    place: Option<Shown>,
    message: String,
    hint: Option<String>,
}

/// The part of a line that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Shown {
    path: PathBuf,
    line: usize,
    column: usize,
    text: String,
    caret: usize,
    width: usize,
}

/// Most characters of a line that are shown.
const MAX_SHOWN: usize = 100;

impl Report {
    pub(super) fn new(
        path: &Path,
        text: &str,
        span: &Range<usize>,
        message: &str,
        hint: Option<String>,
    ) -> Self {
        Self {
            place: Some(Shown::new(path, text, span)),
            ..Self::without_text(message, hint)
        }
    }

    pub(super) fn without_text(message: &str, hint: Option<String>) -> Self {
        Self {
            place: None,
            message: legible(message),
            hint: hint.map(|hint| legible(&hint)),
        }
    }
}

/// What messages quote may be long and hold escape sequences; people and terminals get neither.
fn legible(text: &str) -> String {
    const END: usize = 120;
    let mut chars: Vec<char> = text
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if chars.len() > 2 * END + 5 {
        chars.splice(END..chars.len() - END, " ... ".chars());
    }
    chars.into_iter().collect()
}

impl Shown {
    fn new(path: &Path, text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or_default();
        let end = floor_char_boundary(text, span.end.clamp(start, line_start + line_text.len()));
        let before = text[line_start..start].chars().count();
        let marked = text[start..end.max(start)].chars().count();

        // A long line is cut so that what is wrong stays in sight.
        let skipped = before.saturating_sub(MAX_SHOWN / 2);
        let shown: String = line_text
            .chars()
            .skip(skipped)
            .take(MAX_SHOWN)
            // A tab or an escape sequence would move the caret away from what it points at.
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Self {
            path: path.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: before + 1,
            text: shown.trim_end().to_owned(),
            caret: before - skipped,
            width: marked.clamp(1, MAX_SHOWN),
        }
    }
}

fn floor_char_boundary(text: &str, index: usize) -> usize {
    let index = index.min(text.len());
    (0..=index)
        .rev()
        .find(|index| text.is_char_boundary(*index))
        .unwrap_or(0)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            write!(f, "{}", self.message)?;
            return self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"));
        };
        let Shown {
            path,
            line,
            column,
            text,
            caret,
            width,
        } = place;
        let margin = line.to_string().len();
        writeln!(f, "{}:{line}:{column}: {}", path.display(), self.message)?;
        writeln!(f, "{line} | {text}")?;
        let carets = "^".repeat(*width);
        write!(f, "{:margin$} | {:caret$}{carets}", "", "")?;
        self.hint.iter().try_for_each(|hint| write!(f, " {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, span: Range<usize>) -> String {
        Report::new(
            Path::new("x.toml"),
            text,
            &span,
            "wrong",
            Some("right".to_owned()),
        )
        .to_string()
    }

    #[test]
    fn the_caret_points_at_what_is_wrong() {
        assert_eq!(
            show("a = 1\nb = 22\n", 10..12),
            "x.toml:2:5: wrong\n\
             2 | b = 22\n  \
               |     ^^ right"
        );
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(
            show("ä = \"ö\"", 5..9),
            "x.toml:1:5: wrong\n1 | ä = \"ö\"\n  |     ^^^ right"
        );
    }

    #[test]
    fn a_span_of_several_lines_marks_the_first() {
        assert!(show("[[rule]]\nx = 1\n", 0..14).ends_with("  | ^^^^^^^^ right"));
    }

    #[test]
    fn the_end_of_the_text_can_be_pointed_at() {
        assert_eq!(show("a =", 3..3), "x.toml:1:4: wrong\n1 | a =\n  |    ^ right");
        assert_eq!(show("", 0..0), "x.toml:1:1: wrong\n1 | \n  | ^ right");
        assert_eq!(show("a\n", 99..200), "x.toml:2:1: wrong\n2 | \n  | ^ right");
    }

    #[test]
    fn a_long_line_is_cut_around_what_is_wrong() {
        let text = "x".repeat(5_000);
        let shown = show(&text, 3_000..3_001);
        assert!(shown.starts_with("x.toml:1:3001: wrong\n"));
        assert!(shown.lines().all(|line| line.len() < 120), "{shown}");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert!(!show("a\u{1b}[31m\tb", 3..4).contains(['\u{1b}', '\t']));
    }
}
