//! A script of tc and iptables or nft: HTB classes become rates, marks and filters become destinations and services.
//!
//! A class with one destination becomes a rule. One with several becomes a group that its rules share, as they shared
//! the class. A class of other classes becomes the group of theirs.

use std::collections::BTreeMap;

use super::draft::{Draft, name_of};
use super::matches::Match;
use super::script::{self, Command};
use super::units;
use crate::config::{GroupConfig, RuleConfig, Source, rare, text};
use crate::policy::Rate;

/// An HTB class.
#[derive(Clone, Debug)]
struct Class {
    line: usize,
    parent: Option<String>,
    rate: Rate,
    burst_bytes: Option<u64>,
}

/// Something that sends packets to a class, by a mark or by itself.
#[derive(Clone, Debug)]
struct Filter {
    line: usize,
    matched: Match,
}

#[derive(Debug, Default)]
struct Script {
    draft: Draft,
    classes: BTreeMap<String, Class>,
    /// `fw` filters: mark to class.
    marks: BTreeMap<u32, String>,
    filters: Vec<Filter>,
    default_class: Option<(usize, String)>,
}

/// Translates a script.
pub(super) fn translate(text: &str) -> Draft {
    let mut script = Script::default();
    for command in script::commands(text) {
        script.read(&command);
    }
    script.finish()
}

impl Script {
    fn read(&mut self, command: &Command) {
        let words = &command.words;
        let program = words[0].rsplit('/').next().unwrap_or_default().to_owned();
        let rest = &words[1..];
        match program.as_str() {
            "tc" => self.read_tc(command, rest),
            // A file for `tc -batch` has no program.
            "qdisc" | "class" | "filter" => self.read_tc(command, words),
            "iptables" | "ip6tables" => self.read_mark(command, Match::iptables(rest), rest),
            "nft" if rest.first().is_some_and(|word| word == "add") => {
                match rest.get(1).map(String::as_str) {
                    Some("rule") => {
                        self.read_mark(command, Match::nft(rest.get(5..).unwrap_or_default()), rest);
                    }
                    Some("table" | "chain") => {}
                    _ => self.leave(command, "not a rule"),
                }
            }
            "set" | "exit" | "modprobe" | "echo" | "ip" => {}
            _ => self.leave(command, "not a command of tc, iptables or nft"),
        }
    }

    fn leave(&mut self, command: &Command, why: &str) {
        let words = command.words.join(" ");
        self.draft.note(command.line, format!("`{words}`: {why}"));
    }

    fn read_tc(&mut self, command: &Command, words: &[String]) {
        let words: Vec<String> = words
            .iter()
            .skip_while(|word| word.starts_with('-'))
            .cloned()
            .collect();
        let text: Vec<&str> = words.iter().map(String::as_str).collect();
        match text.as_slice() {
            // What is to be gone before, shaper does not have.
            [
                "qdisc" | "class" | "filter",
                "del" | "delete" | "show" | "list",
                ..,
            ] => {}
            ["qdisc", "add" | "replace", rest @ ..] => self.read_qdisc(command, rest),
            ["class", "add" | "replace" | "change", rest @ ..] => self.read_class(command, rest),
            ["filter", "add" | "replace", rest @ ..] => self.read_filter(command, rest),
            _ => self.leave(command, "not understood"),
        }
    }

    fn read_qdisc(&mut self, command: &Command, words: &[&str]) {
        let kind = words.iter().position(|word| *word == "htb");
        if let Some(at) = kind {
            let handle = value(words, "handle").unwrap_or("1:");
            if let Some(minor) = value(&words[at..], "default") {
                self.default_class = Some((command.line, class_id(&format!("{handle}{minor}"))));
            }
            return;
        }
        // What stands inside a class shares its rate among flows, which fq does, too.
        let is_leaf = ["sfq", "fq", "fq_codel", "pfifo", "bfifo", "codel", "red"];
        if !words.iter().any(|word| is_leaf.contains(word)) {
            self.leave(command, "only HTB is translated");
        }
    }

    fn read_class(&mut self, command: &Command, words: &[&str]) {
        let id = value(words, "classid");
        let rate = value(words, "ceil").or_else(|| value(words, "rate"));
        let (Some(id), Some(rate), true) = (id, rate, words.contains(&"htb")) else {
            return self.leave(command, "only HTB classes with a rate are translated");
        };
        let Some(rate) = units::rate(rate) else {
            return self.leave(
                command,
                &format!("`{rate}` is not a rate from 8 kbit/s to 1600 gbit/s"),
            );
        };
        let burst = value(words, "burst");
        let class = Class {
            line: command.line,
            parent: value(words, "parent").map(class_id),
            rate,
            burst_bytes: burst.and_then(units::size),
        };
        if burst.is_some() && class.burst_bytes.is_none() {
            self.leave(command, "its burst is not a size; the default stands in");
        }
        if let (Some(rate), Some(ceil)) = (value(words, "rate"), value(words, "ceil"))
            && units::rate(rate) != units::rate(ceil)
        {
            self.leave(
                command,
                "a rate below the ceiling was a guarantee, which there is none of; the ceiling is the limit",
            );
        }
        self.classes.insert(class_id(id), class);
    }

    fn read_filter(&mut self, command: &Command, words: &[&str]) {
        let kinds = ["fw", "u32", "flower"];
        let Some(at) = words.iter().position(|word| kinds.contains(word)) else {
            return self.leave(command, "only fw, u32 and flower filters are translated");
        };
        let rest: Vec<String> = words[at + 1..].iter().map(|word| (*word).to_owned()).collect();
        if words[at] != "fw" {
            return self.add_filter(command, Match::filter(words[at], &rest));
        }
        let mark = value(words, "handle").and_then(number);
        let class = value(words, "flowid").or_else(|| value(words, "classid"));
        match (mark, class) {
            (Some(mark), Some(class)) => drop(self.marks.insert(mark, class_id(class))),
            _ => self.leave(command, "a mark and a class are needed"),
        }
    }

    fn read_mark(&mut self, command: &Command, matched: Match, words: &[String]) {
        // What carries marks from the connection to the packet and back is not needed.
        let is_carrying = |word: &String| {
            matches!(
                word.as_str(),
                "--restore-mark" | "--save-mark" | "-F" | "-X" | "-N" | "-D" | "-Z"
            )
        };
        if !words.iter().any(is_carrying) {
            self.add_filter(command, matched);
        }
    }

    fn add_filter(&mut self, command: &Command, matched: Match) {
        if !matched.unknown.is_empty() {
            let unknown = matched.unknown.join(" ");
            return self.leave(command, &format!("`{unknown}` is not understood"));
        }
        self.filters.push(Filter {
            line: command.line,
            matched,
        });
    }

    fn finish(mut self) -> Draft {
        let mut by_class: BTreeMap<String, Vec<Filter>> = BTreeMap::new();
        for filter in std::mem::take(&mut self.filters) {
            let mark = filter
                .matched
                .mark
                .as_deref()
                .map(|mark| mark.split('/').next().unwrap_or(mark));
            let class = match (&filter.matched.class, mark) {
                (Some(class), _) => Some(class_id(class)),
                (None, Some(mark)) => number(mark).and_then(|mark| self.marks.get(&mark).cloned()),
                (None, None) => None,
            };
            match class.filter(|class| self.classes.contains_key(class)) {
                Some(class) => by_class.entry(class).or_default().push(filter),
                None => self
                    .draft
                    .note(filter.line, "what it matches goes to no class that is known"),
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
        for (id, class) in self.classes.clone() {
            match by_class.remove(&id) {
                Some(filters) => self.add_class(&id, &class, &filters),
                None if self
                    .classes
                    .values()
                    .any(|other| other.parent.as_ref() == Some(&id)) => {}
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

fn value<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// tc's numbers of classes are hexadecimal, and `:10` is short for `1:10`.
fn class_id(text: &str) -> String {
    let (major, minor) = text.split_once(':').unwrap_or(("1", text));
    let major = if major.is_empty() { "1" } else { major };
    let part = |text: &str| text.trim_start_matches('0').to_ascii_lowercase();
    format!("{}:{}", part(major), part(minor))
}

fn number(text: &str) -> Option<u32> {
    let text = text.split('/').next().unwrap_or(text);
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests;
