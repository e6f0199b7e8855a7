//! What is written reads back, and what is not to be kept is not.

use super::form::RunningFile;
use super::*;
use crate::config::Source;
use crate::store::file::tests::{Directory, directory};

fn policies(directory: &Directory) -> (Policies, Lock) {
    let paths = Paths {
        run: directory.path().join("run"),
        state: directory.path().join("state"),
        ..Paths::default()
    };
    (Policies::new(&paths), Lock::take(&paths.run, |_| {}).unwrap())
}

fn running() -> Running {
    let text = "[interface.eth0]\noverhead = 24\n[defaults]\nburst = \"20ms\"\n[exempt]\nprefixes = [\"10.0.0.0/8\"]\n\
                [[rule]]\nname = \"a\"\ndestination = \"any\"\nrate = \"1gbit\"\ncomment = \"quote \\\" and ü\"\n";
    let mut running = Config::parse(Path::new("x"), text.to_owned()).unwrap();
    running
        .rules
        .push(RuleConfig::new("203.0.113.7", "20mbit", Source::Kept));
    running
        .rules
        .push(RuleConfig::new("203.0.113.8", "20mbit", Source::Temporary));
    running
}

fn summary(running: &Running) -> String {
    toml::to_string(&RunningFile::from(running)).unwrap()
}

#[test]
fn a_change_reads_back_whole_and_only_what_is_kept_survives() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    assert!(policies.running().unwrap().is_none() && !policies.has_next());
    policies.announce(&lock, &running()).unwrap();
    assert!(policies.has_next());
    assert_eq!(summary(&policies.next().unwrap().unwrap()), summary(&running()));
    policies.settle(&lock, &running()).unwrap();
    assert!(!policies.has_next());
    assert_eq!(
        summary(&policies.running().unwrap().unwrap()),
        summary(&running())
    );

    policies.forget(&lock).unwrap();
    assert!(policies.running().unwrap().is_none());
    let kept = policies.kept().unwrap().rules;
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (kept[0].destination.get_ref().as_str(), kept[0].source),
        ("203.0.113.7", Source::Kept)
    );
}

#[test]
fn an_abandoned_change_leaves_what_ran() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &running()).unwrap();
    policies.settle(&lock, &running()).unwrap();
    policies.announce(&lock, &Running::default()).unwrap();
    policies.abandon(&lock).unwrap();
    assert_eq!(
        summary(&policies.running().unwrap().unwrap()),
        summary(&running())
    );
    assert_eq!(policies.kept().unwrap().rules.len(), 1);
}

#[test]
fn no_directory_is_made_for_rules_that_are_not_there() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &Running::default()).unwrap();
    policies.settle(&lock, &Running::default()).unwrap();
    assert!(!directory.path().join("state").exists());
}
