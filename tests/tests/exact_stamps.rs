//! Departure times that packets bring along: respected, never charged, never a way around the limit.

use std::time::Duration;

use shaper_tests::lab::guest::kernel_log;
use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Clock, Load, Options, Receiver, Socket};

/// Time that the only packet of a flow took from being sent to arriving.
fn delay(receiver: &Receiver, flow: u32, sent_ns: u64) -> Duration {
    let arrived = |flow| {
        move |arrivals: &[shaper_tests::traffic::Arrival]| arrivals.iter().any(|arrival| arrival.flow == flow)
    };
    assert!(
        receiver.wait_for(Duration::from_secs(5), arrived(flow)),
        "flow {flow} did not arrive"
    );
    Duration::from_nanos(receiver.arrivals().of_flow(flow).0[0].ns - sent_ns)
}

fn socket(lab: &Lab, flow: u32, clock: Option<Clock>) -> Socket {
    let options = Options {
        flow,
        departure_clock: clock,
        ..Options::to(client(1))
    };
    Socket::open(&lab.server, options)
}

/// Sends full packets until the bucket of the first client is a given time ahead.
fn fill(lab: &Lab, n_packets: u32) {
    let mut socket = socket(lab, 1000, None);
    for _ in 0..n_packets {
        socket.send(client(1)).unwrap();
    }
}

#[test]
fn stamps_of_other_clocks_neither_bypass_the_limit_nor_lose_packets() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    for (n, clock) in [(1, Clock::Monotonic), (2, Clock::Realtime), (3, Clock::Tai)] {
        shaper.set(client(n), "1mbit", &[]);
        let options = Options {
            departure_clock: Some(clock),
            ..Options::default()
        };
        Load::to(client(n))
            .with(options.unstoppable())
            .departing_in(Duration::from_millis(10))
            .bits_per_second(4_000_000)
            .run(&lab.server, Duration::from_secs(2));
        let arrivals = receiver.drain(Duration::from_millis(300)).to(client(n));
        let rate = arrivals.settled(Duration::from_millis(300)).bits_per_second();
        println!("{clock:?}: {rate:.0} bit/s, {} reordered", arrivals.n_reordered());
        assert!((999e3..1001e3).contains(&rate), "{clock:?}: {rate}");
        assert_eq!(arrivals.len() as u64, shaper.stats(client(n)).sent_packets);
        assert_eq!(arrivals.n_reordered(), 0, "{clock:?}");
    }
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn the_later_of_an_applications_departure_time_and_ours_counts() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    shaper.set(client(1), "1mbit", &[]);
    for (flow, asked_ms, expected_ms) in [(1, 150, 150..152), (2, 10, 80..100)] {
        // Two packets of burst, one that goes at once, and a queue of 80 ms.
        fill(&lab, 10);
        let mut socket = socket(&lab, flow, Some(Clock::Monotonic));
        let sent_ns = Clock::Realtime.now_ns();
        let departure_ns = Clock::Monotonic.now_ns() + asked_ms * 1_000_000;
        socket.send_at(client(1), departure_ns).unwrap();
        let delay = delay(&receiver, flow, sent_ns);
        println!("asked for {asked_ms} ms, waited {delay:?}");
        assert!(expected_ms.contains(&delay.as_millis()), "{delay:?}");
        let _ = receiver.drain(Duration::from_millis(500));
    }
}

#[test]
fn a_stamp_of_the_wall_clock_is_sent_at_once_if_the_destination_is_idle() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    shaper.set(client(1), "1mbit", &[]);
    for (flow, clock) in [(1, Clock::Realtime), (2, Clock::Tai)] {
        let mut socket = socket(&lab, flow, Some(clock));
        let sent_ns = Clock::Realtime.now_ns();
        socket.send_at(client(1), clock.now_ns()).unwrap();
        let delay = delay(&receiver, flow, sent_ns);
        assert!(delay < Duration::from_millis(1), "{clock:?}: {delay:?}");
        let _ = receiver.drain(Duration::from_millis(300));
    }
}

#[test]
fn a_departure_time_far_ahead_does_not_make_the_next_packet_late() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    shaper.set(client(1), "1mbit", &[]);
    let mut poisoner = socket(&lab, 1, Some(Clock::Monotonic));
    for _ in 0..2 {
        poisoner
            .send_at(client(1), Clock::Monotonic.now_ns() + 1_500_000_000)
            .unwrap();
    }
    let mut victim = socket(&lab, 2, None);
    let sent_ns = Clock::Realtime.now_ns();
    victim.send(client(1)).unwrap();
    let delay = delay(&receiver, 2, sent_ns);
    println!("the victim waited {delay:?}");
    assert!(delay < Duration::from_millis(15), "{delay:?}");
    assert!(receiver.wait_for(Duration::from_secs(3), |arrivals| arrivals.len() == 3));
    let poison = receiver.arrivals().of_flow(1);
    assert!(
        poison.0[0].ns - sent_ns > 1_490_000_000,
        "the application's own wish was not kept"
    );
}

#[test]
fn an_applications_own_pacing_survives_where_nothing_has_to_wait() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    shaper.set(client(1), "100mbit", &[]);
    for (flow, destination) in [(1, client(1)), (2, client(2))] {
        let options = Options {
            flow,
            payload: 958,
            connect: Some(destination),
            max_pacing_rate: Some(125_000),
            ..Options::default()
        };
        let mut socket = Socket::open(&lab.server, options.unstoppable());
        for _ in 0..60 {
            socket.send(destination).unwrap();
        }
        assert!(receiver.wait_for(Duration::from_secs(2), |arrivals| {
            arrivals.iter().filter(|arrival| arrival.flow == flow).count() == 60
        }));
        let span = receiver.arrivals().of_flow(flow).span();
        println!("60000 bytes at 125 kB/s to {destination} took {span:?}");
        // The first ones are fq's initial quantum of ten full packets.
        assert!((320..480).contains(&span.as_millis()), "{span:?}");
    }
}

#[test]
fn a_packet_of_control_priority_waits_like_any_other() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    for (n, priority) in [(1, 0), (2, 6), (3, 7), (4, 23)] {
        shaper.set(client(n), "1mbit", &[]);
        let options = Options {
            priority: Some(priority),
            ..Options::default()
        };
        Load::to(client(n))
            .with(options.unstoppable())
            .bits_per_second(2_000_000)
            .run(&lab.server, Duration::from_secs(1));
        let arrivals = receiver.drain(Duration::from_millis(300)).to(client(n));
        let rate = arrivals.settled(Duration::from_millis(200)).bits_per_second();
        println!(
            "priority {priority}: {rate:.0} bit/s, burst {:.0} bytes",
            arrivals.burst_bytes(1e6)
        );
        assert!((999e3..1001e3).contains(&rate), "priority {priority}: {rate}");
        assert!(arrivals.burst_bytes(1e6) < 6_000.0);
    }
}

#[test]
fn the_kernel_finds_nothing_odd_about_the_stamps() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let receiver = Receiver::start(&lab.clients);
    shaper.set(client(1), "1mbit", &[]);
    fill(&lab, 10);
    assert!(receiver.wait_for(Duration::from_secs(1), |arrivals| arrivals.len() == 10));
    let log = kernel_log();
    assert!(!log.contains("likely mono tstamp"), "{log}");
}
