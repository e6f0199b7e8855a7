//! Which rule wins for a destination, and what it beats.

use std::cmp::Reverse;

use super::Policy;
use super::prefix::{Destination, Prefix};
use super::rule::Rule;

/// What becomes of packets to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Winner<'a> {
    /// Multicast, loopback and the like: no rule applies.
    NeverLimited(&'static str),
    /// Inside this exempt prefix.
    Exempt(Prefix),
    /// Covered by this rule.
    Rule(&'a Rule),
    /// Covered by no rule.
    Nobody,
}

/// Which rule wins for a destination, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation<'a> {
    /// Which one was asked for.
    pub destination: Destination,
    /// What becomes of packets to it.
    pub winner: Winner<'a>,
    /// Rules that cover it as well, the next best first.
    pub beaten: Vec<&'a Rule>,
    /// Rules for a part of it, which win there.
    pub n_inside: usize,
}

impl Policy {
    /// Says which rule wins for `destination`.
    #[must_use]
    pub fn explain(&self, destination: Destination) -> Explanation<'_> {
        let mut covering: Vec<&Rule> = self
            .rules()
            .iter()
            .chain(self.overridden())
            .filter(|rule| match destination {
                Destination::Prefix(prefix) => rule.destination.covers(prefix),
                Destination::Any => rule.destination == Destination::Any,
            })
            .collect();
        // The longest prefix first; of the same, the one that stands in for the other.
        covering.sort_by_key(|rule| Reverse((specificity(rule.destination), rule.source)));
        let n_inside = self
            .rules()
            .iter()
            .filter(|rule| rule.destination != destination && is_inside(rule.destination, destination))
            .count();

        let passed = match destination {
            Destination::Prefix(prefix) => prefix
                .never_limited()
                .map(Winner::NeverLimited)
                .or_else(|| self.exempt().covering(prefix).map(Winner::Exempt)),
            Destination::Any => None,
        };
        let (winner, beaten) = match (passed, covering.as_slice()) {
            (Some(winner), rules) => (winner, rules.to_vec()),
            (None, [first, rest @ ..]) => (Winner::Rule(first), rest.to_vec()),
            (None, []) => (Winner::Nobody, Vec::new()),
        };
        Explanation {
            destination,
            winner,
            beaten,
            n_inside,
        }
    }
}

fn specificity(destination: Destination) -> u8 {
    match destination {
        Destination::Any => 0,
        Destination::Prefix(prefix) => prefix.prefix_len() + 1,
    }
}

fn is_inside(inner: Destination, outer: Destination) -> bool {
    match (inner, outer) {
        (Destination::Prefix(inner), Destination::Prefix(outer)) => outer.contains(inner),
        (Destination::Prefix(_), Destination::Any) => true,
        (Destination::Any, _) => false,
    }
}
