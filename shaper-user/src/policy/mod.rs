//! Rules, known to be valid: whoever holds a [`Policy`] never checks it again.
//!
//! How the rules were written is for `config`; how the kernel holds them is for [`tables`].

pub mod amount;
mod build;
mod compile;
mod diff;
mod error;
mod exempt;
mod explain;
mod fq;
mod interface;
mod number;
pub mod prefix;
pub mod rate;
mod rule;
pub mod tables;

pub use diff::Diff;
pub use error::{PolicyError, Problem, Problems};
pub use exempt::ExemptPrefixes;
pub use explain::{Explanation, Winner};
pub use fq::FqNeeds;
pub use interface::Interface;
pub use prefix::{Destination, Prefix};
pub use rate::Rate;
pub use rule::{Rule, RuleLimit};

// A rule's source is what the configuration says it is.
pub use crate::config::Source;

/// All rules, known to be valid. Made from a `Config` by `Policy::try_from`, and in no other way.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    overridden: Vec<Rule>,
    exempt: ExemptPrefixes,
    interfaces: Vec<Interface>,
    warnings: Vec<Problem>,
}

impl Policy {
    /// The rules that count, in ascending order of their destinations, each destination once.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Rules that a rule of `shaper set` with the same destination stands in for.
    #[must_use]
    pub fn overridden(&self) -> &[Rule] {
        &self.overridden
    }

    /// The rule of exactly this destination.
    #[must_use]
    pub fn rule(&self, destination: Destination) -> Option<&Rule> {
        let index = self
            .rules
            .binary_search_by_key(&destination, |rule| rule.destination)
            .ok()?;
        self.rules.get(index)
    }

    /// Prefixes that are never limited, whatever the rules say.
    #[must_use]
    pub fn exempt(&self) -> &ExemptPrefixes {
        &self.exempt
    }

    /// Interfaces that are configured, by name or pattern.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Bytes each packet takes on the wire of interface `name` beyond what the kernel counts. An exact name
    /// counts before a pattern.
    #[must_use]
    pub fn overhead(&self, name: &str) -> u32 {
        let exact = self
            .interfaces
            .iter()
            .find(|interface| interface.name() == Some(name));
        exact
            .or_else(|| self.interfaces.iter().find(|interface| interface.matches(name)))
            .map_or(0, |interface| interface.overhead)
    }

    /// What is valid, but surely not what was meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests;
