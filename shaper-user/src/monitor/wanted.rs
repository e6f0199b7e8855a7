//! Which interfaces a policy wants, among those that are there. Pure.

use std::collections::BTreeSet;

use crate::policy::{Enforcement, Interface, Policy};

/// The interfaces of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    interfaces: Vec<Interface>,
}

impl Wanted {
    /// What `policy` wants.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        Self {
            interfaces: policy.interfaces().to_vec(),
        }
    }

    /// Whether no interface is named, and no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.interfaces.is_empty()
    }

    /// Whether the interface `name` is wanted, by its name or by a pattern.
    #[must_use]
    pub fn is_wanted(&self, name: &str) -> bool {
        self.interface(name).is_some()
    }

    /// Those of `names` that are wanted.
    #[must_use]
    pub fn configured<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        names
            .into_iter()
            .filter(|name| self.is_wanted(name))
            .cloned()
            .collect()
    }

    /// Those of `present` that are wanted.
    #[must_use]
    pub fn present(&self, present: &[String]) -> Vec<String> {
        present
            .iter()
            .filter(|name| self.is_wanted(name))
            .cloned()
            .collect()
    }

    /// Names that are wanted and not in `present`. A pattern misses nothing.
    #[must_use]
    pub fn missing(&self, present: &[String]) -> Vec<String> {
        let names = self.interfaces.iter().filter_map(Interface::name);
        names
            .filter(|name| !present.iter().any(|other| other == name))
            .map(str::to_owned)
            .collect()
    }

    /// Whether only a pattern wants it: when it goes away, nobody waits for it.
    #[must_use]
    pub fn is_by_pattern(&self, name: &str) -> bool {
        let mut matching = self
            .interfaces
            .iter()
            .filter(|wanted| wanted.matches(name))
            .peekable();
        matching.peek().is_some() && matching.all(|wanted| wanted.name().is_none())
    }

    /// Those of `names` where packets are dropped instead of held.
    #[must_use]
    pub fn policed<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
        let is_policed = |name: &&String| {
            self.interface(name)
                .is_some_and(|wanted| wanted.enforcement == Enforcement::Police)
        };
        names.into_iter().filter(is_policed).cloned().collect()
    }

    /// Bytes each packet takes on the wire of `name` beyond what the kernel counts. A name counts before a pattern.
    #[must_use]
    pub fn overhead(&self, name: &str) -> u32 {
        self.interface(name).map_or(0, |wanted| wanted.overhead)
    }

    fn interface(&self, name: &str) -> Option<&Interface> {
        let exact = self.interfaces.iter().find(|wanted| wanted.name() == Some(name));
        exact.or_else(|| self.interfaces.iter().find(|wanted| wanted.matches(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(patterns: &[(&str, u32)]) -> Wanted {
        let interface = |(pattern, overhead): &(&str, u32)| Interface {
            pattern: (*pattern).to_owned(),
            overhead: *overhead,
            enforcement: if *overhead == 99 {
                Enforcement::Police
            } else {
                Enforcement::Pace
            },
        };
        Wanted {
            interfaces: patterns.iter().map(interface).collect(),
        }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_name_is_missed_and_a_pattern_is_not() {
        let wanted = wanted(&[("eth0", 0), ("veth*", 4), ("veth7", 8)]);
        let present = names(&["lo", "veth1", "eth01"]);
        assert_eq!(wanted.present(&present), ["veth1"]);
        assert_eq!(wanted.missing(&present), ["eth0", "veth7"]);
        assert!(wanted.is_by_pattern("veth1"));
        assert!(
            !wanted.is_by_pattern("veth7") && !wanted.is_by_pattern("eth0") && !wanted.is_by_pattern("lo")
        );
    }

    #[test]
    fn what_is_dropped_instead_of_held_is_told_by_interface() {
        // 99 stands for policing here.
        let wanted = wanted(&[("eth*", 99), ("eth0", 0)]);
        let policed = wanted.policed(&names(&["eth0", "eth1", "lo"]));
        assert_eq!(policed.into_iter().collect::<Vec<_>>(), ["eth1"]);
    }

    #[test]
    fn a_name_counts_before_a_pattern() {
        let wanted = wanted(&[("eth*", 24), ("eth0", 4)]);
        assert_eq!(
            (
                wanted.overhead("eth0"),
                wanted.overhead("eth1"),
                wanted.overhead("lo")
            ),
            (4, 24, 0)
        );
    }
}
