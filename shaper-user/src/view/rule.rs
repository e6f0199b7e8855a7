//! What a rule does, in a few words.

use super::units::{self, Unit};
use crate::policy::{Action, Part, Per, Rule};

/// `20.0 Mbit/s`, `unlimited` or `block`.
#[must_use]
pub fn rate(rule: &Rule, unit: Unit) -> String {
    match &rule.action {
        Action::Unlimited => "unlimited".to_owned(),
        Action::Block => "block".to_owned(),
        Action::Limit(limit) => units::rate(limit.rate.bytes_per_sec(), unit),
    }
}

/// `1.00 Gbit/s per client, group "customer-42" 200 Mbit/s`.
#[must_use]
pub fn speed(rule: &Rule, unit: Unit) -> String {
    let mut text = rate(rule, unit);
    if rule.per != Per::Rule {
        text += &format!(" per {}", rule.per);
    }
    if let Some(group) = &rule.group {
        let rate = units::rate(group.limit.rate.bytes_per_sec(), unit);
        text += &format!(", group \"{}\" {rate}", group.name);
    }
    text
}

/// `203.0.113.7/32 imap`.
#[must_use]
pub fn target(rule: &Rule) -> String {
    match &rule.service {
        Some(service) => format!("{} {}", rule.destination, service.name),
        None => rule.destination.to_string(),
    }
}

/// A part of a policy on one line.
#[must_use]
pub fn part(part: &Part<'_>, unit: Unit) -> String {
    match part {
        Part::Exempt(prefix) => format!("exempt {prefix}"),
        Part::Group(group) => format!(
            "group {} {}, burst {}",
            group.name,
            units::rate(group.limit.rate.bytes_per_sec(), unit),
            units::size(group.limit.burst_bytes)
        ),
        Part::Interface(interface) => format!(
            "interface {} overhead {}, {}",
            interface.pattern,
            interface.overhead,
            interface.enforcement.name()
        ),
        Part::MaxClients(max_clients) => format!("max_clients {max_clients}"),
        Part::Rule(rule) => {
            let mut text = format!("{} {}", target(rule), speed(rule, unit));
            if let Some(limit) = rule.limit() {
                text += &format!(", burst {}", units::size(limit.burst_bytes));
            }
            if let Some(expires) = rule.expires {
                text += &format!(", until {expires}");
            }
            if let Some(name) = &rule.name {
                text += &format!(", named \"{name}\"");
            }
            text
        }
    }
}
