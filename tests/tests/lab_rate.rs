//! The rate, with two processors that race: what is delivered is 99 % to 100.5 % of the limit.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Load, Receiver};

/// As fast as the guest can send, with each payload, from one socket and from eight. Rates from 1 to 100 Mbit/s are
/// tried in virtual time, where they are exact.
#[test]
fn as_much_as_can_be_sent_arrives_at_the_rate() {
    const RATE: f64 = 10e6;
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let cases = [64, 200, 500, 1400]
        .into_iter()
        .flat_map(|payload| [(payload, 1), (payload, 8)]);
    let mut failures = Vec::new();
    for ((payload, n_sockets), n) in cases.zip(1..) {
        shaper.set(client(n), "10mbit", &[]);
        let receiver = Receiver::start(&lab.clients);
        let sent = Load::to(client(n))
            .payload(payload)
            .sockets(n_sockets)
            .run(&lab.server, Duration::from_secs(2));
        let arrivals = receiver.arrivals();
        let measured = arrivals.settled(Duration::from_millis(300)).departure_rate(RATE);
        let stats = shaper.stats(client(n));
        let is_saturated = stats.dropped_packets > sent.n_packets / 3;
        let what = format!(
            "payload {payload}, {n_sockets} sockets: {:.3} % delivered, {} of {} packets dropped",
            measured / RATE * 100.0,
            stats.dropped_packets,
            sent.n_packets
        );
        println!("{what}");
        // Small packets at a high rate are more than the emulated processors can send.
        if measured > RATE * 1.005 || (is_saturated && measured < RATE * 0.99) {
            failures.push(what);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn one_destination_over_four_transmit_queues_gets_one_rate() {
    let lab = Lab::with_queues(4);
    let shaper = Shaper::up(&lab.server, UPLINK);
    assert_eq!(Qdisc::fqs(&lab.server, UPLINK).len(), 4);
    shaper.set(client(1), "10mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    Load::to(client(1))
        .sockets(8)
        .run(&lab.server, Duration::from_secs(2));
    let measured = receiver
        .arrivals()
        .settled(Duration::from_millis(300))
        .departure_rate(10e6);
    println!("{measured:.0} of 10 Mbit/s");
    assert!((9.9e6..=10.05e6).contains(&measured), "{measured}");
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}
