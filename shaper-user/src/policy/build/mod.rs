//! From a configuration to a policy: the only way to get one.

mod checks;
mod rules;
mod sections;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shaper_common::rule::DEFAULT_MAX_CLIENTS;

use super::Policy;
use super::classes::PortClasses;
use super::error::{PolicyError, Problem, Problems};
use super::exempt::ExemptPrefixes;
use super::group::Group;
use super::interface::Interface;
use super::ports::PortSpan;
use super::prefix::Destination;
use super::rule::{Defaults, Rule};
use super::service::Service;
use crate::config::{Config, Place, RuleConfig, Source};

pub(super) use checks::find_service;

/// Most entries of all tables together: as many as there are buckets.
const MAX_ENTRIES: usize = 4 << 20;

/// Most services that a policy may name, lists of ports included.
const MAX_SERVICES: usize = 4096;

impl TryFrom<&Config> for Policy {
    type Error = Problems;

    fn try_from(config: &Config) -> Result<Self, Problems> {
        Self::beside(config, &[])
    }
}

impl Policy {
    /// The policy of `config`, with the ports of `services` told apart, too, as other rules do. Services that are not
    /// known do not count.
    ///
    /// # Errors
    ///
    /// All that is wrong with `config`.
    pub fn beside(config: &Config, services: &[String]) -> Result<Self, Problems> {
        let mut builder = Builder::new(config.rules.len());
        builder.read_interfaces(config);
        builder.read_defaults(config);
        builder.read_exempt(config);
        builder.read_services(config);
        builder.read_groups(config);
        for rule in &config.rules {
            builder.read_rule(rule);
        }
        let last = config.rules.last().map(|rule| rule.place(&rule.destination));
        let services = services
            .iter()
            .filter_map(|text| find_service(&builder.services, text).ok());
        let others: Vec<Arc<Service>> = services.collect();
        builder.finish(last, &others)
    }

    /// Those of `rules`, by index, that are not valid beside `config` and the rules before them, each with the first
    /// thing that is wrong. What is wrong with `config` itself is not told, and its own rules are not looked at.
    #[must_use]
    pub fn misfits(config: &Config, rules: &[RuleConfig]) -> Vec<(usize, PolicyError)> {
        let mut builder = Builder::new(rules.len());
        builder.read_interfaces(config);
        builder.read_defaults(config);
        builder.read_exempt(config);
        builder.read_services(config);
        builder.read_groups(config);
        let misfit = |(index, rule)| {
            builder.problems.clear();
            builder.read_rule(rule);
            Some((index, builder.problems.first()?.error.clone()))
        };
        rules.iter().enumerate().filter_map(misfit).collect()
    }
}

/// What is wrong is among the problems already.
struct Reported;

/// Problems beyond these are not collected: a file of the wrong kind has one in each line.
const MAX_PROBLEMS: usize = 100;

/// A policy in the making, and all that is wrong with it so far.
struct Builder {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    interfaces: Vec<Interface>,
    defaults: Defaults,
    max_clients: u32,
    exempt: ExemptPrefixes,
    /// By name, or by ports as written.
    services: HashMap<String, Arc<Service>>,
    groups: HashMap<String, Arc<Group>>,
    rules: Vec<Rule>,
    /// Rules without a service.
    by_destination: HashMap<(Source, Destination), usize>,
    /// Ports that rules with one claim.
    with_service: HashMap<(Source, Destination), BTreeMap<PortSpan, usize>>,
    by_name: HashMap<(Source, String), usize>,
}

impl Builder {
    fn new(n_rules: usize) -> Self {
        Self {
            problems: Vec::new(),
            warnings: Vec::new(),
            interfaces: Vec::new(),
            defaults: Defaults::default(),
            max_clients: DEFAULT_MAX_CLIENTS,
            exempt: ExemptPrefixes::default(),
            services: HashMap::new(),
            groups: HashMap::new(),
            rules: Vec::with_capacity(n_rules),
            by_destination: HashMap::with_capacity(n_rules),
            with_service: HashMap::new(),
            by_name: HashMap::new(),
        }
    }

    /// The value, or nothing and one problem more.
    fn check<T, E: Into<PolicyError>>(&mut self, place: Place, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(place, error.into());
                None
            }
        }
    }

    fn refuse(&mut self, place: Place, error: PolicyError) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { place, error });
        }
    }

    fn warn(&mut self, place: Place, error: PolicyError) {
        if self.warnings.len() < MAX_PROBLEMS {
            self.warnings.push(Problem { place, error });
        }
    }

    /// `last_rule` is where the last rule stands.
    fn finish(mut self, last_rule: Option<Place>, others: &[Arc<Service>]) -> Result<Policy, Problems> {
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        // Of rules with one target the latest source counts: temporary, kept, configuration.
        self.rules
            .sort_by(|a, b| a.target().cmp(&b.target()).then(b.source.cmp(&a.source)));
        let mut rules = self.rules;
        let mut overridden = Vec::new();
        rules.dedup_by(|rule, first| {
            let is_overridden = rule.target() == first.target();
            if is_overridden {
                overridden.push(rule.clone());
            }
            is_overridden
        });
        let classes = PortClasses::new(
            rules
                .iter()
                .filter_map(|rule| rule.target().ports)
                .chain(others.iter().map(|service| &service.ports)),
        );
        let n_entries = rules
            .iter()
            .map(|rule| rule.target().ports.map_or(1, |ports| classes.of(ports).len()))
            .sum::<usize>();
        if n_entries > MAX_ENTRIES {
            return Err(Problems(vec![Problem {
                place: last_rule.unwrap_or_default(),
                error: PolicyError::TooManyEntries {
                    n_entries,
                    max: MAX_ENTRIES,
                },
            }]));
        }
        let mut groups: Vec<Arc<Group>> = self.groups.into_values().collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Policy {
            rules,
            overridden,
            exempt: self.exempt,
            services: self.services,
            groups,
            interfaces: self.interfaces,
            max_clients: self.max_clients,
            classes,
            warnings: self.warnings,
        })
    }
}
