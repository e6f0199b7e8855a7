//! Reading the files, and saying what is wrong with their shape.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::document::{Document, RuleConfig, RulesDocument, Unsupported};
use super::{Config, ConfigError, File, GroupConfig, Place, Report, ServiceConfig, Text, plain};

/// A million rules with every key take less.
const MAX_BYTES: u64 = 256 << 20;

impl Config {
    /// Reads `path` and every `*.toml` in the directory `rules.d` beside it.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or says something that has not the shape of a configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config = Self::parse(path, read(path)?)?;
        for path in rules_files(path)? {
            config.add_rules(&path, read(&path)?)?;
        }
        Ok(config)
    }

    /// Reads standard input or anything else that is no file; `name` stands for the path in errors.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_from(name: &Path, reader: impl Read) -> Result<Self, ConfigError> {
        Self::parse(name, read_text(name, reader)?)
    }

    /// Reads the text of a whole configuration.
    ///
    /// # Errors
    ///
    /// If it has not the shape of one.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let document: Document = from_toml(path, &text)?;
        let config = Self {
            files: vec![File {
                path: path.to_owned(),
                text,
            }],
            interfaces: document.interface,
            defaults: document.defaults,
            exempt: document.exempt.into_iter().collect(),
            services: document.service.into_iter().collect(),
            groups: document.group.into_iter().collect(),
            rules: document.rule.unwrap_or_default(),
            aside: Vec::new(),
        };
        config.refuse(
            0,
            "is not supported yet by this version",
            &[("metrics", &document.metrics)],
        )?;
        Ok(config)
    }

    pub(super) fn add_rules(&mut self, path: &Path, text: String) -> Result<(), ConfigError> {
        let document: RulesDocument = from_toml(path, &text)?;
        let file = self.files.len();
        self.files.push(File {
            path: path.to_owned(),
            text,
        });
        self.exempt.extend(document.exempt.map(|mut exempt| {
            exempt.file = file;
            exempt
        }));
        let in_file = |(name, mut service): (Text, ServiceConfig)| {
            service.file = file;
            (name, service)
        };
        self.services.extend(document.service.into_iter().map(in_file));
        let in_file = |(name, mut group): (Text, GroupConfig)| {
            group.file = file;
            (name, group)
        };
        self.groups.extend(document.group.into_iter().map(in_file));
        self.rules
            .extend(document.rule.into_iter().flatten().map(|mut rule| {
                rule.file = file;
                rule
            }));
        let sections = [
            ("interface", &document.interface),
            ("defaults", &document.defaults),
            ("metrics", &document.metrics),
        ];
        self.refuse(file, "belongs into the main file, not into rules.d", &sections)
    }

    /// Refuses sections of file number `file` that are there and must not be.
    fn refuse(
        &self,
        file: usize,
        why: &str,
        sections: &[(&'static str, &Unsupported)],
    ) -> Result<(), ConfigError> {
        let report = |(key, value): &(&'static str, &Unsupported)| {
            let place = Place::new(file, value.as_ref()?.span());
            Some(self.report(&place, &format!("[{key}] {why}"), Some("take it out".to_owned())))
        };
        let reports: Vec<Report> = sections.iter().filter_map(report).collect();
        if reports.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid { reports })
        }
    }
}

fn rules_files(config: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let directory = config.with_file_name("rules.d");
    let error = |source| ConfigError::Read {
        path: directory.clone(),
        source,
    };
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(error(source)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(error)?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if path.extension().is_some_and(|extension| extension == "toml") && !is_hidden {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    let file = fs::File::open(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    read_text(path, file)
}

fn read_text(path: &Path, reader: impl Read) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            max_bytes: MAX_BYTES,
        });
    }
    String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..offset];
        ConfigError::NotText {
            path: path.to_owned(),
            line: before.split(|byte| *byte == b'\n').count(),
            offset: offset + 1,
        }
    })
}

/// A document that has rules.
trait HasRules: DeserializeOwned {
    /// Its rules; `None` if it says nothing of any.
    fn rules(&mut self) -> &mut Option<Vec<RuleConfig>>;
}

impl HasRules for Document {
    fn rules(&mut self) -> &mut Option<Vec<RuleConfig>> {
        &mut self.rule
    }
}

impl HasRules for RulesDocument {
    fn rules(&mut self) -> &mut Option<Vec<RuleConfig>> {
        &mut self.rule
    }
}

fn from_toml<T: HasRules>(path: &Path, text: &str) -> Result<T, ConfigError> {
    if let Some((head, rules)) = plain::rules(text)
        && let Ok(mut document) = toml::from_str::<T>(head)
        && document.rules().is_none()
    {
        *document.rules() = Some(rules);
        return Ok(document);
    }
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or_default();
        let (message, hint) = in_our_words(error.message());
        let report = Report::new(path, text, &span, &message, hint);
        ConfigError::Invalid {
            reports: vec![report],
        }
    })
}

/// Serde speaks of fields and types to programmers; operators write keys and texts.
fn in_our_words(message: &str) -> (String, Option<String>) {
    let first_line = message.lines().next().unwrap_or_default().to_owned();
    if let Some(rest) = message.strip_prefix("unknown field `") {
        let mut parts = rest.split('`');
        let key = parts.next().unwrap_or_default();
        let known: Vec<&str> = parts.skip(1).step_by(2).collect();
        return (format!("unknown key `{key}`"), Some(suggestion(key, &known)));
    }
    if let Some(rest) = message.strip_prefix("missing field `") {
        let key = rest.trim_end_matches('`');
        return (format!("the key `{key}` is missing"), None);
    }
    if message.contains("expected a TOML datetime") || message.contains("datetime") {
        let hint = "write a date, a time and a zone, without quotes: 2026-12-31T23:00:00Z";
        return (first_line, Some(hint.to_owned()));
    }
    if message.starts_with("invalid type") && message.contains("expected i64") {
        let message = first_line.replace("expected i64", "expected a whole number");
        return (
            message,
            Some("write it without quotes, for example 24".to_owned()),
        );
    }
    let wants_text = message.starts_with("invalid type") && message.contains("expected a string");
    let hint = wants_text.then(|| "write it as a text in quotes, for example \"20mbit\"".to_owned());
    (first_line, hint)
}

fn suggestion(key: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|known| (distance(key, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 2 => format!("did you mean `{known}`?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// Letters to change, add or take away to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
