//! The rules of a configuration in a file of their own. There may be a million of them, and most changes are of others:
//! so a file is written once, under a name that was never used since the last `up`, and only removed after that.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::{Config, RuleConfig, Source};
use crate::store::StoreError;
use crate::store::file::{TEMPORARY, read_text, write_text};

/// The directory that holds them.
#[derive(Clone, Debug)]
pub(super) struct RulesFiles {
    directory: PathBuf,
}

impl RulesFiles {
    pub(super) fn new(run: &Path) -> Self {
        Self {
            directory: run.to_owned(),
        }
    }

    /// Writes the rules of the configuration in `running`; the name of the file, empty if there are none.
    pub(super) fn write(&self, running: &Config) -> Result<String, StoreError> {
        let text = running.rules_text(Source::Config);
        if text.is_empty() {
            return Ok(String::new());
        }
        let last = self
            .names()?
            .iter()
            .filter_map(|name| number(name))
            .max()
            .unwrap_or(0);
        let name = name(last + 1);
        write_text(&self.directory.join(&name), &text)?;
        Ok(name)
    }

    /// The rules in the file `name`; `None` if there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<RuleConfig>>, StoreError> {
        if name.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let path = self.directory.join(name);
        let damaged = |reason: String| StoreError::Damaged {
            path: path.clone(),
            reason,
        };
        if number(name).is_none() {
            return Err(damaged("it is no file of rules".to_owned()));
        }
        let Some(text) = read_text(&path)? else {
            return Ok(None);
        };
        let config = Config::of_rules_text(&path, text).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(config.rules))
    }

    /// What to say when the file `name` is not there, and stays away.
    pub(super) fn missing(&self, name: &str) -> StoreError {
        StoreError::io("read", self.directory.join(name))(ErrorKind::NotFound.into())
    }

    /// Removes what a command that was killed has not finished, and all files of rules but those `in_use`, which is only
    /// asked if there are any. Whatever cannot be removed stays.
    pub(super) fn sweep(&self, in_use: impl FnOnce() -> Option<Vec<String>>) {
        let (rules, others): (Vec<String>, Vec<String>) = self
            .names()
            .unwrap_or_default()
            .into_iter()
            .partition(|name| number(name).is_some());
        let unfinished = |name: &String| Path::new(name).extension().is_some_and(|end| end == TEMPORARY);
        let mut left: Vec<String> = others.into_iter().filter(unfinished).collect();
        if !rules.is_empty()
            && let Some(in_use) = in_use()
        {
            left.extend(rules.into_iter().filter(|name| !in_use.contains(name)));
        }
        for name in left {
            let _ = fs::remove_file(self.directory.join(name));
        }
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(StoreError::io("read", &self.directory)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(StoreError::io("read", &self.directory))?;
            names.extend(entry.file_name().into_string().ok());
        }
        Ok(names)
    }
}

fn name(number: u64) -> String {
    format!("rules-{number}.toml")
}

fn number(name: &str) -> Option<u64> {
    name.strip_prefix("rules-")?.strip_suffix(".toml")?.parse().ok()
}
