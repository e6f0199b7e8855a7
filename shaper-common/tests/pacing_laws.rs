//! What must hold whatever the limit, the packets and the times at which they come.

use std::ops::Range;

use proptest::prelude::*;
use shaper_common::{
    NSEC_PER_SEC, TICKS_PER_NSEC,
    pacing::{
        Limit, MAX_RATE_BYTES_PER_SEC, MAX_WIRE_LEN, MIN_RATE_BYTES_PER_SEC, RATE_FRACTION_BITS, Verdict,
        departure_ns, schedule, ticks,
    },
};

/// Every order of magnitude is as likely as the next: a limit drawn evenly from its range would nearly always be
/// too high to bite.
fn any_magnitude(bits: Range<u32>) -> impl Strategy<Value = u64> {
    bits.prop_flat_map(|bits| (1_u64 << bits)..(2_u64 << bits))
}

fn any_limit() -> impl Strategy<Value = Limit> {
    let rate =
        any_magnitude(9..38).prop_map(|rate| rate.clamp(MIN_RATE_BYTES_PER_SEC, MAX_RATE_BYTES_PER_SEC));
    let times = (
        any_magnitude(0..32),
        any_magnitude(8..35),
        prop::option::of(any_magnitude(0..30)),
    );
    (rate, times)
        .prop_map(|(rate, (burst_ns, horizon_ns, ecn_ns))| Limit::new(rate, burst_ns, horizon_ns, ecn_ns))
}

fn any_wire_len() -> impl Strategy<Value = u32> {
    prop_oneof![60..1_600_u32, 60..70_000_u32, Just(MAX_WIRE_LEN), Just(u32::MAX)]
}

/// Packets and the pauses before them, in units of the time that a full packet takes at the rate: so that some
/// come faster and some slower, at any rate.
fn any_traffic() -> impl Strategy<Value = Vec<(f64, u32)>> {
    let pause = prop_oneof![Just(0.0), 0.0..1.0, 0.0..2.0, 0.0..100.0];
    prop::collection::vec((pause, any_wire_len()), 2..80)
}

/// One packet of a play.
#[derive(Clone, Copy, Debug)]
struct Played {
    now_ns: u64,
    wire_len: u32,
    /// The bucket before it came.
    last_departure_ticks: u64,
    verdict: Verdict,
}

impl Played {
    /// When it leaves, if it does.
    fn departure_ticks(&self) -> Option<u64> {
        match self.verdict {
            Verdict::Conforming { .. } => Some(ticks(self.now_ns)),
            Verdict::Paced { departure_ns, .. } => Some(ticks(departure_ns)),
            Verdict::BeyondHorizon => None,
        }
    }

    /// The bucket after it came.
    fn next_ticks(&self) -> u64 {
        match self.verdict {
            Verdict::Conforming { last_departure_ticks }
            | Verdict::Paced {
                last_departure_ticks, ..
            } => last_departure_ticks,
            Verdict::BeyondHorizon => self.last_departure_ticks,
        }
    }
}

fn play(limit: &Limit, traffic: &[(f64, u32)]) -> Vec<Played> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a pause need not be exact"
    )]
    let pause_ns = |pause: f64| (pause * (limit.slot_ticks(1_500) / TICKS_PER_NSEC) as f64) as u64;
    let mut now_ns = 1_u64 << 40;
    let mut last_departure_ticks = 0;
    traffic
        .iter()
        .map(|(pause, wire_len)| {
            now_ns += pause_ns(*pause);
            let verdict = schedule(limit, last_departure_ticks, now_ns, *wire_len);
            let played = Played {
                now_ns,
                wire_len: *wire_len,
                last_departure_ticks,
                verdict,
            };
            last_departure_ticks = played.next_ticks();
            played
        })
        .collect()
}

/// Ticks that `wire_len` bytes take at the rate, with fraction bits, not rounded.
fn exact_slot(limit: &Limit, wire_len: u32) -> u128 {
    u128::from(wire_len.min(MAX_WIRE_LEN)) * u128::from(limit.ticks_per_byte)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn sends_at_most_the_rate_plus_one_burst(limit in any_limit(), traffic in any_traffic()) {
        let played = play(&limit, &traffic);
        let sent: Vec<_> = played.iter().filter_map(|packet| Some((packet.departure_ticks()?, packet))).collect();
        // Between the departures of any two packets, all packets but the last fit their own slots and one burst.
        for (index, (first_ticks, _)) in sent.iter().enumerate() {
            let mut needed = 0;
            for (last_ticks, packet) in &sent[index..] {
                let span_ticks = u128::from(last_ticks - first_ticks) + u128::from(limit.burst_ticks);
                // Slots are rounded by half a tick, departures by less than a nanosecond.
                let slack = u128::from(TICKS_PER_NSEC) + sent.len() as u128;
                prop_assert!(needed >> RATE_FRACTION_BITS <= span_ticks + slack, "{packet:?}");
                needed += exact_slot(&limit, packet.wire_len);
            }
        }
    }

    #[test]
    fn a_sender_that_never_pauses_gets_the_whole_rate(limit in any_limit(), lens in prop::collection::vec(60..1_600_u32, 2..200)) {
        let now_ns = 1_u64 << 40;
        let limit = Limit { horizon_ticks: u64::MAX, ..limit };
        let mut last_departure_ticks = 0;
        let mut expected_ticks = u128::from(ticks(now_ns) - limit.burst_ticks) << RATE_FRACTION_BITS;
        for wire_len in lens {
            let verdict = schedule(&limit, last_departure_ticks, now_ns, wire_len);
            let packet = Played { now_ns, wire_len, last_departure_ticks, verdict };
            let departure_ticks = packet.departure_ticks().expect("nothing is beyond this horizon");
            // Not a nanosecond later than the bytes before it took, but for rounding.
            let latest = (expected_ticks >> RATE_FRACTION_BITS).max(u128::from(ticks(now_ns)));
            prop_assert!(u128::from(departure_ticks) <= latest + 200 + u128::from(TICKS_PER_NSEC), "{packet:?}");
            last_departure_ticks = packet.next_ticks();
            expected_ticks += exact_slot(&limit, wire_len);
        }
    }

    #[test]
    fn an_idle_bucket_sends_a_whole_burst_at_once(limit in any_limit(), wire_len in 60..1_600_u32) {
        let now_ns = 1_u64 << 40;
        let n_packets = limit.burst_ticks / limit.slot_ticks(wire_len).max(1);
        prop_assume!(n_packets < 10_000);
        let traffic = vec![(0.0, wire_len); usize::try_from(n_packets).unwrap() + 1];
        for packet in play(&limit, &traffic) {
            prop_assert!(matches!(packet.verdict, Verdict::Conforming { .. }), "{packet:?} of {n_packets} at {now_ns}");
        }
    }

    #[test]
    fn a_verdict_means_what_it_says(limit in any_limit(), traffic in any_traffic()) {
        for packet in play(&limit, &traffic) {
            let wait_ticks = packet.last_departure_ticks.saturating_sub(ticks(packet.now_ns));
            match packet.verdict {
                Verdict::Conforming { .. } => prop_assert_eq!(wait_ticks, 0, "{:?}", packet),
                Verdict::Paced { departure_ns: at_ns, is_marked, .. } => {
                    prop_assert!((1..=limit.horizon_ticks).contains(&wait_ticks), "{packet:?}");
                    prop_assert!(at_ns > packet.now_ns, "{packet:?}");
                    prop_assert_eq!(at_ns, departure_ns(packet.last_departure_ticks), "{:?}", packet);
                    prop_assert!(ticks(at_ns) >= packet.last_departure_ticks, "{packet:?}");
                    prop_assert_eq!(is_marked, wait_ticks > limit.ecn_ticks, "{:?}", packet);
                }
                Verdict::BeyondHorizon => prop_assert!(wait_ticks > limit.horizon_ticks, "{packet:?}"),
            }
        }
    }

    #[test]
    fn a_bucket_never_goes_back_and_a_drop_leaves_it_alone(limit in any_limit(), traffic in any_traffic()) {
        for packet in play(&limit, &traffic) {
            let charged = packet.next_ticks() - packet.last_departure_ticks;
            if packet.departure_ticks().is_none() {
                prop_assert_eq!(charged, 0, "{:?}", packet);
                continue;
            }
            // What an idle bucket had too much is forfeit; beyond that, a packet is charged its own slot.
            let credit_from_ticks = ticks(packet.now_ns) - limit.burst_ticks;
            let forfeit_ticks = credit_from_ticks.saturating_sub(packet.last_departure_ticks);
            prop_assert_eq!(charged, limit.slot_ticks(packet.wire_len) + forfeit_ticks, "{:?}", packet);
        }
    }

    #[test]
    fn departures_are_in_order(limit in any_limit(), traffic in any_traffic()) {
        let played = play(&limit, &traffic);
        let departures: Vec<_> = played.iter().filter_map(Played::departure_ticks).collect();
        prop_assert!(departures.is_sorted(), "{departures:?}");
    }

    #[test]
    fn a_longer_packet_never_takes_less_time(limit in any_limit(), len in any_wire_len(), more in any_wire_len()) {
        prop_assert!(limit.slot_ticks(len) <= limit.slot_ticks(len.saturating_add(more)));
        let exact = exact_slot(&limit, len);
        prop_assert!((u128::from(limit.slot_ticks(len)) << RATE_FRACTION_BITS).abs_diff(exact) <= 1 << (RATE_FRACTION_BITS - 1));
    }

    #[test]
    fn a_rate_is_held_to_seven_ppm(rate in any_magnitude(9..38)) {
        let rate = rate.clamp(MIN_RATE_BYTES_PER_SEC, MAX_RATE_BYTES_PER_SEC);
        let exact = u128::from(NSEC_PER_SEC * TICKS_PER_NSEC) << RATE_FRACTION_BITS;
        let held = u128::from(Limit::new(rate, 0, 0, None).ticks_per_byte) * u128::from(rate);
        prop_assert!(held.abs_diff(exact) * 1_000_000 <= exact * 7, "{rate}: {held} for {exact}");
    }
}
