//! The package is upgraded, and the way back, again and again, while packets flow: each meets its rule, none is lost to a
//! queue that was replaced, and nobody gets more than his rate.
//!
//! `SHAPER_UPGRADES` says how often; a few times if it is not set.

use std::time::{Duration, Instant};

use shaper_tests::lab::DOWNLINK;
use shaper_tests::lab::link::Counters;
use shaper_tests::machine::flow::{FAST, SLOW, SLOW_BYTES_PER_SEC, Sender, WIRE_LEN, counted, installed};
use shaper_tests::machine::{must, property, status, within};

const SOON: Duration = Duration::from_mins(2);

#[test]
fn upgrades_and_the_way_back_lose_no_packet_and_let_none_pass() {
    let n_upgrades: u32 = std::env::var("SHAPER_UPGRADES").map_or(4, |text| text.parse().unwrap());
    let clients = installed();
    let since = property("shaper.service", "ActiveEnterTimestampMonotonic");
    let (began, before) = (Instant::now(), Counters::read(&clients, DOWNLINK));
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
        within(SOON, "limits are in force", || status().0 == 0);
        if n % 10 == 0 {
            println!("{} of {n_upgrades} after {:?}", n + 1, began.elapsed());
        }
    }
    let n_fast = fast.stop();
    let n_slow = slow.stop();
    let (slow_sent, slow_dropped) = counted(SLOW);
    let (fast_sent, fast_dropped) = counted(FAST);
    within(SOON, "what waits has left", || {
        Counters::read(&clients, DOWNLINK).since(before).rx_packets >= slow_sent + fast_sent
    });
    let arrived = Counters::read(&clients, DOWNLINK).since(before);
    let span = began.elapsed().as_secs_f64();
    println!(
        "{n_upgrades} upgrades in {span:.0} s: {n_slow} and {n_fast} packets, {slow_sent} and {fast_sent} sent, \
         {slow_dropped} and {fast_dropped} dropped, {} arrived",
        arrived.rx_packets
    );
    // A packet that no program saw would be missing here.
    assert_eq!((n_slow, n_fast), (slow_sent + slow_dropped, fast_sent));
    assert_eq!(fast_dropped, 0);
    assert_eq!(arrived.rx_packets, slow_sent + fast_sent, "lost on the way");
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
    let slow_bytes = (slow_sent * WIRE_LEN as u64) as f64;
    // The horizon, at the end, and the burst at the beginning.
    let allowed = SLOW_BYTES_PER_SEC * (span + 1.0);
    assert!(slow_bytes <= allowed, "{slow_bytes} bytes, {allowed} allowed");
    // Nobody stopped shaper meanwhile.
    assert_eq!(property("shaper.service", "ActiveEnterTimestampMonotonic"), since);
}
