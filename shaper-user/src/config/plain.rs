//! Rules as nearly every file has them, read in a fraction of the time that the general parser takes: a million of them
//! are worth it.
//!
//! A line is `[[rule]]`, a key with its value, a comment or nothing. Whatever else there may be is `None` and for the
//! general parser, which also says what is wrong; so this reads less than TOML and never anything else.

use super::document::{Moment, Rare, RuleConfig, Source, Text};

const HEADER: &str = "[[rule]]";

/// The text before the first `[[rule]]`, and the rules from there to the end; `None` if these are written in another
/// way, or if there are none.
pub(super) fn rules(text: &str) -> Option<(&str, Vec<RuleConfig>)> {
    let begin = if text.starts_with("[[rule]]\n") {
        0
    } else {
        text.find("\n[[rule]]\n")? + 1
    };
    let (head, body) = text.split_at(begin);
    let mut rules = Vec::new();
    let mut draft = Draft::default();
    let mut start = begin;
    for line in body.split_inclusive('\n') {
        let content = line.strip_suffix('\n').unwrap_or(line);
        if content == HEADER {
            if start != begin {
                rules.push(draft.finish()?);
            }
            draft = Draft::default();
        } else if content.starts_with('#') {
            if content.chars().any(is_unusual) {
                return None;
            }
        } else if !content.is_empty() {
            draft.read(content, start)?;
        }
        start += line.len();
    }
    rules.push(draft.finish()?);
    Some((head, rules))
}

/// The rules as text: what [`rules`] reads, unless a text in them needs escapes.
pub(super) fn text_of<'a>(rules: impl IntoIterator<Item = &'a RuleConfig>) -> String {
    let mut text = String::new();
    for rule in rules {
        add_text(&mut text, rule);
    }
    text
}

/// Adds one rule to a text of [`text_of`].
pub(super) fn add_text(text: &mut String, rule: &RuleConfig) {
    *text += HEADER;
    text.push('\n');
    let pairs = [
        ("name", part(rule.name.as_deref())),
        ("destination", Some(rule.destination.get_ref().as_str())),
        ("service", part(rule.service.as_deref())),
        ("per", part(rule.per.as_deref())),
        ("rate", Some(rule.rate.get_ref().as_str())),
        ("group", part(rule.group.as_deref())),
        ("burst", part(rule.burst.as_deref())),
        ("horizon", part(rule.horizon.as_deref())),
        ("ecn", part(rule.ecn.as_deref())),
        ("comment", rule.comment.as_deref()),
    ];
    for (key, value) in pairs {
        if let Some(value) = value {
            add_pair(text, key, value);
        }
    }
    if let Some(moment) = &rule.expires {
        *text += &format!("expires = {}\n", moment.get_ref());
    }
}

fn part(part: Option<&Text>) -> Option<&str> {
    part.map(|part| part.get_ref().as_str())
}

fn add_pair(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(" = ");
    if value.chars().any(|c| is_unusual(c) || c == '"' || c == '\\') {
        // With escapes: the general parser reads it.
        *text += &toml::Value::from(value).to_string();
    } else {
        text.push('"');
        text.push_str(value);
        text.push('"');
    }
    text.push('\n');
}

/// What a comment or a plain text must not hold, in TOML.
fn is_unusual(c: char) -> bool {
    c.is_ascii_control() && c != '\t'
}

/// A rule as far as it was read.
#[derive(Default)]
struct Draft {
    name: Rare<Text>,
    destination: Option<Text>,
    service: Rare<Text>,
    per: Rare<Text>,
    rate: Option<Text>,
    group: Rare<Text>,
    burst: Rare<Text>,
    horizon: Rare<Text>,
    ecn: Rare<Text>,
    comment: Option<String>,
    expires: Rare<Moment>,
}

impl Draft {
    /// Reads a line that begins at byte `start` of the file.
    fn read(&mut self, line: &str, start: usize) -> Option<()> {
        let (key, rest) = line.split_once('=')?;
        let value = rest.trim_start_matches(BLANKS);
        let start = start + line.len() - value.len();
        let value = value.trim_end_matches(BLANKS);
        let span = start..start + value.len();
        let key = key.trim_matches(BLANKS);
        if key == "expires" {
            let moment = Box::new(Moment::new(span, value.parse().ok()?));
            return self.expires.replace(moment).is_none().then_some(());
        }
        let text = unquoted(value)?;
        // A key that is there twice is an error, and the general parser's.
        let is_first = match key {
            "destination" => self.destination.replace(Text::new(span, text)).is_none(),
            "rate" => self.rate.replace(Text::new(span, text)).is_none(),
            "comment" => self.comment.replace(text).is_none(),
            _ => self.rare(key)?.replace(Box::new(Text::new(span, text))).is_none(),
        };
        is_first.then_some(())
    }

    fn rare(&mut self, key: &str) -> Option<&mut Rare<Text>> {
        Some(match key {
            "name" => &mut self.name,
            "service" => &mut self.service,
            "per" => &mut self.per,
            "group" => &mut self.group,
            "burst" => &mut self.burst,
            "horizon" => &mut self.horizon,
            "ecn" => &mut self.ecn,
            _ => return None,
        })
    }

    fn finish(self) -> Option<RuleConfig> {
        let mut rule = RuleConfig::read(self.destination?, self.rate?, Source::Config);
        rule.name = self.name;
        rule.service = self.service;
        rule.per = self.per;
        rule.group = self.group;
        rule.burst = self.burst;
        rule.horizon = self.horizon;
        rule.ecn = self.ecn;
        rule.comment = self.comment;
        rule.expires = self.expires;
        Some(rule)
    }
}

/// What may stand around a key and a value.
const BLANKS: [char; 2] = [' ', '\t'];

/// The text between double quotes, or between single ones, if every character in it stands for itself.
fn unquoted(value: &str) -> Option<String> {
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let inner = value.strip_prefix(quote)?.strip_suffix(quote)?;
    let is_plain = |c: char| c != quote && !is_unusual(c) && (c != '\\' || quote == '\'');
    inner.chars().all(is_plain).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests;
