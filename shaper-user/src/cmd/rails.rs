//! What `set` does only with `--force`: make the server hard to reach for whoever types.

use std::fs;
use std::net::IpAddr;

use super::Failure;
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
    let ports = session().and_then(|session| Ports::tcp(session.port));
    if is_slower(before, after, Destination::Any, ports.as_ref(), any_minimum) {
        return Err(refusal(
            "every client without a rule of its own would share less than 1mbit, or get less than 256kbit"
                .to_owned(),
        ));
    }
    let Some(Session { peer, .. }) = session() else {
        return Ok(());
    };
    let own = Destination::Prefix(Prefix::from(peer));
    if is_slower(before, after, own, ports.as_ref(), |_| MIN_SSH_BYTES_PER_SEC) {
        return Err(refusal(format!(
            "your own SSH session comes from {peer}, which would get less than 256kbit"
        )));
    }
    Ok(())
}

/// Whether the operator's own session comes from an address of `prefix`.
pub(super) fn is_session_in(prefix: Prefix) -> bool {
    session().is_some_and(|session| prefix.contains(Prefix::from(session.peer)))
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

/// Whether `after` brings `destination` below the minimum and `before` had it faster than that: what has no rule for
/// a service, or what the session runs over.
fn is_slower(
    before: &Policy,
    after: &Policy,
    destination: Destination,
    session: Option<&Ports>,
    minimum: impl Fn(&Rule) -> u64,
) -> bool {
    let is_lowered = |ports: Option<&Ports>| {
        let new = slowest(&after.explain(destination, ports));
        let old = slowest(&before.explain(destination, ports));
        new.is_some_and(|(new, rule)| new < minimum(rule) && old.is_none_or(|(old, _)| new < old))
    };
    is_lowered(None) || session.is_some_and(|ports| is_lowered(Some(ports)))
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
        let ssh = Ports::tcp(22);
        is_slower(&policy(before), &policy(after), peer, ssh.as_ref(), |_| {
            MIN_SSH_BYTES_PER_SEC
        })
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
            is_slower(&Policy::default(), &after, peer, session.as_ref(), |_| {
                MIN_SSH_BYTES_PER_SEC
            })
        };
        assert!(is_refused("ssh", 22) && is_refused("tcp:2000-2999", 2222));
        assert!(!is_refused("imap", 22) && !is_refused("ssh", 2222) && !is_refused("udp:22", 22));
    }

    #[test]
    fn everybody_may_be_given_less_each_than_all_together() {
        let is_refused = |rate: &str, per: Option<&str>| {
            let after = with("any", rate, None, per);
            is_slower(&Policy::default(), &after, Destination::Any, None, any_minimum)
        };
        assert!(is_refused("999kbit", None) && !is_refused("1mbit", None));
        assert!(is_refused("255kbit", Some("client")) && !is_refused("256kbit", Some("client")));
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
