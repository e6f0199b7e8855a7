//! A configuration in the making, and what could not be translated.

use std::collections::BTreeSet;

use crate::config::{Config, GroupConfig, RuleConfig, ServiceConfig, text};
use crate::policy::{Policy, Ports, Service};

/// Something that is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    /// Line of the file, from one.
    pub(super) line: usize,
    /// What it is, and why it is left out.
    pub(super) what: String,
}

/// A configuration in the making.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) config: Config,
    pub(super) notes: Vec<Note>,
    services: BTreeSet<String>,
    names: BTreeSet<String>,
    targets: BTreeSet<(String, Option<String>)>,
}

impl Draft {
    /// Line number `line` says something that is left out.
    pub(super) fn note(&mut self, line: usize, what: impl Into<String>) {
        self.notes.push(Note {
            line,
            what: what.into(),
        });
    }

    /// Adds a rule that is valid by itself and has a target of its own; `line` is where it comes from.
    pub(super) fn add_rule(&mut self, line: usize, mut rule: RuleConfig) {
        let destination = match rule.destination.get_ref().parse::<crate::policy::Destination>() {
            Ok(destination) => destination.to_string(),
            Err(error) => return self.note(line, error.to_string()),
        };
        let mut alone = rule.clone();
        alone.group = None;
        alone.service = None;
        if let Err(problems) = Policy::try_from(&Config::of_rules(vec![alone])) {
            return self.note(line, problems.to_string());
        }
        let service = rule.service.as_ref().map(|service| service.get_ref().clone());
        if !self.targets.insert((destination.clone(), service)) {
            return self.note(line, format!("an earlier line is for {destination} already"));
        }
        rule.destination = text(destination);
        self.config.rules.push(rule);
        // Services that overlap are found only with all that came before.
        if let Some(last) = self.config.rules.pop() {
            let has_service = last.service.is_some();
            self.config.rules.push(last);
            if has_service && let Err(problems) = Policy::try_from(&self.config) {
                self.config.rules.pop();
                self.note(line, problems.to_string());
            }
        }
    }

    /// Adds a group, unless there is one of this name.
    pub(super) fn add_group(&mut self, name: &str, group: GroupConfig) {
        let is_known = self
            .config
            .groups
            .iter()
            .any(|(known, _)| known.get_ref() == name);
        if !is_known {
            self.config.groups.push((text(name), group));
        }
    }

    /// What to write for `ports`: a built-in name, one span, or a service that is defined for them.
    pub(super) fn service(&mut self, ports: &Ports) -> String {
        let built_in = Service::built_in_names().find(|name| {
            let service = Service::built_in(name);
            service.is_some_and(|service| service.ports == *ports)
        });
        if let Some(name) = built_in {
            return name.to_owned();
        }
        if let [span] = ports.spans() {
            return span.to_string();
        }
        let name = name_of(&ports.to_string().replace([':', ','], "-"));
        if self.services.insert(name.clone()) {
            let spans = ports.spans().iter().map(|span| text(span.to_string()));
            self.config
                .services
                .push((text(&name), ServiceConfig::new(spans.collect())));
        }
        name
    }

    /// `wanted` as a name that no other rule has.
    pub(super) fn unique_name(&mut self, wanted: &str) -> String {
        let wanted = name_of(wanted);
        let candidates = (1..).map(|n| {
            if n == 1 {
                wanted.clone()
            } else {
                let mut stem = wanted.clone();
                stem.truncate(56);
                format!("{stem}-{n}")
            }
        });
        let mut free = candidates.filter(|name| !self.names.contains(name));
        let name = free.next().unwrap_or(wanted.clone());
        self.names.insert(name.clone());
        name
    }
}

/// `text` with nothing but what a name may hold.
pub(super) fn name_of(text: &str) -> String {
    let mut name: String = text
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
                c
            } else {
                '-'
            }
        })
        .collect();
    name.truncate(64);
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        name
    } else {
        name.insert(0, 'x');
        name.truncate(64);
        name
    }
}
