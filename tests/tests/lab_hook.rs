//! Other people's programs and qdiscs: ours runs, theirs run as before, and nothing of ours stays behind.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use shaper_common::names::CLSACT_PRIORITY;
use shaper_tests::lab::foreign::{NEXT, PASS};
use shaper_tests::lab::host::run;
use shaper_tests::lab::{Foreign, Lab, Release, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Load, Options, Receiver, Socket};

/// Sends ten packets and returns how many of them our rule for `destination` counted.
fn n_counted(lab: &Lab, shaper: &Shaper<'_>, destination: IpAddr) -> u64 {
    let count = || shaper.stats(destination).sent_packets;
    let before = count();
    let mut socket = Socket::open(
        &lab.server,
        Options {
            payload: 100,
            ..Options::default()
        },
    );
    for _ in 0..10 {
        socket.send(destination).unwrap();
    }
    count() - before
}

/// Whether programs stand on the hook side by side; else they are filters of clsact.
fn has_tcx() -> bool {
    Release::running() >= Release::V6_12
}

/// A filter of clsact at a priority, as `tc` names it.
fn filter(priority: u32) -> String {
    format!("dev {UPLINK} egress prio {priority} handle 1 bpf")
}

/// Attaches behind all others by tcx where there is one, else by `tc` at a priority of the caller's.
fn attach(lab: &Lab, foreign: &Foreign, priority: u32) -> Option<OwnedFd> {
    if has_tcx() {
        let link = foreign.attach_tcx(&lab.server, UPLINK, false);
        return Some(link.expect("there is room"));
    }
    let pin = PathBuf::from(format!("/sys/fs/bpf/foreign-{}-{priority}", std::process::id()));
    foreign.pin(&pin);
    let pin_text = pin.to_str().expect("ASCII");
    let line = format!("filter add {} da object-pinned {pin_text}", filter(priority));
    // Not in a batch: `tc` would not see our file system of pins from there.
    run(lab.server.command("tc").args(line.split_whitespace()));
    let _ = std::fs::remove_file(&pin);
    None
}

#[test]
fn programs_that_end_the_chain_run_as_before_and_so_does_ours() {
    let lab = Lab::new();
    if !has_tcx() {
        lab.server.tc([format!("qdisc add dev {UPLINK} clsact")]);
    }
    let earlier = Foreign::load(PASS);
    let _earlier_link = attach(&lab, &earlier, 100);
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "100mbit", &[]);
    let later = Foreign::load(NEXT);
    let _later_link = attach(&lab, &later, 50);
    let before = [earlier.n_packets(), later.n_packets()];
    assert_eq!(n_counted(&lab, &shaper, client(1)), 10);
    // The host sends packets of its own too, such as router solicitations.
    assert!(
        earlier.n_packets() >= before[0] + 10,
        "the one that was there first runs no more"
    );
    println!("status: {}", shaper.status());
    if has_tcx() {
        // The later one comes last, behind one that ends the chain: as it would without us.
        assert_eq!(later.n_packets() - before[1], 0);
    } else {
        assert!(later.n_packets() >= before[1] + 10);
    }
}

/// As many programs as there is room for, up to 70, every seventh of which ends the chain.
fn crowd(lab: &Lab) -> Vec<(Foreign, Option<OwnedFd>)> {
    if !has_tcx() {
        lab.server.tc([format!("qdisc add dev {UPLINK} clsact")]);
    }
    let mut others = Vec::new();
    // The same program cannot stand on a hook twice.
    for n in 1..=70 {
        let foreign = Foreign::load(if n % 7 == 0 { PASS } else { NEXT });
        let link = if has_tcx() {
            match foreign.attach_tcx(&lab.server, UPLINK, false) {
                Ok(link) => Some(link),
                Err(error) => {
                    println!("{} programs fit: {error}", others.len());
                    break;
                }
            }
        } else {
            attach(lab, &foreign, 100 + n)
        };
        others.push((foreign, link));
    }
    others
}

/// Sends ten packets, and tells which of the others have seen them.
fn seen_by(lab: &Lab, others: &[(Foreign, Option<OwnedFd>)]) -> Vec<bool> {
    let count = || {
        others
            .iter()
            .map(|(other, _)| other.n_packets())
            .collect::<Vec<_>>()
    };
    let before = count();
    let mut socket = Socket::open(&lab.server, Options::default());
    for _ in 0..10 {
        socket.send(client(2)).unwrap();
    }
    // The host sends packets of its own too, such as router solicitations.
    let after = count();
    before
        .iter()
        .zip(after)
        .map(|(before, after)| after >= before + 10)
        .collect()
}

#[test]
fn ours_runs_beside_as_many_others_as_fit_and_they_run_as_before() {
    let lab = Lab::new();
    let mut others = crowd(&lab);
    let shaper = Shaper::new(&lab.server);
    if has_tcx() {
        assert!((32..70).contains(&others.len()), "{} fit", others.len());
        let output = shaper.try_run(&["up", "-i", UPLINK]);
        println!("{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "there is no room");
        others.pop();
    } else {
        assert_eq!(others.len(), 70, "clsact has no limit");
    }
    let before = seen_by(&lab, &others);
    assert_eq!(
        before.iter().filter(|sees| **sees).count(),
        7,
        "the seventh ends the chain"
    );
    shaper.run(&["up", "-i", UPLINK]);
    shaper.set(client(1), "100mbit", &[]);
    assert_eq!(n_counted(&lab, &shaper, client(1)), 10);
    assert_eq!(seen_by(&lab, &others), before);
}

#[test]
fn a_program_that_comes_before_ours_and_ends_the_chain_is_reported() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "100mbit", &[]);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
    let foreign = Foreign::load(PASS);
    let link = if has_tcx() {
        Some(foreign.attach_tcx(&lab.server, UPLINK, true).unwrap())
    } else {
        // At the same priority, the filter that was added last runs first.
        attach(&lab, &foreign, CLSACT_PRIORITY.into())
    };
    assert_eq!(
        n_counted(&lab, &shaper, client(1)),
        0,
        "the chain should end before ours"
    );
    let output = shaper.try_run(&["status"]);
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(7));
    if link.is_none() {
        lab.server
            .tc([format!("filter delete {}", filter(CLSACT_PRIORITY.into()))]);
    }
    drop(link);
    assert_eq!(n_counted(&lab, &shaper, client(1)), 10);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
}

#[test]
fn a_destination_is_not_charged_twice_by_a_limit_on_an_upper_and_a_lower_device() {
    let lab = Lab::new();
    lab.server.ip([
        format!("link add link {UPLINK} name vlan5 type vlan id 5"),
        "link set vlan5 up".to_owned(),
        "address add 10.9.1.1/24 dev vlan5".to_owned(),
    ]);
    let shaper = Shaper::new(&lab.server);
    let output = shaper.try_run(&["up", "-i", &format!("{UPLINK},vlan5")]);
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(!output.status.success());
    assert!(said.contains("vlan5"), "{said}");
    // One after the other is no better.
    shaper.run(&["up", "-i", UPLINK]);
    let output = shaper.try_run(&["up", "-i", "vlan5"]);
    println!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success());
}

#[test]
fn up_twice_is_as_good_as_once() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.run(&["up", "-i", UPLINK]);
    shaper.set(client(1), "5mbit", &[]);
    assert_eq!(n_counted(&lab, &shaper, client(1)), 10, "each packet once");
    let receiver = Receiver::start(&lab.clients);
    Load::to(client(1))
        .bits_per_second(20_000_000)
        .run(&lab.server, Duration::from_millis(1500));
    let rate = receiver
        .arrivals()
        .settled(Duration::from_millis(300))
        .departure_rate(5e6);
    // Charged twice it would be half; how close it comes to the whole is for tests with a machine of their own.
    assert!((3.5e6..5.025e6).contains(&rate), "{rate}");
}
