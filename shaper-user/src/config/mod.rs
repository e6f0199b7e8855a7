//! The configuration as the operator wrote it, and where in the text each part stands.
//!
//! Only the shape is checked here: keys, types, sections. What the values mean is for `policy`.

mod document;
mod load;
mod plain;
mod report;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

pub use document::{
    DefaultsConfig, ExemptConfig, GroupConfig, InterfaceConfig, Moment, Rare, RuleConfig, ServiceConfig,
    Source, Text, moment, rare, text,
};
pub use report::{Place, Report};

/// Everything that was configured, from all files.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The files it was read from; a [`Place`] points into one of them.
    files: Vec<File>,
    /// `[interface.NAME]`, by name or pattern.
    pub interfaces: BTreeMap<Text, InterfaceConfig>,
    /// `[defaults]`.
    pub defaults: DefaultsConfig,
    /// `[exempt]`, one for each file that has it.
    pub exempt: Vec<ExemptConfig>,
    /// `[service.NAME]`, in the order of the files.
    pub services: Vec<(Text, ServiceConfig)>,
    /// `[group.NAME]`, in the order of the files.
    pub groups: Vec<(Text, GroupConfig)>,
    /// `[[rule]]`, in the order of the files and in each file.
    pub rules: Vec<RuleConfig>,
    /// Rules of `shaper set` that are not valid beside the rest: kept for the day they are, and not in force.
    pub aside: Vec<RuleConfig>,
}

/// One file, kept to show the line an error is in.
#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    text: String,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file or directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("`{}` is larger than {} MiB", path.display(), max_bytes >> 20)]
    TooLarge {
        /// Which one.
        path: PathBuf,
        /// The most that is read.
        max_bytes: u64,
    },
    /// The file is not text.
    #[error("`{}` is not UTF-8 text: byte {offset} on line {line}", path.display())]
    NotText {
        /// Which one.
        path: PathBuf,
        /// The line with the first byte that is wrong, from one.
        line: usize,
        /// Bytes before that one, plus one.
        offset: usize,
    },
    /// The text says something that cannot be.
    #[error("{}", join(reports))]
    Invalid {
        /// What is wrong, in the order of the text; never empty.
        reports: Vec<Report>,
    },
}

fn join(reports: &[Report]) -> String {
    let mut text = String::new();
    for (index, report) in reports.iter().enumerate() {
        let _ = write!(text, "{}{report}", if index == 0 { "" } else { "\n" });
    }
    text
}

impl ConfigError {
    /// Its name in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => "privilege",
            Self::Read { .. } => "config_unreadable",
            Self::TooLarge { .. } | Self::NotText { .. } | Self::Invalid { .. } => "config_invalid",
        }
    }

    /// What to do about it, where the message does not say so already.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => {
                    Some("name another file with -c, or create it; an empty one limits nothing".to_owned())
                }
                std::io::ErrorKind::PermissionDenied => Some("run it as root".to_owned()),
                _ => None,
            },
            Self::TooLarge { .. } | Self::NotText { .. } => Some("is it the right file?".to_owned()),
            Self::Invalid { .. } => None,
        }
    }
}

impl Config {
    /// Nothing but rules, which stand in no file.
    #[must_use]
    pub fn of_rules(rules: Vec<RuleConfig>) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Nothing but the rules in a text of [`rules_text`](Self::rules_text); `path` is where it stands.
    ///
    /// # Errors
    ///
    /// What is wrong with it, if it is not such a text.
    pub fn of_rules_text(path: &Path, text: String) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        config.add_rules(path, text)?;
        config.files.clear();
        Ok(config)
    }

    /// Its rules of `source` as text, without the rest.
    #[must_use]
    pub fn rules_text(&self, source: Source) -> String {
        plain::text_of(self.rules_of(source))
    }

    /// Shows `message` at `place`, with what to do about it.
    #[must_use]
    pub fn report(&self, place: &Place, message: &str, hint: Option<String>) -> Report {
        match self.files.get(place.file) {
            Some(file) => Report::new(&file.path, &file.text, &place.span, message, hint),
            None => Report::without_text(message, hint),
        }
    }

    /// The rules of one source.
    pub fn rules_of(&self, source: Source) -> impl Iterator<Item = &RuleConfig> {
        self.rules.iter().filter(move |rule| rule.source == source)
    }
}
