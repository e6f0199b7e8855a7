//! Other people's programs on the hook: they count packets and return what they are told to.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use super::Host;
use super::bpf::{self, call, call_for_fd, number, pair};

/// Return code that lets the next program run.
pub const NEXT: i32 = -1;

/// Return code that ends the chain and sends the packet.
pub const PASS: i32 = 0;

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_PROG_LOAD: i32 = 5;
const BPF_LINK_CREATE: i32 = 28;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_EGRESS: u32 = 47;
const BPF_F_BEFORE: u32 = 1 << 3;

/// A program that counts the packets it sees.
#[derive(Debug)]
pub struct Foreign {
    map: OwnedFd,
    program: OwnedFd,
}

impl Foreign {
    /// Loads a program that returns `code`.
    #[must_use]
    pub fn load(code: i32) -> Self {
        Self::load_named(code, "")
    }

    /// As [`load`](Self::load), under a name of 15 characters at most.
    #[must_use]
    pub fn load_named(code: i32, name: &str) -> Self {
        // Type, key size, value size, entries.
        let map = call_for_fd(BPF_MAP_CREATE, &[pair(BPF_MAP_TYPE_ARRAY, 4), pair(8, 1)])
            .expect("maps can be made");
        let map_fd = number(&map);
        let instructions = [
            // r1 = address of the map's only value, in two halves
            instruction(0x18, 0x21, 0, map_fd),
            instruction(0, 0, 0, 0),
            // r2 = 1; lock *(u64 *)r1 += r2
            instruction(0xb7, 0x02, 0, 1),
            instruction(0xdb, 0x21, 0, 0),
            // r0 = code; exit
            instruction(0xb7, 0x00, 0, code.cast_unsigned()),
            instruction(0x95, 0, 0, 0),
        ];
        let license = c"GPL";
        let mut name_bytes = [0; 16];
        name_bytes[..name.len()].copy_from_slice(name.as_bytes());
        let (words, _) = name_bytes.as_chunks();
        let program = call_for_fd(
            BPF_PROG_LOAD,
            &[
                pair(BPF_PROG_TYPE_SCHED_CLS, 6),
                instructions.as_ptr() as u64,
                license.as_ptr() as u64,
                // No log, no version, no flags.
                0,
                0,
                0,
                u64::from_ne_bytes(words[0]),
                u64::from_ne_bytes(words[1]),
            ],
        );
        Self {
            map,
            program: program.expect("a program of six instructions loads"),
        }
    }

    /// Packets it has seen.
    #[must_use]
    pub fn n_packets(&self) -> u64 {
        let (key, mut value) = (0_u32, 0_u64);
        let map = u64::from(number(&self.map));
        call(
            BPF_MAP_LOOKUP_ELEM,
            &[map, &raw const key as u64, &raw mut value as u64],
        )
        .expect("it is there");
        value
    }

    /// Attaches it to the egress of interface `name` by tcx, first or last; detached when dropped.
    pub fn attach_tcx(&self, host: &Host, name: &str, is_first: bool) -> io::Result<OwnedFd> {
        host.run(|| self.attach_tcx_here(name, is_first))
    }

    /// As [`attach_tcx`](Self::attach_tcx), in the network of the caller.
    pub fn attach_tcx_here(&self, name: &str, is_first: bool) -> io::Result<OwnedFd> {
        let flags = if is_first { BPF_F_BEFORE } else { 0 };
        let name = std::ffi::CString::new(name)?;
        // SAFETY: the name ends with zero and outlives the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        call_for_fd(
            BPF_LINK_CREATE,
            &[pair(number(&self.program), index), pair(BPF_TCX_EGRESS, flags)],
        )
    }

    /// Puts it into somebody's link.
    pub fn put_into(&self, link: &impl AsFd) -> io::Result<()> {
        bpf::update_link(link, &self.program)
    }

    /// Pins it, so that `tc` can attach it.
    pub fn pin(&self, path: &Path) {
        bpf::pin(&self.program, path).expect("the BPF file system is there");
    }
}

/// `registers`: the source in the upper half, the destination in the lower.
fn instruction(code: u8, registers: u8, offset: u16, immediate: u32) -> u64 {
    u64::from(code) | u64::from(registers) << 8 | u64::from(offset) << 16 | u64::from(immediate) << 32
}
