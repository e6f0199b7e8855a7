//! The rules of a configuration in a file of their own. There may be a million of them, and most changes are of others:
//! so a file is written once, under a name that was never used since the last `up`, and only removed after that.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::index::{self, Index};
use crate::config::{Config, RuleConfig, Source};
use crate::policy::Destination;
use crate::store::StoreError;
use crate::store::directory::open_file;
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
        let (mut text, mut index) = (String::new(), Index::default());
        for rule in running.rules_of(Source::Config) {
            let begin = text.len();
            rule.add_text_to(&mut text);
            index.add(rule.destination.get_ref().parse().ok(), &(begin..text.len()));
        }
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
        let path = self.directory.join(&name);
        write_text(&path, &text)?;
        index.write(&self.directory.join(index_name(last + 1)), &path)?;
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

    /// Of the rules in the file `name` those whose destination `is_meant`; `None` if there is no such file.
    pub(super) fn read_part(
        &self,
        name: &str,
        is_meant: &dyn Fn(Destination) -> bool,
    ) -> Result<Option<Vec<RuleConfig>>, StoreError> {
        if let Some(rules) = self.find(name, is_meant) {
            return Ok(Some(rules));
        }
        let mut rules = self.read(name)?;
        if let Some(rules) = &mut rules {
            rules.retain(|rule| is_one(rule, is_meant));
        }
        Ok(rules)
    }

    /// As [`read_part`](Self::read_part), by the index; `None` also if that is of no use.
    fn find(&self, name: &str, is_meant: &dyn Fn(Destination) -> bool) -> Option<Vec<RuleConfig>> {
        let index = self.directory.join(index_name(number(name)?));
        let path = self.directory.join(name);
        let file = open_file(&path, OpenOptions::new().read(true)).ok()??;
        let (places, n_meant) = index::find(&index, &file, is_meant)?;
        let mut text = String::new();
        for place in places {
            text += &text_at(&file, place)?;
        }
        let rules = if text.is_empty() {
            Vec::new()
        } else {
            Config::of_rules_text(&path, text).ok()?.rules
        };
        let is_so = rules.len() == n_meant && rules.iter().all(|rule| is_one(rule, is_meant));
        is_so.then_some(rules)
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
            .partition(|name| number(name).or(index_number(name)).is_some());
        let unfinished = |name: &String| Path::new(name).extension().is_some_and(|end| end == TEMPORARY);
        let mut left: Vec<String> = others.into_iter().filter(unfinished).collect();
        if !rules.is_empty()
            && let Some(in_use) = in_use()
        {
            let in_use: Vec<Option<u64>> = in_use.iter().map(|name| number(name)).collect();
            let is_left = |name: &String| !in_use.contains(&number(name).or(index_number(name)));
            left.extend(rules.into_iter().filter(is_left));
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

/// The index of the file of rules of this number.
fn index_name(number: u64) -> String {
    format!("index-{number}")
}

fn index_number(name: &str) -> Option<u64> {
    name.strip_prefix("index-")?.parse().ok()
}

fn is_one(rule: &RuleConfig, is_meant: &dyn Fn(Destination) -> bool) -> bool {
    rule.destination.get_ref().parse().is_ok_and(is_meant)
}

/// What stands at `place` of `file`.
fn text_at(file: &File, place: std::ops::Range<u64>) -> Option<String> {
    let mut bytes = vec![0; usize::try_from(place.end - place.start).ok()?];
    file.read_exact_at(&mut bytes, place.start).ok()?;
    String::from_utf8(bytes).ok()
}
