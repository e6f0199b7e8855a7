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
    let file = toml::to_string(&RunningFile::from(running)).unwrap();
    file + &running.rules_text(Source::Config)
}

#[test]
fn a_change_reads_back_whole_and_only_what_is_kept_survives() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    assert!(policies.running().unwrap().is_none() && !policies.has_next());
    policies.announce(&lock, &running(), Facts::default()).unwrap();
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
    policies.announce(&lock, &running(), Facts::default()).unwrap();
    policies.settle(&lock, &running()).unwrap();
    policies
        .announce(&lock, &Running::default(), Facts::default())
        .unwrap();
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
    policies
        .announce(&lock, &Running::default(), Facts::default())
        .unwrap();
    policies.settle(&lock, &Running::default()).unwrap();
    assert!(!directory.path().join("state").exists());
}

/// Names of the files with rules.
fn rules_files(directory: &Directory) -> Vec<String> {
    let entries = std::fs::read_dir(directory.path().join("run")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("rules-")).collect()
}

#[test]
fn a_change_of_other_rules_leaves_those_of_the_configuration_where_they_are() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &running(), Facts::default()).unwrap();
    policies.settle(&lock, &running()).unwrap();
    let file = rules_files(&directory);
    let mut brief = policies.brief().unwrap().unwrap();
    assert_eq!(brief.running.rules_of(Source::Config).count(), 0);
    brief.running.rules[0].rate = crate::config::text("1mbit");
    policies.announce_brief(&lock, &brief).unwrap();
    policies.settle(&lock, &brief.running).unwrap();
    let now = policies.running().unwrap().unwrap();
    assert_eq!(now.rules.len(), 3);
    assert_eq!(now.rules_of(Source::Kept).next().unwrap().rate.get_ref(), "1mbit");
    assert_eq!(policies.kept().unwrap().rules[0].rate.get_ref(), "1mbit");
    assert_eq!(rules_files(&directory), file);
}

#[test]
fn rules_that_no_policy_names_are_removed_and_those_on_trial_are_not() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    let trial = Trial {
        deadline_unix_secs: 1,
        before: running(),
    };
    policies.begin_trial(&lock, &trial).unwrap();
    for _ in 0..3 {
        policies.announce(&lock, &running(), Facts::default()).unwrap();
        policies.settle(&lock, &running()).unwrap();
    }
    assert_eq!(rules_files(&directory).len(), 2);
    assert_eq!(
        summary(&policies.trial().unwrap().unwrap().before),
        summary(&running())
    );
    policies.end_trial(&lock).unwrap();
    assert_eq!(rules_files(&directory).len(), 1);
    assert_eq!(
        summary(&policies.running().unwrap().unwrap()),
        summary(&running())
    );
    policies.forget(&lock).unwrap();
    assert!(rules_files(&directory).is_empty());
}

/// As many rules as are worth an index, of both families and of several lengths.
fn many() -> Running {
    let mut text = String::from("[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n");
    for n in 0..1200 {
        let destination = match n % 4 {
            0 => format!("10.0.{}.{}", n / 256, n % 256),
            1 => format!("10.{}.0.0/16", n % 200 + 1),
            2 => format!("2001:db8::{n:x}"),
            _ => format!("2001:db8:{n:x}::/48"),
        };
        let comment = if n % 7 == 0 { "\\n[[rule]]\\n\\\"" } else { "" };
        text += &format!(
            "[[rule]]\ndestination = \"{destination}\"\nservice = \"tcp:{}\"\n",
            n + 1
        );
        text += &format!("rate = \"1mbit\"\ncomment = \"{comment}\"\n");
    }
    Config::parse(Path::new("x"), text).unwrap()
}

/// Of the rules of the configuration, those that cover or lie in `destination`.
fn part_for(policies: &Policies, destination: &str) -> Vec<String> {
    let wanted: Destination = destination.parse().unwrap();
    let part = policies.part(&|other| other.overlaps(wanted)).unwrap().unwrap();
    part.running
        .rules
        .iter()
        .map(|rule| format!("{rule:?}"))
        .collect()
}

fn index_file(directory: &Directory) -> PathBuf {
    let entries = std::fs::read_dir(directory.path().join("run")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let is_one = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("index-");
    paths.find(is_one).unwrap()
}

const ASKED: [&str; 7] = [
    "10.0.1.4",
    "10.4.0.0/15",
    "10.7.7.7",
    "192.0.2.1",
    "2001:db8::6",
    "2001:db8:400::/40",
    "any",
];

#[test]
fn some_of_many_rules_are_read_without_the_others() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &many(), Facts::default()).unwrap();
    policies.settle(&lock, &many()).unwrap();
    let by_index = ASKED.map(|asked| part_for(&policies, asked));
    assert!(by_index[0].len() == 2 && by_index[3].len() == 1 && by_index[6].len() == 1201);
    std::fs::rename(index_file(&directory), directory.path().join("index")).unwrap();
    assert_eq!(
        ASKED
            .map(|asked| part_for(&policies, asked))
            .map(|part| part.len()),
        by_index.each_ref().map(Vec::len)
    );

    // What the last rule says is not looked at.
    let index = directory.path().join("run/index-1");
    std::fs::rename(directory.path().join("index"), &index).unwrap();
    let rules = directory.path().join("run").join(&rules_files(&directory)[0]);
    let modified = std::fs::metadata(&rules).unwrap().modified().unwrap();
    let mut bytes = std::fs::read(&rules).unwrap();
    let end = bytes.len();
    bytes[end - 9..].fill(b'?');
    let file = std::fs::OpenOptions::new().write(true).open(&rules).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    file.set_modified(modified).unwrap();
    assert_eq!(part_for(&policies, "10.0.1.4"), by_index[0]);
    assert!(matches!(policies.running(), Err(StoreError::Damaged { .. })));

    policies.announce(&lock, &running(), Facts::default()).unwrap();
    policies.settle(&lock, &running()).unwrap();
    assert!(!index.exists(), "it went with its rules");
}

#[test]
fn an_index_that_is_of_no_use_does_no_harm() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &many(), Facts::default()).unwrap();
    policies.settle(&lock, &many()).unwrap();
    let expected = ASKED.map(|asked| part_for(&policies, asked).len());
    let index = index_file(&directory);
    let good = std::fs::read(&index).unwrap();
    let mut moved = good.clone();
    // Every rule a byte further, another kind of index, an address that does not exist.
    moved[48 + 24..48 + 32].copy_from_slice(&1_u64.to_le_bytes());
    let mut other = good.clone();
    other[7] = b'0';
    let mut family = good.clone();
    family[48 + 17] = 5;
    for damaged in [
        &good[..good.len() - 1],
        &good[..good.len() - 32],
        &good[..20],
        &[],
        &moved,
        &other,
        &family,
    ] {
        std::fs::write(&index, damaged).unwrap();
        assert_eq!(ASKED.map(|asked| part_for(&policies, asked).len()), expected);
    }
    // The rules of an earlier version, which knows no index.
    std::fs::write(&index, good).unwrap();
    let rules = directory.path().join("run").join(&rules_files(&directory)[0]);
    std::fs::write(
        &rules,
        "[[rule]]\ndestination = \"192.0.2.1\"\nrate = \"1mbit\"\n",
    )
    .unwrap();
    assert_eq!(
        ASKED.map(|asked| part_for(&policies, asked).len()),
        [0, 0, 0, 1, 0, 0, 1]
    );
}

#[test]
fn rules_that_have_gone_are_missed() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &running(), Facts::default()).unwrap();
    policies.settle(&lock, &running()).unwrap();
    let file = directory.path().join("run").join(&rules_files(&directory)[0]);
    std::fs::remove_file(file).unwrap();
    assert!(matches!(policies.running(), Err(StoreError::Io { .. })));
}

#[test]
fn what_a_killed_command_left_is_swept_away_and_nothing_else() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    policies.announce(&lock, &running(), Facts::default()).unwrap();
    policies.settle(&lock, &running()).unwrap();
    let names = |of: &str| {
        let entries = std::fs::read_dir(directory.path().join(of)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let (run, state) = (names("run"), names("state"));
    let left = [
        "run/rules-8.toml",
        "run/rules-9.toml.tmp",
        "run/policy.next.tmp",
        "run/policy.try.tmp",
        "run/dataplane.toml.tmp",
        "state/rules.toml.tmp",
    ];
    for name in left {
        std::fs::write(directory.path().join(name), "half a ru").unwrap();
    }
    policies.sweep(&lock);
    assert_eq!((names("run"), names("state")), (run, state));
}

#[test]
fn what_could_not_be_settled_is_as_it_was_before() {
    let directory = directory();
    let (policies, lock) = policies(&directory);
    let before = Config::of_rules(vec![RuleConfig::new("203.0.113.9", "1mbit", Source::Kept)]);
    policies.announce(&lock, &before, Facts::default()).unwrap();
    policies.settle(&lock, &before).unwrap();
    // Cut short at the first step, and after the rules had been kept.
    for is_kept in [false, true] {
        policies.announce(&lock, &running(), Facts::default()).unwrap();
        if is_kept {
            policies.keep(&lock, &running()).unwrap();
        }
        policies.unsettle(&lock, &before).unwrap();
        assert!(!policies.has_next() && rules_files(&directory).is_empty());
        assert_eq!(summary(&policies.running().unwrap().unwrap()), summary(&before));
        assert!(policies.keeps(&before).unwrap());
    }
}
