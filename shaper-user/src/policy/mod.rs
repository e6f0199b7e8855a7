//! Rules, known to be valid.

pub mod tables;

/// Why a rule is not valid.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct PolicyError {
    text: String,
}

impl PolicyError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        None
    }
}
