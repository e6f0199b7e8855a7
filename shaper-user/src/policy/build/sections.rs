//! Everything of a configuration but its rules.

use std::sync::Arc;

use super::{Builder, checks};
use crate::config::{Config, GroupConfig, Place, ServiceConfig, Text};
use crate::policy::amount::Burst;
use crate::policy::error::{MAX_CLIENTS, PolicyError};
use crate::policy::group::Group;
use crate::policy::interface::{Enforcement, Interface};
use crate::policy::ports::PortSpan;
use crate::policy::prefix::Prefix;
use crate::policy::rate::Rate;
use crate::policy::rule::RuleLimit;
use crate::policy::service::Service;

impl Builder {
    pub(super) fn read_interfaces(&mut self, config: &Config) {
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
            let enforcement = interface
                .enforcement
                .as_ref()
                .and_then(|text| self.check(Place::in_main_file(text.span()), enforcement(text.get_ref())));
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
                enforcement: enforcement.unwrap_or_default(),
            }));
        }
    }

    pub(super) fn read_defaults(&mut self, config: &Config) {
        let place = |text: &Text| Place::in_main_file(text.span());
        if let Some(text) = &config.defaults.burst
            && let Some(burst) = self.check(place(text), text.get_ref().parse::<Burst>())
        {
            self.defaults.burst = burst;
        }
        if let Some(text) = &config.defaults.horizon
            && let Some(horizon) = self.check(place(text), checks::horizon(text))
        {
            self.defaults.horizon = horizon;
        }
        if let Some(text) = &config.defaults.ecn
            && let Some(ecn) = self.check(place(text), checks::ecn(text))
        {
            self.defaults.ecn = ecn;
        }
        if let Some(number) = &config.defaults.max_clients {
            let checked = u32::try_from(*number.get_ref())
                .ok()
                .filter(|clients| (1..=MAX_CLIENTS).contains(clients))
                .ok_or(PolicyError::MaxClients {
                    number: *number.get_ref(),
                });
            if let Some(max_clients) = self.check(Place::in_main_file(number.span()), checked) {
                self.max_clients = max_clients;
            }
        }
    }

    pub(super) fn read_exempt(&mut self, config: &Config) {
        for exempt in &config.exempt {
            for text in &exempt.prefixes {
                let place = exempt.place(text);
                let Some(prefix) = self.check(place.clone(), text.get_ref().parse::<Prefix>()) else {
                    continue;
                };
                if let Err(by) = self.exempt.insert(prefix) {
                    self.warn(place, PolicyError::ExemptTwice { prefix, by });
                }
            }
        }
    }

    pub(super) fn read_services(&mut self, config: &Config) {
        for (name, written) in &config.services {
            let place = written.place(name);
            if self.check(place.clone(), checks::name(name.get_ref())).is_none() {
                continue;
            }
            let Some(service) = self.read_service(name, written) else {
                continue;
            };
            let earlier = self.services.insert(name.get_ref().clone(), Arc::new(service));
            self.refuse_second(place, "service", name, earlier.is_some());
        }
    }

    fn read_service(&mut self, name: &Text, written: &ServiceConfig) -> Option<Service> {
        let n_problems = self.problems.len();
        let spans: Vec<PortSpan> = written
            .ports
            .iter()
            .filter_map(|text| self.check(written.place(text), text.get_ref().parse::<PortSpan>()))
            .collect();
        if self.problems.len() > n_problems {
            return None;
        }
        let service = Service::defined(name.get_ref(), written.ports.len(), spans);
        self.check(written.place(name), service)
    }

    pub(super) fn read_groups(&mut self, config: &Config) {
        for (name, written) in &config.groups {
            let place = written.place(name);
            if self.check(place.clone(), checks::name(name.get_ref())).is_none() {
                continue;
            }
            let Some(limit) = self.read_group(written) else {
                continue;
            };
            let group = Group {
                name: name.get_ref().clone(),
                limit,
            };
            let earlier = self.groups.insert(group.name.clone(), Arc::new(group));
            self.refuse_second(place, "group", name, earlier.is_some());
        }
    }

    fn read_group(&mut self, written: &GroupConfig) -> Option<RuleLimit> {
        let n_problems = self.problems.len();
        let place = |text: &Text| written.place(text);
        let rate = match written.rate.get_ref().as_str() {
            rate @ ("unlimited" | "block") => Err(PolicyError::GroupRate {
                rate: rate.to_owned(),
            }),
            text => text.parse::<Rate>().map_err(PolicyError::from),
        };
        let rate = self.check(place(&written.rate), rate);
        let burst = written
            .burst
            .as_ref()
            .and_then(|text| self.check(place(text), text.get_ref().parse::<Burst>()));
        let horizon = written
            .horizon
            .as_ref()
            .and_then(|text| self.check(place(text), checks::horizon(text)));
        let ecn = written
            .ecn
            .as_ref()
            .and_then(|text| self.check(place(text), checks::ecn(text)));
        if self.problems.len() > n_problems {
            return None;
        }
        let limit = RuleLimit::new(rate?, burst, horizon, ecn, &self.defaults);
        let limit = self.check(place(written.burst.as_ref().unwrap_or(&written.rate)), limit)?;
        if let Some(text) = &written.horizon {
            self.warn_if_short(place(text), text, &limit);
        }
        Some(limit)
    }

    /// Warns of `horizon`, if it holds too little at the rate of `limit`.
    pub(super) fn warn_if_short(&mut self, place: Place, horizon: &Text, limit: &RuleLimit) {
        if let Some(least) = limit.longer_horizon() {
            let error = PolicyError::ShortHorizon {
                text: horizon.get_ref().clone(),
                rate: limit.rate,
                least,
            };
            self.warn(place, error);
        }
    }

    fn refuse_second(&mut self, place: Place, section: &'static str, name: &Text, is_second: bool) {
        if is_second {
            let name = name.get_ref().clone();
            self.refuse(place, PolicyError::DuplicateSection { section, name });
        }
    }
}

fn enforcement(text: &str) -> Result<Enforcement, PolicyError> {
    match text {
        "pace" => Ok(Enforcement::Pace),
        "police" => Ok(Enforcement::Police),
        text => Err(PolicyError::Enforcement {
            text: text.to_owned(),
        }),
    }
}
