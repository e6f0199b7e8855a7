//! What is dropped is counted, and its sender is told as far as it wants to know, in virtual time.

use std::time::Duration;

use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Load, Options, Receiver};

fn flood(is_told_of_drops: bool) -> (shaper_tests::traffic::Sent, u64, u64) {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "1mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        is_told_of_drops,
        connect: Some(client(1)),
        ..Options::default()
    };
    let sent = Load::to(client(1))
        .with(options.unstoppable())
        .bits_per_second(8_000_000)
        .run(&lab.server, Duration::from_secs(1));
    let n_arrived = receiver.drain(Duration::from_millis(300)).len() as u64;
    let n_dropped = shaper.stats(client(1)).dropped_packets;
    println!("{sent:?}, {n_arrived} arrived, {n_dropped} counted as dropped");
    assert!(n_dropped > 100, "{n_dropped}");
    (sent, n_arrived, n_dropped)
}

#[test]
fn a_dropped_udp_packet_is_counted_and_its_sender_does_not_notice() {
    let (sent, n_arrived, n_dropped) = flood(false);
    assert_eq!(sent.n_refused, 0);
    assert_eq!(sent.n_packets, n_arrived + n_dropped);
}

#[test]
fn a_sender_that_wants_to_know_is_told_of_every_drop() {
    let (sent, n_arrived, n_dropped) = flood(true);
    assert_eq!(sent.n_refused, n_dropped);
    assert_eq!(sent.n_packets, n_arrived);
}
