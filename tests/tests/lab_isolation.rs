//! Whoever is not limited does not notice that others are, with two processors.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Echo, Load, Probe, Receiver};

/// A machine of two emulated processors is busy with sending alone; what must not be is a queue, which would be
/// 200 ms long.
const BUSY: Duration = Duration::from_millis(5);

fn undisturbed(destinations: u16, megabits: u32) {
    let lab = Lab::new();
    let rule = |n| {
        format!(
            "[[rule]]\ndestination = \"{}\"\nrate = \"{megabits}mbit\"\n",
            client(n)
        )
    };
    let rules: String = (1..=destinations).map(rule).collect();
    let _shaper = Shaper::up_with(&lab.server, UPLINK, &rules);
    let (_receiver, _echo) = (Receiver::start(&lab.clients), Echo::start(&lab.clients));
    let probe = || Probe::run(&lab.server, client(1000), 200, Duration::from_millis(10));
    let before = probe();
    let load = Load::to_all((1..=destinations).map(client))
        .on_cpu(1)
        .start(&lab.server);
    let during = probe();
    let sent = load.stop();
    println!(
        "{} packets sent; median {:?}, then {:?}; 90 %: {:?}, then {:?}",
        sent.n_packets,
        before.median(),
        during.median(),
        before.percentile(90),
        during.percentile(90)
    );
    assert_eq!((before.n_lost, during.n_lost), (0, 0));
    assert!(during.median() < before.median() + BUSY, "{:?}", during.median());
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn a_flood_to_a_limited_destination_leaves_an_unlimited_one_alone() {
    undisturbed(1, 10);
}

#[test]
fn fifty_saturated_destinations_leave_an_unlimited_one_alone() {
    undisturbed(50, 1);
}
