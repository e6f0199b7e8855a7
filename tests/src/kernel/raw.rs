//! System calls that aya has no function for.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use super::Skb;

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_TEST_RUN: libc::c_int = 10;
const BPF_MAP_UPDATE_BATCH: libc::c_int = 26;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;

/// Calls `bpf(2)`; `attr` is the start of `union bpf_attr`, which may be cut off after what a command needs.
pub(super) fn bpf<T>(command: libc::c_int, attr: &mut T) -> io::Result<i32> {
    // SAFETY: `attr` is a `repr(C)` struct of the layout that the command reads, with pointers that are valid.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size_of::<T>()) };
    i32::try_from(result)
        .map_err(io::Error::other)
        .and_then(|result| {
            if result < 0 {
                Err(io::Error::last_os_error())
            } else {
                Ok(result)
            }
        })
}

#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    n_instructions: u32,
    instructions: u64,
    license: u64,
}

#[repr(C)]
struct TestRunAttr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
}

/// A classifier that passes every packet after a number of additions that lead nowhere.
#[derive(Debug)]
pub struct Idle(OwnedFd);

impl Idle {
    /// Loads one.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    #[must_use]
    pub fn load(n_additions: usize) -> Self {
        const SET_R0: [u8; 8] = [0xb7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
        const ADD_ONE_TO_R0: [u8; 8] = [0x07, 0, 0, 0, 1, 0, 0, 0];
        const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
        let mut instructions = vec![SET_R0];
        instructions.extend(vec![ADD_ONE_TO_R0; n_additions]);
        instructions.push(EXIT);
        let mut attr = LoadAttr {
            prog_type: BPF_PROG_TYPE_SCHED_CLS,
            n_instructions: u32::try_from(instructions.len()).unwrap(),
            instructions: instructions.as_ptr().addr() as u64,
            license: c"GPL".as_ptr().addr() as u64,
        };
        let fd = bpf(BPF_PROG_LOAD, &mut attr).unwrap();
        // SAFETY: the kernel has just handed it to us.
        Self(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Mean duration of `n_runs` runs, in nanoseconds.
    ///
    /// # Panics
    ///
    /// If the kernel refuses the frame.
    #[must_use]
    pub fn repeat(&self, frame: &[u8], n_runs: u32) -> u64 {
        let mut skb = Skb::default();
        let mut attr = TestRunAttr {
            prog_fd: self.0.as_raw_fd().cast_unsigned(),
            retval: 0,
            data_size_in: u32::try_from(frame.len()).unwrap(),
            data_size_out: 0,
            data_in: frame.as_ptr().addr() as u64,
            data_out: 0,
            repeat: n_runs,
            duration: 0,
            ctx_size_in: u32::try_from(size_of::<Skb>()).unwrap(),
            ctx_size_out: 0,
            ctx_in: skb.bytes_mut().as_ptr().addr() as u64,
            ctx_out: 0,
        };
        bpf(BPF_PROG_TEST_RUN, &mut attr).unwrap();
        attr.duration.into()
    }
}

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Puts many entries into a map with one system call.
///
/// # Panics
///
/// If there are not as many keys as values, or the kernel refuses them.
pub fn insert_all<K: aya::Pod, V: aya::Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) {
    assert_eq!(keys.len(), values.len());
    let mut attr = BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: keys.as_ptr().addr() as u64,
        values: values.as_ptr().addr() as u64,
        count: u32::try_from(keys.len()).unwrap(),
        map_fd: map.as_raw_fd().cast_unsigned(),
        elem_flags: 0,
        flags: 0,
    };
    bpf(BPF_MAP_UPDATE_BATCH, &mut attr).unwrap();
}
