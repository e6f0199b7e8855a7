//! Rules, known to be valid: whoever holds a [`Policy`] never checks it again.
//!
//! How the rules were written is for `config`; how the kernel holds them is for [`tables`].

use std::collections::HashMap;
use std::sync::Arc;

use shaper_common::rule::DEFAULT_MAX_CLIENTS;

use classes::PortClasses;

pub mod amount;
mod build;
mod classes;
mod compile;
pub mod deadline;
mod diff;
mod error;
mod exempt;
mod explain;
mod fq;
mod group;
mod interface;
mod number;
mod per;
mod ports;
pub mod prefix;
pub mod rate;
mod rule;
mod service;
pub mod tables;

pub use deadline::Deadline;
pub use diff::{Diff, Difference, Part};
pub use error::{PolicyError, Problem, Problems};
pub use exempt::ExemptPrefixes;
pub use explain::{Explanation, Winner};
pub use fq::FqNeeds;
pub use group::Group;
pub use interface::{Enforcement, Interface};
pub use per::Per;
pub use ports::{PortSpan, Ports};
pub use prefix::{Destination, Prefix};
pub use rate::Rate;
pub use rule::{Action, Rule, RuleLimit, Target};
pub use service::Service;

// A rule's source is what the configuration says it is.
pub use crate::config::Source;

/// All rules, known to be valid. Made from a `Config` by `Policy::try_from`, and in no other way.
#[derive(Clone, Debug)]
pub struct Policy {
    rules: Vec<Rule>,
    overridden: Vec<Rule>,
    exempt: ExemptPrefixes,
    services: HashMap<String, Arc<Service>>,
    groups: Vec<Arc<Group>>,
    interfaces: Vec<Interface>,
    max_clients: u32,
    classes: PortClasses,
    warnings: Vec<Problem>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            overridden: Vec::new(),
            exempt: ExemptPrefixes::default(),
            services: HashMap::new(),
            groups: Vec::new(),
            interfaces: Vec::new(),
            max_clients: DEFAULT_MAX_CLIENTS,
            classes: PortClasses::default(),
            warnings: Vec::new(),
        }
    }
}

impl Policy {
    /// The rules that count, in ascending order of their targets, each target once.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Rules that a rule of `shaper set` with the same target stands in for.
    #[must_use]
    pub fn overridden(&self) -> &[Rule] {
        &self.overridden
    }

    /// The rule of exactly this target.
    #[must_use]
    pub fn rule(&self, target: Target<'_>) -> Option<&Rule> {
        let index = self
            .rules
            .binary_search_by(|rule| rule.target().cmp(&target))
            .ok()?;
        self.rules.get(index)
    }

    /// Prefixes that are never limited, whatever the rules say.
    #[must_use]
    pub fn exempt(&self) -> &ExemptPrefixes {
        &self.exempt
    }

    /// Limits that rules share, in ascending order of their names.
    #[must_use]
    pub fn groups(&self) -> &[Arc<Group>] {
        &self.groups
    }

    /// The service of this name, or of these ports.
    ///
    /// # Errors
    ///
    /// If the text is neither.
    pub fn service(&self, text: &str) -> Result<Arc<Service>, PolicyError> {
        build::find_service(&self.services, text)
    }

    /// Interfaces that are configured, by name or pattern.
    #[must_use]
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Clients that have buckets of their own at the same time.
    #[must_use]
    pub fn max_clients(&self) -> u32 {
        self.max_clients
    }

    /// What is configured for the interface `name`. An exact name counts before a pattern.
    #[must_use]
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        let exact = self
            .interfaces
            .iter()
            .find(|interface| interface.name() == Some(name));
        exact.or_else(|| self.interfaces.iter().find(|interface| interface.matches(name)))
    }

    /// Bytes each packet takes on the wire of interface `name` beyond what the kernel counts.
    #[must_use]
    pub fn overhead(&self, name: &str) -> u32 {
        self.interface(name).map_or(0, |interface| interface.overhead)
    }

    /// What happens on interface `name` to a packet that is too early.
    #[must_use]
    pub fn enforcement(&self, name: &str) -> Enforcement {
        self.interface(name)
            .map_or_else(Enforcement::default, |interface| interface.enforcement)
    }

    /// When the first of its rules ends.
    #[must_use]
    pub fn first_deadline(&self) -> Option<Deadline> {
        let rules = self.rules.iter().chain(&self.overridden);
        rules.filter_map(|rule| rule.expires).min()
    }

    /// What is valid, but surely not what was meant.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests;
