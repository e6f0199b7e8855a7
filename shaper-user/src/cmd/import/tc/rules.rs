//! From classes, filters and marks to rules and groups.

use std::collections::{BTreeMap, BTreeSet};

use super::super::draft::{Draft, name_of};
use super::super::matches::Match;
use super::words::{class_id, number};
use super::{Class, Filter, Script};
use crate::config::{GroupConfig, RuleConfig, Source, rare, text};

impl Script {
    /// Makes rules and groups of all classes that something is sent to.
    pub(super) fn finish(mut self) -> Draft {
        let mut by_class: BTreeMap<String, Vec<Filter>> = BTreeMap::new();
        let mut used: BTreeSet<u32> = BTreeSet::new();
        for filter in std::mem::take(&mut self.filters) {
            let mark = filter
                .matched
                .mark
                .as_deref()
                .map(|mark| mark.split('/').next().unwrap_or(mark));
            let class = match (&filter.matched.class, mark) {
                (Some(class), _) => Some(class_id(class)),
                (None, Some(mark)) => number(mark).and_then(|mark| {
                    let (_, class) = self.marks.get(&mark)?;
                    used.insert(mark);
                    Some(class.clone())
                }),
                (None, None) => None,
            };
            match class.filter(|class| self.classes.contains_key(class)) {
                Some(class) => by_class.entry(class).or_default().push(filter),
                None => self
                    .draft
                    .note(filter.line, "what it matches goes to no class that is known"),
            }
        }
        for (mark, (line, class)) in &self.marks {
            if !self.classes.contains_key(class) {
                self.draft.note(
                    *line,
                    format!("there is no class {class} that mark {mark} could go to"),
                );
            } else if !used.contains(mark) {
                self.draft.note(*line, format!("nothing sets mark {mark}"));
            }
        }
        if let Some((line, class)) = self.default_class.take()
            && self.classes.contains_key(&class)
        {
            let matched = Match {
                destination: Some("any".to_owned()),
                ..Match::default()
            };
            by_class.entry(class).or_default().push(Filter { line, matched });
        }
        let parents: BTreeSet<String> = self
            .classes
            .values()
            .filter_map(|class| class.parent.clone())
            .collect();
        for (id, class) in self.classes.clone() {
            match by_class.remove(&id) {
                Some(filters) => self.add_class(&id, &class, &filters),
                None if parents.contains(&id) => {}
                None => self
                    .draft
                    .note(class.line, format!("class {id}: nothing is sent to it")),
            }
        }
        self.draft
    }

    fn add_class(&mut self, id: &str, class: &Class, filters: &[Filter]) {
        let name = name_of(&format!("class-{id}"));
        let parent = class
            .parent
            .as_ref()
            .and_then(|parent| Some((parent.clone(), self.classes.get(parent)?.clone())));
        let group = match (parent, filters) {
            (Some((parent, limit)), [_]) => {
                let parent_name = name_of(&format!("class-{parent}"));
                self.draft.add_group(&parent_name, group(&limit));
                if limit
                    .parent
                    .is_some_and(|outer| self.classes.contains_key(&outer))
                {
                    self.draft.note(
                        limit.line,
                        format!("class {parent}: only one level of groups is translated"),
                    );
                }
                Some(parent_name)
            }
            (parent, [_, _, ..]) => {
                self.draft.add_group(&name, group(class));
                if let Some((parent, _)) = parent {
                    let what = format!(
                        "class {id}: it has several destinations, so it is a group, and none of {parent}"
                    );
                    self.draft.note(class.line, what);
                }
                Some(name.clone())
            }
            (None, _) | (Some(_), []) => None,
        };
        for filter in filters {
            let destination = filter.matched.destination.clone();
            let ports = match filter.matched.service() {
                Ok(ports) => ports,
                Err(why) => {
                    self.draft.note(filter.line, why);
                    continue;
                }
            };
            let destination = destination.unwrap_or_else(|| "any".to_owned());
            let mut rule = RuleConfig::new(destination, class.rate.to_string(), Source::Config);
            rule.name = Some(rare(self.draft.unique_name(&name)));
            rule.burst = class.burst_bytes.map(|bytes| rare(format!("{bytes}B")));
            rule.group = group.as_ref().map(rare);
            rule.service = ports.map(|ports| rare(self.draft.service(&ports)));
            self.draft.add_rule(filter.line, rule);
        }
    }
}

fn group(class: &Class) -> GroupConfig {
    let mut group = GroupConfig::new(class.rate.to_string());
    group.burst = class.burst_bytes.map(|bytes| text(format!("{bytes}B")));
    group
}
