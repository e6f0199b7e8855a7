//! Destinations as operators name them: an address, a prefix, or all the rest.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use shaper_common::header;

mod error;

pub use error::PrefixError;

/// Addresses that have their first bits in common. No bit behind those is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    len: u8,
}

/// What a rule covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// Every address in a prefix, one address included.
    Prefix(Prefix),
    /// Every address that no other rule covers.
    Any,
}

/// Ranges that are never limited, as prefixes, each with what it is for.
pub const NEVER_LIMITED: [(Prefix, &str); 8] = [
    (Prefix::v4([224, 0, 0, 0], 3), "multicast, broadcast or reserved"),
    (Prefix::v4([127, 0, 0, 0], 8), "loopback"),
    (Prefix::v4([169, 254, 0, 0], 16), "link-local"),
    (Prefix::v4([0, 0, 0, 0], 8), "\"this network\""),
    (Prefix::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8), "multicast"),
    (Prefix::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10), "link-local"),
    (Prefix::v6([0, 0, 0, 0, 0, 0, 0, 1], 128), "loopback"),
    (Prefix::v6([0; 8], 128), "the unspecified address"),
];

impl Prefix {
    pub(super) const fn v4(octets: [u8; 4], len: u8) -> Self {
        Self {
            address: IpAddr::V4(Ipv4Addr::from_octets(octets)),
            len,
        }
    }

    pub(super) const fn v6(segments: [u16; 8], len: u8) -> Self {
        Self {
            address: IpAddr::V6(Ipv6Addr::from_segments(segments)),
            len,
        }
    }

    /// The prefix of `len` bits that `address` lies in; a length beyond the family's is the family's.
    #[must_use]
    pub fn of(address: IpAddr, len: u8) -> Self {
        match address {
            IpAddr::V4(address) => {
                let len = len.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(len)).unwrap_or(0);
                Self {
                    address: Ipv4Addr::from_bits(address.to_bits() & mask).into(),
                    len,
                }
            }
            IpAddr::V6(address) => {
                let len = len.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0);
                Self {
                    address: Ipv6Addr::from_bits(address.to_bits() & mask).into(),
                    len,
                }
            }
        }
    }

    /// The first address.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits that its addresses have in common.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.len
    }

    /// Bits of an address of its family.
    #[must_use]
    pub fn max_len(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Whether it is a single address.
    #[must_use]
    pub fn is_exact(self) -> bool {
        self.len == self.max_len()
    }

    /// Whether every address of `other` is one of its own.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.address.is_ipv4() == other.address.is_ipv4()
            && self.len <= other.len
            && Self::of(other.address, self.len) == self
    }

    /// Why none of its addresses can be limited, if so.
    #[must_use]
    pub fn never_limited(self) -> Option<&'static str> {
        NEVER_LIMITED
            .iter()
            .find(|(range, _)| range.contains(self))
            .map(|(_, what)| *what)
    }

    /// Whether the kernel program lets packets to its first address pass, whatever the rules say.
    #[must_use]
    pub fn starts_never_limited(self) -> bool {
        match self.address {
            IpAddr::V4(address) => header::is_never_limited_v4(address.octets()),
            IpAddr::V6(address) => header::is_never_limited_v6(header::words(address.octets())),
        }
    }
}

impl From<IpAddr> for Prefix {
    fn from(address: IpAddr) -> Self {
        Self::of(address, 128)
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let owned = || text.to_owned();
        if text.contains('%') {
            return Err(PrefixError::Zone { text: owned() });
        }
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address: IpAddr = address
            .parse()
            .map_err(|_| PrefixError::Address { text: owned() })?;
        let whole = Self::from(address);
        let max = whole.max_len();
        let len = match len {
            None => max,
            Some(len) => len
                .parse()
                .ok()
                .filter(|parsed: &u8| *parsed <= max && parsed.to_string() == len)
                .ok_or_else(|| PrefixError::Length { text: owned(), max })?,
        };
        let prefix = Self::of(address, len);
        if let IpAddr::V6(v6) = address
            && let (Some(v4), 96..) = (v6.to_ipv4_mapped(), len)
        {
            let corrected = Self::of(v4.into(), len - 96);
            return Err(PrefixError::Mapped {
                text: owned(),
                corrected,
            });
        }
        if prefix.address != address {
            return Err(PrefixError::HostBits {
                text: owned(),
                corrected: prefix,
            });
        }
        Ok(prefix)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.len)
    }
}

impl FromStr for Destination {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Self, PrefixError> {
        if text == "any" {
            Ok(Self::Any)
        } else {
            text.parse().map(Self::Prefix)
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => prefix.fmt(f),
            Self::Any => f.write_str("any"),
        }
    }
}

impl Destination {
    /// Whether it covers every address of `prefix`.
    #[must_use]
    pub fn covers(self, prefix: Prefix) -> bool {
        match self {
            Self::Prefix(own) => own.contains(prefix),
            Self::Any => true,
        }
    }

    /// Whether both cover some address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Prefix(own), Self::Prefix(other)) => own.contains(other) || other.contains(own),
            (Self::Any, _) | (_, Self::Any) => true,
        }
    }
}

#[cfg(test)]
mod tests;
