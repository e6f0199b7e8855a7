//! How two policies differ.

use std::cmp::Ordering;
use std::sync::Arc;

use super::Policy;
use super::group::Group;
use super::interface::Interface;
use super::prefix::Prefix;
use super::rule::Rule;

/// A part of a policy that can come, go or change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// An exempt prefix.
    Exempt(Prefix),
    /// A limit that rules share.
    Group(&'a Group),
    /// What is configured for an interface; it counts when `up` attaches to it.
    Interface(&'a Interface),
    /// How many clients may have buckets of their own.
    MaxClients(u32),
    /// A rule.
    Rule(&'a Rule),
}

/// One part that is not the same in two policies; at least one of the two is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference<'a> {
    /// What it was.
    pub before: Option<Part<'a>>,
    /// What it becomes.
    pub after: Option<Part<'a>>,
}

/// Exempt prefixes, groups and rules by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Only in the second.
    pub added: usize,
    /// Only in the first.
    pub removed: usize,
    /// In both, and not the same.
    pub changed: usize,
    /// The same in both.
    pub unchanged: usize,
}

impl Diff {
    /// What becomes of `from` on the way to `to`; each difference is given to `tell`. Who wrote a rule does not count.
    pub fn between<'a>(from: &'a Policy, to: &'a Policy, mut tell: impl FnMut(Difference<'a>)) -> Self {
        let mut diff = Self::default();
        if from.max_clients != to.max_clients {
            diff.count(
                Some(Part::MaxClients(from.max_clients)),
                Some(Part::MaxClients(to.max_clients)),
                &mut tell,
            );
        }
        let by_pattern = |a: &&Interface, b: &&Interface| a.pattern.cmp(&b.pattern);
        let interfaces = |policy: &'a Policy| sorted(policy.interfaces.iter(), by_pattern);
        pair(interfaces(from), interfaces(to), by_pattern, |before, after| {
            // Those that stay as they are, are no part of what is counted.
            if before != after {
                diff.count(before.map(Part::Interface), after.map(Part::Interface), &mut tell);
            }
        });
        pair(
            from.exempt.iter(),
            to.exempt.iter(),
            Prefix::cmp,
            |before, after| {
                diff.count(before.map(Part::Exempt), after.map(Part::Exempt), &mut tell);
            },
        );
        let by_name = |a: &&Group, b: &&Group| a.name.cmp(&b.name);
        let groups = |policy: &'a Policy| policy.groups.iter().map(Arc::as_ref);
        pair(groups(from), groups(to), by_name, |before, after| {
            diff.count(before.map(Part::Group), after.map(Part::Group), &mut tell);
        });
        let by_target = |a: &&Rule, b: &&Rule| a.target().cmp(&b.target());
        pair(from.rules.iter(), to.rules.iter(), by_target, |before, after| {
            diff.count(before.map(Part::Rule), after.map(Part::Rule), &mut tell);
        });
        diff
    }

    fn count<'a>(
        &mut self,
        before: Option<Part<'a>>,
        after: Option<Part<'a>>,
        tell: &mut impl FnMut(Difference<'a>),
    ) {
        let count = match (&before, &after) {
            (Some(before), Some(after)) if before.is_same(after) => {
                self.unchanged += 1;
                return;
            }
            (Some(_), Some(_)) => &mut self.changed,
            (Some(_), None) => &mut self.removed,
            (None, _) => &mut self.added,
        };
        *count += 1;
        tell(Difference { before, after });
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added == 0 && self.removed == 0 && self.changed == 0
    }
}

impl Part<'_> {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rule(a), Self::Rule(b)) => {
                a.name == b.name
                    && a.per == b.per
                    && a.action == b.action
                    && a.group.as_ref().map(|group| &group.name) == b.group.as_ref().map(|group| &group.name)
                    && a.expires == b.expires
                    && a.comment == b.comment
            }
            (a, b) => a == b,
        }
    }
}

fn sorted<'a, T>(
    items: impl Iterator<Item = &'a T>,
    order: impl Fn(&&T, &&T) -> Ordering,
) -> std::vec::IntoIter<&'a T> {
    let mut items: Vec<&T> = items.collect();
    items.sort_by(|a, b| order(a, b));
    items.into_iter()
}

/// Goes through two ascending lists at once.
fn pair<T>(
    from: impl Iterator<Item = T>,
    to: impl Iterator<Item = T>,
    order: impl Fn(&T, &T) -> Ordering,
    mut tell: impl FnMut(Option<T>, Option<T>),
) {
    let (mut from, mut to) = (from.peekable(), to.peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(before), Some(after)) => order(before, after),
        };
        match order {
            Ordering::Less => tell(from.next(), None),
            Ordering::Greater => tell(None, to.next()),
            Ordering::Equal => tell(from.next(), to.next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    fn policy(text: &str) -> Policy {
        let config = Config::parse(Path::new("x"), text.to_owned()).unwrap();
        Policy::try_from(&config).unwrap()
    }

    fn rules(rules: &[(u8, &str)]) -> String {
        rules
            .iter()
            .map(|(last, rate)| format!("[[rule]]\ndestination = \"10.0.0.{last}\"\nrate = \"{rate}\"\n"))
            .collect()
    }

    fn between(from: &str, to: &str) -> (Diff, usize) {
        let mut n_told = 0;
        let (from, to) = (policy(from), policy(to));
        let diff = Diff::between(&from, &to, |_| n_told += 1);
        (diff, n_told)
    }

    #[test]
    fn every_rule_is_added_removed_changed_or_unchanged() {
        let (diff, n_told) = between(
            &rules(&[(1, "1mbit"), (2, "1mbit"), (3, "1mbit")]),
            &rules(&[(2, "1mbit"), (3, "2mbit"), (4, "1mbit"), (5, "1mbit")]),
        );
        let expected = Diff {
            added: 2,
            removed: 1,
            changed: 1,
            unchanged: 1,
        };
        assert_eq!((diff, n_told), (expected, 4));
    }

    #[test]
    fn a_group_that_changes_counts_once_however_many_rules_it_has() {
        let text = |rate: &str| {
            format!("[group.a]\nrate = \"{rate}\"\n")
                + &["10.0.0.1", "10.0.0.2"]
                    .map(|one| {
                        format!("[[rule]]\ndestination = \"{one}\"\nrate = \"1mbit\"\ngroup = \"a\"\n")
                    })
                    .concat()
        };
        let expected = Diff {
            changed: 1,
            unchanged: 2,
            ..Diff::default()
        };
        assert_eq!(between(&text("1mbit"), &text("2mbit")), (expected, 1));
        assert!(between(&text("1mbit"), &text("1mbit")).0.is_empty());
    }

    #[test]
    fn exempt_prefixes_interfaces_and_the_number_of_clients_are_parts() {
        let from = "[interface.eth0]\noverhead = 4\n[exempt]\nprefixes = [\"10.0.0.0/8\"]\n";
        let to = "[interface.eth0]\noverhead = 24\n[defaults]\nmax_clients = 7\n[exempt]\nprefixes = [\"10.0.0.0/9\"]\n";
        let expected = Diff {
            added: 1,
            removed: 1,
            changed: 2,
            unchanged: 0,
        };
        assert_eq!(between(from, to), (expected, 4));
        assert!(between(from, from).0.is_empty());
    }
}
