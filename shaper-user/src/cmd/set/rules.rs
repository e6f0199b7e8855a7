//! Which rule is meant, and what runs once it has been set. Pure.

use crate::config::{RuleConfig, Source};
use crate::policy::{Destination, Policy, Rule, Service, Target};
use crate::store::Running;

/// The rule of `policy` for `destination` and the ports of `service`.
pub(super) fn rule_for<'a>(
    policy: &'a Policy,
    destination: Destination,
    service: Option<&Service>,
) -> Option<&'a Rule> {
    policy.rule(Target {
        destination,
        ports: service.map(|service| &service.ports),
    })
}

/// Whether `rule` is for `destination` and the ports of `service`.
pub(in crate::cmd) fn is_target(
    rule: &RuleConfig,
    destination: Destination,
    service: Option<&Service>,
    policy: &Policy,
) -> bool {
    if rule.destination.get_ref().parse() != Ok(destination) {
        return false;
    }
    match (&rule.service, service) {
        (None, None) => true,
        (Some(text), Some(service)) => policy
            .service(text.get_ref())
            .is_ok_and(|own| own.ports == service.ports),
        _ => false,
    }
}

/// Whether `rule`, as written, is one of `rules`.
pub(in crate::cmd) fn is_one_of(rule: &RuleConfig, rules: &[Rule], policy: &Policy) -> bool {
    rules.iter().any(|other| {
        other.source == rule.source && is_target(rule, other.destination, other.service.as_deref(), policy)
    })
}

/// `running` with `rule` in place of the one that `shaper set` made for the same target. A name or comment
/// that is not given again stays.
pub(super) fn with_rule(
    mut running: Running,
    destination: Destination,
    service: Option<&Service>,
    mut rule: RuleConfig,
    policy: &Policy,
) -> Running {
    let is_same =
        |other: &RuleConfig| other.source != Source::Config && is_target(other, destination, service, policy);
    if let Some(earlier) = running
        .rules
        .iter()
        .filter(|other| is_same(other))
        .max_by_key(|other| other.source)
    {
        rule.name = rule.name.or_else(|| earlier.name.clone());
        rule.comment = rule.comment.or_else(|| earlier.comment.clone());
    }
    // A kept rule waits behind a temporary one; one that is to be kept replaces both.
    running
        .rules
        .retain(|other| !(is_same(other) && other.source >= rule.source));
    if rule.source == Source::Kept {
        running.aside.retain(|other| !is_same(other));
    }
    running.rules.push(rule);
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, rare};

    const DESTINATION: &str = "203.0.113.7";

    fn after(rules: Vec<RuleConfig>, rule: RuleConfig) -> Vec<(Source, String)> {
        let running = Config::of_rules(rules);
        let next = with_rule(
            running,
            DESTINATION.parse().unwrap(),
            None,
            rule,
            &Policy::default(),
        );
        next.rules
            .iter()
            .map(|rule| (rule.source, rule.rate.get_ref().clone()))
            .collect()
    }

    fn rule(destination: &str, rate: &str, source: Source) -> RuleConfig {
        RuleConfig::new(destination, rate, source)
    }

    #[test]
    fn a_rule_to_be_kept_replaces_a_temporary_one_but_never_the_configuration() {
        let rules = vec![
            rule("203.0.113.7/32", "1mbit", Source::Config),
            rule("203.0.113.7/32", "2mbit", Source::Kept),
            rule("203.0.113.7", "3mbit", Source::Temporary),
        ];
        assert_eq!(
            after(rules, rule(DESTINATION, "4mbit", Source::Kept)),
            [
                (Source::Config, "1mbit".to_owned()),
                (Source::Kept, "4mbit".to_owned())
            ]
        );
    }

    #[test]
    fn a_temporary_rule_leaves_the_kept_one_for_the_next_reboot() {
        let rules = vec![
            rule(DESTINATION, "2mbit", Source::Kept),
            rule("203.0.113.8", "9mbit", Source::Kept),
        ];
        assert_eq!(
            after(rules, rule(DESTINATION, "4mbit", Source::Temporary)).len(),
            3
        );
    }

    #[test]
    fn a_name_that_is_not_given_again_stays() {
        let mut named = rule(DESTINATION, "2mbit", Source::Kept);
        named.name = Some(rare("heavy"));
        let running = Config::of_rules(vec![named]);
        let next = with_rule(
            running,
            DESTINATION.parse().unwrap(),
            None,
            rule("203.0.113.7", "1mbit", Source::Kept),
            &Policy::default(),
        );
        assert_eq!(next.rules[0].name.as_ref().unwrap().get_ref(), "heavy");
    }
}
