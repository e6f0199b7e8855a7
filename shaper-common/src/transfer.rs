//! What happened to one bucket of a client, to be added to the other: the loader's while it moves clients or forgets them.
//!
//! What user space writes to a map takes the place of whatever packets have charged since it was read. So the kernel
//! program `shaper_transfer` adds it, by the same atomic operations as packets are charged.

use crate::bucket::Bucket;
use crate::header::ETH_HEADER_LEN;
use crate::rule::ClientKey;

/// Where a [`Transfer`] stands in the packet that the program is run on: behind a link header of zeros.
pub const OFFSET: u32 = ETH_HEADER_LEN;

/// A charge for the bucket of a client in the table in force.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The client.
    pub client: ClientKey,
    /// Zero, where there would be padding.
    pub reserved: u32,
    /// The bucket's time, in ticks, if no packet was charged to it meanwhile.
    pub expected_ticks: u64,
    /// Its time from then on, in that case.
    pub next_ticks: u64,
    /// What the other fields grow by: the counters, and the end of the shares; and in the other case the time.
    pub more: Bucket,
}

const _: () = assert!(size_of::<Transfer>() == 104);

/// What became of it, as the program returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Transferred {
    /// There is no such client: nothing was charged.
    Nobody,
    /// A packet came first: the time was added.
    Added,
    /// The time was as expected, and is the next one now.
    Exchanged,
}

impl Transfer {
    /// What happened to a client's bucket between `before` and `after`; `idle_ticks` is the time of one that was idle then.
    #[must_use]
    pub fn between(client: ClientKey, before: &Bucket, after: &Bucket, idle_ticks: u64) -> Self {
        let more = |count: fn(&Bucket) -> u64| count(after).saturating_sub(count(before));
        // An idle bucket's time does not move until it is charged, and then from there on.
        let since = |time: fn(&Bucket) -> u64| time(after).saturating_sub(time(before).max(idle_ticks));
        Self {
            client,
            reserved: 0,
            expected_ticks: before.last_departure_ticks,
            next_ticks: after.last_departure_ticks,
            more: Bucket {
                last_departure_ticks: since(|bucket| bucket.last_departure_ticks),
                sent_bytes: more(|bucket| bucket.sent_bytes),
                sent_packets: more(|bucket| bucket.sent_packets),
                paced_packets: more(|bucket| bucket.paced_packets),
                marked_packets: more(|bucket| bucket.marked_packets),
                dropped_packets: more(|bucket| bucket.dropped_packets),
                shared_ticks: since(|bucket| bucket.shared_ticks),
                owner: 0,
            },
        }
    }

    /// The packet that the program is run on.
    #[cfg(feature = "user")]
    #[must_use]
    pub fn packet(&self) -> [u8; OFFSET as usize + size_of::<Self>()] {
        let mut packet = [0; OFFSET as usize + size_of::<Self>()];
        // SAFETY: `repr(C)` without padding, as the assertion above and the size of its fields show.
        packet[OFFSET as usize..].copy_from_slice(unsafe {
            core::slice::from_raw_parts(core::ptr::from_ref(self).cast(), size_of::<Self>())
        });
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(last_departure_ticks: u64, sent_packets: u64, shared_ticks: u64) -> Bucket {
        Bucket {
            last_departure_ticks,
            sent_packets,
            shared_ticks,
            ..Bucket::default()
        }
    }

    fn between(before: &Bucket, after: &Bucket) -> Transfer {
        Transfer::between(ClientKey::default(), before, after, 500)
    }

    #[test]
    fn what_came_to_a_bucket_is_charged_and_nothing_for_the_time_it_was_idle() {
        let busy = between(&bucket(1_000, 10, 0), &bucket(1_300, 13, 520));
        assert_eq!((busy.expected_ticks, busy.next_ticks), (1_000, 1_300));
        assert_eq!(busy.more, bucket(300, 3, 20));
        let idle = between(&bucket(0, 10, 0), &bucket(600, 11, 0));
        assert_eq!((idle.expected_ticks, idle.next_ticks), (0, 600));
        assert_eq!(idle.more, bucket(100, 1, 0));
        let dropped = between(&bucket(1_000, 10, 0), &bucket(1_000, 10, 0));
        assert_eq!(dropped.more, Bucket::default());
    }
}
