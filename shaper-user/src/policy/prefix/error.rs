//! Why a text is not a destination, and how to write one.

use super::Prefix;

/// Why a text is not a destination.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PrefixError {
    /// Not an address.
    #[error("`{text}` is not an address, a prefix or `any`")]
    Address {
        /// As written.
        text: String,
    },
    /// An address with a zone, `fe80::1%eth0`.
    #[error("`{text}` names an interface")]
    Zone {
        /// As written.
        text: String,
    },
    /// Not a prefix length of its family.
    #[error("`{text}` has no prefix length from 0 to {max}")]
    Length {
        /// As written.
        text: String,
        /// Bits of an address.
        max: u8,
    },
    /// Bits behind the prefix are set.
    #[error("`{text}` has host bits set")]
    HostBits {
        /// As written.
        text: String,
        /// What was meant, probably.
        corrected: Prefix,
    },
    /// An IPv4 address in the guise of an IPv6 address, which no packet carries.
    #[error("`{text}` is an IPv4 address written as IPv6; packets to it are IPv4")]
    Mapped {
        /// As written.
        text: String,
        /// What was meant.
        corrected: Prefix,
    },
}

impl PrefixError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Address { .. } => {
                "write for example `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/56` or `any`".to_owned()
            }
            Self::Zone { .. } => "link-local destinations are never limited".to_owned(),
            Self::Length { max, .. } => format!("write for example `/{}`", if *max == 32 { 24 } else { 56 }),
            Self::HostBits { corrected, .. } | Self::Mapped { corrected, .. } => {
                format!("write `{corrected}`")
            }
        })
    }
}
