//! How exact is what the lab measures in virtual time? No limit of ours takes part.

use std::time::Duration;

use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::traffic::{Clock, Echo, Options, Probe, Receiver, Socket};

#[test]
fn departures_that_an_application_asks_for_are_measured_within_a_hundred_ppm() {
    const N_PACKETS: u64 = 1_000;
    const INTERVAL_NS: u64 = 2_000_000;
    let lab = Lab::new();
    lab.server
        .tc([format!("qdisc add dev {UPLINK} root fq flow_limit 2000")]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        departure_clock: Some(Clock::Monotonic),
        connect: Some(client(1)),
        ..Options::default()
    };
    let mut socket = Socket::open(&lab.server, options.unstoppable());
    let first_ns = Clock::Monotonic.now_ns() + 100_000_000;
    for n in 0..N_PACKETS {
        socket.send_at(client(1), first_ns + n * INTERVAL_NS).unwrap();
    }
    let n_packets = usize::try_from(N_PACKETS).unwrap();
    assert!(receiver.wait_for(Duration::from_secs(5), |arrivals| arrivals.len() == n_packets));
    let arrivals = receiver.arrivals();
    let exact = (N_PACKETS - 1) * INTERVAL_NS;
    let off_ns = arrivals.span().as_nanos().abs_diff(exact.into());
    let latest_ns = (0..)
        .zip(&arrivals.0)
        .map(|(n, arrival)| (arrival.ns - arrivals.0[0].ns).abs_diff(n * INTERVAL_NS));
    println!(
        "{off_ns} ns off after {exact} ns, at most {:?} in between",
        latest_ns.max()
    );
    assert!(off_ns * 10_000 < exact.into(), "{off_ns} of {exact}");
}

#[test]
fn the_same_round_trip_takes_the_same_time() {
    let lab = Lab::new();
    let _echo = Echo::start(&lab.clients);
    let probe = Probe::run(&lab.server, client(1), 50, Duration::from_millis(5));
    println!(
        "{:?}, median {:?}, {:?}",
        probe.percentile(0),
        probe.median(),
        probe.percentile(90)
    );
    assert_eq!(probe.n_lost, 0);
    assert!(probe.percentile(90) < probe.median() + Duration::from_micros(20));
}
