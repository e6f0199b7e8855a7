//! TCP under a limit, in virtual time: its goodput is at least 92 % of the rate, at any rate.

use std::time::Duration;

use shaper_tests::lab::qdisc::Qdisc;
use shaper_tests::lab::{DOWNLINK, Lab, UPLINK, client};
use shaper_tests::shaper::Shaper;
use shaper_tests::traffic::{Iperf, Tap};

/// Longest time that a client may be left without a packet although it could have had one.
const STALL: Duration = Duration::from_millis(200);

fn goodput(congestion: &str, cases: &[(u32, u32)]) {
    let lab = Lab::new();
    let shaper = Shaper::up(&lab.server, UPLINK);
    let mut failures = Vec::new();
    for (&(kilobits, seconds), n) in cases.iter().zip(1..) {
        shaper.set(client(n), &format!("{kilobits}kbit"), &[]);
        let rate = f64::from(kilobits) * 1e3;
        let tap = Tap::start(&lab.clients, DOWNLINK);
        let transfer = Iperf {
            congestion,
            read_bytes: if kilobits < 10_000 { 2_000 } else { 64_000 },
            ..Iperf::to(client(n), 5200 + n, seconds)
        }
        .run(&lab.server, &lab.clients);
        let arrivals = tap.arrivals().to(client(n));
        let idle = arrivals.longest_idle(rate);
        let stats = shaper.stats(client(n));
        let what = format!(
            "{congestion} at {kilobits} kbit/s: goodput {:.1} %, longest idle {idle:?}, {} retransmitted, {} dropped",
            transfer.bits_per_second / rate * 100.0,
            transfer.n_retransmitted,
            stats.dropped_packets
        );
        println!("{what}");
        let goodput = transfer.bits_per_second / rate;
        if !(0.92..1.0).contains(&goodput) || idle > STALL {
            failures.push(what);
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    assert_eq!(Qdisc::n_fq_drops(&lab.server, UPLINK), 0);
}

#[test]
fn cubic_fills_slow_limits_and_never_stalls() {
    goodput("cubic", &[(100, 40), (1_000, 20)]);
}

#[test]
fn cubic_fills_fast_limits() {
    goodput("cubic", &[(10_000, 5), (100_000, 3)]);
}

#[test]
fn bbr_fills_slow_limits_and_never_stalls() {
    goodput("bbr", &[(100, 40), (1_000, 20)]);
}

#[test]
fn bbr_fills_fast_limits() {
    goodput("bbr", &[(10_000, 5), (100_000, 3)]);
}

/// A flow that can be marked is told of its queue before anything of it is dropped.
#[test]
fn tcp_with_ecn_is_marked_and_loses_nothing() {
    let lab = Lab::new();
    for host in [&lab.server, &lab.clients] {
        host.sysctl("net/ipv4/tcp_ecn", "1");
    }
    let shaper = Shaper::up(&lab.server, UPLINK);
    shaper.set(client(1), "10mbit", &[]);
    let tap = Tap::start(&lab.clients, DOWNLINK);
    let transfer = Iperf::to(client(1), 5201, 5).run(&lab.server, &lab.clients);
    let [_, _, _, n_marked] = tap.arrivals().to(client(1)).n_by_ecn();
    let stats = shaper.stats(client(1));
    println!(
        "goodput {:.0}, {n_marked} packets arrived marked, {} retransmitted, {stats:?}",
        transfer.bits_per_second, transfer.n_retransmitted
    );
    assert!(n_marked > 0 && stats.marked_packets > 0);
    assert_eq!((stats.dropped_packets, transfer.n_retransmitted), (0, 0));
    assert!(transfer.bits_per_second > 9.2e6, "{}", transfer.bits_per_second);
}
