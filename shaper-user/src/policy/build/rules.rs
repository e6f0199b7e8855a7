//! The rules of a configuration.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::{Builder, MAX_SERVICES, Reported, checks};
use crate::config::{Place, RuleConfig, Text};
use crate::policy::deadline::Deadline;
use crate::policy::error::PolicyError;
use crate::policy::group::Group;
use crate::policy::per::Per;
use crate::policy::prefix::Destination;
use crate::policy::rate::Rate;
use crate::policy::rule::{Action, Rule, RuleLimit};
use crate::policy::service::Service;

impl Builder {
    /// Everything that is wrong is reported, not just the first.
    pub(super) fn read_rule(&mut self, written: &RuleConfig) {
        let place = written.place(&written.destination);
        let destination = self.check(place.clone(), checks::destination(written.destination.get_ref()));
        let action = self.read_action(written);
        let service = self.read_service_of(written);
        let group = self.read_group_of(written);
        let per = self.read_part(written, written.per.as_deref(), |text| {
            let per: Per = text.get_ref().parse()?;
            Ok(destination.map_or(Ok(per), |destination| per.check(destination))?)
        });
        let expires = written.expires.as_deref().map_or(Ok(None), |moment| {
            self.check(written.place(moment), Deadline::try_from(moment))
                .ok_or(Reported)
                .map(Some)
        });
        if let Some(name) = &written.name {
            self.check_name(name, written);
        }
        let (Some(destination), Ok(action), Ok(service), Ok(group), Ok(per), Ok(expires)) =
            (destination, action, service, group, per, expires)
        else {
            return;
        };
        if let Destination::Prefix(prefix) = destination
            && let Some(exempt) = self.exempt.covering(prefix)
        {
            let error = PolicyError::Shadowed {
                destination: prefix,
                exempt,
            };
            self.warn(place.clone(), error);
        }
        let rule = Rule {
            name: written.name.as_ref().map(|name| name.get_ref().clone()),
            destination,
            service,
            per: per.unwrap_or_default(),
            action,
            group,
            expires,
            comment: written.comment.clone(),
            source: written.source,
        };
        self.add(place, rule);
    }

    fn add(&mut self, place: Place, rule: Rule) {
        let key = (rule.source, rule.destination);
        if rule.service.is_some() {
            self.add_for_service(place, rule);
            return;
        }
        match self.by_destination.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(self.rules.len());
                self.rules.push(rule);
            }
            Entry::Occupied(entry) => {
                let error = PolicyError::Duplicate {
                    destination: rule.destination,
                    earlier: self.rules[*entry.get()].to_string(),
                };
                self.refuse(place, error);
            }
        }
    }

    /// Of rules with one destination, no two may claim the same port.
    fn add_for_service(&mut self, place: Place, rule: Rule) {
        let claimed = self
            .with_service
            .entry((rule.source, rule.destination))
            .or_default();
        let spans = rule.service.iter().flat_map(|service| service.ports.spans());
        let earlier = spans.clone().find_map(|span| span.claimed(claimed));
        let Some((ports, earlier)) = earlier else {
            claimed.extend(spans.map(|span| (*span, self.rules.len())));
            self.rules.push(rule);
            return;
        };
        let earlier = &self.rules[earlier];
        let destination = rule.destination;
        let error = if earlier.target() == rule.target() {
            PolicyError::Duplicate {
                destination,
                earlier: earlier.to_string(),
            }
        } else {
            PolicyError::Overlap {
                destination,
                ports: ports.to_string(),
                earlier: earlier.to_string(),
            }
        };
        self.refuse(place, error);
    }

    fn read_action(&mut self, written: &RuleConfig) -> Result<Action, Reported> {
        let rate = written.rate.get_ref().as_str();
        let plain = match rate {
            "unlimited" => Some(Action::Unlimited),
            "block" => Some(Action::Block),
            _ => None,
        };
        if let Some(action) = plain {
            return self.refuse_pointless(written, rate).map(|()| action);
        }
        let rate = self
            .check(written.place(&written.rate), rate.parse::<Rate>())
            .ok_or(Reported);
        let burst = self.read_part(written, written.burst.as_deref(), |text| {
            Ok(text.get_ref().parse()?)
        });
        let horizon = self.read_part(written, written.horizon.as_deref(), checks::horizon);
        let ecn = self.read_part(written, written.ecn.as_deref(), checks::ecn);
        let limit = RuleLimit::new(rate?, burst?, horizon?, ecn?, &self.defaults);
        let place = written.place(written.burst.as_deref().unwrap_or(&written.rate));
        let limit = self.check(place, limit).ok_or(Reported)?;
        if let Some(text) = &written.horizon {
            self.warn_if_short(written.place(text), text, &limit);
        }
        Ok(Action::Limit(limit))
    }

    /// Keys that say how to limit have no meaning where nothing is limited.
    fn refuse_pointless(&mut self, written: &RuleConfig, rate: &str) -> Result<(), Reported> {
        let keys = [
            ("burst", &written.burst),
            ("horizon", &written.horizon),
            ("ecn", &written.ecn),
            ("per", &written.per),
            ("group", &written.group),
        ];
        let mut result = Ok(());
        for (key, text) in keys {
            if let Some(text) = text {
                let rate = rate.to_owned();
                self.refuse(written.place(text), PolicyError::Pointless { key, rate });
                result = Err(Reported);
            }
        }
        result
    }

    fn read_service_of(&mut self, written: &RuleConfig) -> Result<Option<Arc<Service>>, Reported> {
        let Some(text) = &written.service else {
            return Ok(None);
        };
        let found = match checks::find_service(&self.services, text.get_ref()) {
            Ok(service)
                if self.services.len() < MAX_SERVICES || self.services.contains_key(text.get_ref()) =>
            {
                Ok(service)
            }
            Ok(_) => Err(PolicyError::TooManyServices { max: MAX_SERVICES }),
            Err(error) => Err(error),
        };
        let service = self.check(written.place(text), found).ok_or(Reported)?;
        // The next rule for it finds it here.
        if !self.services.contains_key(text.get_ref()) {
            self.services.insert(text.get_ref().clone(), Arc::clone(&service));
        }
        Ok(Some(service))
    }

    fn read_group_of(&mut self, written: &RuleConfig) -> Result<Option<Arc<Group>>, Reported> {
        let Some(text) = &written.group else {
            return Ok(None);
        };
        let group = self.groups.get(text.get_ref()).cloned();
        let found = group.ok_or_else(|| PolicyError::Group {
            name: text.get_ref().clone(),
        });
        self.check(written.place(text), found).ok_or(Reported).map(Some)
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
        if self.check(place.clone(), checks::name(text)).is_none() {
            return;
        }
        let earlier = self
            .by_name
            .insert((written.source, text.clone()), self.rules.len());
        if earlier.is_some() {
            self.refuse(place, PolicyError::DuplicateName { name: text.clone() });
        }
    }
}
