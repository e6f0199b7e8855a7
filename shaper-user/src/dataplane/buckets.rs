//! Chunks of buckets: made on demand, pinned, and mapped into memory to be read and reset.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;

use shaper_common::bucket::{Bucket, CHUNK_BUCKETS, position};
use shaper_common::names::BUCKETS;

use super::bpf::{self, MapInfo};
use super::error::DataplaneError;
use super::maps::{Map, difference};
use super::pins::Pins;

const CHUNK_BYTES: usize = CHUNK_BUCKETS as usize * size_of::<Bucket>();

/// One chunk in this process's memory; the kernel program changes it at any time.
#[derive(Debug)]
pub(super) struct Chunk {
    memory: NonNull<Bucket>,
}

impl Chunk {
    fn map(fd: &OwnedFd) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                CHUNK_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(memory.cast())
            .map(|memory| Self { memory })
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The bucket at `index` as it is at this moment; each counter is exact, together they may be a packet apart.
    fn read(&self, index: u32) -> Bucket {
        assert!(index < CHUNK_BUCKETS);
        // SAFETY: inside the mapping. Words are read whole and cannot be torn; any bits are valid.
        unsafe { self.memory.as_ptr().add(index as usize).read_volatile() }
    }

    fn reset(&self, index: u32) {
        assert!(index < CHUNK_BUCKETS);
        // SAFETY: inside the mapping, and no rule in force leads to this bucket.
        unsafe {
            self.memory
                .as_ptr()
                .add(index as usize)
                .write_volatile(Bucket::default());
        }
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `map`, which nobody else refers to.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), CHUNK_BYTES) };
    }
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

    /// Makes `number` lead to a bucket, and resets the buckets of `numbers`.
    pub(super) fn reset(&self, numbers: &[u32]) -> Result<(), DataplaneError> {
        let mut chunk: Option<(u32, Chunk)> = None;
        for number in numbers {
            let (wanted, index) = position(*number);
            if chunk.as_ref().is_none_or(|(present, _)| *present != wanted) {
                chunk = Some((wanted, mapped(&self.ensure(wanted)?)?));
            }
            if let Some((_, chunk)) = &chunk {
                chunk.reset(index);
            }
        }
        Ok(())
    }

    /// Reads buckets; for numbers in ascending order each chunk is mapped once. A bucket that does not exist is zero.
    pub(super) fn read(&self, numbers: &[u32]) -> Result<Vec<Bucket>, DataplaneError> {
        let mut chunks: Vec<(u32, Option<Chunk>)> = Vec::new();
        let mut buckets = Vec::with_capacity(numbers.len());
        for number in numbers {
            let (wanted, index) = position(*number);
            let present = chunks.iter().position(|(present, _)| *present == wanted);
            let place = if let Some(place) = present {
                place
            } else {
                let fd = self.pins.open(&pin_name(wanted))?;
                chunks.push((wanted, fd.map(|fd| mapped(&fd)).transpose()?));
                chunks.len() - 1
            };
            buckets.push(
                chunks[place]
                    .1
                    .as_ref()
                    .map_or_else(Bucket::default, |chunk| chunk.read(index)),
            );
        }
        Ok(buckets)
    }

    /// Waits until no program runs that began before: the kernel does so for every change of a map of maps.
    pub(super) fn wait_for_running_programs(&self) -> Result<(), DataplaneError> {
        let fd = self.ensure(0)?;
        self.put(0, &fd)
    }

    /// The chunk `number`, pinned and in its place.
    pub(super) fn ensure(&self, number: u32) -> Result<OwnedFd, DataplaneError> {
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
        let present = self
            .outer
            .get(&number)
            .map_err(|error| DataplaneError::kernel("read the map BUCKETS", error))?;
        match present {
            Some(id) if id == info.id => {}
            Some(_) => return Err(foreign("it is not the chunk in force".into())),
            None => self.put(number, &fd)?,
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

fn mapped(fd: &OwnedFd) -> Result<Chunk, DataplaneError> {
    Chunk::map(fd).map_err(|error| DataplaneError::kernel("map buckets into memory", error))
}

fn pin_name(chunk: u32) -> String {
    format!("chunk_{chunk}")
}
