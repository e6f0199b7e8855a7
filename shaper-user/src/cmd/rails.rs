//! What `set` does only with `--force`: make the server hard to reach for whoever types.

use std::fs;
use std::net::IpAddr;

use super::Failure;
use crate::policy::{Destination, Policy, Prefix, Winner};

/// Below these a session over SSH is no fun, or a whole server is as good as down.
const MIN_SSH_BYTES_PER_SEC: u64 = 256_000 / 8;
const MIN_ANY_BYTES_PER_SEC: u64 = 1_000_000 / 8;

/// Refuses a rule for `destination` that slows the operator's own session, or everybody.
pub(super) fn check(before: &Policy, after: &Policy, destination: Destination) -> Result<(), Failure> {
    if destination == Destination::Any && is_slower(before, after, destination, MIN_ANY_BYTES_PER_SEC) {
        return Err(refusal(
            "every client without a rule of its own would share less than 1mbit".to_owned(),
        ));
    }
    let Some(peer) = ssh_peer() else {
        return Ok(());
    };
    let own = Destination::Prefix(Prefix::from(peer));
    if is_slower(before, after, own, MIN_SSH_BYTES_PER_SEC) {
        return Err(refusal(format!(
            "your own SSH session comes from {peer}, which would get less than 256kbit"
        )));
    }
    Ok(())
}

fn refusal(message: String) -> Failure {
    Failure::Usage {
        message,
        hint: Some("repeat it with --force if that is what you want".to_owned()),
    }
}

/// Whether `after` brings `destination` below `bytes_per_sec` and `before` had it faster than that.
fn is_slower(before: &Policy, after: &Policy, destination: Destination, bytes_per_sec: u64) -> bool {
    let rate = |policy: &Policy| match policy.explain(destination).winner {
        Winner::Rule(rule) => rule.limit.map(|limit| limit.rate.bytes_per_sec()),
        _ => None,
    };
    let is_slow = |rate: u64| rate < bytes_per_sec;
    rate(after).is_some_and(|new| is_slow(new) && rate(before).is_none_or(|old| new < old))
}

/// Where the operator's SSH session comes from.
fn ssh_peer() -> Option<IpAddr> {
    let own = std::env::var("SSH_CONNECTION").ok();
    own.or_else(inherited)
        .and_then(|connection| connection.split(' ').next()?.parse().ok())
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
    use crate::config::{Config, RuleConfig, Source};

    fn policy(rules: &[(&str, &str)]) -> Policy {
        let rule = |(destination, rate): &(&str, &str)| RuleConfig::new(*destination, *rate, Source::Kept);
        Policy::try_from(&Config::of_rules(rules.iter().map(rule).collect())).unwrap()
    }

    fn is_refused(before: &[(&str, &str)], after: &[(&str, &str)]) -> bool {
        let peer = "203.0.113.7".parse().unwrap();
        is_slower(&policy(before), &policy(after), peer, MIN_SSH_BYTES_PER_SEC)
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
    }

    #[test]
    fn a_peer_that_is_slow_already_may_be_made_faster_but_not_slower() {
        assert!(!is_refused(&[("any", "64kbit")], &[("any", "128kbit")]));
        assert!(!is_refused(&[("any", "64kbit")], &[("any", "64kbit")]));
        assert!(is_refused(&[("any", "64kbit")], &[("any", "32kbit")]));
    }
}
