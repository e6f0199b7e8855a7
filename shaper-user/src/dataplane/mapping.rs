//! An array in the kernel, mapped into this process's memory.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;

use aya::Pod;

/// `len` elements of an array map; the kernel program reads and changes them at any time.
#[derive(Debug)]
pub(super) struct Mapping<T> {
    memory: NonNull<T>,
    len: usize,
}

impl<T: Pod> Mapping<T> {
    /// The first `len` elements of the array behind `fd`, whose elements are a multiple of eight bytes long. The
    /// kernel refuses a mapping that is longer than the array.
    pub(super) fn new(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len * size_of::<T>(),
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
            .map(|memory| Self { memory, len })
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// How many elements.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where the element at `index` stands.
    pub(super) fn element(&self, index: usize) -> *mut T {
        assert!(index < self.len);
        // SAFETY: inside the mapping.
        unsafe { self.memory.as_ptr().add(index) }
    }

    /// The element at `index` as it is at this moment.
    pub(super) fn read(&self, index: usize) -> T {
        // SAFETY: inside the mapping. Words are read whole and cannot be torn; any bits are valid.
        unsafe { self.element(index).read_volatile() }
    }

    /// Makes `len` elements zero that the kernel program does not look at.
    pub(super) fn clear(&self, first: usize, len: usize) {
        assert!(first + len <= self.len);
        // SAFETY: inside the mapping; all bits zero are valid.
        unsafe { self.memory.as_ptr().add(first).write_bytes(0, len) };
    }

    /// Stores an element, word by word.
    pub(super) fn write(&self, index: usize, value: T) {
        // SAFETY: inside the mapping.
        unsafe { self.element(index).write_volatile(value) };
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nobody else refers to.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.len * size_of::<T>()) };
    }
}
