//! Other people's programs and qdiscs: ours runs, theirs run as before, and nothing of ours stays behind.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use shaper_tests::lab::foreign::{NEXT, PASS};
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

/// Attaches by tcx where there is one, else by `tc` at a priority of the caller's.
fn attach(lab: &Lab, foreign: &Foreign, priority: u32) -> Option<OwnedFd> {
    if Release::running() >= Release::V6_12 {
        return Some(
            foreign
                .attach_tcx(&lab.server, UPLINK, false)
                .expect("there is room"),
        );
    }
    let pin = PathBuf::from(format!("/sys/fs/bpf/foreign-{}-{priority}", std::process::id()));
    foreign.pin(&pin);
    let priority = priority.to_string();
    let pin_text = pin.to_str().expect("ASCII");
    let filter = [
        "filter",
        "add",
        "dev",
        UPLINK,
        "egress",
        "prio",
        &priority,
        "handle",
        "1",
        "bpf",
        "da",
        "object-pinned",
        pin_text,
    ];
    let output = lab
        .server
        .command("tc")
        .args(filter)
        .output()
        .expect("tc is installed");
    let _ = std::fs::remove_file(&pin);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    None
}

#[test]
fn programs_that_end_the_chain_run_as_before_and_so_does_ours() {
    let lab = Lab::new();
    if Release::running() < Release::V6_12 {
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
    if Release::running() >= Release::V6_12 {
        // The later one comes last, behind one that ends the chain: as it would without us.
        assert_eq!(later.n_packets() - before[1], 0);
    } else {
        assert!(later.n_packets() >= before[1] + 10);
    }
}

#[test]
fn ours_takes_the_last_place_on_a_hook_and_says_so_if_there_is_none() {
    if Release::running() < Release::V6_12 {
        // Filters of clsact have no such limit.
        return;
    }
    let lab = Lab::new();
    // The same program cannot stand on a hook twice.
    let mut others = Vec::new();
    let error = loop {
        let foreign = Foreign::load(NEXT);
        match foreign.attach_tcx(&lab.server, UPLINK, false) {
            Ok(link) => others.push((foreign, link)),
            Err(error) => break error,
        }
    };
    println!("{} programs fit: {error}", others.len());
    assert!(others.len() > 32);
    let shaper = Shaper::new(&lab.server);
    let output = shaper.try_run(&["up", "-i", UPLINK]);
    println!("{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(1));

    others.pop();
    shaper.run(&["up", "-i", UPLINK]);
    shaper.set(client(1), "100mbit", &[]);
    let before: Vec<_> = others.iter().map(|(other, _)| other.n_packets()).collect();
    assert_eq!(n_counted(&lab, &shaper, client(1)), 10);
    for ((other, _), before) in others.iter().zip(before) {
        assert!(other.n_packets() >= before + 10, "another program runs no more");
    }
}

#[test]
fn a_program_that_comes_before_ours_and_ends_the_chain_is_reported() {
    if Release::running() < Release::V6_12 {
        return;
    }
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "100mbit", &[]);
    assert_eq!(shaper.try_run(&["status"]).status.code(), Some(0));
    let foreign = Foreign::load(PASS);
    let link = foreign.attach_tcx(&lab.server, UPLINK, true).unwrap();
    assert_eq!(
        n_counted(&lab, &shaper, client(1)),
        0,
        "the chain should end before ours"
    );
    let output = shaper.try_run(&["status"]);
    println!("{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.status.code(), Some(7));
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
    assert!((4.95e6..5.025e6).contains(&rate), "{rate}");
}
