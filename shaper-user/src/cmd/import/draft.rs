//! A configuration in the making, and what could not be translated.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::config::{Config, GroupConfig, RuleConfig, ServiceConfig, text};
use crate::policy::{Policy, PolicyError, Ports, Service};

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
    config: Config,
    /// Rules, valid or not, each with the line it comes from.
    rules: Vec<(usize, RuleConfig)>,
    notes: Vec<Note>,
    services: HashSet<String>,
    groups: HashSet<String>,
    /// Names that are taken, each with the number that was last put behind it.
    names: HashMap<String, usize>,
}

impl Draft {
    /// Line number `line` says something that is left out.
    pub(super) fn note(&mut self, line: usize, what: impl Into<String>) {
        self.notes.push(Note {
            line,
            what: what.into(),
        });
    }

    /// Adds a rule that line number `line` asks for.
    pub(super) fn add_rule(&mut self, line: usize, rule: RuleConfig) {
        self.rules.push((line, rule));
    }

    /// What has become of it: a valid configuration, and notes in the order of their lines. A rule that is not valid, by
    /// itself or beside those before it, is only a note.
    pub(super) fn finish(mut self) -> (Config, Vec<Note>) {
        let (lines, rules): (Vec<usize>, Vec<RuleConfig>) =
            std::mem::take(&mut self.rules).into_iter().unzip();
        let misfits: BTreeMap<usize, PolicyError> =
            Policy::misfits(&self.config, &rules).into_iter().collect();
        for (index, (line, rule)) in lines.into_iter().zip(rules).enumerate() {
            match misfits.get(&index) {
                Some(error) => self.note(line, error.to_string()),
                None => self.config.rules.push(rule),
            }
        }
        self.notes.sort_by_key(|note| note.line);
        (self.config, self.notes)
    }

    /// Adds a group, unless there is one of this name.
    pub(super) fn add_group(&mut self, name: &str, group: GroupConfig) {
        if self.groups.insert(name.to_owned()) {
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
        let mut number = self.names.get(&wanted).copied().unwrap_or(0);
        let name = loop {
            number += 1;
            let name = numbered(&wanted, number);
            if !self.names.contains_key(&name) {
                break name;
            }
        };
        self.names.insert(wanted, number);
        self.names.entry(name.clone()).or_insert(1);
        name
    }
}

/// The first is the name itself.
fn numbered(name: &str, number: usize) -> String {
    if number == 1 {
        return name.to_owned();
    }
    let mut stem = name.to_owned();
    stem.truncate(56);
    format!("{stem}-{number}")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, rare};

    #[test]
    fn names_stay_apart_whoever_came_first() {
        let mut draft = Draft::default();
        let names = ["a-2", "a", "a", "a", "a-2"].map(|name| draft.unique_name(name));
        assert_eq!(names, ["a-2", "a", "a-3", "a-4", "a-2-2"]);
        let long = "x".repeat(64);
        let names = [&long, &long].map(|name| draft.unique_name(name));
        assert_eq!(names, [long.clone(), format!("{}-2", "x".repeat(56))]);
    }

    /// So many that to look at all before each of them would take minutes.
    #[test]
    fn a_long_list_for_services_is_looked_at_once() {
        const N_RULES: usize = 10_000;
        let mut draft = Draft::default();
        for n in 0..N_RULES {
            let mut rule = RuleConfig::new(format!("10.0.{}.{}", n >> 8, n & 255), "1mbit", Source::Config);
            rule.name = Some(rare(draft.unique_name("same")));
            rule.service = Some(rare("imap"));
            rule.group = Some(rare(format!("g{n}")));
            draft.add_group(&format!("g{n}"), GroupConfig::new("2mbit"));
            draft.add_rule(n + 1, rule.clone());
            rule.service = Some(rare("tcp:100-200"));
            rule.name = None;
            draft.add_rule(N_RULES + n + 1, rule);
        }
        let (config, notes) = draft.finish();
        assert_eq!((config.rules.len(), notes.len()), (N_RULES, N_RULES));
        assert!(notes[0].what.contains("tcp:143"), "{:?}", notes[0]);
        assert!(
            notes
                .iter()
                .zip(N_RULES + 1..)
                .all(|(note, line)| note.line == line)
        );
        Policy::try_from(&config).unwrap();
    }
}
