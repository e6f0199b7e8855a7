//! The configuration as the operator wrote it.

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
}

impl ConfigError {
    /// Its name in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        "config"
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}
