//! Maps that are mapped into memory.

use std::{
    os::fd::{AsFd as _, AsRawFd as _},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
};

use aya::maps::MapData;
use shaper_common::{
    bucket::{Bucket, CHUNK_BUCKETS},
    filter::{self, FILTER_BYTES},
    rule::N_SLOTS,
};

/// The kernel maps whole pages.
const CLOCK_LEN: usize = 4096;
/// Bytes of a chunk.
const CHUNK_LEN: usize = CHUNK_BUCKETS as usize * size_of::<Bucket>();
/// Bytes of the filters of all slots.
const FILTERS_LEN: usize = N_SLOTS as usize * FILTER_BYTES;

/// A map's memory; unmapped when dropped.
#[derive(Debug)]
struct Mapping {
    start: *mut u8,
    len: usize,
}

// SAFETY: shared memory that lives as long as the value; only volatile and atomic accesses go through it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(map: &MapData, len: usize) -> Self {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.fd().as_fd().as_raw_fd(),
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        Self {
            start: start.cast(),
            len,
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped with this length in `new`, and not used any more.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// The clock, the first chunk of buckets and the filters.
#[derive(Debug)]
pub(super) struct Memory {
    clock: Mapping,
    buckets: Mapping,
    filters: Mapping,
}

impl Memory {
    pub(super) fn new(clock: &MapData, chunk: &MapData, filters: &MapData) -> Self {
        Self {
            clock: Mapping::new(clock, CLOCK_LEN),
            buckets: Mapping::new(chunk, CHUNK_LEN),
            filters: Mapping::new(filters, FILTERS_LEN),
        }
    }

    pub(super) fn set_clock(&self, now_ns: u64) {
        // SAFETY: within the mapping, and it starts at a page.
        #[expect(clippy::cast_ptr_alignment, reason = "a page is aligned for everything")]
        unsafe {
            self.clock.start.cast::<u64>().write_volatile(now_ns);
        };
    }

    fn bucket_at(&self, number: u32) -> *mut Bucket {
        assert!(number < CHUNK_BUCKETS);
        #[expect(clippy::cast_ptr_alignment, reason = "a page is aligned for everything")]
        // SAFETY: within the mapping.
        unsafe {
            self.buckets.start.cast::<Bucket>().add(number as usize)
        }
    }

    pub(super) fn bucket(&self, number: u32) -> Bucket {
        // SAFETY: within the mapping; the program is not running, or the caller expects torn values.
        unsafe { self.bucket_at(number).read_volatile() }
    }

    pub(super) fn set_bucket(&self, number: u32, bucket: Bucket) {
        // SAFETY: as in `bucket`.
        unsafe { self.bucket_at(number).write_volatile(bucket) };
    }

    pub(super) fn set_last_departure(&self, number: u32, last_departure_ticks: u64) {
        // SAFETY: within the mapping, aligned; the program changes it by atomics as well.
        let time = unsafe { AtomicU64::from_ptr(&raw mut (*self.bucket_at(number)).last_departure_ticks) };
        time.store(last_departure_ticks, Ordering::Relaxed);
    }

    /// Replaces the filter of a slot that is not in force, or that no packet meets.
    pub(super) fn set_filter(&self, slot: u32, bits: impl Iterator<Item = u32>) {
        assert!(slot < N_SLOTS);
        // SAFETY: within the mapping.
        unsafe {
            let filter = self.filters.start.add(slot as usize * FILTER_BYTES);
            filter.write_bytes(0, FILTER_BYTES);
            for bit in bits {
                let (byte, value) = filter::position(bit);
                *filter.add(byte) |= value;
            }
        }
    }
}
