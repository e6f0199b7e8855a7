//! What has a bucket of its own under a rule.

use std::fmt;
use std::str::FromStr;

use super::prefix::{Destination, Prefix};
use super::tables::ClientLens;

/// What has a bucket of its own under a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Per {
    /// All that the rule covers, together.
    #[default]
    Rule,
    /// Each address.
    Ip,
    /// Each IPv4 address, and each IPv6 prefix of 64 bits.
    Client,
    /// Each prefix of this length; of IPv4, at most 32 bits count.
    Prefix(u8),
}

/// Why a text does not say what has a bucket.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PerError {
    /// None of the words, and not a prefix length.
    #[error("`{text}` does not say what has a bucket of its own")]
    Word {
        /// As written.
        text: String,
    },
    /// Each bucket would be for more than the rule covers.
    #[error("`{text}` is wider than the rule's own destination `{destination}`")]
    Wider {
        /// As written.
        text: String,
        /// Whom the rule covers.
        destination: Destination,
    },
    /// Longer than an address of this family.
    #[error("`{text}` is longer than an address of `{destination}`")]
    Longer {
        /// As written.
        text: String,
        /// Whom the rule covers.
        destination: Destination,
    },
}

impl PerError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Word { .. } => "write `rule`, `ip`, `client` or a prefix length such as `/24`".to_owned(),
            Self::Wider { .. } => "write a longer prefix, or `rule`".to_owned(),
            Self::Longer { .. } => "write `ip`".to_owned(),
        }
    }
}

impl FromStr for Per {
    type Err = PerError;

    fn from_str(text: &str) -> Result<Self, PerError> {
        match text {
            "rule" => return Ok(Self::Rule),
            "ip" => return Ok(Self::Ip),
            "client" => return Ok(Self::Client),
            _ => {}
        }
        text.strip_prefix('/')
            .and_then(|len| len.parse().ok().filter(|parsed: &u8| parsed.to_string() == len))
            .filter(|len| (1..=128).contains(len))
            .map(Self::Prefix)
            .ok_or_else(|| PerError::Word {
                text: text.to_owned(),
            })
    }
}

/// As in files.
impl fmt::Display for Per {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule => f.write_str("rule"),
            Self::Ip => f.write_str("ip"),
            Self::Client => f.write_str("client"),
            Self::Prefix(len) => write!(f, "/{len}"),
        }
    }
}

impl Per {
    /// Refuses what makes no sense for `destination`.
    pub(super) fn check(self, destination: Destination) -> Result<Self, PerError> {
        let (Self::Prefix(len), Destination::Prefix(prefix)) = (self, destination) else {
            return Ok(self);
        };
        let text = self.to_string();
        if len < prefix.prefix_len() {
            Err(PerError::Wider { text, destination })
        } else if len > prefix.max_len() {
            Err(PerError::Longer { text, destination })
        } else {
            Ok(self)
        }
    }

    /// How the kernel tells clients apart; `None` where there is but one in all that the rule covers.
    #[must_use]
    pub fn clients(self, destination: Destination) -> Option<ClientLens> {
        let lens = match self {
            Self::Rule => return None,
            Self::Ip => ClientLens { v4: 32, v6: 128 },
            Self::Client => ClientLens { v4: 32, v6: 64 },
            Self::Prefix(len) => ClientLens {
                v4: len.min(32),
                v6: len,
            },
        };
        match destination {
            Destination::Prefix(prefix) if lens.of(prefix) <= prefix.prefix_len() => None,
            _ => Some(lens),
        }
    }
}

impl ClientLens {
    /// The length that counts for addresses of `prefix`.
    #[must_use]
    pub fn of(self, prefix: Prefix) -> u8 {
        if prefix.address().is_ipv4() {
            self.v4
        } else {
            self.v6
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes() {
        for text in ["rule", "ip", "client", "/1", "/24", "/128"] {
            assert_eq!(text.parse::<Per>().unwrap().to_string(), text);
        }
        for text in ["", "Rule", "address", "24", "/0", "/129", "/+8", "/08", "/"] {
            assert!(text.parse::<Per>().is_err(), "{text}");
        }
    }

    #[test]
    fn where_there_is_but_one_client_all_share_the_rules_bucket() {
        let clients = |per: &str, destination: &str| {
            let per: Per = per.parse().unwrap();
            per.clients(destination.parse().unwrap())
                .map(|lens| (lens.v4, lens.v6))
        };
        assert_eq!(clients("ip", "203.0.113.7"), None);
        assert_eq!(clients("client", "2001:db8::/64"), None);
        assert_eq!(clients("client", "2001:db8::/63"), Some((32, 64)));
        assert_eq!(clients("/24", "203.0.113.0/24"), None);
        assert_eq!(clients("/25", "203.0.113.0/24"), Some((25, 25)));
        assert_eq!(clients("/48", "any"), Some((32, 48)));
        assert_eq!(clients("rule", "any"), None);
    }

    #[test]
    fn a_length_must_lie_between_the_destinations_and_the_addresses() {
        let check = |per: &str, destination: &str| {
            let per: Per = per.parse().unwrap();
            per.check(destination.parse().unwrap())
                .map_err(|error| error.to_string())
        };
        assert!(check("/24", "203.0.113.0/24").is_ok() && check("/32", "203.0.113.0/24").is_ok());
        assert_eq!(
            check("/23", "203.0.113.0/24").unwrap_err(),
            "`/23` is wider than the rule's own destination `203.0.113.0/24`"
        );
        assert_eq!(
            check("/33", "203.0.113.0/24").unwrap_err(),
            "`/33` is longer than an address of `203.0.113.0/24`"
        );
    }
}
