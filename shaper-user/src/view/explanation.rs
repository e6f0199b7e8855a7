//! Which rule wins, in one sentence.

use std::fmt::Write;

use super::rule;
use super::units::Unit;
use crate::policy::{Destination, Explanation, Rule, Service, Winner};

/// `203.0.113.7 imap: rule "imap-heavy" (/32 + service), 20.0 Mbit/s; it beats: rule "rest" (any), 1.00 Gbit/s`.
/// `asked` is the service that was asked for.
#[must_use]
pub fn text(explanation: &Explanation<'_>, asked: Option<&Service>, unit: Unit) -> String {
    let mut subject = match explanation.destination {
        Destination::Prefix(prefix) if prefix.is_exact() => prefix.address().to_string(),
        destination => destination.to_string(),
    };
    match (&explanation.ports, asked) {
        (None, _) => {}
        (Some(ports), Some(service)) if *ports == service.ports => subject += &format!(" {}", service.name),
        (Some(ports), _) => subject += &format!(" {ports}"),
    }
    let (mut text, beats) = match explanation.winner {
        Winner::Rule(rule) => (format!("{subject}: {}", describe(rule, unit)), "it beats"),
        Winner::Exempt(prefix) => (format!("{subject}: unlimited, {prefix} is exempt"), "that beats"),
        Winner::NeverLimited(what) => (
            format!("{subject}: unlimited, {what} destinations are never limited"),
            "that beats",
        ),
        Winner::Nobody => (format!("{subject}: unlimited, no rule covers it"), "that beats"),
    };
    for (index, rule) in explanation.beaten.iter().enumerate() {
        let lead = if index == 0 {
            format!("; {beats}: ")
        } else {
            ", ".to_owned()
        };
        let _ = write!(text, "{lead}{}", describe(rule, unit));
    }
    match explanation.n_inside {
        0 => {}
        1 => text.push_str("; 1 rule for a part of it wins there"),
        n => {
            let _ = write!(text, "; {n} rules for parts of it win there");
        }
    }
    text
}

/// A rule with what makes it win: its prefix length and its service.
fn describe(rule: &Rule, unit: Unit) -> String {
    let speed = rule::speed(rule, unit);
    let service = if rule.service.is_some() { " + service" } else { "" };
    match (&rule.name, rule.destination) {
        (Some(name), Destination::Prefix(prefix)) => {
            format!("rule \"{name}\" (/{}{service}), {speed}", prefix.prefix_len())
        }
        (Some(name), Destination::Any) => format!("rule \"{name}\" (any{service}), {speed}"),
        (None, _) => format!("{rule}, {speed}"),
    }
}
