//! Files of shaper's own, and the lock that every change holds.

/// Why a file of ours cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct StoreError {
    text: String,
}

impl StoreError {
    /// Its name in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "store"
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}
