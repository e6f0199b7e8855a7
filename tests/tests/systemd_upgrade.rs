//! The package is upgraded, and the way back, again and again, while packets flow: each meets its rule, none is lost to a
//! queue that was replaced, and at no time does anybody get more than his rate.
//!
//! `SHAPER_UPGRADES` says how often; a few times if it is not set.

use std::time::{Duration, Instant};

use serde_json::Value;
use shaper_tests::lab::DOWNLINK;
use shaper_tests::lab::link::Counters;
use shaper_tests::machine::flow::{
    FAST, SLOW, Sender, assert_complete, assert_paced, counted, installed, listen,
};
use shaper_tests::machine::{must, property, status, within};

/// However slow the machine: what counts is what packets meet meanwhile.
const SOON: Duration = Duration::from_mins(10);
const PATIENT: &str = "for unit in shaper shaper-monitor; do mkdir -p /run/systemd/system/$unit.service.d && \
    printf '[Service]\\nTimeoutSec=10min\\n' >/run/systemd/system/$unit.service.d/patient.conf; done; systemctl daemon-reload";

/// Of the queue that packets wait in: how many it has sent since it was made, and how many it has dropped.
fn queue() -> (u64, u64) {
    let shown: Value = serde_json::from_str(&must("tc -s -j qdisc show dev up0 root")).unwrap();
    assert_eq!(shown[0]["kind"], "fq", "{shown}");
    let count = |name: &str| shown[0][name].as_u64().unwrap();
    (count("packets"), count("drops"))
}

fn build() -> String {
    must("grep build_id /run/shaper/dataplane.toml")
}

#[test]
fn upgrades_and_the_way_back_lose_no_packet_and_let_none_pass() {
    let n_upgrades: u32 = std::env::var("SHAPER_UPGRADES").map_or(4, |text| text.parse().unwrap());
    let clients = installed();
    must(PATIENT);
    let since = property("shaper.service", "ActiveEnterTimestampMonotonic");
    let mut build_before = build();
    let (queued_before, _) = queue();
    let (began, before) = (Instant::now(), Counters::read(&clients, DOWNLINK));
    let receiver = listen(&clients);
    let slow = Sender::start(SLOW, Duration::from_millis(4));
    let fast = Sender::start(FAST, Duration::from_millis(20));
    for n in 0..n_upgrades {
        let (package, is_older) = if n % 2 == 0 {
            ("older", true)
        } else {
            ("shaper", false)
        };
        let said = must(&format!("dpkg --force-confold -i /lab/{package}.deb 2>&1"));
        assert!(!said.contains("not in force yet"), "{said}");
        let version = must("dpkg-query -W -f '${Version}' shaper");
        assert_eq!(version.starts_with("0~"), is_older, "{version}");
        assert_ne!(build(), build_before, "another program runs");
        build_before = build();
        within(SOON, "limits are in force", || status().0 == 0);
        if n % 10 == 0 {
            println!("{} of {n_upgrades} after {:?}", n + 1, began.elapsed());
        }
    }
    let (n_fast, n_slow) = (fast.stop(), slow.stop());
    let (slow_sent, slow_dropped) = counted(SLOW);
    let (fast_sent, fast_dropped) = counted(FAST);
    within(SOON, "what waits has left", || {
        Counters::read(&clients, DOWNLINK).since(before).rx_packets >= slow_sent + fast_sent
    });
    let arrived = Counters::read(&clients, DOWNLINK).since(before).rx_packets;
    let (queued, queue_dropped) = queue();
    println!(
        "{n_upgrades} upgrades in {:?}: {} packets through one fq, {queue_dropped} dropped by it",
        began.elapsed(),
        queued - queued_before
    );
    let arrivals = receiver.arrivals();
    assert_complete(&arrivals, SLOW, n_slow, slow_dropped);
    assert_complete(&arrivals, FAST, n_fast, 0);
    // Less is what an emulated processor had no time to send.
    assert!(assert_paced(&arrivals) > 0.9);
    // A packet that no program saw would be missing here.
    assert_eq!((n_slow, n_fast), (slow_sent + slow_dropped, fast_sent));
    assert_eq!(fast_dropped, 0);
    assert_eq!(arrived, slow_sent + fast_sent, "nothing else flows");
    // One that was made anew would have begun to count anew.
    assert!(queued - queued_before >= arrived, "{queued} {queued_before}");
    assert_eq!(queue_dropped, 0);
    // Nobody stopped shaper meanwhile.
    assert_eq!(property("shaper.service", "ActiveEnterTimestampMonotonic"), since);
}
