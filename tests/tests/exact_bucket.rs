//! What a bucket admits, what it refuses, and what that costs, in virtual time.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Clock, Load, Options, Receiver, Socket};

const WIRE_BYTES: f64 = 1442.0;

#[test]
fn a_64_kib_packet_to_an_idle_slow_destination_is_sent_once_and_then_the_rate_holds() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "100kbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        segments: 46,
        ..Options::to(client(1))
    };
    let mut socket = Socket::open(&lab.server, options);
    socket.send(client(1)).unwrap();
    assert!(receiver.wait_for(Duration::from_secs(1), |arrivals| arrivals.len() == 46));
    assert!(
        receiver.arrivals().span() < Duration::from_millis(50),
        "it was not sent at once"
    );

    Load::to(client(1))
        .flow(1)
        .bits_per_second(400_000)
        .run(&lab.server, Duration::from_secs(30));
    let arrivals = receiver.arrivals();
    let whole = 46.0 * WIRE_BYTES;
    let burst = arrivals.burst_bytes(100e3);
    let rest = arrivals.of_flow(1);
    let rate = rest.settled(Duration::from_secs(1)).bits_per_second();
    println!(
        "burst {burst:.0} bytes, the packet is {whole}; then {:?} of silence and {rate:.1} bit/s",
        rest.0[0].ns - arrivals.0[45].ns
    );
    // What an idle bucket may send besides: 10 ms at the rate, at least two full packets.
    assert!(burst < whole + 3.1 * WIRE_BYTES, "{burst}");
    assert!((99_990.0..100_010.0).contains(&rate), "{rate}");
}

#[test]
fn a_dropped_packet_costs_its_destination_nothing() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "1mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    Load::to(client(1))
        .bits_per_second(100_000_000)
        .run(&lab.server, Duration::from_millis(500));
    let arrivals = receiver.drain(Duration::from_millis(300));
    let stats = shaper.stats(client(1));
    println!("{stats:?}");
    assert!(stats.dropped_packets > 3_000, "{stats:?}");
    assert_eq!(stats.sent_packets, arrivals.len() as u64);
    // Had the drops been charged, the queue would now be minutes long.
    let mut socket = Socket::open(
        &lab.server,
        Options {
            flow: 9,
            ..Options::to(client(1))
        },
    );
    let sent_ns = Clock::Realtime.now_ns();
    socket.send(client(1)).unwrap();
    assert!(receiver.wait_for(Duration::from_secs(1), |arrivals| {
        arrivals.iter().any(|arrival| arrival.flow == 9)
    }));
    let arrived_ns = receiver.arrivals().of_flow(9).0[0].ns;
    assert!(
        arrived_ns - sent_ns < 1_000_000,
        "waited {} ns",
        arrived_ns - sent_ns
    );
}

#[test]
fn an_idle_destination_gets_its_burst_at_once_and_no_more() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "1mbit", &["--burst", "20kB"]);
    let receiver = Receiver::start(&lab.clients);
    for flow in 1..=2 {
        Load::to(client(1))
            .flow(flow)
            .bits_per_second(40_000_000)
            .run(&lab.server, Duration::from_millis(500));
        let arrivals = receiver.drain(Duration::from_secs(1)).of_flow(flow);
        let burst = arrivals.burst_bytes(1e6);
        println!("burst {burst:.0} of 20000 bytes, and one packet");
        // The bucket is full, and the packet that finds it empty still goes.
        assert!(
            (20_000.0 - WIRE_BYTES..=20_000.0 + 2.0 * WIRE_BYTES).contains(&burst),
            "{burst}"
        );
    }
}

#[test]
fn the_queue_of_a_fast_destination_lasts_for_the_horizon() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "10mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let sent = Load::to(client(1)).bits_per_second(40_000_000).start(&lab.server);
    std::thread::sleep(Duration::from_millis(700));
    let stopped_ns = Clock::Realtime.now_ns();
    sent.stop();
    let arrivals = receiver.drain(Duration::from_millis(300));
    let queue = Duration::from_nanos(arrivals.0.last().unwrap().ns - stopped_ns);
    println!("the last packet came {queue:?} after the sender stopped");
    assert!((195..205).contains(&queue.as_millis()), "{queue:?}");
}

#[test]
fn the_queue_of_a_slow_destination_holds_a_packet_of_64_kib() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "100kbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        payload: 1472,
        ..Options::to(client(1))
    };
    let mut socket = Socket::open(&lab.server, options.unstoppable());
    for _ in 0..100 {
        socket.send(client(1)).unwrap();
    }
    let arrivals = receiver.drain(Duration::from_secs(1));
    println!(
        "{} of 100 packets arrived over {:?}",
        arrivals.len(),
        arrivals.span()
    );
    // Those in the queue, and the burst of two packets before it.
    assert!((48..=52).contains(&arrivals.len()), "{}", arrivals.len());
}

#[test]
fn the_slowest_limit_of_all_keeps_its_promise_to_fq() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "8kbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let options = Options {
        payload: 1472,
        ..Options::to(client(1))
    };
    let mut socket = Socket::open(&lab.server, options.unstoppable());
    for _ in 0..100 {
        socket.send(client(1)).unwrap();
    }
    let arrivals = receiver.drain(Duration::from_secs(4));
    println!(
        "{} of 100 packets arrived over {:?}",
        arrivals.len(),
        arrivals.span()
    );
    let stats = shaper.stats(client(1));
    assert_eq!(stats.sent_packets, arrivals.len() as u64);
    assert_eq!(stats.sent_packets + stats.dropped_packets, 100);
    let fqs = Qdisc::fqs(&lab.server, UPLINK);
    assert!(
        fqs.iter()
            .all(|fq| fq.number("horizon_drops") == 0 && fq.n_drops == 0)
    );
}

#[test]
fn a_horizon_that_fq_would_not_keep_is_refused() {
    let lab = Lab::new();
    let shaper = Shaper::new(&lab.server);
    shaper.configure(
        "[defaults]\nhorizon = \"60s\"\n\n[[rule]]\ndestination = \"10.1.0.1\"\nrate = \"1mbit\"\n",
    );
    let output = shaper.try_run(&["up", "-i", UPLINK]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("horizon"), "{said}");
}

#[test]
fn a_rate_of_zero_is_refused_and_limits_nothing() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    for rate in ["0mbit", "0bit", "7kbit"] {
        let output = shaper.try_run(&["set", &client(1).to_string(), rate]);
        assert!(!output.status.success(), "{rate}: {output:?}");
    }
    let receiver = Receiver::start(&lab.clients);
    let sent = Load::to(client(1))
        .bits_per_second(20_000_000)
        .run(&lab.server, Duration::from_millis(200));
    assert_eq!(
        receiver.drain(Duration::from_millis(50)).len() as u64,
        sent.n_packets
    );
}

#[test]
fn a_queue_longer_than_the_threshold_marks_what_can_be_marked() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "10mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    for (flow, ecn, can_carry) in [(1, 0, false), (2, 2, true), (3, 1, true)] {
        let options = Options {
            flow,
            traffic_class: ecn,
            ..Options::default()
        };
        Load::to(client(1))
            .with(options.unstoppable())
            .bits_per_second(20_000_000)
            .run(&lab.server, Duration::from_millis(400));
        let arrivals = receiver.drain(Duration::from_millis(300)).of_flow(flow);
        let n_marked = arrivals.n_by_ecn()[3];
        println!("ECN {ecn}: {n_marked} of {} marked", arrivals.len());
        if can_carry {
            assert!(n_marked * 10 > arrivals.len() * 8, "{:?}", arrivals.n_by_ecn());
            assert!(n_marked < arrivals.len(), "the first packets find no queue");
        } else {
            assert_eq!(n_marked, 0);
        }
    }
}
