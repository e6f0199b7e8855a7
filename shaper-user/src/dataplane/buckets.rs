//! Chunks of buckets: made on demand, pinned, and mapped into memory to be read, given and taken back.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use shaper_common::bucket::{Bucket, CHUNK_BUCKETS, position};
use shaper_common::names::BUCKETS;

use super::bpf::{self, MapInfo};
use super::error::DataplaneError;
use super::mapping::Mapping;
use super::maps::{Map, difference};
use super::pins::Pins;
use crate::policy::tables::BucketId;

/// All chunks in this process's memory.
#[derive(Debug, Default)]
pub(super) struct Chunks(Vec<Mapping<Bucket>>);

impl Chunks {
    fn element(&self, number: u32) -> Option<*mut Bucket> {
        let (chunk, index) = position(number);
        Some(self.0.get(chunk as usize)?.element(index as usize))
    }

    /// How many buckets there are.
    pub(super) fn n_buckets(&self) -> usize {
        self.0.len() * CHUNK_BUCKETS as usize
    }

    /// The bucket `number` as it is at this moment; each counter is exact, together they may be a packet apart. One
    /// that does not exist is zero.
    pub(super) fn read(&self, number: u32) -> Bucket {
        let (chunk, index) = position(number);
        let chunk = self.0.get(chunk as usize);
        chunk.map_or_else(Bucket::default, |chunk| chunk.read(index as usize))
    }

    /// Whose the bucket is; zero: nobody's.
    pub(super) fn owner(&self, number: u32) -> u64 {
        self.element(number).map_or(0, |bucket| {
            // SAFETY: inside the mapping and aligned.
            unsafe { (&raw const (*bucket).owner).read_volatile() }
        })
    }

    /// Whose all buckets are, by number.
    pub(super) fn owners(&self) -> Vec<u64> {
        let mut owners = Vec::with_capacity(self.n_buckets());
        for chunk in &self.0 {
            owners.extend((0..chunk.len()).map(|index| {
                // SAFETY: inside the mapping and aligned.
                unsafe { (&raw const (*chunk.element(index)).owner).read_volatile() }
            }));
        }
        owners
    }

    /// Resets a bucket that nobody uses, and makes it `owner`'s.
    pub(super) fn give(&self, number: u32, owner: BucketId) {
        let (chunk, index) = position(number);
        if let Some(chunk) = self.0.get(chunk as usize) {
            let bucket = Bucket {
                owner: owner.0,
                ..Bucket::default()
            };
            chunk.write(index as usize, bucket);
        }
    }

    /// Makes a bucket nobody's.
    pub(super) fn take_back(&self, number: u32) {
        if let Some(bucket) = self.element(number) {
            // SAFETY: inside the mapping and aligned.
            unsafe { (&raw mut (*bucket).owner).write_volatile(0) };
        }
    }

    /// Adds what another bucket has counted, while packets are charged.
    pub(super) fn add_counters(&self, number: u32, more: &Bucket) {
        let Some(bucket) = self.element(number) else {
            return;
        };
        // SAFETY: inside the mapping and aligned; the kernel program adds to these words atomically too.
        unsafe {
            add(&raw mut (*bucket).sent_bytes, more.sent_bytes);
            add(&raw mut (*bucket).sent_packets, more.sent_packets);
            add(&raw mut (*bucket).paced_packets, more.paced_packets);
            add(&raw mut (*bucket).marked_packets, more.marked_packets);
            add(&raw mut (*bucket).dropped_packets, more.dropped_packets);
        }
    }
}

/// # Safety
///
/// `counter` is valid and aligned, and changed by atomic operations only.
unsafe fn add(counter: *mut u64, value: u64) {
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(counter) }.fetch_add(value, Ordering::Relaxed);
}

/// All buckets.
#[derive(Debug)]
pub(super) struct Buckets {
    outer: Map<u32, u32>,
    definition: MapInfo,
    pins: Pins,
}

impl Buckets {
    pub(super) fn new(outer: Map<u32, u32>, definition: MapInfo, pins: Pins) -> Self {
        Self {
            outer,
            definition,
            pins,
        }
    }

    /// All chunks that there are.
    pub(super) fn chunks(&self) -> Result<Chunks, DataplaneError> {
        let mut chunks = Chunks::default();
        while let Some(fd) = self.pins.open(&pin_name(chunks.0.len()))? {
            chunks.0.push(mapped(&fd)?);
        }
        Ok(chunks)
    }

    /// Why packets are charged elsewhere than in what is pinned; `None` if they are not.
    pub(super) fn flaw(&self, chunks: &Chunks) -> Result<Option<String>, DataplaneError> {
        for number in 0..chunks.0.len() {
            let name = pin_name(number);
            let refused = |error| DataplaneError::kernel(format!("look at the pin {name}"), error);
            let Some(fd) = self.pins.open(&name)? else {
                continue;
            };
            let pinned = bpf::map_info(fd.as_fd()).map_err(refused)?.id;
            let index = u32::try_from(number).unwrap_or(u32::MAX);
            if self.outer.get(&index).map_err(refused)? != Some(pinned) {
                return Ok(Some(format!(
                    "packets are charged in other buckets than those of the pin {name}"
                )));
            }
        }
        Ok(None)
    }

    /// The bucket `number` as it is at this moment, without the rest.
    pub(super) fn read_one(&self, number: u32) -> Result<Bucket, DataplaneError> {
        let (chunk, index) = position(number);
        let Some(fd) = self.pins.open(&pin_name(chunk as usize))? else {
            return Ok(Bucket::default());
        };
        Ok(mapped(&fd)?.read(index as usize))
    }

    /// Makes buckets somebody's, in ascending order of numbers; the last ones may not exist yet. Nothing is given if
    /// that fails.
    pub(super) fn give(&self, chunks: &mut Chunks, fresh: &[(u32, BucketId)]) -> Result<(), DataplaneError> {
        let mut needed: Vec<usize> = fresh
            .iter()
            .map(|(number, _)| position(*number).0 as usize)
            .collect();
        needed.dedup();
        for chunk in needed {
            while chunks.0.len() < chunk {
                chunks.0.push(mapped(&self.ensure(chunks.0.len())?)?);
            }
            // Also one that is there: it may not have got into its place.
            let fd = self.ensure(chunk)?;
            if chunks.0.len() == chunk {
                chunks.0.push(mapped(&fd)?);
            }
        }
        for (number, owner) in fresh {
            chunks.give(*number, *owner);
        }
        Ok(())
    }

    /// Frees the last chunks, as long as nothing in them is anybody's. No packet may be on its way to them.
    pub(super) fn shrink(&self, mut chunks: Chunks) -> Result<(), DataplaneError> {
        while chunks.0.len() > 1 {
            let number = chunks.0.len() - 1;
            let first = number * CHUNK_BUCKETS as usize;
            let mut buckets =
                (first..first + CHUNK_BUCKETS as usize).filter_map(|number| u32::try_from(number).ok());
            if buckets.any(|number| chunks.owner(number) != 0) {
                return Ok(());
            }
            chunks.0.pop();
            let index = u32::try_from(number).unwrap_or(u32::MAX);
            self.outer
                .delete(&index)
                .map_err(|error| DataplaneError::kernel(format!("change the map {BUCKETS}"), error))?;
            self.pins.take_away(&pin_name(number))?;
        }
        Ok(())
    }

    /// Waits until no program runs that began before: the kernel does so for every change of a map of maps.
    pub(super) fn wait_for_running_programs(&self) -> Result<(), DataplaneError> {
        let fd = self.ensure(0)?;
        self.put(0, &fd)
    }

    /// The chunk `number`, pinned and in its place.
    pub(super) fn ensure(&self, number: usize) -> Result<OwnedFd, DataplaneError> {
        let name = pin_name(number);
        // The pin comes first: a crash in between leaves a chunk that nothing leads to, and it is found again here.
        let fd = if let Some(fd) = self.pins.open(&name)? {
            fd
        } else {
            let fd = bpf::create_map(&self.definition, &name, None)
                .map_err(|error| DataplaneError::kernel("make a map of buckets", error))?;
            self.pins.put(&name, fd.as_fd())?;
            fd
        };
        let foreign = |problem| DataplaneError::ForeignPin {
            path: self.pins.path(&name),
            problem,
        };
        let info = bpf::map_info(fd.as_fd()).map_err(|error| foreign(error.to_string()))?;
        if let Some(problem) = difference(&info, &self.definition) {
            return Err(foreign(problem));
        }
        let index = u32::try_from(number).unwrap_or(u32::MAX);
        let present = self
            .outer
            .get(&index)
            .map_err(|error| DataplaneError::kernel("read the map BUCKETS", error))?;
        match present {
            Some(id) if id == info.id => {}
            Some(_) => return Err(foreign("it is not the chunk in force".into())),
            None => self.put(index, &fd)?,
        }
        Ok(fd)
    }

    fn put(&self, number: u32, fd: &OwnedFd) -> Result<(), DataplaneError> {
        #[expect(
            clippy::cast_sign_loss,
            reason = "a descriptor is not negative; the kernel's field is unsigned"
        )]
        self.outer
            .put(&number, &(fd.as_raw_fd() as u32))
            .map_err(|error| DataplaneError::kernel(format!("change the map {BUCKETS}"), error))
    }
}

fn mapped(fd: &OwnedFd) -> Result<Mapping<Bucket>, DataplaneError> {
    Mapping::new(fd.as_fd(), CHUNK_BUCKETS as usize)
        .map_err(|error| DataplaneError::kernel("map buckets into memory", error))
}

fn pin_name(chunk: usize) -> String {
    format!("chunk_{chunk}")
}
