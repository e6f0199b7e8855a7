//! Why a configuration is not a policy.

use std::fmt;

use super::amount::AmountError;
use super::prefix::{Destination, Prefix, PrefixError};
use super::rate::RateError;
use crate::config::Place;

/// Why a part of a configuration is not valid.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// Not a destination.
    #[error(transparent)]
    Destination(#[from] PrefixError),
    /// Not a rate.
    #[error(transparent)]
    Rate(#[from] RateError),
    /// Not a burst or a time.
    #[error(transparent)]
    Amount(#[from] AmountError),
    /// A rule for what is never limited.
    #[error("`{destination}` is {what}: it is never limited")]
    NeverLimited {
        /// What the rule covers.
        destination: Prefix,
        /// What it is.
        what: &'static str,
    },
    /// An earlier rule has the same destination.
    #[error("destination `{destination}` is already that of {earlier}")]
    Duplicate {
        /// What both cover.
        destination: Destination,
        /// The other rule.
        earlier: String,
    },
    /// An earlier rule has the same name.
    #[error("the name `{name}` is already that of another rule")]
    DuplicateName {
        /// Of both.
        name: String,
    },
    /// A name that cannot be one.
    #[error("`{name}` is not a name")]
    Name {
        /// As written.
        name: String,
    },
    /// A horizon of nothing, or longer than packets can be held.
    #[error("a horizon of `{text}` is not between 1ms and 30s")]
    Horizon {
        /// As written.
        text: String,
    },
    /// Packets are dropped instead of delayed.
    #[error("enforcement = \"police\" is not supported yet by this version")]
    Police,
    /// Not a way to enforce.
    #[error("`{text}` is not a way to enforce")]
    Enforcement {
        /// As written.
        text: String,
    },
    /// Not the name of an interface.
    #[error("`{text}` cannot be the name of an interface")]
    InterfaceName {
        /// As written.
        text: String,
    },
    /// More bytes than any framing adds, or fewer than none.
    #[error("an overhead of {bytes} bytes is not between 0 and 1000")]
    Overhead {
        /// As written.
        bytes: i64,
    },
    /// A rule that an exempt prefix makes void: a warning.
    #[error("the rule for `{destination}` has no effect: `{exempt}` is exempt")]
    Shadowed {
        /// What the rule covers.
        destination: Prefix,
        /// What is exempt.
        exempt: Prefix,
    },
    /// Two prefixes of `[exempt]` that are one, or one inside the other: a warning.
    #[error("`{prefix}` is exempt already, by `{by}`")]
    ExemptTwice {
        /// The one that changes nothing.
        prefix: Prefix,
        /// The one that covers it.
        by: Prefix,
    },
}

impl PolicyError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Destination(error) => return error.hint(),
            Self::Rate(error) => return error.hint(),
            Self::Amount(error) => return error.hint(),
            Self::NeverLimited { .. } => {
                "a limit would cut the host off from DHCP, neighbours or routing; take it out"
            }
            Self::Duplicate { .. } => "keep one of them",
            Self::DuplicateName { .. } => "choose another",
            Self::Name { .. } => "write up to 64 letters, digits and . _ -, with a letter or digit first",
            Self::Horizon { .. } => "write for example \"200ms\"",
            Self::Police | Self::Enforcement { .. } => "write \"pace\"",
            Self::InterfaceName { .. } => {
                "write up to 15 characters without blanks and slashes; * and ? make a pattern"
            }
            Self::Overhead { .. } => "write for example 24 for Ethernet framing",
            Self::Shadowed { .. } | Self::ExemptTwice { .. } => "take out one of them",
        };
        Some(text.to_owned())
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub error: PolicyError,
}

/// All that is wrong with a configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}", problem.error)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
