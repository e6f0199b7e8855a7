//! What tells a packet beyond the rate from one that an emulated processor was late for: tried on arrivals that are made up.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use shaper_tests::traffic::{Arrival, Arrivals};

/// 1 Mbit/s.
const RATE: f64 = 1e6;
/// So a packet takes 8 ms.
const WIRE_BYTES: u64 = 1_000;
const SLOT_NS: u64 = 8_000_000;
/// A second's.
const ROW: usize = 125;
const N_PACKETS: u64 = 2_000;
/// Somewhere within a row.
const N: u64 = 1_040;

/// One packet after the other, at the rate but for what `moved_ns` says of the n-th.
fn arrivals(moved_ns: impl Fn(u64) -> i64) -> Arrivals {
    let start_ns = 1_000_000_000_u64;
    let arrival = |n: u64| Arrival {
        ns: (start_ns + n * SLOT_NS).checked_add_signed(moved_ns(n)).unwrap(),
        destination: IpAddr::V4(Ipv4Addr::LOCALHOST),
        flow: 0,
        sequence: 0,
        wire_bytes: WIRE_BYTES,
        ecn: 0,
    };
    Arrivals((0..N_PACKETS).map(arrival).collect())
}

fn gained(moved_ns: impl Fn(u64) -> i64) -> Duration {
    arrivals(moved_ns).gained(RATE, ROW)
}

#[test]
fn who_keeps_to_the_rate_gains_nothing() {
    assert_eq!(gained(|_| 0), Duration::ZERO);
    assert_eq!(Arrivals::default().gained(RATE, ROW), Duration::ZERO);
}

#[test]
fn who_was_late_gains_nothing_by_being_on_time_again() {
    // All that was due within 300 ms arrives at the end of them.
    let stalled = |n: u64| match n % 100 {
        late @ 0..38 => i64::try_from((38 - late) * SLOT_NS).unwrap(),
        _ => 0,
    };
    assert_eq!(gained(stalled), Duration::ZERO);
}

#[test]
fn who_had_nothing_to_send_gains_nothing() {
    assert_eq!(gained(|n| if n < N { 0 } else { 3_000_000_000 }), Duration::ZERO);
}

#[test]
fn a_packet_beyond_the_rate_is_a_slot_gained() {
    let slot = Duration::from_nanos(SLOT_NS);
    assert_eq!(gained(|n| if n < N { 0 } else { -8_000_000 }), slot);
    // Even while many are late.
    let late = |n| if n % 3 == 0 { 0 } else { 40_000_000 };
    assert_eq!(gained(|n| late(n) - if n < N { 0 } else { 8_000_000 }), slot);
}

#[test]
fn a_fresh_burst_is_gained_even_after_a_pause() {
    let burst = |n| match n {
        ..500 => 0,
        500..N => 1_000_000_000,
        _ => 990_000_000,
    };
    assert_eq!(gained(burst), Duration::from_millis(10));
}

#[test]
fn what_leaves_before_its_time_is_gained_although_the_rest_keeps_its_own() {
    let early = |n| if (N..N + 5).contains(&n) { -40_000_000 } else { 0 };
    assert_eq!(gained(early), Duration::from_millis(40));
}
