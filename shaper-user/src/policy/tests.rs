//! From a configuration to a policy, to tables, to an explanation.

mod hostile;
mod language;
mod model;

use std::path::Path;

use shaper_common::rule::{Key4, PrefixData6};

use super::tables::{BucketId, Entry, TableKey, Tables};
use super::*;
use crate::config::{Config, ConfigError, RuleConfig, Source};

fn config(text: &str) -> Config {
    Config::parse(Path::new("x.toml"), text.to_owned()).unwrap()
}

fn policy(text: &str) -> Policy {
    Policy::try_from(&config(text)).unwrap()
}

/// All that is wrong with a configuration, as the operator sees it.
fn errors(text: &str) -> String {
    let config = config(text);
    let problems = Policy::try_from(&config).unwrap_err();
    let report =
        |problem: &Problem| config.report(&problem.place, &problem.error.to_string(), problem.error.hint());
    ConfigError::Invalid {
        reports: problems.0.iter().map(report).collect(),
    }
    .to_string()
}

fn rule(destination: &str, rate: &str) -> String {
    format!("[[rule]]\ndestination = \"{destination}\"\nrate = \"{rate}\"\n")
}

fn key4(octets: [u8; 4]) -> Key4 {
    Key4 {
        service: 0,
        address: octets,
    }
}

#[test]
fn every_error_is_reported_with_its_line() {
    let text = rule("10.0.0.7/8", "20mbit") + &rule("any", "20Mbps");
    assert_eq!(
        errors(&text),
        "x.toml:2:15: `10.0.0.7/8` has host bits set\n\
         2 | destination = \"10.0.0.7/8\"\n  \
           |               ^^^^^^^^^^^^ write `10.0.0.0/8`\n\
         x.toml:6:8: `Mbps` in `20Mbps` is bits to some tools and bytes to others\n\
         6 | rate = \"20Mbps\"\n  \
           |        ^^^^^^^^ write `20mbit` for bits or `20MB/s` for bytes"
    );
}

#[test]
fn the_same_destination_twice_is_refused_however_it_is_written() {
    let errors = errors(&(rule("203.0.113.7", "1mbit") + &rule("203.0.113.7/32", "2mbit")));
    assert!(
        errors.contains("x.toml:5:15: destination `203.0.113.7/32` is already that of rule 203.0.113.7/32"),
        "{errors}"
    );
}

#[test]
fn what_is_never_limited_cannot_have_a_rule() {
    for (destination, what) in [
        ("224.0.0.5", "multicast"),
        ("127.0.0.0/8", "loopback"),
        ("fe80::/64", "link-local"),
        ("255.255.255.255", "broadcast"),
    ] {
        let errors = errors(&rule(destination, "1mbit"));
        assert!(
            errors.contains("never limited") && errors.contains(what),
            "{errors}"
        );
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    for (line, message) in [
        ("burst = \"10mbit\"", "neither a size nor a time"),
        ("burst = \"20kb\"", "neither a size"),
        ("burst = \"20000MB\"", "more than 10 GB"),
        ("horizon = \"31s\"", "not between 1ms and 30s"),
        ("horizon = \"0ms\"", "not between 1ms and 30s"),
        ("horizon = \"1\"", "not a time"),
        ("name = \"a b\"", "not a name"),
        ("name = \"\"", "not a name"),
    ] {
        let errors = errors(&format!("{}{line}\n", rule("any", "10mbit")));
        assert!(
            errors.starts_with("x.toml:4:") && errors.contains(message),
            "{line}: {errors}"
        );
    }
}

#[test]
fn interfaces_are_checked_and_found_by_name_before_pattern() {
    let text =
        "[interface.\"eth*\"]\noverhead = 4\n[interface.eth1]\noverhead = 24\nenforcement = \"pace\"\n";
    let policy = policy(text);
    assert_eq!(
        (
            policy.overhead("eth0"),
            policy.overhead("eth1"),
            policy.overhead("lo")
        ),
        (4, 24, 0)
    );
    let policed = "[interface.\"eth*\"]\nenforcement = \"police\"\n[interface.eth1]\n";
    let policed = Policy::try_from(&config(policed)).unwrap();
    assert_eq!(policed.enforcement("eth0"), Enforcement::Police);
    assert_eq!(policed.enforcement("eth1"), Enforcement::Pace);
    assert!(errors("[interface.eth0]\nenforcement = \"drop\"\n").contains("`drop` is not a way to enforce"));
    assert!(errors("[interface.eth0]\noverhead = -1\n").contains("x.toml:2:12: an overhead of -1 bytes"));
    assert!(errors("[interface.\"a/b\"]\n").contains("cannot be the name of an interface"));
}

#[test]
fn a_rule_of_set_stands_in_for_the_configuration_and_a_temporary_one_for_both() {
    let mut config = config(&rule("203.0.113.7", "1mbit"));
    config
        .rules
        .push(RuleConfig::new("203.0.113.7", "3mbit", Source::Temporary));
    config
        .rules
        .push(RuleConfig::new("203.0.113.7", "2mbit", Source::Kept));
    let policy = Policy::try_from(&config).unwrap();
    assert_eq!(policy.rules().len(), 1);
    assert_eq!(policy.rules()[0].source, Source::Temporary);
    let explanation = policy.explain_one("203.0.113.7".parse().unwrap(), None);
    let beaten: Vec<Source> = explanation.beaten.iter().map(|rule| rule.source).collect();
    assert_eq!(beaten, [Source::Kept, Source::Config]);
}

#[test]
fn an_address_a_prefix_and_the_rest_stand_in_their_tables() {
    let text = rule("203.0.113.7", "1mbit")
        + &rule("203.0.113.0/24", "1mbit")
        + &rule("0.0.0.0/0", "1mbit")
        + &rule("2001:db8::/56", "unlimited")
        + &rule("any", "1mbit");
    let tables = Tables::from(&policy(&text));
    let limit = policy(&rule("any", "1mbit")).rules()[0].limit().unwrap().limit();
    let limited = |identity: &str| Entry::limited(limit, BucketId::of(identity));
    let word = u32::from_ne_bytes([0x20, 0x01, 0x0d, 0xb8]);
    let v6 = PrefixData6 {
        zero: 0,
        service: 0,
        address: [word, 0, 0, 0],
    };
    assert_eq!(
        tables.entries(),
        [
            (
                TableKey::Exact4(key4([203, 0, 113, 7])),
                limited("203.0.113.7/32")
            ),
            (TableKey::Prefix4(0, key4([0; 4])), limited("0.0.0.0/0")),
            (
                TableKey::Prefix4(24, key4([203, 0, 113, 0])),
                limited("203.0.113.0/24")
            ),
            (TableKey::Prefix6(56, v6), Entry::Exempt),
            (TableKey::Any, limited("any")),
        ]
    );
}

#[test]
fn an_exempt_prefix_leaves_no_rule_inside_and_says_so() {
    let text = "[exempt]\nprefixes = [\"10.0.0.0/8\", \"10.1.0.0/16\"]\n".to_owned()
        + &rule("10.0.0.0/8", "1mbit")
        + &rule("10.1.2.3", "1mbit")
        + &rule("10.0.0.0/7", "1mbit");
    let policy = policy(&text);
    let tables = Tables::from(&policy);
    assert_eq!(tables.entries().len(), 2);
    assert_eq!(
        tables.get(&TableKey::Prefix4(8, key4([10, 0, 0, 0]))),
        Some(&Entry::Exempt)
    );
    let warnings: Vec<String> = policy
        .warnings()
        .iter()
        .map(|warning| warning.error.to_string())
        .collect();
    assert_eq!(
        warnings,
        [
            "`10.1.0.0/16` is exempt already, by `10.0.0.0/8`",
            "the rule for `10.0.0.0/8` has no effect: `10.0.0.0/8` is exempt",
            "the rule for `10.1.2.3/32` has no effect: `10.0.0.0/8` is exempt",
        ]
    );
}

#[test]
fn get_explains_the_winner_and_what_it_beats() {
    let text = "[exempt]\nprefixes = [\"198.51.100.0/24\"]\n[[rule]]\nname = \"rest\"\ndestination = \"any\"\nrate = \"1gbit\"\n"
        .to_owned()
        + &rule("203.0.113.0/24", "50mbit")
        + &rule("203.0.113.7", "20mbit");
    let policy = policy(&text);
    let explain = |text: &str| {
        let explained = policy.explain_one(text.parse().unwrap(), None);
        crate::view::explanation::text(&explained, None, crate::view::Unit::Bits)
    };
    assert_eq!(
        explain("203.0.113.7"),
        "203.0.113.7: rule 203.0.113.7/32, 20.0 Mbit/s; it beats: rule 203.0.113.0/24, 50.0 Mbit/s, rule \"rest\" (any), 1.00 Gbit/s"
    );
    assert_eq!(
        explain("203.0.113.0/24"),
        "203.0.113.0/24: rule 203.0.113.0/24, 50.0 Mbit/s; it beats: rule \"rest\" (any), 1.00 Gbit/s; 1 rule for a part of it wins there"
    );
    assert_eq!(
        explain("198.51.100.1"),
        "198.51.100.1: unlimited, 198.51.100.0/24 is exempt; that beats: rule \"rest\" (any), 1.00 Gbit/s"
    );
    assert_eq!(
        explain("224.0.0.1"),
        "224.0.0.1: unlimited, multicast, broadcast or reserved destinations are never limited; that beats: rule \"rest\" (any), 1.00 Gbit/s"
    );
    assert_eq!(
        explain("any"),
        "any: rule \"rest\" (any), 1.00 Gbit/s; 2 rules for parts of it win there"
    );
}

#[test]
fn without_a_rule_a_destination_is_unlimited() {
    let policy = policy("");
    assert_eq!(
        policy.explain_one("2001:db8::1".parse().unwrap(), None).winner,
        Winner::Nobody
    );
    assert!(Tables::from(&policy).entries().is_empty());
}
