//! From a configuration to a policy: the only way to get one.

use std::collections::hash_map::{Entry, HashMap};
use std::time::Duration;

use shaper_common::stamp::MAX_HORIZON_NS;

use super::Policy;
use super::amount::{Burst, parse_time};
use super::error::{PolicyError, Problem, Problems};
use super::exempt::ExemptPrefixes;
use super::interface::Interface;
use super::prefix::{Destination, Prefix};
use super::rate::Rate;
use super::rule::{Defaults, Rule, RuleLimit};
use crate::config::{Config, Place, RuleConfig, Source, Text};

impl TryFrom<&Config> for Policy {
    type Error = Problems;

    fn try_from(config: &Config) -> Result<Self, Problems> {
        let mut builder = Builder::default();
        builder.read_interfaces(config);
        builder.read_defaults(config);
        builder.read_exempt(config);
        for rule in &config.rules {
            builder.read_rule(rule);
        }
        builder.finish()
    }
}

/// What is wrong is among the problems already.
struct Reported;

/// A policy in the making, and all that is wrong with it so far.
#[derive(Default)]
struct Builder {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    interfaces: Vec<Interface>,
    defaults: Defaults,
    exempt: ExemptPrefixes,
    rules: Vec<Rule>,
    by_destination: HashMap<(Source, Destination), usize>,
    by_name: HashMap<(Source, String), usize>,
}

impl Builder {
    /// The value, or nothing and one problem more.
    fn check<T, E: Into<PolicyError>>(&mut self, place: Place, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problems.push(Problem {
                    place,
                    error: error.into(),
                });
                None
            }
        }
    }

    fn read_interfaces(&mut self, config: &Config) {
        for (name, interface) in &config.interfaces {
            let pattern = name.get_ref();
            let checked = if Interface::is_pattern(pattern) {
                Ok(pattern.clone())
            } else {
                Err(PolicyError::InterfaceName {
                    text: pattern.clone(),
                })
            };
            let pattern = self.check(Place::in_main_file(name.span()), checked);
            if let Some(enforcement) = &interface.enforcement {
                let checked = match enforcement.get_ref().as_str() {
                    "pace" => Ok(()),
                    "police" => Err(PolicyError::Police),
                    text => Err(PolicyError::Enforcement {
                        text: text.to_owned(),
                    }),
                };
                self.check(Place::in_main_file(enforcement.span()), checked);
            }
            let overhead = interface.overhead.as_ref().and_then(|overhead| {
                let bytes = *overhead.get_ref();
                let checked = u32::try_from(bytes).ok().filter(|bytes| *bytes <= 1000);
                self.check(
                    Place::in_main_file(overhead.span()),
                    checked.ok_or(PolicyError::Overhead { bytes }),
                )
            });
            self.interfaces.extend(pattern.map(|pattern| Interface {
                pattern,
                overhead: overhead.unwrap_or(0),
            }));
        }
    }

    fn read_defaults(&mut self, config: &Config) {
        let place = |text: &Text| Place::in_main_file(text.span());
        if let Some(text) = &config.defaults.burst
            && let Some(burst) = self.check(place(text), text.get_ref().parse::<Burst>())
        {
            self.defaults.burst = burst;
        }
        if let Some(text) = &config.defaults.horizon
            && let Some(horizon) = self.check(place(text), horizon(text))
        {
            self.defaults.horizon = horizon;
        }
        if let Some(text) = &config.defaults.ecn {
            self.defaults.ecn = match text.get_ref().as_str() {
                "off" => None,
                written => self.check(place(text), parse_time(written)),
            };
        }
    }

    fn read_exempt(&mut self, config: &Config) {
        for exempt in &config.exempt {
            for text in &exempt.prefixes {
                let place = exempt.place(text);
                let Some(prefix) = self.check(place.clone(), text.get_ref().parse::<Prefix>()) else {
                    continue;
                };
                if let Err(by) = self.exempt.insert(prefix) {
                    self.warnings.push(Problem {
                        place,
                        error: PolicyError::ExemptTwice { prefix, by },
                    });
                }
            }
        }
    }

    fn read_rule(&mut self, written: &RuleConfig) {
        let place = written.place(&written.destination);
        let destination = self.check(place.clone(), destination(&written.destination));
        let limit = self.read_limit(written);
        if let Some(name) = &written.name {
            self.check_name(name, written);
        }
        let (Some(destination), Ok(limit)) = (destination, limit) else {
            return;
        };
        if let Destination::Prefix(prefix) = destination
            && let Some(exempt) = self.exempt.covering(prefix)
        {
            let error = PolicyError::Shadowed {
                destination: prefix,
                exempt,
            };
            self.warnings.push(Problem {
                place: place.clone(),
                error,
            });
        }
        let rule = Rule {
            name: written.name.as_ref().map(|name| name.get_ref().clone()),
            destination,
            limit,
            comment: written.comment.clone(),
            source: written.source,
        };
        match self.by_destination.entry((written.source, destination)) {
            Entry::Vacant(entry) => {
                entry.insert(self.rules.len());
                self.rules.push(rule);
            }
            Entry::Occupied(entry) => {
                let earlier = self.rules[*entry.get()].to_string();
                self.problems.push(Problem {
                    place,
                    error: PolicyError::Duplicate { destination, earlier },
                });
            }
        }
    }

    /// `None` is `unlimited`. Everything that is wrong is reported, not just the first.
    fn read_limit(&mut self, written: &RuleConfig) -> Result<Option<RuleLimit>, Reported> {
        let rate = match written.rate.get_ref().as_str() {
            "unlimited" => Ok(None),
            text => self
                .check(written.place(&written.rate), text.parse::<Rate>())
                .ok_or(Reported)
                .map(Some),
        };
        let burst = self.read_part(written, written.burst.as_ref(), |text| {
            Ok(text.get_ref().parse()?)
        });
        let horizon = self.read_part(written, written.horizon.as_ref(), horizon);
        let (Some(rate), burst, horizon) = (rate?, burst?, horizon?) else {
            return Ok(None);
        };
        let limit = RuleLimit::new(rate, burst, horizon, &self.defaults);
        let place = written.place(written.burst.as_ref().unwrap_or(&written.rate));
        self.check(place, limit).ok_or(Reported).map(Some)
    }

    /// A part that need not be there.
    fn read_part<T>(
        &mut self,
        written: &RuleConfig,
        part: Option<&Text>,
        read: impl Fn(&Text) -> Result<T, PolicyError>,
    ) -> Result<Option<T>, Reported> {
        part.map(|text| self.check(written.place(text), read(text)).ok_or(Reported))
            .transpose()
    }

    fn check_name(&mut self, name: &Text, written: &RuleConfig) {
        let text = name.get_ref();
        let place = written.place(name);
        if !is_name(text) {
            self.problems.push(Problem {
                place,
                error: PolicyError::Name { name: text.clone() },
            });
        } else if self
            .by_name
            .insert((written.source, text.clone()), self.rules.len())
            .is_some()
        {
            self.problems.push(Problem {
                place,
                error: PolicyError::DuplicateName { name: text.clone() },
            });
        }
    }

    fn finish(mut self) -> Result<Policy, Problems> {
        if !self.problems.is_empty() {
            return Err(Problems(self.problems));
        }
        // Of rules with one destination the latest source counts: temporary, kept, configuration.
        self.rules
            .sort_by(|a, b| a.destination.cmp(&b.destination).then(b.source.cmp(&a.source)));
        let mut rules: Vec<Rule> = Vec::with_capacity(self.rules.len());
        let mut overridden = Vec::new();
        for rule in self.rules {
            if rules
                .last()
                .is_some_and(|last| last.destination == rule.destination)
            {
                overridden.push(rule);
            } else {
                rules.push(rule);
            }
        }
        Ok(Policy {
            rules,
            overridden,
            exempt: self.exempt,
            interfaces: self.interfaces,
            warnings: self.warnings,
        })
    }
}

fn destination(text: &Text) -> Result<Destination, PolicyError> {
    let destination = text.get_ref().parse()?;
    if let Destination::Prefix(prefix) = destination
        && let Some(what) = prefix.never_limited()
    {
        return Err(PolicyError::NeverLimited {
            destination: prefix,
            what,
        });
    }
    Ok(destination)
}

fn horizon(text: &Text) -> Result<Duration, PolicyError> {
    let horizon = parse_time(text.get_ref())?;
    let range = Duration::from_millis(1)..=Duration::from_nanos(MAX_HORIZON_NS);
    if range.contains(&horizon) {
        Ok(horizon)
    } else {
        Err(PolicyError::Horizon {
            text: text.get_ref().clone(),
        })
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
