//! The change that is on trial.

use super::form::TrialFile;
use super::{Policies, Running};
use crate::store::directory::is_there;
use crate::store::file::{read_toml, remove, write_toml};
use crate::store::{Lock, StoreError};

/// A change that is taken back unless somebody confirms it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// When it is taken back, in seconds after 1970.
    pub deadline_unix_secs: u64,
    /// What ran before it.
    pub before: Running,
}

impl Policies {
    /// The change that nobody has confirmed yet.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn trial(&self) -> Result<Option<Trial>, StoreError> {
        let Some(file) = read_toml::<TrialFile>(&self.trial)? else {
            return Ok(None);
        };
        let Some(rules) = self.rules.read(&file.before.rules)? else {
            // It may have ended in between.
            return if self.has_trial() {
                Err(self.rules.missing(&file.before.rules))
            } else {
                Ok(None)
            };
        };
        Ok(Some(Trial {
            deadline_unix_secs: file.deadline_unix_secs,
            before: file.before.with(rules),
        }))
    }

    /// Whether there is a change that nobody has confirmed yet.
    #[must_use]
    pub fn has_trial(&self) -> bool {
        is_there(&self.trial)
    }

    /// Before the first step of a change that is to be taken back unless somebody confirms it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn begin_trial(&self, _lock: &Lock, trial: &Trial) -> Result<(), StoreError> {
        let file = TrialFile {
            deadline_unix_secs: trial.deadline_unix_secs,
            before: self.with_rules_written(&trial.before)?,
        };
        write_toml(&self.trial, &file)
    }

    /// The change stays, or has been taken back.
    ///
    /// # Errors
    ///
    /// If the file cannot be removed.
    pub fn end_trial(&self, lock: &Lock) -> Result<(), StoreError> {
        remove(&self.trial)?;
        self.sweep(lock);
        Ok(())
    }
}
