//! What the program logs, as `aya_log` reads it: the program lays out its records itself.

use std::{
    collections::HashSet,
    sync::mpsc::{self, Sender},
};

use aya_log::EbpfLogger;
use shaper_common::{
    NSEC_PER_SEC,
    pacing::{Limit, ticks},
    rule::Rule,
};
use shaper_tests::{
    kernel::{Instruction, Kernel, Settings, Skb},
    model::Policy,
    packet,
};

const NOW_NS: u64 = 1_000 * NSEC_PER_SEC;

/// Sends each record on as a line.
struct Lines(Sender<String>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0
            .send(format!("{} {}", record.level(), record.args()))
            .unwrap();
    }

    fn flush(&self) {}
}

fn load(log_level: u8) -> Kernel {
    Kernel::load(Settings {
        log_level,
        ..Settings::default()
    })
}

/// What is logged at `log_level` of frames of 100 bytes: one at once, one that waits and one that is dropped.
fn logged(log_level: u8) -> Vec<String> {
    let mut kernel = load(log_level);
    let rule = Rule::limited(Limit::new(NSEC_PER_SEC, 1_500, 10_000, None), 3);
    let destination = "192.0.2.7".parse().unwrap();
    kernel.install(&Policy {
        exact4: vec![("192.0.2.7".parse().unwrap(), rule)],
        ..Policy::default()
    });
    kernel.set_clock(NOW_NS);
    for wait_ns in [0, 1_234, 10_001] {
        kernel.set_last_departure(3, ticks(NOW_NS + wait_ns));
        let _ = kernel.run(&packet::udp_to(destination, 58), Skb::default());
    }
    let (sender, lines) = mpsc::channel();
    EbpfLogger::init_with_logger(kernel.ebpf(), Lines(sender))
        .unwrap()
        .flush();
    lines.try_iter().collect()
}

#[test]
fn packets_that_wait_and_packets_that_are_dropped_are_logged_if_wanted() {
    assert_eq!(
        logged(5),
        ["DEBUG 100 bytes wait 1234 ns", "DEBUG 100 bytes dropped"]
    );
    assert_eq!(logged(4), logged(5));
    for log_level in [0, 3] {
        assert_eq!(logged(log_level), [""; 0]);
    }
}

/// How many functions of its own a program calls.
fn n_called(instructions: &[Instruction]) -> usize {
    let called: HashSet<_> = instructions
        .iter()
        .filter_map(Instruction::called_function)
        .collect();
    called.len()
}

#[test]
fn what_is_not_logged_is_not_called_and_leaves_nothing_of_the_call() {
    let [off, on] = [0, 5].map(|log_level| load(log_level).instructions());
    assert_eq!(
        n_called(&off) + 2,
        n_called(&on),
        "one function for each sort of record"
    );
    println!("{} instructions, {} with the logs", off.len(), on.len());
    assert!(off.len() < on.len());
    for log_level in [1, 2, 3] {
        assert_eq!(load(log_level).instructions().len(), off.len());
    }
}
