//! Which rule wins for a destination and a service, and what it beats.
//!
//! The longest prefix wins; of one prefix, a rule with a service; `exempt` wins over all.

use std::cmp::Reverse;

use super::Policy;
use super::ports::Ports;
use super::prefix::{Destination, Prefix};
use super::rule::Rule;
use crate::config::Source;

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
    /// Ports of the server that were asked for; `None` is what no rule for a service covers.
    pub ports: Option<Ports>,
    /// What becomes of packets to it.
    pub winner: Winner<'a>,
    /// Rules that cover it as well, the next best first.
    pub beaten: Vec<&'a Rule>,
    /// Rules for a part of it, which win there.
    pub n_inside: usize,
}

impl Policy {
    /// Says which rule wins for `destination`. Ports for which different rules win are explained apart.
    #[must_use]
    pub fn explain(&self, destination: Destination, ports: Option<&Ports>) -> Vec<Explanation<'_>> {
        let Some(ports) = ports else {
            return vec![self.explain_one(destination, None)];
        };
        let mut explained: Vec<Explanation<'_>> = Vec::new();
        for part in self.parts(ports) {
            let next = self.explain_one(destination, Some(part));
            let same = explained
                .iter_mut()
                .find(|one| one.winner == next.winner && one.beaten == next.beaten);
            match (same, next.ports) {
                (Some(same), Some(more)) => same.ports = same.ports.take().map(|ports| ports.and(&more)),
                (_, ports) => explained.push(Explanation { ports, ..next }),
            }
        }
        explained
    }

    /// What becomes of packets to `destination` from ports that all rules treat alike.
    #[must_use]
    pub(super) fn explain_one(&self, destination: Destination, ports: Option<Ports>) -> Explanation<'_> {
        let all = || self.rules().iter().chain(self.overridden());
        let mut covering: Vec<&Rule> = all()
            .filter(|rule| covers(rule, destination, ports.as_ref()))
            .collect();
        covering.sort_by_key(|rule| Reverse(precedence(rule)));
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
        let wins_inside = |rule: &Rule| match winner {
            Winner::NeverLimited(_) | Winner::Exempt(_) => false,
            Winner::Rule(winner) => precedence(rule) > precedence(winner),
            Winner::Nobody => true,
        };
        let n_inside = self
            .rules()
            .iter()
            .filter(|rule| {
                touches(rule, destination, ports.as_ref())
                    && !covers(rule, destination, ports.as_ref())
                    && wins_inside(rule)
                    && self.is_in_force(rule)
            })
            .count();
        Explanation {
            destination,
            ports,
            winner,
            beaten,
            n_inside,
        }
    }

    /// `ports` in parts that are each inside or outside of every service that a rule is for.
    fn parts(&self, ports: &Ports) -> Vec<Ports> {
        let mut divided: Vec<Ports> = vec![ports.clone()];
        for rule in self.rules().iter().chain(self.overridden()) {
            let Some(service) = rule.target().ports else {
                continue;
            };
            if service.common(ports).is_empty() {
                continue;
            }
            divided = divided
                .iter()
                .flat_map(|part| [part.common(service), part.without(service)])
                .filter(|part| !part.is_empty())
                .collect();
        }
        divided
    }
}

/// The better rule has more of it: a longer prefix, a service, a name for the whole instead of `any`, a later source.
fn precedence(rule: &Rule) -> (u8, bool, bool, Source) {
    let has_service = rule.service.is_some();
    let (rank, is_explicit) = match rule.destination {
        // With a service, `any` stands for the whole of both families.
        Destination::Any => (u8::from(has_service), false),
        Destination::Prefix(prefix) => (prefix.prefix_len() + 1, true),
    };
    (rank, has_service, is_explicit, rule.source)
}

/// Whether `rule` is for all of it.
fn covers(rule: &Rule, destination: Destination, ports: Option<&Ports>) -> bool {
    let is_for_destination = match destination {
        Destination::Prefix(prefix) => rule.destination.covers(prefix),
        Destination::Any => rule.destination == Destination::Any,
    };
    let is_for_ports = match (rule.target().ports, ports) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(service), Some(ports)) => service.contains(ports),
    };
    is_for_destination && is_for_ports
}

/// Whether `rule` is for some of it.
fn touches(rule: &Rule, destination: Destination, ports: Option<&Ports>) -> bool {
    let is_for_ports = match (rule.target().ports, ports) {
        (Some(service), Some(ports)) => !service.common(ports).is_empty(),
        _ => true,
    };
    rule.destination.overlaps(destination) && is_for_ports
}
