//! Prefixes that are never limited, whatever the rules say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::prefix::Prefix;

/// A set of prefixes, none inside another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExemptPrefixes {
    prefixes: BTreeSet<Prefix>,
    /// How many prefixes there are of each length, by family: only these have to be looked up.
    lengths: BTreeMap<(bool, u8), usize>,
}

impl ExemptPrefixes {
    /// Adds `prefix`; the prefix that covers it already, if one does.
    pub(super) fn insert(&mut self, prefix: Prefix) -> Result<(), Prefix> {
        if let Some(by) = self.covering(prefix) {
            return Err(by);
        }
        let inside: Vec<Prefix> = self
            .prefixes
            .iter()
            .copied()
            .filter(|other| prefix.contains(*other))
            .collect();
        for other in inside {
            self.prefixes.remove(&other);
            self.count(other, |n| n - 1);
        }
        self.prefixes.insert(prefix);
        self.count(prefix, |n| n + 1);
        Ok(())
    }

    fn count(&mut self, prefix: Prefix, change: impl Fn(usize) -> usize) {
        let n_prefixes = self
            .lengths
            .entry((prefix.address().is_ipv4(), prefix.prefix_len()))
            .or_default();
        *n_prefixes = change(*n_prefixes);
    }

    /// The exempt prefix that `prefix` lies in.
    #[must_use]
    pub fn covering(&self, prefix: Prefix) -> Option<Prefix> {
        let address: IpAddr = prefix.address();
        let family = address.is_ipv4();
        self.lengths
            .range((family, 0)..=(family, prefix.prefix_len()))
            .filter(|(_, n_prefixes)| **n_prefixes > 0)
            .map(|((_, len), _)| Prefix::of(address, *len))
            .find(|candidate| self.prefixes.contains(candidate))
    }

    /// All of them, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Prefix> {
        self.prefixes.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn the_wider_of_two_prefixes_stays_in_either_order() {
        let (wide, narrow) = (prefix("10.0.0.0/8"), prefix("10.1.0.0/16"));
        let mut set = ExemptPrefixes::default();
        set.insert(wide).unwrap();
        assert_eq!(set.insert(narrow), Err(wide));
        let mut other = ExemptPrefixes::default();
        other.insert(narrow).unwrap();
        other.insert(wide).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), other.iter().collect::<Vec<_>>());
        assert_eq!(other.covering(prefix("10.1.2.3")), Some(wide));
    }

    #[test]
    fn what_is_wider_or_of_the_other_family_is_not_covered() {
        let mut set = ExemptPrefixes::default();
        set.insert(prefix("0.0.0.0/1")).unwrap();
        assert_eq!(set.covering(prefix("0.0.0.0/0")), None);
        assert_eq!(set.covering(prefix("::/64")), None);
        assert_eq!(set.covering(prefix("0.0.0.0/1")), Some(prefix("0.0.0.0/1")));
    }
}
