//! The running policy, the next one, and the rules that survive a reboot.

mod form;

use std::path::{Path, PathBuf};

use form::{KeptFile, RunningFile, TrialFile};

use super::file::{read_toml, remove, rename, write_toml};
use super::{Lock, StoreError, ensure_directory};
use crate::config::{Config, ExemptConfig, RuleConfig};
use crate::paths::Paths;

pub use form::as_configuration;

/// What runs: the configuration that was applied last, and the rules of `shaper set`.
pub type Running = Config;

/// A change that is taken back unless somebody confirms it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// When it is taken back, in seconds after 1970.
    pub deadline_unix_secs: u64,
    /// What ran before it.
    pub before: Running,
}

/// What survives a reboot besides the configuration.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// Prefixes of `shaper exempt`.
    pub exempt: ExemptConfig,
    /// Rules of `shaper set`.
    pub rules: Vec<RuleConfig>,
}

/// The files that hold policies.
#[derive(Clone, Debug)]
pub struct Policies {
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

    /// What survives a reboot besides the configuration.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn kept(&self) -> Result<Kept, StoreError> {
        let file: KeptFile = read_toml(&self.kept)?.unwrap_or_default();
        Ok(file.into())
    }

    /// The change that nobody has confirmed yet.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn trial(&self) -> Result<Option<Trial>, StoreError> {
        let file: Option<TrialFile> = read_toml(&self.trial)?;
        Ok(file.map(Trial::from))
    }

    /// Whether there is a change that nobody has confirmed yet.
    #[must_use]
    pub fn has_trial(&self) -> bool {
        self.trial.exists()
    }

    /// Before the first step of a change that is to be taken back unless somebody confirms it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn begin_trial(&self, _lock: &Lock, trial: &Trial) -> Result<(), StoreError> {
        write_toml(&self.trial, &TrialFile::from(trial))
    }

    /// The change stays, or has been taken back.
    ///
    /// # Errors
    ///
    /// If the file cannot be removed.
    pub fn end_trial(&self, _lock: &Lock) -> Result<(), StoreError> {
        remove(&self.trial)
    }

    /// First step of a change: from here on it can be finished.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn announce(&self, _lock: &Lock, next: &Running) -> Result<(), StoreError> {
        // What can fail later is tried before anything is changed.
        if !KeptFile::from(next).is_empty() {
            ensure_directory(&self.state)?;
        }
        write_toml(&self.next, &RunningFile::from(next))
    }

    /// Last steps of a change: keeps its rules across reboots and makes it the running policy. While a change is on
    /// trial, what survives a reboot stays what it was before.
    ///
    /// # Errors
    ///
    /// If a file cannot be written.
    pub fn settle(&self, lock: &Lock, next: &Running) -> Result<(), StoreError> {
        if !self.has_trial() {
            self.keep(lock, next)?;
        }
        rename(&self.next, &self.running)
    }

    /// Writes what of `running` survives a reboot.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn keep(&self, _lock: &Lock, running: &Running) -> Result<(), StoreError> {
        let file = KeptFile::from(running);
        if file.is_empty() && !self.kept.exists() {
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
        remove(&self.trial)?;
        remove(&self.running)
    }
}

fn read_running(path: &Path) -> Result<Option<Running>, StoreError> {
    Ok(read_toml::<RunningFile>(path)?.map(Running::from))
}

#[cfg(test)]
mod tests;
