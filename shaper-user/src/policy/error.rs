//! Why a configuration is not a policy.

use std::fmt;
use std::time::Duration;

use super::amount::AmountError;
use super::deadline::DeadlineError;
use super::per::PerError;
use super::prefix::{Destination, Prefix, PrefixError};
use super::rate::{Rate, RateError};
use super::service::ServiceError;
use crate::config::Place;

/// Most clients that may have buckets at the same time: about 2 GiB of kernel memory.
pub const MAX_CLIENTS: u32 = 16_777_216;

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
    /// Not a service.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Not something that can have a bucket.
    #[error(transparent)]
    Per(#[from] PerError),
    /// Not a deadline.
    #[error(transparent)]
    Deadline(#[from] DeadlineError),
    /// A rule for what is never limited.
    #[error("`{destination}` is {what}: it is never limited")]
    NeverLimited {
        /// What the rule covers.
        destination: Prefix,
        /// What it is.
        what: &'static str,
    },
    /// An earlier rule has the same destination and service.
    #[error("destination `{destination}` is already that of {earlier}")]
    Duplicate {
        /// What both cover.
        destination: Destination,
        /// The other rule.
        earlier: String,
    },
    /// An earlier rule of the same destination is for some of the same ports.
    #[error("the rule for `{destination}` is for {ports} as {earlier} is")]
    Overlap {
        /// What both cover.
        destination: Destination,
        /// What both are for.
        ports: String,
        /// The other rule.
        earlier: String,
    },
    /// An earlier rule has the same name.
    #[error("the name `{name}` is already that of another rule")]
    DuplicateName {
        /// Of both.
        name: String,
    },
    /// A service or group that is defined in two files.
    #[error("[{section}.{name}] stands in another file already")]
    DuplicateSection {
        /// `service` or `group`.
        section: &'static str,
        /// Of both.
        name: String,
    },
    /// A name that cannot be one.
    #[error("`{name}` is not a name")]
    Name {
        /// As written.
        name: String,
    },
    /// A group that is not defined.
    #[error("there is no group `{name}`")]
    Group {
        /// As written.
        name: String,
    },
    /// A group without a rate.
    #[error("a group cannot be \"{rate}\"")]
    GroupRate {
        /// As written.
        rate: String,
    },
    /// A key that means nothing beside the rate of the rule.
    #[error("`{key}` means nothing with rate = \"{rate}\"")]
    Pointless {
        /// Name of the key.
        key: &'static str,
        /// `unlimited` or `block`.
        rate: String,
    },
    /// A horizon of nothing, or longer than packets can be held.
    #[error("a horizon of `{text}` is not between 1ms and 30s")]
    Horizon {
        /// As written.
        text: String,
    },
    /// No clients, or more than can be.
    #[error("{number} clients are not between 1 and {MAX_CLIENTS}")]
    MaxClients {
        /// As written.
        number: i64,
    },
    /// More table entries than the kernel can be given.
    #[error("the rules take {n_entries} entries of the kernel's tables, more than {max}")]
    TooManyEntries {
        /// How many there would be.
        n_entries: usize,
        /// How many there can be.
        max: usize,
    },
    /// More services than can be told apart at a reasonable cost.
    #[error("there are more than {max} services")]
    TooManyServices {
        /// How many there can be.
        max: usize,
    },
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
    /// A queue without room for 16 full packets at the rate: a warning.
    #[error("a queue of `{text}` has no room for 16 full packets at {rate}: TCP will stall")]
    ShortHorizon {
        /// As written.
        text: String,
        /// At which packets leave.
        rate: Rate,
        /// What has room.
        least: Duration,
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
            Self::Service(error) => return Some(error.hint()),
            Self::Per(error) => return Some(error.hint()),
            Self::Deadline(error) => return error.hint(),
            Self::NeverLimited { .. } => {
                "a limit would cut the host off from DHCP, neighbours or routing; take it out"
            }
            Self::Duplicate { .. } => "keep one of them",
            Self::Overlap { .. } => "give these ports to one of them",
            Self::DuplicateName { .. } => "choose another",
            Self::DuplicateSection { .. } => "keep one of them, or choose another name",
            Self::Name { .. } => "write up to 64 letters, digits and . _ -, with a letter or digit first",
            Self::Group { name } => return Some(format!("define it: [group.{name}] with a `rate`")),
            Self::GroupRate { .. } => "write for example rate = \"200mbit\"",
            Self::Pointless { .. } => "take it out, or write a rate",
            Self::Horizon { .. } => "write for example \"200ms\"",
            Self::MaxClients { .. } => "write for example 262144",
            Self::TooManyEntries { .. } => {
                "a rule takes one entry for each part of its service that others overlap"
            }
            Self::TooManyServices { .. } => "write ranges of ports, for example `tcp:8000-8099`",
            Self::Enforcement { .. } => "write \"pace\", or \"police\" to drop instead of delay",
            Self::InterfaceName { .. } => {
                "write up to 15 characters without blanks and slashes; * and ? make a pattern"
            }
            Self::Overhead { .. } => "write for example 24 for Ethernet framing",
            Self::ShortHorizon { least, .. } => {
                let least_ms = least.as_micros().div_ceil(1000);
                return Some(format!("write \"{least_ms}ms\" or more, or leave `horizon` out"));
            }
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
