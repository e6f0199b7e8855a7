//! Which rule wins, in one sentence.

use std::fmt::Write;

use super::units::{self, Unit};
use crate::policy::{Destination, Explanation, Rule, Winner};

/// `203.0.113.7: rule "heavy" (/32), 20.0 Mbit/s; it beats: rule "rest" (any), 1.00 Gbit/s`.
#[must_use]
pub fn text(explanation: &Explanation<'_>, unit: Unit) -> String {
    let subject = match explanation.destination {
        Destination::Prefix(prefix) if prefix.is_exact() => prefix.address().to_string(),
        destination => destination.to_string(),
    };
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

/// A rule with what makes it win: its prefix length.
fn describe(rule: &Rule, unit: Unit) -> String {
    let rate = rule.limit.map_or_else(
        || "unlimited".to_owned(),
        |limit| units::rate(limit.rate.bytes_per_sec(), unit),
    );
    match (&rule.name, rule.destination) {
        (Some(name), Destination::Prefix(prefix)) => {
            format!("rule \"{name}\" (/{}), {rate}", prefix.prefix_len())
        }
        (Some(name), Destination::Any) => format!("rule \"{name}\" (any), {rate}"),
        (None, destination) => format!("rule {destination}, {rate}"),
    }
}
