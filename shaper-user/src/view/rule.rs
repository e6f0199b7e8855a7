//! What a rule does, in a few words.

use std::time::Duration;

use super::units::{self, Unit};
use crate::policy::{Action, Difference, Part, Per, Rule, RuleLimit};

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

/// Both sides of a difference, a line each. Where three digits do not tell them apart, numbers are written in full.
#[must_use]
pub fn sides(difference: &Difference<'_>, unit: Unit) -> [Option<String>; 2] {
    let write = |digits| {
        let numbers = Numbers { unit, digits };
        [difference.before, difference.after].map(|side| side.map(|part| numbers.part(&part)))
    };
    let [before, after] = write(Digits::Three);
    if before == after {
        write(Digits::All)
    } else {
        [before, after]
    }
}

/// How many digits of a number are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Digits {
    Three,
    All,
}

/// How numbers are written.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    unit: Unit,
    digits: Digits,
}

impl Numbers {
    fn part(self, part: &Part<'_>) -> String {
        match part {
            Part::Exempt(prefix) => format!("exempt {prefix}"),
            Part::Group(group) => format!("group {} {}", group.name, self.limit(&group.limit)),
            Part::Interface(interface) => format!(
                "interface {} overhead {}, {}",
                interface.pattern,
                interface.overhead,
                interface.enforcement.name()
            ),
            Part::MaxClients(max_clients) => format!("max_clients {max_clients}"),
            Part::Rule(rule) => self.rule(rule),
        }
    }

    fn rule(self, rule: &Rule) -> String {
        let mut text = format!("{} ", target(rule));
        text += &match &rule.action {
            Action::Limit(limit) => self.limit(limit),
            Action::Unlimited | Action::Block => rate(rule, self.unit),
        };
        if rule.per != Per::Rule {
            text += &format!(", per {}", rule.per);
        }
        if let Some(group) = &rule.group {
            text += &format!(", group \"{}\"", group.name);
        }
        if let Some(expires) = rule.expires {
            text += &format!(", until {expires}");
        }
        if let Some(name) = &rule.name {
            text += &format!(", named \"{name}\"");
        }
        if let Some(comment) = &rule.comment {
            // It may hold quotes and control characters.
            text += &format!(", comment {comment:?}");
        }
        text
    }

    /// `20.0 Mbit/s, burst 25.0 kB, horizon 200 ms, ecn 5.00 ms`.
    fn limit(self, limit: &RuleLimit) -> String {
        let ecn = limit
            .ecn_ns
            .map_or_else(|| "off".to_owned(), |ecn_ns| self.time(ecn_ns));
        format!(
            "{}, burst {}, horizon {}, ecn {ecn}",
            self.rate(limit.rate.bytes_per_sec()),
            self.size(limit.burst_bytes),
            self.time(limit.horizon_ns)
        )
    }

    fn rate(self, bytes_per_sec: u64) -> String {
        match (self.digits, self.unit) {
            (Digits::Three, unit) => units::rate(bytes_per_sec, unit),
            (Digits::All, Unit::Bits) => format!("{} bit/s", u128::from(bytes_per_sec) * 8),
            (Digits::All, Unit::Bytes) => format!("{bytes_per_sec} B/s"),
        }
    }

    fn size(self, bytes: u64) -> String {
        match self.digits {
            Digits::Three => units::size(bytes),
            Digits::All => format!("{bytes} B"),
        }
    }

    fn time(self, ns: u64) -> String {
        match self.digits {
            Digits::Three => units::time(Duration::from_nanos(ns)),
            Digits::All => format!("{ns} ns"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;
    use crate::policy::{Diff, Policy};

    fn policy(text: &str) -> Policy {
        let config = Config::parse(Path::new("x"), text.to_owned()).unwrap();
        Policy::try_from(&config).unwrap()
    }

    /// Both sides of the one thing that differs.
    fn told(from: &str, to: &str) -> (String, String) {
        let (from, to) = (policy(from), policy(to));
        let mut told = Vec::new();
        let _ = Diff::between(&from, &to, |difference| {
            told.push(sides(&difference, Unit::Bits));
        });
        let [[Some(before), Some(after)]] = &told[..] else {
            panic!("{told:?}");
        };
        (before.clone(), after.clone())
    }

    #[test]
    fn whatever_changes_in_a_rule_or_group_is_seen() {
        let rule = "[group.g]\nrate = \"1gbit\"\n[[rule]]\ndestination = \"203.0.113.7\"\n";
        let rate = "rate = \"20mbit\"\n";
        for change in [
            "rate = \"30mbit\"\n",
            "rate = \"block\"\n",
            "rate = \"20000008bit\"\n",
            "rate = \"20mbit\"\nburst = \"25001B\"\n",
            "rate = \"20mbit\"\nhorizon = \"201ms\"\n",
            "rate = \"20mbit\"\necn = \"off\"\n",
            "rate = \"20mbit\"\nper = \"client\"\n",
            "rate = \"20mbit\"\ngroup = \"g\"\n",
            "rate = \"20mbit\"\nname = \"x\"\n",
            "rate = \"20mbit\"\ncomment = \"x\"\n",
            "rate = \"20mbit\"\nexpires = 2999-01-01T00:00:00Z\n",
        ] {
            let (before, after) = told(&format!("{rule}{rate}"), &format!("{rule}{change}"));
            assert_ne!(before, after, "{change}");
        }
        for change in ["burst = \"1MB\"", "horizon = \"300ms\"", "ecn = \"6ms\""] {
            let group = "[group.g]\nrate = \"1gbit\"\n";
            let (before, after) = told(group, &format!("{group}{change}\n"));
            assert_ne!(before, after, "{change}");
        }
    }

    #[test]
    fn what_three_digits_hide_is_written_in_full() {
        let rule = |burst: &str| {
            format!(
                "[[rule]]\ndestination = \"any\"\nrate = \"20mbit\"\nburst = \"{burst}\"\ncomment = \"a \\\"b\\\"\"\n"
            )
        };
        assert_eq!(
            told(&rule("25kB"), &rule("26kB")).1,
            "any 20.0 Mbit/s, burst 26.0 kB, horizon 200 ms, ecn 5.00 ms, comment \"a \\\"b\\\"\""
        );
        assert_eq!(
            told(&rule("25kB"), &rule("25001B")).1,
            "any 20000000 bit/s, burst 25001 B, horizon 200000000 ns, ecn 5000000 ns, comment \"a \\\"b\\\"\""
        );
    }
}
