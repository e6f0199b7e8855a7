//! Packets of a socket that serves several clients: how many of one client's may wait.
//!
//! A packet that waits takes room in its socket's send buffer. A socket that is not connected (DNS, QUIC, a VPN) has
//! one buffer for all its clients: full of what the limited ones wait for, it would hold up everybody else. So only a
//! few such packets of one bucket may wait. What need not wait is always sent, hence the rate is the same.

use core::num::NonZeroU32;

/// Most full packets of one bucket that wait in shared buffers at a time: 40 of ten flooded clients take less than half
/// of a send buffer of the usual 212,992 bytes, in which a packet of 1500 bytes takes 2,304.
pub const MAX_PACKETS: NonZeroU32 = NonZeroU32::new(4).unwrap();

/// Bytes on the wire per packet counted, as a power of two: one of segmentation offload counts as what it holds.
const PACKET_BYTES_SHIFT: u32 = 11;

/// Lets a packet of `wire_len` bytes wait for `wait_ticks`, or refuses it: `None`.
///
/// Each packet takes a share of its wait, one `max_packets`th, on a virtual clock of its own. As shares follow one
/// another, no more than `max_packets` wait on average, however long each does (Little's law). `taken_ticks` is where
/// the shares given so far end; the new end is returned.
#[inline]
#[must_use]
pub const fn admit(
    taken_ticks: u64,
    now_ticks: u64,
    wait_ticks: u64,
    wire_len: u32,
    max_packets: NonZeroU32,
) -> Option<u64> {
    let share_ticks = wait_ticks / max_packets.get() as u64;
    let start_ticks = if taken_ticks > now_ticks {
        taken_ticks
    } else {
        now_ticks
    };
    if start_ticks - now_ticks > wait_ticks - share_ticks {
        return None;
    }
    let n_packets = (wire_len >> PACKET_BYTES_SHIFT) as u64 + 1;
    Some(start_ticks.wrapping_add(share_ticks.wrapping_mul(n_packets)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        NSEC_PER_SEC,
        pacing::{Limit, Verdict, schedule, ticks},
    };

    /// One byte per nanosecond: lengths and times read alike.
    const LIMIT: Limit = Limit::new(NSEC_PER_SEC, 0, 1_000_000, None);
    const LEN: u32 = 1_000;

    /// Offers packets of `wire_len` bytes at four times the rate until `n_sent` are sent. How long that took, in
    /// nanoseconds, and how many waited at most at a time, without the first few.
    fn flood(n_sent: u32, wire_len: u32, ahead_ns: u64) -> (u64, usize) {
        let start_ns = 1_000_000;
        let (mut now_ns, mut last_ticks, mut taken_ticks) = (start_ns, ticks(start_ns + ahead_ns), 0);
        let mut departures = [0_u64; 64];
        let (mut n, mut most) = (0, 0);
        while n < n_sent {
            now_ns += u64::from(wire_len) / 4;
            match schedule(&LIMIT, last_ticks, now_ns, wire_len) {
                Verdict::Conforming { last_departure_ticks } => {
                    (last_ticks, n) = (last_departure_ticks, n + 1);
                }
                Verdict::Paced {
                    departure_ns,
                    last_departure_ticks,
                    ..
                } => {
                    let wait_ticks = last_ticks - ticks(now_ns);
                    let Some(next_ticks) =
                        admit(taken_ticks, ticks(now_ns), wait_ticks, wire_len, MAX_PACKETS)
                    else {
                        continue;
                    };
                    taken_ticks = next_ticks;
                    departures[n as usize % 64] = departure_ns;
                    (last_ticks, n) = (last_departure_ticks, n + 1);
                }
                Verdict::BeyondHorizon => panic!("the queue was to stay short"),
            }
            if n > 20 {
                most = most.max(departures.iter().filter(|departure| **departure > now_ns).count());
            }
        }
        (now_ns - start_ns, most)
    }

    #[test]
    fn a_flood_gets_its_rate_with_a_few_packets_waiting() {
        let (took_ns, most) = flood(1_000, LEN, 0);
        assert!((990_000..=1_001_000).contains(&took_ns), "{took_ns}");
        assert!((1..=6).contains(&most), "{most}");
    }

    #[test]
    fn behind_the_queue_of_others_as_few_wait() {
        // Until the queue that was there before has gone, four wait; each later one, as above.
        let (_, most) = flood(40, LEN, 500_000);
        assert!((3..=6).contains(&most), "{most}");
    }

    #[test]
    fn large_packets_count_as_what_they_hold() {
        // One that counts as 31 takes all there is for eight times as long as it waits.
        let (now, wait) = (ticks(5_000), ticks(800));
        let taken = admit(0, now, wait, 62_000, MAX_PACKETS).unwrap();
        assert_eq!(taken, now + ticks(200) * 31);
        assert_eq!(admit(taken, now, wait, 100, MAX_PACKETS), None);
        // What need not wait is sent nonetheless, so the rate is kept.
        let (took_ns, most) = flood(50, 62_000, 0);
        assert!((2_900_000..=3_200_000).contains(&took_ns), "{took_ns}");
        assert!(most <= 1, "{most}");
    }

    #[test]
    fn four_may_wait_at_a_time_and_a_fifth_when_one_has_had_its_share() {
        let (now, wait) = (ticks(5_000), ticks(800));
        let mut taken = 0;
        for _ in 0..4 {
            taken = admit(taken, now, wait, 100, MAX_PACKETS).unwrap();
        }
        assert_eq!(taken, now + wait);
        assert_eq!(admit(taken, now, wait, 100, MAX_PACKETS), None);
        assert_eq!(admit(taken, now + ticks(200) - 1, wait, 100, MAX_PACKETS), None);
        assert!(admit(taken, now + ticks(200), wait, 100, MAX_PACKETS).is_some());
    }
}
