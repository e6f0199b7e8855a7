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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_a_prefix_of_all_its_bits() {
        assert_eq!(prefix("203.0.113.7").to_string(), "203.0.113.7/32");
        assert_eq!(prefix("2001:DB8:0::7").to_string(), "2001:db8::7/128");
        assert!(prefix("203.0.113.7").is_exact() && !prefix("203.0.113.0/24").is_exact());
    }

    #[test]
    fn host_bits_are_refused_with_the_prefix_that_was_meant() {
        let error = "10.0.0.7/8".parse::<Prefix>().unwrap_err();
        assert_eq!(error.to_string(), "`10.0.0.7/8` has host bits set");
        assert_eq!(error.hint().unwrap(), "write `10.0.0.0/8`");
        assert!(
            "2001:db8::1/64"
                .parse::<Prefix>()
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("2001:db8::/64")
        );
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in [
            "",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4/33",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/+8",
            "1.2.3.4/08",
            "fe80::1%eth0",
            "all",
            "ANY",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_ipv4_address_in_the_guise_of_ipv6_is_refused() {
        let error = "::ffff:203.0.113.7".parse::<Prefix>().unwrap_err();
        assert_eq!(error.hint().unwrap(), "write `203.0.113.7/32`");
    }

    #[test]
    fn a_prefix_contains_itself_and_what_is_inside_but_no_other_family() {
        let net = prefix("203.0.113.0/24");
        assert!(net.contains(net) && net.contains(prefix("203.0.113.255")));
        assert!(!net.contains(prefix("203.0.114.0")) && !net.contains(prefix("203.0.0.0/16")));
        assert!(
            !prefix("0.0.0.0/0").contains(prefix("::/0")) && prefix("::/0").contains(prefix("2001:db8::1"))
        );
    }

    #[test]
    fn a_prefix_inside_a_range_that_is_never_limited_is_known() {
        assert_eq!(
            prefix("224.0.0.5").never_limited(),
            Some("multicast, broadcast or reserved")
        );
        assert_eq!(prefix("fe80::/64").never_limited(), Some("link-local"));
        assert_eq!(prefix("::1").never_limited(), Some("loopback"));
        for text in [
            "0.0.0.0/0",
            "::/0",
            "192.0.0.0/2",
            "203.0.113.0/24",
            "2001:db8::/32",
        ] {
            assert_eq!(prefix(text).never_limited(), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn reads_back_what_it_writes(address in any::<IpAddr>(), len in 0_u8..=128) {
            let prefix = Prefix::of(address, len);
            match prefix.to_string().parse::<Prefix>() {
                Ok(parsed) => prop_assert_eq!(parsed, prefix),
                Err(PrefixError::Mapped { .. }) => {}
                Err(error) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn the_kernel_program_and_the_list_of_ranges_agree(address in any::<IpAddr>(), near in 0_usize..8) {
            let exact = Prefix::from(address);
            prop_assert_eq!(exact.never_limited().is_some(), exact.starts_never_limited());
            // Most addresses are far from every range: try one inside, too.
            let (range, _) = NEVER_LIMITED[near];
            let first = Prefix::from(range.address());
            prop_assert!(first.never_limited().is_some() && first.starts_never_limited());
        }
    }
}
