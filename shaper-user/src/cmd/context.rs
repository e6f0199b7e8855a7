//! What every command is given besides its own arguments.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

use super::change::now;
use crate::paths::Paths;
use crate::view::Unit;
use crate::view::json::{self, Head};

/// How results are written to standard output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// Tab-separated, without a header, in base units: for awk.
    Plain,
    /// One JSON document.
    Json,
    /// One JSON object per line.
    Jsonl,
}

impl Format {
    /// Whether a program reads the output.
    #[must_use]
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonl)
    }
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors only.
    Quiet,
    /// Warnings and notes.
    #[default]
    Normal,
    /// Every step.
    Verbose,
}

/// What every command is given besides its own arguments.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Where things are kept.
    pub paths: Paths,
    /// Interfaces named by `-i`; empty means those of the configuration.
    pub interfaces: Vec<String>,
    /// How results are written.
    pub format: Format,
    /// Whether people read bits or bytes per second.
    pub unit: Unit,
    /// How much is said on standard error.
    pub verbosity: Verbosity,
    /// Whether standard output may be coloured.
    pub is_coloured: bool,
}

impl Context {
    /// The first keys of every JSON document.
    pub(crate) fn head() -> Head {
        Head::new(now().0)
    }

    /// Tells the operator something on standard error, unless `-q`.
    pub fn note(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Normal {
            self.say(&text);
        }
    }

    /// Tells the operator a detail on standard error, with `-v` only.
    pub fn detail(&self, text: impl Display) {
        if self.verbosity >= Verbosity::Verbose {
            self.say(&text);
        }
    }

    /// Whether somebody watches standard error and wants to.
    pub(crate) fn is_talking_to_people(&self) -> bool {
        self.verbosity >= Verbosity::Normal && !self.format.is_json() && std::io::stderr().is_terminal()
    }

    fn say(&self, text: &dyn Display) {
        let mut stderr = std::io::stderr().lock();
        // Nothing can be done about a standard error that is closed.
        let _ = if self.format.is_json() {
            writeln!(stderr, "{}", json::note(&text.to_string()))
        } else {
            writeln!(stderr, "shaper: {text}")
        };
    }
}
