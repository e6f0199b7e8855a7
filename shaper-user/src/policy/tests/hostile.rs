//! Hostile configurations, made from a seed: none makes us panic or hang, and every error names a place.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::super::tables::Tables;
use super::super::*;
use super::{Config, Path};
use crate::config::ConfigError;

/// A small generator of our own, so that the same seed makes the same configurations everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Xorshift64*, by Sebastiano Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

const KEYS: [&str; 24] = [
    "name",
    "destination",
    "service",
    "per",
    "rate",
    "group",
    "burst",
    "horizon",
    "ecn",
    "expires",
    "comment",
    "ports",
    "prefixes",
    "overhead",
    "enforcement",
    "max_clients",
    "listen",
    "rat",
    "",
    "\"quo\\\"ted\"",
    "a.b",
    "rule",
    "\"\\u0000\"",
    "__proto__",
];

const VALUES: [&str; 46] = [
    "\"203.0.113.7\"",
    "\"203.0.113.0/24\"",
    "\"2001:db8::/56\"",
    "\"any\"",
    "\"0.0.0.0/0\"",
    "\"::/0\"",
    "\"10.0.0.7/8\"",
    "\"20mbit\"",
    "\"unlimited\"",
    "\"block\"",
    "\"0bit\"",
    "\"1600gbit\"",
    "\"999999999999999999999999gbit\"",
    "\"20Mbps\"",
    "\"imap\"",
    "\"tcp:1-65535\"",
    "\"udp:9-1\"",
    "\"tcp:99999\"",
    "\"client\"",
    "\"/0\"",
    "\"/129\"",
    "\"g\"",
    "\"10ms\"",
    "\"86401s\"",
    "\"-1ms\"",
    "\"off\"",
    "\"\"",
    "2026-12-31T23:00:00Z",
    "2026-12-31",
    "23:00:00",
    "9999-12-31T23:59:59-23:59",
    "0000-01-01T00:00:00Z",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "1e308",
    "nan",
    "true",
    "[]",
    "{}",
    "[\"10.0.0.0/8\", 7]",
    "[\"tcp:1\", \"tcp:1\", \"udp:1-9\"]",
    "\"\"\"\nmany\nlines\"\"\"",
    "\"\\u202e\\u0007\"",
    "'raw\\'",
];

const HEADERS: [&str; 16] = [
    "[[rule]]",
    "[[rule]]",
    "[[rule]]",
    "[rule]",
    "[defaults]",
    "[exempt]",
    "[service.x]",
    "[service.imap]",
    "[service.\"a b\"]",
    "[group.g]",
    "[group.g]",
    "[interface.eth0]",
    "[interface.\"*\"]",
    "[metrics]",
    "[nothing]",
    "[[interface]]",
];

/// Sections, keys and values that exist, mostly in places where they make no sense.
fn mixed(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.roll(6) {
        let _ = writeln!(text, "{}", dice.pick(&HEADERS));
        if dice.roll(3) > 0 {
            text += "destination = \"any\"\nrate = \"1mbit\"\n";
        }
        for _ in 0..dice.roll(5) {
            let _ = writeln!(text, "{} = {}", dice.pick(&KEYS), dice.pick(&VALUES));
        }
    }
    text
}

/// A valid configuration with everything that can be said.
const SOUND: &str = "[interface.eth0]\noverhead = 24\n[defaults]\nburst = \"10ms\"\nmax_clients = 1000\n\
    [exempt]\nprefixes = [\"10.0.0.0/8\"]\n[service.x]\nports = [\"tcp:7-9\"]\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\nname = \"a\"\ndestination = \"203.0.113.0/24\"\nservice = \"x\"\nper = \"client\"\nrate = \"20mbit\"\n\
    group = \"g\"\nburst = \"5kB\"\nhorizon = \"1s\"\necn = \"off\"\nexpires = 2099-12-31T23:00:00Z\ncomment = \"ü\"\n\
    [[rule]]\ndestination = \"any\"\nrate = \"block\"\n";

/// The sound one, cut off, with bytes replaced, doubled or swapped: also such that are no text.
fn damaged(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = SOUND.as_bytes().to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match dice.roll(6) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
            2 => {
                let part = bytes[at..].to_vec();
                bytes.extend(part);
            }
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            4 => bytes.splice(at..at, *b"\xff\xfe").for_each(drop),
            _ => {
                let junk = dice.pick(&["[", "]", "\"", "=", "\n", "#", "{", "'''", "\0", "\u{feff}"]);
                bytes.splice(at..at, junk.bytes()).for_each(drop);
            }
        }
    }
    bytes
}

/// Deep, long, many.
fn extreme(dice: &mut Dice) -> String {
    let n = [10, 1_000, 20_000][dice.roll(3)];
    match dice.roll(9) {
        0 => format!("x = {}{}", "[".repeat(n), "]".repeat(n)),
        1 => format!("x = {}", "{a=".repeat(n)),
        2 => format!("[{}]", "a.".repeat(n) + "a"),
        3 => format!(
            "[[rule]]\ndestination = \"{}\"\nrate = \"1mbit\"\n",
            "9".repeat(n)
        ),
        4 => format!(
            "[[rule]]\ndestination = \"any\"\nrate = \"{}mbit\"\n",
            "9".repeat(n)
        ),
        5 => format!("[exempt]\nprefixes = [{}]\n", "\"::/0\",".repeat(n)),
        6 => "[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\n".repeat(n / 10),
        7 => format!("[service.x]\nports = [{}]\n", "\"tcp:1-65535\",".repeat(n)),
        _ => format!(
            "[[rule]]\nname = \"{}\"\ndestination = \"any\"\nrate = \"1mbit\"\n",
            "ä".repeat(n)
        ),
    }
}

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

#[test]
fn hostile_configurations_are_valid_or_refused_with_a_place() {
    let mut dice = Dice(0x5eed_cafe);
    let (mut n_refused, mut slowest) = (0, Duration::ZERO);
    for turn in 0..6_000 {
        let bytes = match turn % 20 {
            0..9 => mixed(&mut dice).into_bytes(),
            9..19 => damaged(&mut dice),
            _ => extreme(&mut dice).into_bytes(),
        };
        let began = Instant::now();
        let refused = refusal(&bytes);
        slowest = slowest.max(began.elapsed());
        if let Some(error) = refused {
            n_refused += 1;
            let text = String::from_utf8_lossy(&bytes);
            assert!(names_a_place(&error), "turn {turn}: {error}\n{text:.500}");
            let lines = error.to_string();
            let is_legible = |c: char| !c.is_control() || c == '\n';
            assert!(lines.chars().all(is_legible), "turn {turn}: {lines}");
            assert!(
                lines.len() < 200_000,
                "turn {turn}: {} bytes of message",
                lines.len()
            );
        }
    }
    assert!((4_000..6_000).contains(&n_refused), "{n_refused} of 6000 refused");
    assert!(slowest < Duration::from_mins(1), "one took {slowest:?}");
}

#[test]
fn the_sound_configuration_is_sound() {
    assert!(refusal(SOUND.as_bytes()).is_none());
}
