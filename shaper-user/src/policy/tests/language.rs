//! What rules can say beyond a destination and a rate: services, clients, groups, blocks, deadlines.

use super::super::tables::{BucketId, ClientLens, Entry, TableKey, Tables};
use super::super::*;
use super::{errors, key4, policy, rule};

fn with(lines: &str) -> String {
    format!("[[rule]]\ndestination = \"203.0.113.0/24\"\n{lines}")
}

#[test]
fn a_service_has_an_entry_for_each_class_of_its_ports() {
    let text = "[service.imaps]\nports = [\"tcp:993\"]\n".to_owned()
        + &with("service = \"imap\"\nrate = \"1mbit\"\n")
        + "[[rule]]\ndestination = \"203.0.113.7\"\nservice = \"imaps\"\nrate = \"2mbit\"\n";
    let policy = policy(&text);
    let keys: Vec<usize> = policy
        .rules()
        .iter()
        .map(|rule| policy.keys(rule).len())
        .collect();
    // The prefix comes first: its IMAP is port 143, and 993, which the address has a rule for, too.
    assert_eq!(keys, [2, 1]);
    let tables = Tables::from(&policy);
    assert_eq!(tables.entries().len(), 3);
    assert_eq!(tables.ports.len(), 2);
    let buckets = tables
        .entries()
        .iter()
        .filter_map(|(key, entry)| match (key, entry) {
            (TableKey::Prefix4(24, _), Entry::Limited { bucket, .. }) => Some(*bucket),
            _ => None,
        });
    let expected = BucketId::of("203.0.113.0/24 tcp:143,tcp:993");
    assert!(buckets.eq([expected, expected]), "one rule, one bucket");
}

#[test]
fn any_with_a_service_is_the_whole_of_both_families() {
    let policy = policy("[[rule]]\ndestination = \"any\"\nservice = \"dns\"\nrate = \"1mbit\"\n");
    let tables = Tables::from(&policy);
    let lens: Vec<Option<u32>> = tables
        .entries()
        .iter()
        .map(|(key, _)| match key {
            TableKey::Prefix4(len, _) | TableKey::Prefix6(len, _) => Some(*len),
            _ => None,
        })
        .collect();
    assert_eq!(lens, [Some(0), Some(0)]);
}

#[test]
fn the_identity_of_a_bucket_is_whom_it_is_for_and_not_how_fast() {
    let bucket = |lines: &str| {
        let tables = Tables::from(&policy(&(with(lines) + "")));
        match tables.entries()[0].1 {
            Entry::Limited { bucket, .. } | Entry::Blocked { bucket } => bucket,
            Entry::Exempt => panic!("limited"),
        }
    };
    let plain = bucket("rate = \"1mbit\"\n");
    assert_eq!(plain, bucket("rate = \"2mbit\"\nname = \"x\"\nburst = \"5kB\"\n"));
    assert_eq!(plain, bucket("rate = \"block\"\n"));
    assert_eq!(
        plain,
        bucket("rate = \"1mbit\"\nper = \"/24\"\n"),
        "one client, one bucket"
    );
    let others = [
        "rate = \"1mbit\"\nper = \"ip\"\n",
        "rate = \"1mbit\"\nper = \"/25\"\n",
        "rate = \"1mbit\"\nservice = \"ssh\"\n",
    ];
    let mut all: Vec<BucketId> = others.iter().map(|lines| bucket(lines)).chain([plain]).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
}

#[test]
fn rules_of_a_group_share_its_limit() {
    let text = "[group.b]\nrate = \"200mbit\"\nburst = \"1MB\"\n[group.a]\nrate = \"1mbit\"\n".to_owned()
        + &with("rate = \"1gbit\"\ngroup = \"b\"\nper = \"client\"\n");
    let policy = policy(&text);
    let tables = Tables::from(&policy);
    assert_eq!(tables.groups.len(), 2);
    let Entry::Limited { clients, group, .. } = tables.entries()[0].1 else {
        panic!("limited");
    };
    assert_eq!(clients, Some(ClientLens { v4: 32, v6: 64 }));
    let group = &tables.groups[group.unwrap() as usize];
    assert_eq!(group.bucket, BucketId::of("group b"));
    assert_eq!(group.limit, policy.groups()[1].limit.limit());
}

#[test]
fn a_block_drops_and_unlimited_beats_a_shorter_prefix() {
    let text = rule("203.0.113.0/24", "block") + &rule("203.0.113.7", "unlimited");
    let tables = Tables::from(&policy(&text));
    assert_eq!(
        tables.get(&TableKey::Exact4(key4([203, 0, 113, 7]))),
        Some(&Entry::Exempt)
    );
    assert_eq!(
        tables.get(&TableKey::Prefix4(24, key4([203, 0, 113, 0]))),
        Some(&Entry::Blocked {
            bucket: BucketId::of("203.0.113.0/24")
        })
    );
}

#[test]
fn every_value_that_makes_no_sense_is_refused_where_it_stands() {
    let rate = "rate = \"1mbit\"\n";
    for (lines, message, hint) in [
        (
            "service = \"imaps\"",
            "there is no service `imaps`",
            "known are dns, ftp",
        ),
        (
            "service = \"tcp:0\"",
            "`tcp:0` is not a protocol and a port",
            "write for example `tcp:993`",
        ),
        (
            "service = \"udp:9-1\"",
            "the range in `udp:9-1` runs backwards",
            "lower port first",
        ),
        (
            "per = \"host\"",
            "`host` does not say what has a bucket",
            "write `rule`, `ip`, `client`",
        ),
        (
            "per = \"/16\"",
            "`/16` is wider than the rule's own destination",
            "write a longer prefix",
        ),
        ("per = \"/64\"", "`/64` is longer than an address", "write `ip`"),
        (
            "group = \"x\"",
            "there is no group `x`",
            "define it: [group.x] with a `rate`",
        ),
        ("ecn = \"5\"", "`5` is not a time", "write for example `200ms`"),
        (
            "expires = 2026-12-31",
            "`2026-12-31` has no time",
            "2026-12-31T23:00:00Z",
        ),
        (
            "expires = 2026-12-31T23:00:00",
            "has no zone",
            "2026-12-31T23:00:00Z",
        ),
        (
            "expires = 1969-12-31T23:00:00Z",
            "is before 1970",
            "2026-12-31T23:00:00Z",
        ),
    ] {
        let errors = errors(&with(&format!("{rate}{lines}\n")));
        assert!(errors.starts_with("x.toml:4:"), "{lines}: {errors}");
        assert!(
            errors.contains(message) && errors.contains(hint),
            "{lines}: {errors}"
        );
    }
}

#[test]
fn what_says_how_to_limit_means_nothing_where_nothing_is_limited() {
    for rate in ["unlimited", "block"] {
        for (key, value) in [
            ("burst", "1kB"),
            ("horizon", "1s"),
            ("ecn", "off"),
            ("per", "ip"),
            ("group", "x"),
        ] {
            let errors = errors(&with(&format!("rate = \"{rate}\"\n{key} = \"{value}\"\n")));
            let message = format!("`{key}` means nothing with rate = \"{rate}\"");
            assert!(errors.contains(&message), "{errors}");
        }
    }
}

#[test]
fn sections_that_make_no_sense_are_refused_where_they_stand() {
    for (text, message) in [
        (
            "[service.imap]\nports = [\"tcp:1\"]\n",
            "x.toml:1:10: `imap` is the name of a service already",
        ),
        (
            "[service.x]\nports = []\n",
            "x.toml:1:10: the service `x` has no ports",
        ),
        (
            "[service.\"a b\"]\nports = [\"tcp:1\"]\n",
            "x.toml:1:10: `a b` is not a name",
        ),
        (
            "[service.x]\nports = [\"tcp:1\", \"1\"]\n",
            "x.toml:2:19: `1` is not a protocol",
        ),
        (
            "[group.x]\nrate = \"unlimited\"\n",
            "x.toml:2:8: a group cannot be \"unlimited\"",
        ),
        (
            "[group.x]\nrate = \"1mbit\"\nhorizon = \"31s\"\n",
            "x.toml:3:11: a horizon of `31s`",
        ),
        (
            "[group.x]\nrate = \"1gbit\"\nburst = \"20000MB\"\n",
            "x.toml:3:9: a burst of 20000000000 bytes",
        ),
        ("[group.\"\"]\nrate = \"1mbit\"\n", "x.toml:1:8: `` is not a name"),
        (
            "[defaults]\nmax_clients = 0\n",
            "x.toml:2:15: 0 clients are not between 1 and 16777216",
        ),
        (
            "[defaults]\nmax_clients = 16777217\n",
            "x.toml:2:15: 16777217 clients are not",
        ),
    ] {
        let errors = errors(text);
        assert!(errors.starts_with(message), "{errors}");
    }
}

#[test]
fn rules_of_one_destination_may_not_claim_the_same_port() {
    let text = with("service = \"imap\"\nrate = \"1mbit\"\n")
        + &with("service = \"tcp:900-999\"\nrate = \"1mbit\"\n");
    let overlap = errors(&text);
    assert!(
        overlap.contains(
            "x.toml:6:15: the rule for `203.0.113.0/24` is for tcp:993 as rule 203.0.113.0/24 imap is"
        ),
        "{overlap}"
    );
    let text = "[service.mail]\nports = [\"tcp:993\", \"tcp:143\"]\n".to_owned()
        + &with("service = \"imap\"\nrate = \"1mbit\"\n")
        + &with("service = \"mail\"\nrate = \"1mbit\"\n");
    let same = errors(&text);
    assert!(
        same.contains("is already that of rule 203.0.113.0/24 imap"),
        "{same}"
    );
}

#[test]
fn more_services_than_can_be_told_apart_are_refused() {
    let text: String = (1..=4097)
        .map(|port| format!("[[rule]]\ndestination = \"any\"\nservice = \"tcp:{port}\"\nrate = \"1mbit\"\n"))
        .collect();
    let errors = errors(&text);
    assert!(
        errors.starts_with("x.toml:16387:11: there are more than 4096 services"),
        "{errors}"
    );
}

#[test]
fn more_entries_than_the_kernel_can_be_given_are_refused() {
    // Every service has the ports of those before it, so each rule takes an entry for each of them.
    let mut text: String = (1..=2048)
        .map(|port| {
            format!(
                "[[rule]]\ndestination = \"10.{}.{}.0/24\"\nservice = \"tcp:1-{port}\"\nrate = \"1mbit\"\n",
                port / 256,
                port % 256
            )
        })
        .collect();
    assert!(Policy::try_from(&super::config(&text)).is_ok());
    for index in 0..2048 {
        text += &format!(
            "[[rule]]\ndestination = \"11.{}.{}.0/24\"\nservice = \"tcp:1-2048\"\nrate = \"1mbit\"\n",
            index / 256,
            index % 256
        );
    }
    let errors = errors(&text);
    assert!(
        errors.contains("entries of the kernel's tables, more than 4194304"),
        "{errors}"
    );
}

#[test]
fn a_deadline_is_kept_and_the_first_is_known() {
    let text = with("rate = \"1mbit\"\nexpires = 2026-12-31T23:00:00Z\n")
        + "[[rule]]\ndestination = \"any\"\nrate = \"10mbit\"\nexpires = 2026-12-31T23:00:00+01:00\n";
    let policy = policy(&text);
    assert_eq!(
        policy.rules()[1].expires.unwrap().to_string(),
        "2026-12-31T22:00:00Z"
    );
    assert_eq!(policy.first_deadline(), policy.rules()[1].expires);
}

#[test]
fn everything_that_the_example_shows_can_be_said() {
    let example = include_str!("../../../../packaging/shaper.toml");
    assert!(policy(example).rules().is_empty(), "as it is, it limits nothing");
    let is_example = |line: &&str| {
        line.starts_with("# [")
            || line
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.trim_start_matches("# ").trim().contains(' '))
    };
    let shown: Vec<&str> = example
        .lines()
        .filter(is_example)
        .map(|line| line.trim_start_matches("# "))
        .collect();
    let policy = policy(&shown.join("\n"));
    assert_eq!(
        (
            policy.rules().len(),
            policy.groups().len(),
            policy.interfaces().len()
        ),
        (1, 1, 1)
    );
    assert!(policy.rules()[0].group.is_some() && policy.rules()[0].expires.is_some());
}
