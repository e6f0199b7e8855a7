//! What is to be repaired, and what is only reported.

use super::*;
use crate::config::{Config, InterfaceConfig, text};
use crate::policy::Policy;

fn wanted(names: &[&str]) -> Wanted {
    let mut config = Config::default();
    for name in names {
        config.interfaces.insert(text(*name), InterfaceConfig::default());
    }
    Wanted::of(&Policy::try_from(&config).unwrap())
}

fn attached(name: &str, ifindex: u32) -> InterfaceStatus {
    InterfaceStatus {
        name: name.to_owned(),
        ifindex,
        position: (ifindex != 0).then_some((1, 1)),
        n_fq: 1,
        n_queues: 1,
        problems: if ifindex == 0 {
            vec![Problem {
                what: "gone".to_owned(),
                remedy: String::new(),
            }]
        } else {
            Vec::new()
        },
        ..InterfaceStatus::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn what_is_wanted_and_there_is_to_be_attached() {
    let seen = observation(
        &wanted(&["eth0", "eth1"]),
        &names(&["eth0", "lo"]),
        vec![attached("lo", 1)],
    );
    let summary: Vec<_> = seen
        .interfaces
        .iter()
        .map(|interface| {
            (
                &*interface.name,
                interface.is_repairable,
                interface.problems.len(),
            )
        })
        .collect();
    assert_eq!(summary, [("eth0", true, 1), ("eth1", false, 1), ("lo", false, 0)]);
    assert!(!seen.is_outdated);
}

#[test]
fn an_interface_that_came_by_a_pattern_is_forgotten_when_it_goes() {
    let gone = || vec![attached("veth1", 0)];
    let seen = observation(&wanted(&["veth*"]), &[], gone());
    assert!(seen.is_outdated && seen.interfaces.is_empty());
    let seen = observation(&wanted(&[]), &[], gone());
    assert!(!seen.is_outdated && seen.interfaces[0].problems.len() == 1);
}

#[test]
fn fq_that_is_missing_is_put_back_and_a_program_in_front_is_only_reported() {
    let mut without_fq = attached("eth0", 2);
    without_fq.n_fq = 0;
    assert!(seen(without_fq).is_repairable);
    let mut second = attached("eth0", 2);
    second.position = Some((2, 2));
    assert!(!seen(second).is_repairable);
}
