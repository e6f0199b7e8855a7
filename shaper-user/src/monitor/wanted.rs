//! Which interfaces a policy wants, among those that are there. Pure.

use crate::policy::{Interface, Policy};

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

    /// Those of `present` that are wanted.
    #[must_use]
    pub fn present(&self, present: &[String]) -> Vec<String> {
        let is_wanted = |name: &&String| self.interfaces.iter().any(|wanted| wanted.matches(name));
        present.iter().filter(is_wanted).cloned().collect()
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

    /// Bytes each packet takes on the wire of `name` beyond what the kernel counts. A name counts before a pattern.
    #[must_use]
    pub fn overhead(&self, name: &str) -> u32 {
        let exact = self.interfaces.iter().find(|wanted| wanted.name() == Some(name));
        exact
            .or_else(|| self.interfaces.iter().find(|wanted| wanted.matches(name)))
            .map_or(0, |wanted| wanted.overhead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(patterns: &[(&str, u32)]) -> Wanted {
        let interface = |(pattern, overhead): &(&str, u32)| Interface {
            pattern: (*pattern).to_owned(),
            overhead: *overhead,
            enforcement: crate::policy::Enforcement::Pace,
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
