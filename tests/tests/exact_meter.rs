//! How exact is what the lab measures in virtual time? No limit of ours takes part.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{DOWNLINK, Lab, UPLINK, client};
use shaper_tests::traffic::{Clock, Echo, Iperf, Load, Options, Probe, Receiver, Socket, Tap};

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

/// Most tests end by finding that fq dropped nothing: this one finds what it did drop.
#[test]
fn what_fq_drops_is_seen() {
    let lab = Lab::new();
    lab.server
        .tc([format!("qdisc add dev {UPLINK} root fq flow_limit 5")]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        departure_clock: Some(Clock::Monotonic),
        connect: Some(client(1)),
        ..Options::default()
    };
    let mut socket = Socket::open(&lab.server, options.unstoppable());
    let departure_ns = Clock::Monotonic.now_ns() + 200_000_000;
    for _ in 0..20 {
        socket.send_at(client(1), departure_ns).unwrap();
    }
    let arrived = receiver.drain(Duration::from_millis(400)).len();
    let fq = &Qdisc::fqs(&lab.server, UPLINK)[0];
    println!("{arrived} of 20 arrived; {}", fq.json);
    assert_eq!((arrived, fq.n_drops, fq.number("flows_plimit")), (5, 15, 15));
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 15);
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

#[test]
fn the_rate_of_a_token_bucket_filter_is_measured_within_two_hundredths() {
    let lab = Lab::new();
    lab.server.tc([format!(
        "qdisc add dev {UPLINK} root tbf rate 10mbit burst 100kb limit 100kb"
    )]);
    let receiver = Receiver::start(&lab.clients);
    Load::to(client(1))
        .bits_per_second(40_000_000)
        .run(&lab.server, Duration::from_secs(3));
    let arrivals = receiver.arrivals().settled(Duration::from_millis(600));
    let rate = arrivals.bits_per_second();
    println!("measured {rate:.0} bit/s of 10 Mbit/s");
    assert!((9.8e6..10.2e6).contains(&rate), "{rate}");
    assert_eq!(arrivals.n_reordered(), 0);
}

#[test]
fn iperf3_measures_tcp_at_the_receiver() {
    let lab = Lab::new();
    lab.server.tc([format!(
        "qdisc add dev {UPLINK} root tbf rate 10mbit burst 100kb limit 100kb"
    )]);
    let tap = Tap::start(&lab.clients, DOWNLINK);
    let transfer = Iperf::to(client(1), 5201, 3).run(&lab.server, &lab.clients);
    let wire = tap.arrivals().to(client(1)).settled(Duration::from_secs(1));
    println!(
        "goodput {:.0}, wire {:.0}, {} retransmitted, by second {:?}",
        transfer.bits_per_second,
        wire.bits_per_second(),
        transfer.n_retransmitted,
        transfer.by_second
    );
    let goodput = transfer.bits_per_second * 1514.0 / 1448.0;
    assert!((0.95..1.05).contains(&(goodput / wire.bits_per_second())));
}
