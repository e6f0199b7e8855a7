//! A command that changes queues, killed around each change of a queue or hook, or refused it: what is left is either in
//! force or called degraded, the next command finds nothing in its way, and `down` brings back what was found.
//!
//! Every other moment and refusal is `host_crash`'s and `host_refused`'s, on interfaces that have no queues.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use shaper_tests::lab::{Release, bpf};
use shaper_tests::scene::trips::{
    ADD, DOWN, DOWN_TO_DEFAULTS, DOWN_TO_THEIRS, Known, RELOAD_FOR_MORE, REMOVE, SET_MORE, Trip,
    UP_ON_DEFAULTS, UP_ON_THEIRS,
};
use shaper_tests::scene::{Scene, Settled, Step, is_same, on_scenes};
use shaper_tests::trace::{ANSWERS, Ended, Place};

/// What `status` calls healthy has to be one policy, on all that it is for.
fn question(scene: &Scene, trip: &Trip, known: &Known) -> Option<String> {
    let status = Step {
        command: &["status", "--brief"],
        ..trip.there
    };
    let ended = scene.try_to_take(&status);
    let settled = scene.settled();
    let is_in_force = |known: &Settled| {
        let policy = known.policy.as_ref();
        policy.is_some() && is_same(policy, settled.policy.as_ref()) && settled.enforces(known)
    };
    match ended.code {
        Some(0) if is_in_force(&known.old) || is_in_force(&known.new) => None,
        Some(0) => Some(format!("`status` calls {settled:?} healthy")),
        // Not up, or degraded.
        Some(6 | 7) => None,
        _ => Some(format!("`status` ended with {ended:?}")),
    }
}

/// Kills the command at `moment`, and goes on in every way there is.
fn kill(scene: &Scene, trip: &Trip, known: &Known, moment: &Place) -> Vec<String> {
    let mut complaints = Vec::new();
    for (step, end) in trip.ends {
        trip.prepare(scene);
        let mut traced = scene.start(&trip.there);
        if !traced.run_to(moment) {
            complaints.push("it had ended before".to_owned());
        }
        drop(traced);
        // Which may finish what was begun, so that it is asked in one of the ways only.
        if *step == DOWN {
            complaints.extend(question(scene, trip, known));
        }
        complaints.extend(scene.go_on(step, known.wanted(*end)));
        if *step != DOWN {
            complaints.extend(scene.go_on(&DOWN, &known.found));
        }
    }
    let told = |complaint| format!("{:?} killed before {moment}: {complaint}", trip.there.command);
    complaints.into_iter().map(told).collect()
}

/// How long requests are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    /// One of them.
    Once,
    /// All that follow, too: what was done cannot be undone.
    FromThenOn,
}

/// Lets the network refuse the command `request`.
fn refuse(
    scene: &Scene,
    trip: &Trip,
    known: &Known,
    request: &Place,
    refusal: (i32, Lasting),
) -> Vec<String> {
    let (errno, lasting) = refusal;
    trip.prepare(scene);
    let mut traced = scene.start(&trip.there);
    let is_there = traced.run_to(request);
    if is_there {
        traced.answer(errno);
    }
    while lasting == Lasting::FromThenOn
        && let Some((call, _)) = traced.next_call()
    {
        if traced.requests_a_change(&call) {
            traced.answer(errno);
        }
    }
    let ended = traced.finish();
    let judged = judge(trip, known, lasting, &scene.settled(), &ended);
    let mut complaints: Vec<String> = judged.into_iter().collect();
    if !is_there {
        complaints.push("it had ended before".to_owned());
    }
    if lasting == Lasting::FromThenOn {
        let (step, end) = &trip.ends[0];
        complaints.extend(scene.go_on(step, known.wanted(*end)));
    }
    complaints.extend(scene.go_on(&DOWN, &known.found));
    let error = std::io::Error::from_raw_os_error(errno);
    let told = |complaint| {
        format!(
            "{:?}, {request} answered with {error} ({lasting:?}): {complaint}",
            trip.there.command
        )
    };
    complaints.into_iter().map(told).collect()
}

/// What is wrong with how a command ended one of whose requests was refused.
fn judge(trip: &Trip, known: &Known, lasting: Lasting, settled: &Settled, ended: &Ended) -> Option<String> {
    if ended.code == Some(0) {
        // What is let go of once the policy is in force is not worth to take that back.
        let is_said = ended.stderr.contains("left fq on `eth0`");
        let is_done = settled.difference(&known.new).is_none();
        return (!is_said && !is_done).then(|| format!("it says that it is done: {ended:?}, {settled:?}"));
    }
    if !ended.is_clear() {
        return Some(format!("an unclear end: {ended:?}"));
    }
    let difference = if trip.before.is_empty() {
        settled.difference(&known.old)
    } else {
        settled.difference_but_room(&known.old)
    }?;
    let is_said = match lasting {
        // It goes as far as it can, and is told to.
        _ if trip.there == DOWN => true,
        Lasting::Once => false,
        Lasting::FromThenOn => ended.stderr.contains("could not be taken back"),
    };
    (!is_said).then(|| format!("{ended:?}, but {difference}"))
}

/// One test at a time, so that whatever is left in the kernel is its own.
static ALONE: Mutex<()> = Mutex::new(());

/// Does `work` with what `choose` finds in each of `trips`, each on as many servers as may work at once.
fn try_everywhere<T: Sync>(
    trips: &[&Trip],
    choose: impl Fn(&Known) -> Vec<T>,
    work: impl Fn(&Scene, &Trip, &Known, &T) -> Vec<String> + Sync,
) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let n_objects = bpf::n_objects();
    let begun = Instant::now();
    let known: Vec<Known> = thread::scope(|scope| {
        let watches: Vec<_> = trips.iter().map(|trip| scope.spawn(|| Known::of(trip))).collect();
        watches.into_iter().map(|watch| watch.join().unwrap()).collect()
    });
    let mut items = Vec::new();
    for (index, known) in known.iter().enumerate() {
        let chosen = choose(known);
        let n_chosen = chosen.len();
        println!("{:?}: {n_chosen} to try", trips[index].there.command);
        assert!(n_chosen > 1, "changes were not seen");
        items.extend(chosen.into_iter().map(|item| (index, item)));
    }
    println!("watched in {:?}", begun.elapsed());
    let complaints = on_scenes(
        &items,
        |index| Scene::on(&trips[index].ground),
        |scene, index, item| work(scene, trips[index], &known[index], item),
    );
    println!("{} tried in {:?}", items.len(), begun.elapsed());
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while bpf::n_objects() != n_objects && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(bpf::n_objects(), n_objects, "programs, maps, links");
}

fn kill_everywhere(trips: &[&Trip]) {
    try_everywhere(trips, |known| known.moments.clone(), kill);
}

#[test]
fn up_and_down_killed_around_any_change_of_a_queue_leave_nothing_in_the_way() {
    kill_everywhere(&[&UP_ON_THEIRS, &DOWN_TO_THEIRS]);
    // Hooks differ between kernels; a root of our own is the same on all of them, and each kill takes seconds.
    if Release::running() == Release::V6_12 {
        kill_everywhere(&[&UP_ON_DEFAULTS, &DOWN_TO_DEFAULTS]);
    }
}

#[test]
fn changes_killed_around_any_change_of_a_queue_leave_one_of_two_policies() {
    kill_everywhere(&[&RELOAD_FOR_MORE, &SET_MORE, &ADD, &REMOVE]);
}

#[test]
fn whatever_is_refused_of_queues_is_said_and_nothing_is_changed() {
    let trips = [
        &UP_ON_THEIRS,
        &DOWN_TO_THEIRS,
        &RELOAD_FOR_MORE,
        &SET_MORE,
        &ADD,
        &REMOVE,
    ];
    let choose = |known: &Known| {
        let requests = known.requests.iter().enumerate();
        let refusals = requests.flat_map(|(n, request)| {
            let errno = ANSWERS[n % ANSWERS.len()];
            [Lasting::Once, Lasting::FromThenOn].map(|lasting| (request.clone(), (errno, lasting)))
        });
        refusals.collect()
    };
    try_everywhere(&trips, choose, |scene, trip, known, (request, refusal)| {
        refuse(scene, trip, known, request, *refusal)
    });
}
