//! A script of tc and iptables or nft: HTB classes become rates, marks and filters become destinations and services.
//!
//! A class with one destination becomes a rule. One with several becomes a group that its rules share, as they shared
//! the class. A class of other classes becomes the group of theirs.

mod rules;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Note};
use super::matches::Match;
use super::script::{self, Command};
use super::units;
use crate::config::Config;
use crate::policy::Rate;
use words::{NEEDLESS, WITHOUT_COUNTERPART, class_id, number, shows, value};

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
    /// `fw` filters: mark to class, with the line.
    marks: BTreeMap<u32, (usize, String)>,
    /// Words without counterpart that were named already.
    named: BTreeSet<&'static str>,
    filters: Vec<Filter>,
    default_class: Option<(usize, String)>,
}

/// Translates a script.
pub(super) fn translate(text: &str) -> (Config, Vec<Note>) {
    let mut script = Script::default();
    for command in script::commands(text) {
        script.read(&command);
    }
    script.finish().finish()
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
            // They have no part in what is sent how fast.
            "set" | "exit" | "modprobe" => {}
            "echo" if !rest.iter().any(|word| word.contains('>')) => {}
            "echo" => self.leave(command, "what it writes is not looked at"),
            "ip" if shows(rest) => {}
            "ip" => self.leave(command, "shaper changes no interfaces, addresses and routes"),
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

    /// Names words of `words` that shaper has nothing for: once each, because every class of a script has them.
    fn name_without_counterpart(&mut self, command: &Command, words: &[&str]) {
        for (word, why) in WITHOUT_COUNTERPART {
            if words.contains(&word) && self.named.insert(word) {
                let what = format!("`{word}`, here and on any other line: {why}");
                self.draft.note(command.line, what);
            }
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
        self.name_without_counterpart(command, words);
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
            (Some(mark), Some(class)) => {
                let class = class_id(class);
                let (_, known) = self.marks.entry(mark).or_insert((command.line, class.clone()));
                if *known != class {
                    self.leave(command, "an earlier line sends this mark to another class");
                }
            }
            _ => self.leave(command, "a mark and a class are needed"),
        }
    }

    fn read_mark(&mut self, command: &Command, matched: Match, words: &[String]) {
        // Marks need not be carried from the connection to the packet and back, and of what such scripts take away before
        // they make it anew, shaper has nothing.
        let is_needless = |word: &String| NEEDLESS.contains(&word.as_str());
        if !words.iter().any(is_needless) {
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
}

#[cfg(test)]
mod tests;
