//! What stands in the kernel: the only module that talks to it.

use crate::paths::Paths;
use crate::policy::tables::Tables;
use crate::stats::Snapshot;

/// The tables in the kernel, opened by their pins.
#[derive(Debug)]
pub struct Dataplane {}

/// Why the kernel could not be asked or changed.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// Nothing is pinned.
    #[error("shaper is not up")]
    NotUp,
    /// A capability is missing.
    #[error("not permitted to {action}")]
    Privilege {
        /// What was attempted.
        action: String,
    },
}

impl DataplaneError {
    /// Its name in JSON; `not_up` and `privilege` have exit codes of their own.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotUp => "not_up",
            Self::Privilege { .. } => "privilege",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotUp => Some("start it with `shaper up -i IFACE`".to_owned()),
            Self::Privilege { .. } => Some("run it as root, or with CAP_BPF and CAP_NET_ADMIN".to_owned()),
        }
    }
}

/// What applying tables changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Entries that were not there before.
    pub added: usize,
    /// Entries that are gone.
    pub removed: usize,
    /// Entries with another limit.
    pub changed: usize,
    /// Entries that stay as they were.
    pub unchanged: usize,
}

impl Dataplane {
    /// Opens what is pinned.
    ///
    /// # Errors
    ///
    /// [`DataplaneError::NotUp`] if nothing is pinned.
    pub fn open(_paths: &Paths) -> Result<Self, DataplaneError> {
        Err(DataplaneError::NotUp)
    }

    /// What is in force.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn entries(&self) -> Result<Tables, DataplaneError> {
        Err(DataplaneError::NotUp)
    }

    /// Puts `tables` in force, all at once.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses; what was in force stays so.
    pub fn apply(&self, _tables: &Tables) -> Result<Applied, DataplaneError> {
        Err(DataplaneError::NotUp)
    }

    /// All counters.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn snapshot(&self) -> Result<Snapshot, DataplaneError> {
        Err(DataplaneError::NotUp)
    }
}
