//! The rate, in virtual time: what is delivered over a measured span is the limit within 100 ppm.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, Router, UPLINK, client, client6};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Arrivals, Load, Options, Receiver};

/// Bursts are over and queues are full.
const SETTLING: Duration = Duration::from_millis(300);

/// Panics unless the rate is `bits_per_second` within 100 ppm, with nothing out of order.
fn assert_exact(what: &str, arrivals: &Arrivals, bits_per_second: f64) {
    // By the packets that were delayed least: the last one may have met another on its way through the receiver.
    let measured = arrivals.settled(SETTLING).departure_rate(bits_per_second);
    let ppm = (measured / bits_per_second - 1.0) * 1e6;
    println!("{what}: {measured:.0} bit/s, {ppm:+.1} ppm");
    assert!(ppm.abs() < 100.0, "{what}: {measured} of {bits_per_second}");
    assert_eq!(arrivals.n_reordered(), 0, "{what}");
}

/// Offers four times the rate with each payload, from one socket and from eight.
fn four_times(megabits: u32, payloads: &[usize], duration: Duration) {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    let cases = payloads.iter().flat_map(|&payload| [(payload, 1), (payload, 8)]);
    for ((payload, n_sockets), n) in cases.zip(1..) {
        shaper.set(client(n), &format!("{megabits}mbit"), &[]);
        Load::to(client(n))
            .payload(payload)
            .sockets(n_sockets)
            .bits_per_second(u64::from(megabits) * 4_000_000)
            .run(&lab.server, duration);
        let what = format!("{megabits} Mbit/s, payload {payload}, {n_sockets} sockets");
        let arrivals = receiver.arrivals().to(client(n));
        assert_exact(&what, &arrivals, f64::from(megabits) * 1e6);
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn four_times_1_mbit_arrives_as_1_mbit() {
    four_times(1, &[64, 200, 500, 1400], Duration::from_secs(3));
}

#[test]
fn four_times_10_mbit_arrives_as_10_mbit() {
    four_times(10, &[64, 200, 500, 1400], Duration::from_millis(1300));
}

#[test]
fn four_times_100_mbit_arrives_as_100_mbit() {
    // Smaller packets are more than the emulated processor can send.
    four_times(100, &[500, 1400], Duration::from_millis(900));
}

#[test]
fn small_packets_at_100_mbit_are_not_more_than_that_and_as_many_as_can_be_sent() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let cases = [64, 200]
        .into_iter()
        .flat_map(|payload| [(payload, 1), (payload, 8)]);
    for ((payload, n_sockets), n) in cases.zip(1..) {
        let receiver = Receiver::start(&lab.clients);
        shaper.set(client(n), "100mbit", &[]);
        let sent = Load::to(client(n))
            .payload(payload)
            .sockets(n_sockets)
            .run(&lab.server, Duration::from_millis(500));
        let arrivals = receiver.drain(Duration::from_millis(300));
        let n_dropped = shaper.stats(client(n)).dropped_packets;
        let share = arrivals.settled(SETTLING).departure_rate(100e6) / 100e6;
        println!(
            "payload {payload}, {n_sockets} sockets: {:.3} %, {n_dropped} of {} dropped",
            share * 100.0,
            sent.n_packets
        );
        // At no time more than the rate, the burst of 10 ms and what waited for the one processor.
        let most_bytes = arrivals.burst_bytes(100e6);
        assert!(most_bytes < 12.5e6 * 0.012, "{most_bytes}");
        // Less than the rate is what was sent, all of it.
        assert!(share > 0.9999 || n_dropped == 0, "{share}, {n_dropped} dropped");
        assert_eq!(arrivals.len() as u64 + n_dropped, sent.n_packets);
        assert_eq!(arrivals.n_reordered(), 0);
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn an_ipv6_destination_gets_its_rate_too() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client6(1), "5mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        payload: 1000,
        connect: Some(client6(1)),
        ..Options::default()
    };
    Load::to(client6(1))
        .with(options.unstoppable())
        .bits_per_second(20_000_000)
        .run(&lab.server, Duration::from_millis(1300));
    assert_exact("IPv6", &receiver.arrivals(), 5e6);
}

#[test]
fn a_sender_that_its_socket_holds_back_gets_the_rate_without_a_drop() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "5mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    // A small send buffer is full long before the horizon is reached.
    let options = Options {
        send_buffer: Some(50_000),
        ..Options::default()
    };
    let sent = Load::to(client(1))
        .with(options)
        .run(&lab.server, Duration::from_millis(1300));
    let arrivals = receiver.drain(Duration::from_millis(300));
    assert_exact("held back", &arrivals, 5e6);
    assert_eq!(arrivals.len() as u64, sent.n_packets);
}

/// Packets of nobody's socket share few queues of fq and nothing holds their senders back.
#[test]
fn forwarded_packets_get_the_rate_and_no_flow_limit_drops_them() {
    let router = Router::new();
    let lab = &router.lab;
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    for (n, megabits, payload) in [(1, 10_u32, 64), (2, 50, 1400)] {
        shaper.set(client(n), &format!("{megabits}mbit"), &[]);
        Load::to(client(n))
            .payload(payload)
            .bits_per_second(u64::from(megabits) * 4_000_000)
            .run(&router.source, Duration::from_millis(1300));
        let arrivals = receiver.drain(Duration::from_millis(300)).to(client(n));
        assert_exact(
            &format!("forwarded, payload {payload}"),
            &arrivals,
            f64::from(megabits) * 1e6,
        );
    }
    for fq in Qdisc::fqs(&lab.server, UPLINK) {
        assert_eq!(fq.number("flows_plimit"), 0);
        assert_eq!(fq.n_drops, 0, "{}", fq.json);
    }
}

#[test]
fn destinations_under_any_share_one_rate() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set_any("8mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    Load::to_all((1..=8).map(client))
        .bits_per_second(32_000_000)
        .run(&lab.server, Duration::from_millis(1300));
    assert_exact("eight destinations", &receiver.arrivals(), 8e6);
}
