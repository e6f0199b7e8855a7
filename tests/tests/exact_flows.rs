//! fq's flows: whose packets wait because another's do. What the kernels do differently is pinned here, so that a
//! change is noticed.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{Lab, Release, Router, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Arrival, Clock, Load, Options, Receiver, Socket};

#[test]
fn fq_is_set_as_the_limits_need_it() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    for fq in Qdisc::fqs(&lab.server, UPLINK) {
        println!("{}", fq.json);
        assert_eq!(fq.json["options"]["orphan_mask"], u32::MAX);
        assert!(fq.number("buckets") > 1024);
        // In microseconds; the longest horizon that a limit may have is 30 s.
        assert!(fq.number("horizon") > 30_000_000);
    }
    for n in 1..=2 {
        shaper.set(client(n), "10mbit", &[]);
    }
    // What 10 Mbit/s send in 200 ms, if every packet is as short as can be.
    let needed = 10_000_000 / 8 / 5 / 20;
    for fq in Qdisc::fqs(&lab.server, UPLINK) {
        println!("{}", fq.json["options"]);
        assert!(fq.number("flow_limit") >= needed);
        assert!(fq.number("limit") >= 10_000 + 2 * needed);
    }
}

/// Limited clients, each with a flow of fq that waits for its next departure.
const N_LIMITED: u16 = 60;
/// Packets to others, who share a flow with one of those if their hashes do.
const N_OTHERS: u16 = 400;

/// How many packets of a router to unlimited clients waited although the limited ones alone should. None of its packets
/// belongs to a socket, so what keeps them apart is the hash of each, as far as fq looks at it.
fn n_held_back(router: &Router) -> usize {
    let receiver = Receiver::start(&router.lab.clients);
    let _load = Load::to_all((1..=N_LIMITED).map(client))
        .bits_per_second(u64::from(N_LIMITED) * 400_000)
        .start(&router.source);
    // Long after its burst each of them has a queue.
    let queue = |arrivals: &[Arrival]| {
        arrivals
            .last()
            .is_some_and(|last| last.ns > arrivals[0].ns + 400_000_000)
    };
    assert!(receiver.wait_for(Duration::from_secs(5), queue));
    let options = Options {
        flow: 1_000,
        ..Options::default()
    };
    let mut socket = Socket::open(&router.source, options);
    let send = |n| {
        let sent_ns = Clock::Realtime.now_ns();
        socket.send(client(n)).unwrap();
        sent_ns
    };
    let sent_ns: Vec<_> = (1_000..1_000 + N_OTHERS).map(send).collect();
    let is_other = |arrival: &Arrival| arrival.flow == options.flow;
    assert!(receiver.wait_for(Duration::from_secs(5), |arrivals| {
        arrivals.iter().filter(|arrival| is_other(arrival)).count() == sent_ns.len()
    }));
    let others = receiver.arrivals().only(is_other);
    let waits_ns = others
        .0
        .iter()
        .map(|arrival| arrival.ns - sent_ns[arrival.sequence as usize]);
    waits_ns.filter(|ns| *ns > 5_000_000).count()
}

#[test]
fn unrelated_packets_do_not_wait_with_limited_ones() {
    let router = Router::new();
    let rule = |n| format!("[[rule]]\ndestination = \"{}\"\nrate = \"200kbit\"\n", client(n));
    let rules: String = (1..=N_LIMITED).map(rule).collect();
    let _shaper = Shaper::up_with(&router.lab.server, UPLINK, &rules);
    let change = |what| {
        let line = format!("qdisc change dev {UPLINK} root fq {what}");
        router.lab.server.tc([line]);
    };
    // A rate that nothing reaches keeps fq from its fast path, which would hide what this is about.
    change("maxrate 10gbit");
    let held_back = n_held_back(&router);
    // What fq does if nobody tells it otherwise: shows that this test would notice.
    change("orphan_mask 1023");
    let by_default = n_held_back(&router);
    println!("held back: {held_back} of {N_OTHERS}, with fq's own mask {by_default}");
    assert_eq!(held_back, 0);
    assert!(by_default > 0);
}

/// A connected UDP socket is one flow of fq, whatever it sends to. Behind a packet that waits, packets to others wait
/// too unless fq has its fast path (since 6.7) and nothing keeps it from using it.
#[test]
fn one_connected_socket_holds_its_packets_to_others_back_where_fq_does() {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "1mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let has_fast_path = Release::running() >= Release::V6_12;
    for (flow, max_pacing_rate, waits) in [(1, None, !has_fast_path), (2, Some(1_000_000_000), true)] {
        let options = Options {
            flow,
            connect: Some(client(1)),
            max_pacing_rate,
            ..Options::default()
        };
        let mut socket = Socket::open(&lab.server, options.unstoppable());
        for _ in 0..12 {
            socket.send(client(1)).unwrap();
        }
        let sent_ns = Clock::Realtime.now_ns();
        socket.send(client(2)).unwrap();
        assert!(receiver.wait_for(Duration::from_secs(2), |arrivals| {
            arrivals.iter().filter(|arrival| arrival.flow == flow).count() == 13
        }));
        let _ = receiver.drain(Duration::from_millis(300));
        let held_ns = receiver.arrivals().of_flow(flow).to(client(2)).0[0].ns - sent_ns;
        println!("pacing {max_pacing_rate:?}: the packet to the other client waited {held_ns} ns");
        assert_eq!(
            held_ns > 5_000_000,
            waits,
            "{held_ns} ns on {}",
            Release::running()
        );
    }
}

#[test]
fn a_stamp_survives_forwarding_on_its_way_to_fq() {
    let router = Router::new();
    let lab = &router.lab;
    // The limit is where packets enter the router's neighbour; fq is only on the router's way out.
    let shaper = Shaper::up(&router.source, "src0");
    router.source.tc(["qdisc replace dev src0 root pfifo limit 1000"]);
    lab.server
        .tc([format!("qdisc add dev {UPLINK} root fq flow_limit 1000")]);
    shaper.set(client(1), "1mbit", &[]);
    let receiver = Receiver::start(&lab.clients);
    let mut socket = Socket::open(&router.source, Options::to(client(1)).unstoppable());
    for _ in 0..15 {
        socket.send(client(1)).unwrap();
    }
    assert!(receiver.wait_for(Duration::from_secs(2), |arrivals| arrivals.len() == 15));
    let span = receiver.arrivals().span();
    println!("15 packets at 1 Mbit/s, held by the next host, took {span:?}");
    assert!((130..175).contains(&span.as_millis()), "{span:?}");
}
