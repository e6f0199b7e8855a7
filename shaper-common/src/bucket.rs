//! What a bucket holds, and where a bucket's number leads.
//!
//! Buckets stand in chunks of equal size, each an array that user space may map into memory. Chunks are added
//! and never moved, so that a policy may grow without any bucket losing its state.

/// Buckets in a chunk; a power of two.
pub const CHUNK_BUCKETS: u32 = 16_384;

/// Most chunks there can be: 4,194,304 buckets.
pub const MAX_CHUNKS: u32 = 256;

/// State and counters of one bucket, on one cache line of its own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// End of the previous packet's slot, in ticks of the monotonic clock.
    pub last_departure_ticks: u64,
    /// Bytes on the wire, of sent packets.
    pub sent_bytes: u64,
    /// Sent packets, paced ones included.
    pub sent_packets: u64,
    /// Packets that had to wait.
    pub paced_packets: u64,
    /// Packets that were marked CE.
    pub marked_packets: u64,
    /// Packets dropped, for whatever reason.
    pub dropped_packets: u64,
    /// Where the shares end that packets of shared sockets have taken, in ticks; see [`crate::shared`].
    pub shared_ticks: u64,
    /// Kept for the loader; the kernel program does not touch it.
    pub owner: u64,
}

const _: () = assert!(size_of::<Bucket>() == 64);
const _: () = assert!(CHUNK_BUCKETS.is_power_of_two());

/// Chunk of bucket `number`, and its index there.
#[inline]
#[must_use]
pub const fn position(number: u32) -> (u32, u32) {
    (number / CHUNK_BUCKETS, number % CHUNK_BUCKETS)
}

#[cfg(feature = "user")]
// SAFETY: `repr(C)`, eight u64 (asserted above), every bit pattern is valid.
unsafe impl aya::Pod for Bucket {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_where_the_next_begins() {
        assert_eq!(position(0), (0, 0));
        assert_eq!(position(CHUNK_BUCKETS - 1), (0, CHUNK_BUCKETS - 1));
        assert_eq!(position(CHUNK_BUCKETS), (1, 0));
    }
}
