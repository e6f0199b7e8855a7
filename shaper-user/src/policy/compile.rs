//! From a policy to the kernel's tables.

use std::net::IpAddr;

use shaper_common::header::words;
use shaper_common::rule::{Key4, Key6, PrefixData6};

use super::Policy;
use super::prefix::{Destination, Prefix};
use super::rule::Rule;
use super::tables::{BucketId, Entry, TableKey, Tables};

impl From<&Policy> for Tables {
    /// An exempt prefix beats every rule, so rules inside one are left out: the longest prefix wins in the
    /// kernel, and one of theirs would.
    fn from(policy: &Policy) -> Self {
        let rules = policy
            .rules()
            .iter()
            .filter(|rule| policy.is_in_force(rule))
            .map(|rule| (TableKey::from(rule.destination), Entry::from(rule)));
        let exempt = policy
            .exempt()
            .iter()
            .map(|prefix| (TableKey::from(Destination::Prefix(prefix)), Entry::Exempt));
        Self::new(exempt.chain(rules).collect())
    }
}

impl Policy {
    /// Whether the kernel holds `rule`; it does not if the rule lies inside an exempt prefix.
    #[must_use]
    pub fn is_in_force(&self, rule: &Rule) -> bool {
        match rule.destination {
            Destination::Prefix(prefix) => self.exempt().covering(prefix).is_none(),
            Destination::Any => true,
        }
    }
}

impl From<&Rule> for Entry {
    fn from(rule: &Rule) -> Self {
        rule.limit.map_or(Self::Exempt, |limit| {
            Self::limited(limit.limit(), BucketId::of(&rule.destination.to_string()))
        })
    }
}

impl From<Destination> for TableKey {
    fn from(destination: Destination) -> Self {
        match destination {
            Destination::Any => Self::Any,
            Destination::Prefix(prefix) => key(prefix),
        }
    }
}

fn key(prefix: Prefix) -> TableKey {
    let len = u32::from(prefix.prefix_len());
    match prefix.address() {
        IpAddr::V4(address) => {
            let key = Key4 {
                service: 0,
                address: address.octets(),
            };
            if prefix.is_exact() {
                TableKey::Exact4(key)
            } else {
                TableKey::Prefix4(len, key)
            }
        }
        IpAddr::V6(address) => {
            let address = words(address.octets());
            if prefix.is_exact() {
                TableKey::Exact6(Key6 { service: 0, address })
            } else {
                TableKey::Prefix6(
                    len,
                    PrefixData6 {
                        zero: 0,
                        service: 0,
                        address,
                    },
                )
            }
        }
    }
}
