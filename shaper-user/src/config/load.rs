//! Reading the files, and saying what is wrong with their shape.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::document::{Document, RulesDocument, Unsupported};
use super::{Config, ConfigError, File, GroupConfig, Place, Report, ServiceConfig, Text};

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
            rules: document.rule,
        };
        config.refuse(
            0,
            "is not supported yet by this version",
            &[("metrics", &document.metrics)],
        )?;
        Ok(config)
    }

    fn add_rules(&mut self, path: &Path, text: String) -> Result<(), ConfigError> {
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
        self.rules.extend(document.rule.into_iter().map(|mut rule| {
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

fn from_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
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
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(Path::new("x.toml"), text.to_owned())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn an_empty_configuration_is_one() {
        let config = Config::parse(Path::new("x.toml"), String::new()).unwrap();
        assert!(config.rules.is_empty() && config.interfaces.is_empty());
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
        assert_eq!(
            error("[[rule]]\ndestination = \"any\"\nrat = \"1mbit\"\n"),
            "x.toml:3:1: unknown key `rat`\n\
             3 | rat = \"1mbit\"\n  \
               | ^^^ did you mean `rate`?"
        );
    }

    #[test]
    fn a_missing_key_is_named() {
        assert_eq!(
            error("[[rule]]\nrate = \"1mbit\"\n"),
            "x.toml:1:1: the key `destination` is missing\n1 | [[rule]]\n  | ^^^^^^^^"
        );
    }

    #[test]
    fn a_number_for_a_rate_is_refused_with_an_example() {
        assert_eq!(
            error("[[rule]]\ndestination = \"any\"\nrate = 20\n"),
            "x.toml:3:8: invalid type: integer `20`, expected a string\n\
             3 | rate = 20\n  \
               |        ^^ write it as a text in quotes, for example \"20mbit\""
        );
    }

    #[test]
    fn a_text_for_a_number_is_refused_with_an_example() {
        assert_eq!(
            error("[interface.eth0]\noverhead = \"24\"\n"),
            "x.toml:2:12: invalid type: string \"24\", expected a whole number\n\
             2 | overhead = \"24\"\n  \
               |            ^^^^ write it without quotes, for example 24"
        );
    }

    #[test]
    fn a_section_of_a_later_version_says_so() {
        assert_eq!(
            error("[metrics]\nlisten = \"127.0.0.1:9797\"\n"),
            "x.toml:1:1: [metrics] is not supported yet by this version\n\
             1 | [metrics]\n  \
               | ^^^^^^^^^ take it out"
        );
    }

    #[test]
    fn a_deadline_in_quotes_is_refused_with_how_to_write_it() {
        let error = error("[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\nexpires = \"tomorrow\"\n");
        assert!(error.starts_with("x.toml:4:11: "), "{error}");
        assert!(
            error.ends_with("write a date, a time and a zone, without quotes: 2026-12-31T23:00:00Z"),
            "{error}"
        );
    }

    #[test]
    fn sections_of_the_main_file_are_refused_in_rules_d() {
        let mut config = Config::default();
        let text = "[defaults]\nburst = \"1ms\"\n".to_owned();
        let error = config
            .add_rules(Path::new("y.toml"), text)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("y.toml:1:1: [defaults] belongs into the main file"),
            "{error}"
        );
    }

    #[test]
    fn words_that_are_far_apart_are_not_suggested() {
        assert_eq!(distance("rate", "rate"), 0);
        assert_eq!(distance("rat", "rate"), 1);
        assert_eq!(distance("", "rate"), 4);
        assert_eq!(suggestion("colour", &["rate", "name"]), "known here: rate, name");
    }
}
