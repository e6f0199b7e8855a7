//! From what was seen to what is said and done about it. Pure: each look is compared with the one before, so an
//! event that was missed is made up for by the next look.

use std::collections::BTreeMap;
use std::time::Duration;

use super::observation::{Observation, Seen, Standing};
use super::retry::Retry;
use crate::view::event::{Event, Kind};

/// What to do now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repair {
    /// Interfaces to attach to; none, if only the books are to be brought up to date.
    pub interfaces: Vec<String>,
}

/// How one interface was, last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Health {
    is_repairable: bool,
    problems: Vec<(String, String)>,
    retry: Retry,
    last_failure: Option<String>,
}

/// What is remembered from look to look.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// `None`: nobody has looked.
    standing: Option<Standing>,
    is_outdated: bool,
    books: Retry,
    interfaces: BTreeMap<String, Health>,
}

impl State {
    /// Takes in what was seen; what there is to say about it.
    pub fn look(&mut self, seen: &Observation) -> Vec<Event> {
        let mut events = Vec::new();
        if self.standing.as_ref() != Some(&seen.standing) {
            events.push(seen.standing.event());
            self.standing = Some(seen.standing.clone());
        }
        self.is_outdated = seen.is_outdated;
        let mut before = std::mem::take(&mut self.interfaces);
        for interface in &seen.interfaces {
            let mut health = before.remove(&interface.name).unwrap_or_default();
            events.extend(health.look(interface));
            self.interfaces.insert(interface.name.clone(), health);
        }
        events
    }

    /// What to do about it at `now`, if anything.
    #[must_use]
    pub fn repair(&self, now: Duration) -> Option<Repair> {
        if !self.is_up() {
            return None;
        }
        let due = self
            .interfaces
            .iter()
            .filter(|(_, health)| health.is_repairable && health.retry.is_due(now));
        let interfaces: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        let is_due = !interfaces.is_empty() || (self.is_outdated && self.books.is_due(now));
        is_due.then_some(Repair { interfaces })
    }

    /// `interface` was to be repaired, and there was nothing to do: a command was faster, or we do not see what is wrong.
    pub fn needless(&mut self, interface: &str, now: Duration) {
        if let Some(health) = self.interfaces.get_mut(interface)
            && !health.problems.is_empty()
        {
            health.retry.failed(now);
        }
    }

    /// `interface` was repaired, `how` says by what. It may have been seen in good order before this is known.
    pub fn repaired(&mut self, interface: &str, how: &str, now: Duration) -> Vec<Event> {
        let Some(health) = self.interfaces.get_mut(interface) else {
            return Vec::new();
        };
        health.last_failure = None;
        let mut events = vec![Event::new(Kind::Repaired, how, "").on(interface)];
        if health.retry.repaired(now) {
            events.push(
                Event::new(
                    Kind::Contested,
                    "somebody undoes each repair; waiting before the next",
                    "see who changes it: `tc monitor`, `shaper doctor`",
                )
                .on(interface),
            );
        }
        events
    }

    /// `interface` could not be repaired. The same reason is given once.
    pub fn failed(&mut self, interface: &str, why: &str, remedy: &str, now: Duration) -> Option<Event> {
        let health = self.interfaces.get_mut(interface)?;
        health.retry.failed(now);
        if health.last_failure.as_deref() == Some(why) {
            return None;
        }
        health.last_failure = Some(why.to_owned());
        Some(Event::new(Kind::RepairFailed, why, remedy).on(interface))
    }

    /// The books were brought up to date, or could not be.
    pub fn updated(&mut self, is_done: bool, now: Duration) {
        if is_done {
            // Whoever renames interfaces without end is not in a fight with us.
            self.books = Retry::default();
        } else {
            self.books.failed(now);
        }
    }

    /// Whether shaper was up when last looked at.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.standing == Some(Standing::Up)
    }

    /// How things are, in a few words.
    #[must_use]
    pub fn summary(&self) -> String {
        match &self.standing {
            None | Some(Standing::Down) => "shaper is not up".to_owned(),
            Some(Standing::Other { what, .. }) => what.clone(),
            Some(Standing::Up) => {
                let (n_interfaces, n_bad) = self.counts();
                format!("{n_interfaces} interfaces, {n_bad} degraded")
            }
        }
    }

    /// How many interfaces there are, and how many of them have a problem.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let is_bad = |health: &&Health| !health.problems.is_empty();
        (
            self.interfaces.len(),
            self.interfaces.values().filter(is_bad).count(),
        )
    }
}

impl Health {
    fn look(&mut self, seen: &Seen) -> Vec<Event> {
        let is_new = |problem: &&(String, String)| !self.problems.contains(problem);
        let mut events: Vec<Event> = seen
            .problems
            .iter()
            .filter(is_new)
            .map(|(what, remedy)| Event::new(Kind::Degraded, what, remedy).on(&seen.name))
            .collect();
        if seen.problems.is_empty() && !self.problems.is_empty() {
            self.last_failure = None;
            events.push(Event::new(Kind::Restored, "everything is in place again", "").on(&seen.name));
        }
        self.problems.clone_from(&seen.problems);
        self.is_repairable = seen.is_repairable;
        events
    }
}

#[cfg(test)]
mod tests;
