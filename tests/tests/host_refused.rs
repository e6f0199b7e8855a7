//! Whatever the kernel refuses of a change, nothing was changed and the error says what was refused; or it was done all the
//! same. Needs root.
//!
//! Every call about bpf, the network or a file can be refused: one that changes something with each of a few errors that it
//! can give, one that looks with one of them after the other, as all that fails there is noticed in one place. Of many reads
//! of one file the first and the last are. A request to the network is also answered with an error. Here the first and the last call of each sort are; with `SHAPER_EVERY_CALL`
//! set, all of them; with `SHAPER_BRUTE_FORCE`, all of them with everything that any of them can give.

use std::collections::BTreeMap;

use shaper_tests::scene::changes::{
    APPLY, EXEMPT, PRUNE, RELOAD, RELOAD_ALL, RESIZE, SET, SET_AGAIN, SET_FOR_CLIENTS, SET_NAMED,
};
use shaper_tests::scene::{Change, Scene, Settled, Thoroughness, is_same, on_scenes};
use shaper_tests::trace::{ALL_ERRNOS, ANSWERS, Call, Ended, Place};
use shaper_tests::visible::Sight;

/// A call that is to be refused.
struct Refusal {
    place: Place,
    errno: i32,
    way: Way,
}

/// How it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The call is not carried out.
    NotDone,
    /// It is, but says that something went wrong.
    Done,
    /// What it sends is answered with an error.
    Answered,
}

/// What is to be found before and after a change.
struct Known {
    old: Settled,
    new: Settled,
    refusals: Vec<Refusal>,
}

/// Goes through a change call by call.
fn watch(scene: &Scene, change: &Change) -> Known {
    let old = scene.settled();
    let mut calls: Vec<(Call, Place)> = Vec::new();
    let mut traced = scene.start(&change.there);
    let mut has_begun = false;
    while let Some((call, place)) = traced.next_call() {
        // Before that the C library and Rust's make themselves ready, and open only files of their own.
        has_begun |= traced
            .path(&call)
            .is_some_and(|path| scene.is_one_of_its_files(&path));
        if has_begun && !call.errnos().is_empty() {
            calls.push((call, place));
        }
    }
    let refusals = refusals(&calls);
    let ended = traced.finish();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let new = scene.settled();
    scene.take(&change.back);
    assert_eq!(scene.settled().difference(&old), None);
    Known { old, new, refusals }
}

/// With what the calls are refused.
fn refusals(calls: &[(Call, Place)]) -> Vec<Refusal> {
    let thoroughness = Thoroughness::wanted();
    let mut of_sort: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (call, _)) in calls.iter().enumerate() {
        of_sort.entry(call.to_string()).or_default().push(index);
    }
    let is_sample = |call: &Call, index: usize| {
        let same = &of_sort[&call.to_string()];
        same.first() == Some(&index) || same.last() == Some(&index)
    };
    let mut refusals = Vec::new();
    for (index, (call, place)) in calls.iter().enumerate() {
        let is_amidst = index > 0
            && call.reads_on(&calls[index - 1].0)
            && calls.get(index + 1).is_some_and(|(next, _)| next.reads_on(call));
        // The kernel has nothing to say against closing a directory, and the standard library ends the process if it did.
        let earlier = calls[..index].iter().rev().map(|(earlier, _)| earlier);
        let is_directory = earlier
            .take_while(|earlier| !call.closes_again(earlier))
            .any(|earlier| call.closes_listed(earlier));
        if is_directory {
            continue;
        }
        let few = call.errnos();
        let one = &few[index % few.len()..][..1];
        let errnos: &[i32] = match thoroughness {
            Thoroughness::BruteForce => &ALL_ERRNOS,
            _ if is_amidst => &[],
            Thoroughness::Sample if is_sample(call, index) => one,
            Thoroughness::Sample => &[],
            Thoroughness::EveryCall if call.only_looks() => one,
            Thoroughness::EveryCall => few,
        };
        let refusal = |errno: &i32, way| Refusal {
            place: place.clone(),
            errno: *errno,
            way,
        };
        let way = if call.closes() { Way::Done } else { Way::NotDone };
        refusals.extend(errnos.iter().map(|errno| refusal(errno, way)));
        if call.sends() {
            let answers = match thoroughness {
                Thoroughness::Sample => &ANSWERS[index % ANSWERS.len()..][..1],
                Thoroughness::EveryCall | Thoroughness::BruteForce => &ANSWERS,
            };
            refusals.extend(answers.iter().map(|errno| refusal(errno, Way::Answered)));
        }
    }
    refusals
}

/// How often a call is looked for that is not made each time: how many parts a dump of the kernel's has, say, is up to
/// the kernel.
const MAX_TRIES: u32 = 5;

/// Takes the step with one call refused; what is wrong with how it ended.
fn refuse(scene: &Scene, change: &Change, known: &Known, refusal: &Refusal) -> Vec<String> {
    for _ in 0..MAX_TRIES {
        let before = scene.eye.look();
        let mut traced = scene.start(&change.there);
        let is_there = traced.run_to(&refusal.place);
        if is_there {
            match refusal.way {
                Way::NotDone => traced.refuse(refusal.errno),
                Way::Done => traced.deny(refusal.errno),
                Way::Answered => traced.answer(refusal.errno),
            }
        }
        let ended = traced.finish();
        let Refusal { place, errno, way } = refusal;
        let error = std::io::Error::from_raw_os_error(*errno);
        let mut complaints = judge(scene, change, known, &before, &ended);
        for complaint in &mut complaints {
            *complaint = format!("{place} refused with {error} ({way:?}, {is_there}): {complaint}");
        }
        if is_there || !complaints.is_empty() {
            return complaints;
        }
    }
    vec![format!("{} was not made again", refusal.place)]
}

/// What is wrong with how a step ended, one of whose calls was refused.
fn judge(scene: &Scene, change: &Change, known: &Known, before: &Sight, ended: &Ended) -> Vec<String> {
    let mut complaints = Vec::new();
    let is_refused = matches!(ended.code, Some(code) if code != 0);
    if is_refused && ended.is_clear() && scene.eye.look().is_the_same(before) {
        return complaints;
    }
    let settled = scene.settled();
    if ended.code == Some(0) {
        // There was another way, or it was in force and there was only left to tidy up, which the next change does.
        if !is_same(settled.policy.as_ref(), known.new.policy.as_ref()) {
            complaints.push(format!(
                "it says that it is done, but there is {:?}",
                settled.policy
            ));
        }
    } else {
        if !ended.is_clear() {
            complaints.push(format!("an unclear end: {ended:?}"));
        }
        if let Some(difference) = settled.difference(&known.old) {
            complaints.push(format!("{ended:?}, but {difference}"));
        }
    }
    if settled != known.old {
        complaints.extend(scene.go_on(&change.back, &known.old));
    }
    complaints
}

fn refuse_everything(changes: &[Change]) {
    let known: Vec<Known> = changes
        .iter()
        .map(|change| watch(&Scene::before(change), change))
        .collect();
    let mut refusals = Vec::new();
    for (index, known) in known.iter().enumerate() {
        let n_refusals = known.refusals.len();
        println!("{:?}: {n_refusals} refusals", changes[index].there.command);
        assert!(n_refusals > 20, "calls were lost");
        refusals.extend(known.refusals.iter().map(|refusal| (index, refusal)));
    }
    let complaints = on_scenes(
        &refusals,
        |index| Scene::before(&changes[index]),
        |scene, index, refusal| refuse(scene, &changes[index], &known[index], refusal),
    );
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn apply_refused_at_any_call_changes_nothing_and_says_why() {
    refuse_everything(&[APPLY, APPLY.reversed(), PRUNE]);
}

#[test]
fn apply_with_another_number_of_clients_refused_at_any_call_changes_nothing_and_says_why() {
    refuse_everything(&[RESIZE]);
}

#[test]
fn set_refused_at_any_call_changes_nothing_and_says_why() {
    refuse_everything(&[SET, SET_AGAIN, SET_FOR_CLIENTS]);
}

#[test]
fn unset_refused_at_any_call_changes_nothing_and_says_why() {
    refuse_everything(&[SET.reversed(), SET_FOR_CLIENTS.reversed(), SET_NAMED.reversed()]);
}

#[test]
fn exempt_refused_at_any_call_changes_nothing_and_says_why() {
    refuse_everything(&[EXEMPT]);
}

#[test]
fn reload_refused_at_any_call_changes_nothing_and_says_why() {
    refuse_everything(&[RELOAD, RELOAD.reversed(), RELOAD_ALL]);
}
