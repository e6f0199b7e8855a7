//! What has had its time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::super::trial::LONGEST_TRIAL;
use crate::config::{Config, RuleConfig};
use crate::policy::Deadline;

/// The wall clock, since 1970.
pub(crate) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The wall clock, in whole seconds.
pub(crate) fn now() -> Deadline {
    Deadline(wall_clock().as_secs())
}

/// Whether a change on trial with this deadline is to be taken back: its time is over, or further away than any trial
/// lasts, because the clock was set back.
pub(crate) fn is_due(deadline_unix_secs: u64) -> bool {
    let deadline = Deadline(deadline_unix_secs);
    deadline.is_over(now()) || deadline > Deadline::after(wall_clock(), LONGEST_TRIAL)
}

/// `config` without the rules whose deadline has passed.
pub(crate) fn in_time(mut config: Config) -> Config {
    let now = now();
    config.rules.retain(|rule| !has_ended(rule, now));
    config.aside.retain(|rule| !has_ended(rule, now));
    config
}

/// Whether the deadline of `rule` has passed.
pub(crate) fn has_ended(rule: &RuleConfig, now: Deadline) -> bool {
    Deadline::of(rule).is_some_and(|deadline| deadline.is_over(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_trial_is_not_due_when_it_begins_and_a_longer_one_is() {
        let deadline = Deadline::after(wall_clock(), LONGEST_TRIAL);
        assert!(!is_due(deadline.0));
        assert!(is_due(deadline.0 + 60));
        assert!(is_due(now().0));
    }
}
