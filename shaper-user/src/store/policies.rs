//! The running policy, the next one, and the rules that survive a reboot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::file::{read_toml, remove, rename, write_toml};
use super::{Lock, StoreError, ensure_directory};
use crate::config::{Config, DefaultsConfig, ExemptConfig, InterfaceConfig, RuleConfig, Source, Text};
use crate::paths::Paths;

/// What runs: the configuration that was applied last, and the rules of `shaper set`.
pub type Running = Config;

/// `policy.toml` and `policy.next`: a configuration, and two more lists of rules.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct RunningFile {
    interface: BTreeMap<Text, InterfaceConfig>,
    defaults: DefaultsConfig,
    exempt: ExemptConfig,
    rule: Vec<RuleConfig>,
    kept: Vec<RuleConfig>,
    temporary: Vec<RuleConfig>,
}

/// `rules.toml`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct RulesFile {
    rule: Vec<RuleConfig>,
}

/// The files that hold policies.
#[derive(Clone, Debug)]
pub struct Policies {
    running: PathBuf,
    next: PathBuf,
    state: PathBuf,
    kept: PathBuf,
}

impl Policies {
    /// Where `paths` say.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self {
            running: paths.run.join("policy.toml"),
            next: paths.run.join("policy.next"),
            state: paths.state.clone(),
            kept: paths.state.join("rules.toml"),
        }
    }

    /// What runs; `None` before the first `up`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn running(&self) -> Result<Option<Running>, StoreError> {
        read_running(&self.running)
    }

    /// What a command that was killed was about to make run.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn next(&self) -> Result<Option<Running>, StoreError> {
        read_running(&self.next)
    }

    /// Whether a command is at work, or was killed at it.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.next.exists()
    }

    /// The rules of `shaper set` that survive a reboot.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn kept_rules(&self) -> Result<Vec<RuleConfig>, StoreError> {
        let file: RulesFile = read_toml(&self.kept)?.unwrap_or_default();
        Ok(written_by(Source::Kept, file.rule).collect())
    }

    /// First step of a change: from here on it can be finished.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn announce(&self, _lock: &Lock, next: &Running) -> Result<(), StoreError> {
        // What can fail later is tried before anything is changed.
        if next.rules_of(Source::Kept).next().is_some() {
            ensure_directory(&self.state)?;
        }
        write_toml(&self.next, &RunningFile::from(next))
    }

    /// Last steps of a change: keeps its rules across reboots and makes it the running policy.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn settle(&self, _lock: &Lock, next: &Running) -> Result<(), StoreError> {
        let rule: Vec<RuleConfig> = next.rules_of(Source::Kept).cloned().collect();
        if !rule.is_empty() || self.kept.exists() {
            ensure_directory(&self.state)?;
            write_toml(&self.kept, &RulesFile { rule })?;
        }
        rename(&self.next, &self.running)
    }

    /// Instead of [`settle`](Self::settle), when the kernel refused.
    ///
    /// # Errors
    ///
    /// If the file cannot be removed.
    pub fn abandon(&self, _lock: &Lock) -> Result<(), StoreError> {
        remove(&self.next)
    }

    /// Nothing runs: what survives a reboot stays.
    ///
    /// # Errors
    ///
    /// If a file cannot be removed.
    pub fn forget(&self, _lock: &Lock) -> Result<(), StoreError> {
        remove(&self.next)?;
        remove(&self.running)
    }
}

fn read_running(path: &Path) -> Result<Option<Running>, StoreError> {
    Ok(read_toml::<RunningFile>(path)?.map(Running::from))
}

fn written_by(source: Source, rules: Vec<RuleConfig>) -> impl Iterator<Item = RuleConfig> {
    rules.into_iter().map(move |mut rule| {
        rule.source = source;
        rule
    })
}

impl From<RunningFile> for Running {
    fn from(file: RunningFile) -> Self {
        let rules = written_by(Source::Config, file.rule)
            .chain(written_by(Source::Kept, file.kept))
            .chain(written_by(Source::Temporary, file.temporary))
            .collect();
        Self::without_text(file.interface, file.defaults, file.exempt, rules)
    }
}

impl From<&Running> for RunningFile {
    fn from(running: &Running) -> Self {
        let of = |source| running.rules_of(source).cloned().collect();
        let mut exempt = ExemptConfig::default();
        for config in &running.exempt {
            exempt.prefixes.extend(config.prefixes.iter().cloned());
        }
        Self {
            interface: running.interfaces.clone(),
            defaults: running.defaults.clone(),
            exempt,
            rule: of(Source::Config),
            kept: of(Source::Kept),
            temporary: of(Source::Temporary),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::file::tests::{Directory, directory};

    fn policies(directory: &Directory) -> (Policies, Lock) {
        let paths = Paths {
            run: directory.path().join("run"),
            state: directory.path().join("state"),
            ..Paths::default()
        };
        (Policies::new(&paths), Lock::take(&paths.run, |_| {}).unwrap())
    }

    fn running() -> Running {
        let text = "[interface.eth0]\noverhead = 24\n[defaults]\nburst = \"20ms\"\n[exempt]\nprefixes = [\"10.0.0.0/8\"]\n\
                    [[rule]]\nname = \"a\"\ndestination = \"any\"\nrate = \"1gbit\"\ncomment = \"quote \\\" and ü\"\n";
        let mut running = Config::parse(Path::new("x"), text.to_owned()).unwrap();
        running
            .rules
            .push(RuleConfig::new("203.0.113.7", "20mbit", Source::Kept));
        running
            .rules
            .push(RuleConfig::new("203.0.113.8", "20mbit", Source::Temporary));
        running
    }

    fn summary(running: &Running) -> String {
        toml::to_string(&RunningFile::from(running)).unwrap()
    }

    #[test]
    fn a_change_reads_back_whole_and_only_what_is_kept_survives() {
        let directory = directory();
        let (policies, lock) = policies(&directory);
        assert!(policies.running().unwrap().is_none() && !policies.has_next());
        policies.announce(&lock, &running()).unwrap();
        assert!(policies.has_next());
        assert_eq!(summary(&policies.next().unwrap().unwrap()), summary(&running()));
        policies.settle(&lock, &running()).unwrap();
        assert!(!policies.has_next());
        assert_eq!(
            summary(&policies.running().unwrap().unwrap()),
            summary(&running())
        );

        policies.forget(&lock).unwrap();
        assert!(policies.running().unwrap().is_none());
        let kept = policies.kept_rules().unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].destination.get_ref().as_str(), kept[0].source),
            ("203.0.113.7", Source::Kept)
        );
    }

    #[test]
    fn an_abandoned_change_leaves_what_ran() {
        let directory = directory();
        let (policies, lock) = policies(&directory);
        policies.announce(&lock, &running()).unwrap();
        policies.settle(&lock, &running()).unwrap();
        policies.announce(&lock, &Running::default()).unwrap();
        policies.abandon(&lock).unwrap();
        assert_eq!(
            summary(&policies.running().unwrap().unwrap()),
            summary(&running())
        );
        assert_eq!(policies.kept_rules().unwrap().len(), 1);
    }

    #[test]
    fn no_directory_is_made_for_rules_that_are_not_there() {
        let directory = directory();
        let (policies, lock) = policies(&directory);
        policies.announce(&lock, &Running::default()).unwrap();
        policies.settle(&lock, &Running::default()).unwrap();
        assert!(!directory.path().join("state").exists());
    }
}
