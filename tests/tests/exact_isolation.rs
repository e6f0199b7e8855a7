//! Whoever is not limited does not notice that others are, in virtual time.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Host, Lab, Router, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Echo, Load, Probe, Receiver};

const N_PROBES: u32 = 200;

/// Panics unless probes during the load fared as well as those before.
fn assert_undisturbed(before: &Probe, during: &Probe) {
    println!(
        "median {:?}, then {:?}; 99 %: {:?}, then {:?}",
        before.median(),
        during.median(),
        before.percentile(99),
        during.percentile(99)
    );
    assert_eq!(during.n_lost, 0);
    let allowed = (before.median() / 10).max(Duration::from_micros(200));
    assert!(during.median() < before.median() + allowed);
}

#[test]
fn a_flood_to_a_limited_destination_leaves_an_unlimited_one_alone() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "10mbit", &[]);
    let (_receiver, _echo) = (Receiver::start(&lab.clients), Echo::start(&lab.clients));
    let probe = || Probe::run(&lab.server, client(2), N_PROBES, Duration::from_millis(5));
    let before = probe();
    let load = Load::to(client(1)).bits_per_second(40_000_000).start(&lab.server);
    let during = probe();
    load.stop();
    assert!(shaper.stats(client(1)).dropped_packets > 1_000, "it was no flood");
    assert_undisturbed(&before, &during);
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

/// Fifty clients whose queues are full, sent to from `sender`, and one more who is not limited.
fn saturate_fifty(lab: &Lab, sender: &Host) {
    let rule = |n| format!("[[rule]]\ndestination = \"{}\"\nrate = \"500kbit\"\n", client(n));
    let rules: String = (1..=50).map(rule).collect();
    let _shaper = Shaper::up_with(&lab.server, UPLINK, &rules);
    let (receiver, _echo) = (Receiver::start(&lab.clients), Echo::start(&lab.clients));
    let probe = || Probe::run(sender, client(60), N_PROBES, Duration::from_millis(5));
    let before = probe();
    let load = Load::to_all((1..=50).map(client))
        .bits_per_second(60_000_000)
        .start(sender);
    let during = probe();
    load.stop();
    assert_undisturbed(&before, &during);
    let arrivals = receiver.arrivals();
    for n in 1..=50 {
        let rate = arrivals
            .to(client(n))
            .settled(Duration::from_millis(300))
            .bits_per_second();
        assert!((499e3..501e3).contains(&rate), "{}: {rate}", client(n));
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn fifty_saturated_destinations_leave_an_unlimited_one_alone() {
    let lab = Lab::new();
    saturate_fifty(&lab, &lab.server);
}

/// Packets that belong to no socket: nothing but the limits holds their sender back.
#[test]
fn fifty_saturated_destinations_of_a_router_leave_an_unlimited_one_alone() {
    let router = Router::new();
    saturate_fifty(&router.lab, &router.source);
}
