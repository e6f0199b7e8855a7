//! A change, killed at every moment that can differ from the others.
//!
//! A process that is killed before a call leaves what is to be seen at that moment, and nothing else: what only its
//! memory, its descriptors and its locks hold goes with it. So the command is stopped before *every* call, and it is looked at
//! what is to be seen. As long as nothing of it has changed since the call before, being killed here is being killed
//! there. Where something has, it is killed; with `SHAPER_BRUTE_FORCE` set, before every call.

use shaper_user::policy::tables::Tables;

use super::{Change, Scene, Settled, Thoroughness, on_scenes};
use crate::trace::Place;
use crate::visible::Sight;

/// What is to be found before and after a change.
struct Known {
    old: Settled,
    new: Settled,
    /// What is in force while a change is on trial.
    tried: Option<Tables>,
    /// Calls before which the command is to be killed.
    moments: Vec<Place>,
    n_calls: usize,
}

impl Known {
    /// Whether one may find this in force.
    fn allows(&self, found: Option<&Tables>) -> bool {
        [&self.old.policy, &self.new.policy, &self.tried]
            .into_iter()
            .take(if self.tried.is_some() { 3 } else { 2 })
            .any(|policy| is_same(policy.as_ref(), found))
    }
}

/// Whether both say the same; the maximum of clients follows the policy.
#[must_use]
pub fn is_same(a: Option<&Tables>, b: Option<&Tables>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.entries() == b.entries() && a.groups == b.groups && a.ports == b.ports,
        (None, None) => true,
        _ => false,
    }
}

/// Goes through a change call by call.
fn watch(scene: &Scene, change: &Change) -> Known {
    let is_brute = Thoroughness::wanted() == Thoroughness::BruteForce;
    let tried = change.there.for_good().and_then(|step| {
        scene.take(&step);
        let tried = scene.in_force();
        scene.take(&change.back);
        tried
    });
    let old = scene.settled();
    let mut moments = Vec::new();
    let mut policies: Vec<Option<Tables>> = Vec::new();
    let mut traced = scene.start(&change.there);
    let mut n_calls = 0;
    let mut before = Sight::default();
    while let Some((_, place)) = traced.next_call() {
        n_calls += 1;
        let now = scene.eye.look();
        if now != before {
            let policy = scene.in_force();
            if policies.last() != Some(&policy) {
                policies.push(policy);
            }
        }
        if now != before || is_brute {
            moments.push(place);
        }
        before = now;
    }
    let ended = traced.finish();
    assert_eq!(ended.code, change.there.code(), "{}", ended.stderr);
    let new = scene.settled();
    scene.take(&change.back);
    assert_eq!(scene.settled().difference(&old), None);
    let known = Known {
        old,
        new,
        tried,
        moments,
        n_calls,
    };
    // Whoever reads the policy while it changes is told one of those as well.
    for policy in policies {
        let is_known = known.allows(policy.as_ref());
        assert!(is_known, "neither the old policy nor the new one: {policy:?}");
    }
    known
}

/// Kills the command at `moment`. What is in force must be the old policy or the new one, and whatever is done next must
/// lead to where it leads.
fn kill(scene: &Scene, change: &Change, known: &Known, moment: &Place) -> Vec<String> {
    let mut complaints = Vec::new();
    // In this order nothing has to be taken back after the second.
    for (next, wanted) in [(&change.there, &known.new), (&change.back, &known.old)] {
        let mut traced = scene.start(&change.there);
        let is_there = traced.run_to(moment);
        drop(traced);
        let mut complain = |what: String| complaints.push(format!("killed before {moment}: {what}"));
        if !is_there {
            complain("it had ended before".to_owned());
        }
        let found = scene.in_force();
        if !known.allows(found.as_ref()) {
            complain(format!("neither the old policy nor the new one: {found:?}"));
        }
        scene.end_time_for_trial();
        scene.go_on(next, wanted).into_iter().for_each(&mut complain);
        if next.command == change.there.command {
            scene.take(&change.back);
        }
    }
    complaints
}

/// Kills each of `changes` at each of its moments, and looks at what becomes of it.
///
/// # Panics
///
/// If something is wrong with it.
pub fn kill_everywhere(changes: &[Change]) {
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
    let complaints = on_scenes(
        &moments,
        |index| Scene::before(&changes[index]),
        |scene, index, moment| kill(scene, &changes[index], &known[index], moment),
    );
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
