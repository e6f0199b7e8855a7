//! When to try again: soon after the first failure, rarely after many, and not in step with a tool that undoes every
//! repair at once. Pure; times since an arbitrary start.

use std::time::Duration;

/// The first wait.
const SHORTEST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(1);
/// So many repairs of one interface within [`WINDOW`] are a fight with somebody.
const MOST_REPAIRS: usize = 5;
const WINDOW: Duration = Duration::from_secs(30);

/// The repairs of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    n_failures: u32,
    not_before: Duration,
    /// Repairs that succeeded, lately.
    repairs: Vec<Duration>,
}

impl Retry {
    /// Whether it may be tried at `now`.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.not_before
    }

    /// It was tried in vain.
    pub fn failed(&mut self, now: Duration) {
        let wait = SHORTEST.saturating_mul(1 << self.n_failures.min(10)).min(LONGEST);
        self.n_failures += 1;
        self.not_before = now + wait;
    }

    /// It was repaired. `true` if that happens so often that somebody must be undoing it; then the next repair waits.
    pub fn repaired(&mut self, now: Duration) -> bool {
        self.n_failures = 0;
        self.repairs.retain(|past| now.saturating_sub(*past) < WINDOW);
        self.repairs.push(now);
        let is_fight = self.repairs.len() >= MOST_REPAIRS;
        if is_fight {
            self.repairs.clear();
            self.not_before = now + WINDOW;
        }
        is_fight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_a_minute() {
        let mut retry = Retry::default();
        assert!(retry.is_due(at(0)));
        retry.failed(at(0));
        assert!(!retry.is_due(at(499)) && retry.is_due(at(500)));
        retry.failed(at(500));
        assert!(!retry.is_due(at(1499)) && retry.is_due(at(1500)));
        for _ in 0..100 {
            retry.failed(at(0));
        }
        assert!(!retry.is_due(at(59_999)) && retry.is_due(at(60_000)));
        assert!(!retry.repaired(at(60_000)));
        retry.failed(at(60_000));
        assert!(retry.is_due(at(60_500)));
    }

    #[test]
    fn the_fifth_repair_in_half_a_minute_is_a_fight() {
        let mut retry = Retry::default();
        for n in 0..4 {
            assert!(!retry.repaired(at(n * 1000)));
        }
        assert!(retry.is_due(at(4000)) && retry.repaired(at(4000)));
        assert!(!retry.is_due(at(33_999)) && retry.is_due(at(34_000)));
        // Rare repairs are none.
        let mut rare = Retry::default();
        assert!((0..100).all(|n| !rare.repaired(at(n * 10_000))));
    }
}
