//! The running policy, the next one, and the rules that survive a reboot.

mod form;
mod index;
mod rules;
mod trial;

use std::path::{Path, PathBuf};

use form::{KeptFile, RunningFile, TrialFile};
use rules::RulesFiles;

use super::directory::{check_file, is_there};
use super::file::{TEMPORARY, as_text, from_text, read_text, read_toml, remove, write_toml};
use super::{Lock, StoreError, ensure_directory};
use crate::config::{Config, ExemptConfig, RuleConfig};
use crate::paths::Paths;
use crate::policy::Destination;

pub use form::{Facts, as_configuration};
pub use trial::Trial;

/// What runs: the configuration that was applied last, and the rules of `shaper set`.
pub type Running = Config;

/// What survives a reboot besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Prefixes of `shaper exempt`.
    pub exempt: ExemptConfig,
    /// Rules of `shaper set`.
    pub rules: Vec<RuleConfig>,
}

/// What runs but for the rules of the configuration, or most of them, however many these are.
#[derive(Clone, Debug)]
pub struct Brief {
    /// The rest.
    pub running: Running,
    /// What matters of the rules that are left out.
    pub facts: Facts,
    /// The file they stand in.
    rules: String,
}

impl Brief {
    /// Names the rules of the configuration: as long as it stays the same, so do they.
    #[must_use]
    pub fn configured(&self) -> &str {
        &self.rules
    }
}

/// The files that hold policies. The rules of the configuration have a file of their own, which is never changed: a
/// policy names it, and a change of other rules need not read or write it.
#[derive(Clone, Debug)]
pub struct Policies {
    rules: RulesFiles,
    running: PathBuf,
    next: PathBuf,
    trial: PathBuf,
    state: PathBuf,
    kept: PathBuf,
}

impl Policies {
    /// Where `paths` say.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self {
            rules: RulesFiles::new(&paths.run),
            running: paths.run.join("policy.toml"),
            next: paths.run.join("policy.next"),
            trial: paths.run.join("policy.try"),
            state: paths.state.clone(),
            kept: paths.state.join("rules.toml"),
        }
    }

    /// What runs; `None` before the first `up`.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn running(&self) -> Result<Option<Running>, StoreError> {
        self.read_whole(&self.running)
    }

    /// What runs, without the rules of the configuration; `None` before the first `up`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn brief(&self) -> Result<Option<Brief>, StoreError> {
        let file: Option<RunningFile> = read_toml(&self.running)?;
        Ok(file.map(|file| file.brief(Vec::new())))
    }

    /// What runs, of the rules of the configuration only those whose destination `is_meant`: so many rules more do not
    /// matter. `None` before the first `up`.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn part(&self, is_meant: &dyn Fn(Destination) -> bool) -> Result<Option<Brief>, StoreError> {
        let read = self.read_with(&self.running, |name| self.rules.read_part(name, is_meant))?;
        Ok(read.map(|(file, rules)| file.brief(rules)))
    }

    /// What a command that was killed was about to make run.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn next(&self) -> Result<Option<Running>, StoreError> {
        self.read_whole(&self.next)
    }

    fn read_whole(&self, path: &Path) -> Result<Option<Running>, StoreError> {
        let read = self.read_with(path, |name| self.rules.read(name))?;
        Ok(read.map(|(file, rules)| file.with(rules)))
    }

    /// The policy at `path`, and what `read` finds in the file of rules that it names.
    fn read_with<R>(
        &self,
        path: &Path,
        read: impl Fn(&str) -> Result<Option<R>, StoreError>,
    ) -> Result<Option<(RunningFile, R)>, StoreError> {
        let mut before = None;
        loop {
            let Some(file) = read_toml::<RunningFile>(path)? else {
                return Ok(None);
            };
            match read(&file.rules)? {
                Some(rules) => return Ok(Some((file, rules))),
                // Another policy runs by now, and its rules stand elsewhere.
                None if before.as_ref() != Some(&file.rules) => before = Some(file.rules),
                None => return Err(self.rules.missing(&file.rules)),
            }
        }
    }

    /// Whether a command is at work, or was killed at it.
    #[must_use]
    pub fn has_next(&self) -> bool {
        is_there(&self.next)
    }

    /// What survives a reboot besides the configuration.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn kept(&self) -> Result<Kept, StoreError> {
        let file: KeptFile = read_toml(&self.kept)?.unwrap_or_default();
        Ok(file.into())
    }

    /// Where that stands.
    #[must_use]
    pub fn kept_path(&self) -> &Path {
        &self.kept
    }

    /// Whether what survives a reboot is what of `running` should.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn keeps(&self, running: &Running) -> Result<bool, StoreError> {
        let wanted = as_text(&self.kept, &KeptFile::from(running))?;
        let Some(found) = read_text(&self.kept)? else {
            return Ok(KeptFile::from(running).is_empty());
        };
        // Somebody may have written the same in other words.
        Ok(found == wanted || as_text(&self.kept, &from_text::<KeptFile>(&self.kept, &found)?)? == wanted)
    }

    /// First step of a change: from here on it can be finished.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn announce(&self, _lock: &Lock, next: &Running, facts: Facts) -> Result<(), StoreError> {
        self.prepare_to_keep(next)?;
        let mut file = self.with_rules_written(next)?;
        file.facts = facts;
        write_toml(&self.next, &file)
    }

    /// As [`announce`](Self::announce), if the rules of the configuration stay as they are.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn announce_brief(&self, _lock: &Lock, next: &Brief) -> Result<(), StoreError> {
        self.prepare_to_keep(&next.running)?;
        let mut file = RunningFile::from(&next.running);
        file.facts.clone_from(&next.facts);
        file.rules.clone_from(&next.rules);
        write_toml(&self.next, &file)
    }

    /// What can fail later is tried before anything is changed.
    fn prepare_to_keep(&self, next: &Running) -> Result<(), StoreError> {
        if self.has_nothing_to_keep(&KeptFile::from(next))? {
            return Ok(());
        }
        ensure_directory(&self.state)?;
        check_file(&self.kept)
    }

    /// Whether there is no file and none is needed. What cannot be looked at is not made anew.
    fn has_nothing_to_keep(&self, file: &KeptFile) -> Result<bool, StoreError> {
        Ok(file.is_empty() && read_text(&self.kept)?.is_none())
    }

    fn with_rules_written(&self, running: &Running) -> Result<RunningFile, StoreError> {
        let mut file = RunningFile::from(running);
        file.rules = self.rules.write(running)?;
        Ok(file)
    }

    /// Last steps of a change: keeps its rules across reboots and makes it the running policy. While a change is on
    /// trial, what survives a reboot stays what it was before. `next` may be without the rules of the configuration.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn settle(&self, lock: &Lock, next: &Running) -> Result<(), StoreError> {
        if !self.has_trial() {
            self.keep(lock, next)?;
        }
        // The last step, after which nothing can fail: what runs need not survive a power cut.
        std::fs::rename(&self.next, &self.running).map_err(StoreError::io("replace", &self.running))?;
        self.sweep(lock);
        Ok(())
    }

    /// After a [`settle`](Self::settle) that failed, once `running` runs in the kernel again: it is what runs and is kept.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn unsettle(&self, lock: &Lock, running: &Running) -> Result<(), StoreError> {
        if !self.has_trial() && !self.keeps(running)? {
            self.keep(lock, running)?;
        }
        self.abandon(lock)
    }

    /// Removes what a command that was killed has left: files that it had not finished, and rules that no policy names.
    /// Whatever fails is done after the next change.
    pub fn sweep(&self, _lock: &Lock) {
        self.rules.sweep(|| self.rules_in_use());
        let _ = std::fs::remove_file(self.kept.with_added_extension(TEMPORARY));
    }

    /// The files with the rules of all policies; `None` if it cannot be told.
    fn rules_in_use(&self) -> Option<Vec<String>> {
        let named = |path| Some(read_toml::<RunningFile>(path).ok()?.map(|file| file.rules));
        let on_trial = read_toml::<TrialFile>(&self.trial).ok()?;
        let on_trial = on_trial.map(|file| file.before.rules);
        let all = [named(&self.running)?, named(&self.next)?, on_trial];
        Some(all.into_iter().flatten().collect())
    }

    /// Writes what of `running` survives a reboot.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn keep(&self, _lock: &Lock, running: &Running) -> Result<(), StoreError> {
        let file = KeptFile::from(running);
        if self.has_nothing_to_keep(&file)? {
            return Ok(());
        }
        ensure_directory(&self.state)?;
        write_toml(&self.kept, &file)
    }

    /// Instead of [`settle`](Self::settle), when the kernel refused.
    ///
    /// # Errors
    ///
    /// If the file cannot be removed.
    pub fn abandon(&self, lock: &Lock) -> Result<(), StoreError> {
        remove(&self.next)?;
        self.sweep(lock);
        Ok(())
    }

    /// Nothing runs: what survives a reboot stays.
    ///
    /// # Errors
    ///
    /// If a file cannot be removed.
    pub fn forget(&self, lock: &Lock) -> Result<(), StoreError> {
        remove(&self.next)?;
        remove(&self.trial)?;
        remove(&self.running)?;
        self.sweep(lock);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
