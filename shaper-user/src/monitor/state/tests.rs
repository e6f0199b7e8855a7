//! What the monitor says, and when.

use super::*;

fn good(name: &str) -> Seen {
    Seen {
        name: name.to_owned(),
        ..Seen::default()
    }
}

fn bad(name: &str, what: &str, is_repairable: bool) -> Seen {
    Seen {
        name: name.to_owned(),
        is_repairable,
        problems: vec![(what.to_owned(), String::new())],
    }
}

fn up(interfaces: &[Seen]) -> Observation {
    Observation {
        standing: Standing::Up,
        interfaces: interfaces.to_vec(),
        is_outdated: false,
    }
}

fn kinds(events: &[Event]) -> Vec<Kind> {
    events.iter().map(|event| event.kind).collect()
}

const START: Duration = Duration::ZERO;

#[test]
fn what_stays_as_it_is_is_said_once() {
    let mut state = State::default();
    assert_eq!(kinds(&state.look(&up(&[good("eth0")]))), [Kind::Up]);
    assert_eq!(state.look(&up(&[good("eth0")])), []);
    let sick = up(&[bad("eth0", "no fq", true)]);
    assert_eq!(kinds(&state.look(&sick)), [Kind::Degraded]);
    assert_eq!(state.look(&sick), []);
    assert_eq!(state.counts(), (1, 1));
    assert_eq!(
        kinds(&state.look(&up(&[bad("eth0", "other", false)]))),
        [Kind::Degraded]
    );
    assert_eq!(kinds(&state.look(&up(&[good("eth0")]))), [Kind::Restored]);
    assert_eq!(kinds(&state.look(&Observation::default())), [Kind::Down]);
}

#[test]
fn only_what_can_be_repaired_is_tried_and_only_while_up() {
    let mut state = State::default();
    assert_eq!(state.repair(START), None);
    let mut seen = up(&[good("a"), bad("b", "no fq", true), bad("c", "gone", false)]);
    state.look(&seen);
    let repair = Repair {
        interfaces: vec!["b".to_owned()],
    };
    assert_eq!(state.repair(START), Some(repair));
    seen.standing = Standing::Down;
    state.look(&seen);
    assert_eq!(state.repair(START), None);
}

#[test]
fn another_version_that_goes_on_is_degraded_and_not_down() {
    let mut state = State::default();
    let other = Observation {
        standing: Standing::Other {
            what: "of another version".to_owned(),
            remedy: String::new(),
        },
        ..Observation::default()
    };
    assert_eq!(kinds(&state.look(&other)), [Kind::Degraded]);
    assert_eq!(state.look(&other), []);
    assert_eq!((state.is_up(), state.repair(START)), (false, None));
    assert_eq!(state.summary(), "of another version");
    assert_eq!(kinds(&state.look(&up(&[]))), [Kind::Up]);
    assert_eq!(state.summary(), "0 interfaces, 0 degraded");
}

#[test]
fn a_failure_is_said_once_and_retried_later() {
    let mut state = State::default();
    state.look(&up(&[bad("b", "no fq", true)]));
    let said = state
        .failed("b", "htb stands there", "", START)
        .map(|event| event.kind);
    assert_eq!(said, Some(Kind::RepairFailed));
    assert_eq!(state.repair(Duration::from_millis(499)), None);
    assert!(state.repair(Duration::from_millis(500)).is_some());
    assert_eq!(state.failed("b", "htb stands there", "", START), None);
    assert!(state.failed("b", "another reason", "", START).is_some());
}

#[test]
fn one_interface_that_cannot_be_repaired_does_not_delay_another() {
    let mut state = State::default();
    state.look(&up(&[bad("a", "x", true), bad("b", "x", true)]));
    state.failed("a", "why", "", START);
    assert_eq!(state.repair(START).unwrap().interfaces, ["b"]);
}

#[test]
fn a_fight_is_named_and_then_waited_out() {
    let mut state = State::default();
    state.look(&up(&[bad("a", "x", true)]));
    for _ in 0..4 {
        assert_eq!(kinds(&state.repaired("a", "fq", START)), [Kind::Repaired]);
    }
    let last = state.repaired("a", "fq", START);
    assert_eq!(kinds(&last), [Kind::Repaired, Kind::Contested]);
    assert_eq!(state.repair(START), None);
}

#[test]
fn a_repair_counts_although_its_effect_was_seen_before_its_end() {
    let mut state = State::default();
    for _ in 0..4 {
        state.look(&up(&[bad("a", "x", true)]));
        state.look(&up(&[good("a")]));
        assert_eq!(kinds(&state.repaired("a", "fq", START)), [Kind::Repaired]);
    }
    assert_eq!(state.repaired("a", "fq", START).len(), 2);
    assert_eq!(state.repaired("gone", "fq", START), []);
}

#[test]
fn what_stays_wrong_although_there_is_nothing_to_do_is_tried_less_often() {
    let mut state = State::default();
    state.look(&up(&[bad("a", "x", true)]));
    state.needless("a", START);
    assert_eq!(state.repair(START), None);
    assert!(state.repair(Duration::from_millis(500)).is_some());
    // A command that was faster costs nothing.
    let mut state = State::default();
    state.look(&up(&[good("a")]));
    state.needless("a", START);
    state.look(&up(&[bad("a", "x", true)]));
    assert!(state.repair(START).is_some());
}

#[test]
fn a_renamed_interface_is_followed_although_nothing_is_wrong() {
    let mut state = State::default();
    let mut seen = up(&[good("a")]);
    seen.is_outdated = true;
    state.look(&seen);
    assert_eq!(state.repair(START), Some(Repair::default()));
    state.updated(false, START);
    assert_eq!(state.repair(START), None);
    state.updated(true, START);
    assert_eq!(state.repair(START), Some(Repair::default()));
}
