//! The same change on several servers at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Scene;

/// Most of the time a change waits for the kernel, so more than there are processors.
const N_SCENES: usize = 8;

/// How much of what could be tried is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// Of refusals something of each sort, of kills all that can differ from each other.
    Sample,
    /// All that can differ from each other.
    EveryCall,
    /// All.
    BruteForce,
}

impl Thoroughness {
    /// As the environment says.
    #[must_use]
    pub fn wanted() -> Self {
        if std::env::var_os("SHAPER_BRUTE_FORCE").is_some() {
            Self::BruteForce
        } else if std::env::var_os("SHAPER_EVERY_CALL").is_some() {
            Self::EveryCall
        } else {
            Self::Sample
        }
    }
}

/// Does `work` with each item, on a server of its sort that `work` leaves as it finds it, and that has seen items of no other sort.
/// Returns what `work` had to complain of.
///
/// # Panics
///
/// If `work` does.
pub fn on_scenes<T: Sync>(
    items: &[(usize, T)],
    make: impl Fn(usize) -> Scene + Sync,
    work: impl Fn(&Scene, usize, &T) -> Vec<String> + Sync,
) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    let take_turns = || {
        let mut present: Option<(Scene, usize)> = None;
        while let Some((sort, item)) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if present.as_ref().is_some_and(|(_, prepared)| prepared != sort) {
                present = None;
            }
            let (scene, _) = present.get_or_insert_with(|| (make(*sort), *sort));
            let found = work(scene, *sort, item);
            if !found.is_empty() {
                // What is wrong with it would be found again and again.
                present = None;
            }
            complaints.lock().unwrap().extend(found);
        }
    };
    thread::scope(|scope| {
        for _ in 0..N_SCENES.min(items.len()) {
            scope.spawn(take_turns);
        }
    });
    complaints.into_inner().unwrap()
}
