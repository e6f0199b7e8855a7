//! Hostile configurations, made from a seed: none makes us panic or hang, and every error names a place.

mod make;

use std::time::{Duration, Instant};

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

/// Of each kind, but for the two that take long to read: more than 5,000 of all together.
const N_EACH: usize = 700;
const N_EACH_LARGE: usize = 150;

const SEED: u64 = 0x5eed_cafe;

#[test]
fn hostile_configurations_are_valid_or_refused_with_a_place() {
    let (mut dice, mut slowest) = (Dice(SEED), Duration::ZERO);
    let mut n_all = 0;
    for kind in KINDS {
        let is_large = matches!(kind, Kind::Deep | Kind::Huge);
        let n_made = if is_large { N_EACH_LARGE } else { N_EACH };
        let mut n_refused = 0;
        for turn in 0..n_made {
            let bytes = kind.make(&mut dice);
            let began = Instant::now();
            let refused = refusal(&bytes);
            slowest = slowest.max(began.elapsed());
            let text = String::from_utf8_lossy(&bytes);
            let what = format!("seed {SEED:#x}, {kind:?} {turn}");
            if let Some(error) = refused {
                n_refused += 1;
                assert_is_of_use(&error, &text, &what);
            } else {
                assert!(!kind.is_always_refused(), "{what} is valid\n{text:.2000}");
            }
        }
        println!("{kind:?}: {n_refused} of {n_made} refused (seed {SEED:#x})");
        assert!(
            n_refused > n_made / 4,
            "{kind:?}: {n_refused} of {n_made} refused"
        );
        n_all += n_made;
    }
    assert!(n_all >= 5_000, "{n_all}");
    assert!(slowest < Duration::from_mins(1), "one took {slowest:?}");
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
