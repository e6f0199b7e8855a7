//! A change that is killed before any of its system calls leaves the old policy or the new one, and the next command finds
//! nothing in its way. Needs root.
//!
//! A process that is killed before a call leaves what is to be seen at that moment, and nothing else: what only its
//! memory, its descriptors and its locks hold goes with it. So the command is stopped before *every* call, and it is looked at
//! what is to be seen. As long as nothing of it has changed since the call before, being killed here is being killed
//! there. Where something has, it is killed: here at the first and the last of these moments before a call of each sort,
//! with `SHAPER_EVERY_CALL` set at all of them, with `SHAPER_BRUTE_FORCE` before every call.

use std::collections::BTreeMap;

use shaper_tests::scene::changes::{APPLY, RELOAD, RELOAD_ALL, RESIZE, SET, SET_AGAIN, SET_FOR_CLIENTS};
use shaper_tests::scene::{Change, Scene, Settled, Thoroughness, on_scenes};
use shaper_tests::trace::Place;
use shaper_tests::visible::Sight;
use shaper_user::policy::tables::Tables;

/// A call before which the command is to be killed.
struct Moment {
    place: Place,
    /// What the call is, whatever it is about.
    sort: String,
}

/// What is to be found before and after a change.
struct Known {
    old: Settled,
    new: Settled,
    moments: Vec<Moment>,
    n_calls: usize,
}

/// Whether both say the same; the maximum of clients follows the policy.
fn is_same(a: &Tables, b: &Tables) -> bool {
    a.entries() == b.entries() && a.groups == b.groups && a.ports == b.ports
}

/// Goes through a change call by call.
fn watch(scene: &Scene, change: &Change) -> Known {
    let thoroughness = Thoroughness::wanted();
    let old = scene.settled();
    let mut moments = Vec::new();
    let mut policies: Vec<Tables> = Vec::new();
    let mut traced = scene.start(&change.there);
    let (mut n_calls, mut n_sent) = (0, 0);
    let mut before = (Sight::default(), 0);
    while let Some((call, place)) = traced.next_call() {
        n_calls += 1;
        // What the network knows is not looked at: whatever is sent to it may have changed something.
        let now = (scene.eye.look(), n_sent);
        n_sent += u32::from(call.sends());
        let is_other = now != before;
        if is_other {
            let policy = scene.policy();
            if policies.last() != Some(&policy) {
                policies.push(policy);
            }
        }
        if is_other || thoroughness == Thoroughness::BruteForce {
            let sort = call.to_string();
            moments.push(Moment { place, sort });
        }
        before = now;
    }
    let ended = traced.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let new = scene.settled();
    // Whoever reads the policy while it changes is told one of the two as well.
    for policy in policies {
        assert!(
            is_same(&policy, &old.policy) || is_same(&policy, &new.policy),
            "neither the old policy nor the new one: {policy:?}"
        );
    }
    scene.take(&change.back);
    assert_eq!(scene.settled().difference(&old), None);
    if thoroughness == Thoroughness::Sample {
        moments = sample(moments);
    }
    Known {
        old,
        new,
        moments,
        n_calls,
    }
}

/// The first and the last before a call of each sort.
fn sample(moments: Vec<Moment>) -> Vec<Moment> {
    let mut of_sort: BTreeMap<String, Vec<Moment>> = BTreeMap::new();
    for moment in moments {
        let same = of_sort.entry(moment.sort.clone()).or_default();
        same.truncate(1);
        same.push(moment);
    }
    of_sort.into_values().flatten().collect()
}

/// Kills the command at `moment`. What is in force must be the old policy or the new one, and `next` must lead to
/// `wanted`.
fn kill(scene: &Scene, change: &Change, known: &Known, moment: &Moment) -> Vec<String> {
    let mut complaints = Vec::new();
    for (next, wanted) in [(&change.there, &known.new), (&change.back, &known.old)] {
        let mut traced = scene.start(&change.there);
        let is_there = traced.run_to(&moment.place);
        drop(traced);
        let mut complain = |what: String| complaints.push(format!("killed before {}: {what}", moment.place));
        if !is_there {
            complain("it had ended before".to_owned());
        }
        let found = scene.policy();
        if !is_same(&found, &known.old.policy) && !is_same(&found, &known.new.policy) {
            complain(format!("neither the old policy nor the new one: {found:?}"));
        }
        let ended = scene.try_to_take(next);
        if ended.code != Some(0) || ended.stderr.contains("damaged") {
            complain(format!("then {:?} ended with {ended:?}", next.command));
        }
        if let Some(difference) = scene.settled().difference(wanted) {
            complain(format!("then {:?} left {difference}", next.command));
        }
        scene.take(&change.back);
    }
    complaints
}

fn kill_everywhere(changes: &[Change]) {
    let known: Vec<Known> = changes
        .iter()
        .map(|change| watch(&Scene::before(change), change))
        .collect();
    let mut moments = Vec::new();
    for (index, known) in known.iter().enumerate() {
        let n_moments = known.moments.len();
        println!(
            "{:?}: {n_moments} moments of {} calls",
            changes[index].there.command, known.n_calls
        );
        assert!(n_moments > 5, "a change that changes nothing");
        moments.extend(known.moments.iter().map(|moment| (index, moment)));
    }
    let complaints = on_scenes(&moments, changes, |scene, index, moment| {
        kill(scene, &changes[index], &known[index], moment)
    });
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn apply_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[APPLY, APPLY.reversed()]);
}

#[test]
fn apply_with_another_number_of_clients_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[RESIZE, RESIZE.reversed()]);
}

#[test]
fn set_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[SET, SET_AGAIN, SET_FOR_CLIENTS]);
}

#[test]
fn unset_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[SET.reversed(), SET_FOR_CLIENTS.reversed()]);
}

#[test]
fn reload_leaves_one_of_two_policies_wherever_it_is_killed() {
    kill_everywhere(&[RELOAD, RELOAD.reversed(), RELOAD_ALL]);
}
