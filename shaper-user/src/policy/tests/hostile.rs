//! Hostile configurations, made from a seed: none makes us panic or hang, and every error names a place.

mod make;

use std::collections::HashSet;
use std::time::Duration;

use make::{Dice, KINDS, Kind, SOUND};

use super::super::tables::Tables;
use super::super::*;
use super::{Config, Path};
use crate::config::ConfigError;

/// What is wrong with it, if something is.
fn refusal(bytes: &[u8]) -> Option<ConfigError> {
    let config = match Config::load_from(Path::new("x.toml"), bytes) {
        Ok(config) => config,
        Err(error) => return Some(error),
    };
    match Policy::try_from(&config) {
        Ok(policy) => {
            let tables = Tables::from(&policy);
            assert!(policy.rules().len() <= config.rules.len());
            let _ = (FqNeeds::from(&tables), policy.explain(Destination::Any, None));
            None
        }
        Err(problems) => Some(ConfigError::Invalid {
            reports: problems
                .0
                .iter()
                .map(|problem| {
                    config.report(&problem.place, &problem.error.to_string(), problem.error.hint())
                })
                .collect(),
        }),
    }
}

fn names_a_place(error: &ConfigError) -> bool {
    let text = error.to_string();
    if let ConfigError::NotText { .. } = error {
        text.contains("on line")
    } else {
        let place = text.strip_prefix("x.toml:").unwrap_or_default();
        let mut numbers = place.split(':').take(2).map(str::parse::<usize>);
        matches!((numbers.next(), numbers.next()), (Some(Ok(1..)), Some(Ok(1..))))
    }
}

/// Of each kind, but for the two that take long to read.
const N_EACH: usize = 740;
const N_EACH_LARGE: usize = 150;
const MIN_DISTINCT: usize = 5_000;

/// Of one processor, for one configuration.
const MAX_TIME: Duration = Duration::from_secs(2);

/// `SHAPER_SEED`, or always the same.
fn seed() -> u64 {
    let seed = std::env::var("SHAPER_SEED").map(|seed| seed.parse().expect("SHAPER_SEED is a number"));
    // Zero makes nothing but zeros.
    seed.unwrap_or(0x5eed_cafe_u64).max(1)
}

/// Time that this thread has had a processor: what others do on the machine is none of it.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one `timespec`, which lives here.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(done, 0);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

#[test]
fn hostile_configurations_are_valid_or_refused_with_a_place() {
    let seed = seed();
    let (mut dice, mut slowest) = (Dice(seed), Duration::ZERO);
    let mut distinct = HashSet::new();
    for kind in KINDS {
        let is_large = matches!(kind, Kind::Deep | Kind::Huge);
        let n_made = if is_large { N_EACH_LARGE } else { N_EACH };
        let mut n_refused = 0;
        for turn in 0..n_made {
            let bytes = kind.make(&mut dice);
            let began = cpu_time();
            let refused = refusal(&bytes);
            let time = cpu_time().saturating_sub(began);
            slowest = slowest.max(time);
            let text = String::from_utf8_lossy(&bytes);
            let what = format!("SHAPER_SEED={seed}, {kind:?} {turn}");
            assert!(time < MAX_TIME, "{what} took {time:?}\n{text:.2000}");
            if let Some(error) = refused {
                n_refused += 1;
                assert_is_of_use(&error, &text, &what);
            } else {
                assert!(!kind.is_always_refused(), "{what} is valid\n{text:.2000}");
            }
            distinct.insert(bytes);
        }
        println!("{kind:?}: {n_refused} of {n_made} refused (SHAPER_SEED={seed})");
        assert!(
            n_refused > n_made / 4,
            "{kind:?}: {n_refused} of {n_made} refused"
        );
    }
    println!("{} are distinct; the slowest took {slowest:?}", distinct.len());
    assert!(
        distinct.len() >= MIN_DISTINCT,
        "only {} are distinct",
        distinct.len()
    );
}

/// An error names a place, can be read, and does not fill the screen for hours.
fn assert_is_of_use(error: &ConfigError, text: &str, what: &str) {
    assert!(names_a_place(error), "{what}: {error}\n{text:.500}");
    let lines = error.to_string();
    let is_legible = |c: char| !c.is_control() || c == '\n';
    assert!(lines.chars().all(is_legible), "{what}: {lines}");
    assert!(lines.len() < 200_000, "{what}: {} bytes of message", lines.len());
}

#[test]
fn the_sound_configuration_is_sound() {
    assert!(refusal(SOUND.as_bytes()).is_none());
}
