//! What `set` does only with `--force`, and other commands warn of: make the server hard to reach for whoever types.

use std::fs;
use std::net::IpAddr;

use super::{Context, Failure};
use crate::policy::{Destination, Explanation, Per, Policy, Ports, Prefix, Rule, Winner};

/// Below these a session over SSH is no fun, or a whole server is as good as down.
const MIN_SSH_BYTES_PER_SEC: u64 = 256_000 / 8;
const MIN_ANY_BYTES_PER_SEC: u64 = 1_000_000 / 8;

/// The operator's own session: from where, and to which port of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    peer: IpAddr,
    port: u16,
}

/// Refuses a change that slows the operator's own session, or everybody.
pub(super) fn check(before: &Policy, after: &Policy) -> Result<(), Failure> {
    if let Some(rule) = slows_everybody(before, after) {
        let what = if rule.per == Per::Rule {
            "share less than 1mbit"
        } else {
            "get less than 256kbit"
        };
        return Err(refusal(format!(
            "every client without a rule of its own would {what}, by {rule}"
        )));
    }
    let Some(Session { peer, port }) = session() else {
        return Ok(());
    };
    let own = Destination::Prefix(Prefix::from(peer));
    let is_slowed =
        |ports: Option<&Ports>| slows(before, after, own, ports, |_| MIN_SSH_BYTES_PER_SEC).is_some();
    if is_slowed(None) || is_slowed(Ports::tcp(port).as_ref()) {
        return Err(refusal(format!(
            "your own SSH session comes from {peer}, which would get less than 256kbit"
        )));
    }
    Ok(())
}

/// Warns of a change that slows the operator's own session, or everybody.
pub(super) fn warn(before: &Policy, after: &Policy, context: &Context) {
    if let Err(risk) = check(before, after) {
        context.note(format_args!("warning: {risk}"));
    }
}

/// Whether a rule for `prefix` may slow the operator's own session, or everybody.
pub(super) fn is_touched_by(prefix: Prefix) -> bool {
    prefix.prefix_len() == 0 || session().is_some_and(|session| prefix.contains(Prefix::from(session.peer)))
}

fn refusal(message: String) -> Failure {
    Failure::Usage {
        message,
        hint: Some("repeat it with --force if that is what you want".to_owned()),
    }
}

/// What all clients share must be more than what each has for himself.
fn any_minimum(rule: &Rule) -> u64 {
    if rule.per == Per::Rule {
        MIN_ANY_BYTES_PER_SEC
    } else {
        MIN_SSH_BYTES_PER_SEC
    }
}

/// The rule that brings everybody below the minimum, of one family or for one service at least.
fn slows_everybody<'a>(before: &Policy, after: &'a Policy) -> Option<&'a Rule> {
    let is_for_all = |rule: &&Rule| match rule.destination {
        Destination::Any => true,
        Destination::Prefix(prefix) => prefix.prefix_len() == 0,
    };
    let rules = before.rules().iter().chain(after.rules()).filter(is_for_all);
    rules
        .map(Rule::target)
        .find_map(|target| slows(before, after, target.destination, target.ports, any_minimum))
}

/// The rule by which `after` brings `destination` below the minimum, if `before` had it faster than that: from these
/// ports, or what no rule for a service covers.
fn slows<'a>(
    before: &Policy,
    after: &'a Policy,
    destination: Destination,
    ports: Option<&Ports>,
    minimum: impl Fn(&Rule) -> u64,
) -> Option<&'a Rule> {
    let (new, rule) = slowest(&after.explain(destination, ports))?;
    let old = slowest(&before.explain(destination, ports));
    (new < minimum(rule) && old.is_none_or(|(old, _)| new < old)).then_some(rule)
}

/// The slowest part and its rule; `None` is unlimited. A rule is no faster than its group.
fn slowest<'a>(explained: &[Explanation<'a>]) -> Option<(u64, &'a Rule)> {
    let rates = explained.iter().filter_map(|one| match one.winner {
        Winner::Rule(rule) => {
            let group = rule.group.as_ref().map(|group| group.limit.rate.bytes_per_sec());
            let rate = rule.bytes_per_sec().into_iter().chain(group).min()?;
            Some((rate, rule))
        }
        _ => None,
    });
    rates.min_by_key(|(rate, _)| *rate)
}

fn session() -> Option<Session> {
    std::env::var("SSH_CONNECTION")
        .ok()
        .or_else(inherited)
        .and_then(|text| parse(&text))
}

/// `203.0.113.7 52044 198.51.100.1 22`: client and server, each an address and a port.
fn parse(connection: &str) -> Option<Session> {
    let mut words = connection.split(' ');
    let peer = words.next()?.parse().ok()?;
    let port = words.nth(2).and_then(|port| port.parse().ok()).unwrap_or(22);
    Some(Session { peer, port })
}

/// `SSH_CONNECTION` of the nearest ancestor that has it: sudo does not pass it on.
fn inherited() -> Option<String> {
    let mut process = parent("self")?;
    // A session is not nested deeper than this; a loop there cannot be.
    for _ in 0..32 {
        let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
        let found = environment.split(|byte| *byte == 0).find_map(|variable| {
            str::from_utf8(variable)
                .ok()?
                .strip_prefix("SSH_CONNECTION=")
                .map(str::to_owned)
        });
        if found.is_some() {
            return found;
        }
        process = parent(&process)?;
    }
    None
}

fn parent(process: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim();
    (parent != "0").then(|| parent.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RuleConfig, Source, rare};

    fn policy(rules: &[(&str, &str)]) -> Policy {
        let rule = |(destination, rate): &(&str, &str)| RuleConfig::new(*destination, *rate, Source::Kept);
        Policy::try_from(&Config::of_rules(rules.iter().map(rule).collect())).unwrap()
    }

    fn is_refused(before: &[(&str, &str)], after: &[(&str, &str)]) -> bool {
        let peer = "203.0.113.7".parse().unwrap();
        slows(&policy(before), &policy(after), peer, None, |_| {
            MIN_SSH_BYTES_PER_SEC
        })
        .is_some()
    }

    #[test]
    fn a_peer_is_slowed_by_whatever_rule_wins_for_it() {
        assert!(is_refused(&[], &[("203.0.113.0/24", "255kbit")]));
        assert!(!is_refused(&[], &[("203.0.113.0/24", "256kbit")]));
        assert!(!is_refused(
            &[],
            &[("203.0.113.0/24", "8kbit"), ("203.0.113.7", "1mbit")]
        ));
        assert!(!is_refused(&[], &[("203.0.114.0/24", "8kbit")]));
        assert!(is_refused(&[], &[("203.0.113.7", "block")]));
    }

    #[test]
    fn a_peer_that_is_slow_already_may_be_made_faster_but_not_slower() {
        assert!(!is_refused(&[("any", "64kbit")], &[("any", "128kbit")]));
        assert!(!is_refused(&[("any", "64kbit")], &[("any", "64kbit")]));
        assert!(is_refused(&[("any", "64kbit")], &[("any", "32kbit")]));
    }

    fn with(destination: &str, rate: &str, service: Option<&str>, per: Option<&str>) -> Policy {
        let mut rule = RuleConfig::new(destination, rate, Source::Kept);
        rule.service = service.map(rare);
        rule.per = per.map(rare);
        Policy::try_from(&Config::of_rules(vec![rule])).unwrap()
    }

    #[test]
    fn of_rules_for_a_service_only_that_of_the_session_counts() {
        let peer = "203.0.113.7".parse().unwrap();
        let is_refused = |service: &str, port: u16| {
            let after = with("203.0.113.7", "64kbit", Some(service), None);
            let session = Ports::tcp(port);
            slows(&Policy::default(), &after, peer, session.as_ref(), |_| {
                MIN_SSH_BYTES_PER_SEC
            })
            .is_some()
        };
        assert!(is_refused("ssh", 22) && is_refused("tcp:2000-2999", 2222));
        assert!(!is_refused("imap", 22) && !is_refused("ssh", 2222) && !is_refused("udp:22", 22));
    }

    #[test]
    fn everybody_may_be_given_less_each_than_all_together() {
        for destination in ["any", "0.0.0.0/0", "::/0"] {
            let is_refused = |rate: &str, service: Option<&str>, per: Option<&str>| {
                slows_everybody(&Policy::default(), &with(destination, rate, service, per)).is_some()
            };
            for service in [None, Some("https")] {
                assert!(is_refused("999kbit", service, None) && !is_refused("1mbit", service, None));
                let client = Some("client");
                assert!(is_refused("255kbit", service, client) && !is_refused("256kbit", service, client));
            }
        }
    }

    #[test]
    fn a_rule_that_goes_may_leave_everybody_with_a_slower_one() {
        let slow = ("any", "64kbit");
        let (with, without) = (policy(&[slow, ("0.0.0.0/0", "1gbit")]), policy(&[slow]));
        assert!(slows_everybody(&with, &without).is_some());
        assert!(slows_everybody(&without, &with).is_none());
    }

    #[test]
    fn a_session_is_an_address_and_the_port_of_the_server() {
        let session = parse("203.0.113.7 52044 198.51.100.1 2222").unwrap();
        assert_eq!(
            (session.peer.to_string().as_str(), session.port),
            ("203.0.113.7", 2222)
        );
        assert_eq!(parse("2001:db8::7").unwrap().port, 22);
        assert_eq!(parse("nowhere"), None);
    }
}
