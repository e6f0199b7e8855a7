//! Does the lab measure what is there? Everything else rests on this; no limit of ours takes part.

use std::time::Duration;

use shaper_tests::lab::link::Counters;
use shaper_tests::lab::{DOWNLINK, Lab, UPLINK, client, client6};
use shaper_tests::traffic::{Clock, Echo, Load, Options, Probe, Receiver, Socket, Tap};

#[test]
fn an_offered_rate_is_sent_and_received_without_loss() {
    let lab = Lab::new();
    let receiver = Receiver::start(&lab.clients);
    let before = Counters::read(&lab.clients, DOWNLINK);
    for (destination, flow) in [(client(1), 1), (client6(1), 2)] {
        let options = Options {
            flow,
            connect: Some(destination),
            ..Options::default()
        };
        let sent = Load::to(destination)
            .with(options)
            .bits_per_second(5_000_000)
            .run(&lab.server, Duration::from_secs(1));
        let arrivals = receiver.drain(Duration::from_millis(200)).to(destination);
        assert_eq!(arrivals.len() as u64, sent.n_packets);
        let rate = arrivals.bits_per_second();
        println!("measured {rate:.0} bit/s of 5 Mbit/s offered to {destination}");
        assert!((4.9e6..5.1e6).contains(&rate), "{rate}");
    }
    let crossed = Counters::read(&lab.clients, DOWNLINK).since(before);
    let arrived = receiver.arrivals().wire_bytes();
    assert!(
        crossed.rx_bytes - arrived < 2_000,
        "{crossed:?}, but {arrived} bytes arrived"
    );
}

#[test]
fn fq_holds_a_packet_until_its_departure_time() {
    let lab = Lab::new();
    lab.server.tc([format!("qdisc add dev {UPLINK} root fq")]);
    let receiver = Receiver::start(&lab.clients);
    let mut socket = Socket::open(
        &lab.server,
        Options {
            departure_clock: Some(Clock::Monotonic),
            connect: Some(client(1)),
            ..Options::default()
        },
    );
    let wall_ns = Clock::Realtime.now_ns();
    let departure_ns = Clock::Monotonic.now_ns() + 300_000_000;
    socket.send_at(client(1), departure_ns).unwrap();
    assert!(receiver.wait_for(Duration::from_secs(2), |arrivals| arrivals.len() == 1));
    let held = Duration::from_nanos(receiver.arrivals().0[0].ns - wall_ns);
    println!("held for {held:?} of 300 ms");
    assert!((300..500).contains(&held.as_millis()), "{held:?}");
}

#[test]
fn segments_of_one_send_arrive_as_packets() {
    let lab = Lab::new();
    let receiver = Receiver::start(&lab.clients);
    let tap = Tap::start(&lab.clients, DOWNLINK);
    let options = Options {
        payload: 1000,
        segments: 10,
        ..Options::default()
    };
    Socket::open(&lab.server, options).send(client(1)).unwrap();
    assert!(receiver.wait_for(Duration::from_secs(2), |arrivals| arrivals.len() == 10));
    let tapped = tap.arrivals().to(client(1));
    assert_eq!(tapped.wire_bytes(), 10 * 1042);
    assert_eq!(receiver.arrivals().wire_bytes(), 10 * 1042);
}

#[test]
fn round_trips_are_measured_and_loss_is_seen() {
    let lab = Lab::new();
    let echo = Echo::start(&lab.clients);
    let probe = Probe::run(&lab.server, client(1), 20, Duration::from_millis(5));
    println!("median {:?}", probe.median());
    assert_eq!(probe.n_lost, 0);
    assert!(probe.median() < Duration::from_millis(50));
    drop(echo);
    assert_eq!(Probe::run(&lab.server, client(1), 1, Duration::ZERO).n_lost, 1);
}

#[test]
fn a_host_leaves_nothing_behind_when_a_test_panics() {
    let result = std::thread::spawn(|| {
        let lab = Lab::new();
        let name = lab.server.name().to_owned();
        std::panic::panic_any(name);
    })
    .join();
    let name = result.unwrap_err().downcast::<String>().unwrap();
    assert!(!std::path::Path::new("/run/netns").join(*name).exists());
}
