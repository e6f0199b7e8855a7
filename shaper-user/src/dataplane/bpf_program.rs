//! The `bpf` system call, as far as it is about programs: loaded, run, and what they are loaded with.

use std::ffi::CStr;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::Function;
use aya_obj::generated::{bpf_cmd, bpf_prog_type};
use zerocopy::{FromBytes, IntoBytes};

use super::bpf::{call, call_for_fd, element, raw, short_name};

/// How much the verifier may say at first, and at most.
const LOG_BYTES: (usize, usize) = (1 << 14, (1 << 24) - 1);
/// `BPF_LOG_LEVEL1 | BPF_LOG_STATS`
const LOG_LEVEL: u32 = 5;

/// What a program is loaded from: a function with all that it calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) license: &'a CStr,
    pub(super) function: &'a Function,
    /// The types that the function's own records refer to. Without, the verifier takes functions that it can check alone
    /// for parts of those that call them: that takes longer, and 6.1 refuses it without `CAP_PERFMON`.
    pub(super) btf: BorrowedFd<'a>,
}

#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct LoadAttr {
    kind: u32,
    n_instructions: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_len: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
    btf_fd: u32,
    function_info_size: u32,
    function_info: u64,
    n_function_info: u32,
    line_info_size: u32,
    line_info: u64,
    n_line_info: u32,
    attach_btf_id: u32,
}

impl Source<'_> {
    /// Loads it for tc; what the verifier says goes with an error.
    pub(super) fn load(&self) -> Result<OwnedFd, (io::Error, String)> {
        let function = self.function;
        let (functions, lines) = (
            function.func_info.func_info_bytes(),
            function.line_info.line_info_bytes(),
        );
        let mut attr = LoadAttr {
            kind: bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32,
            n_instructions: small(function.instructions.len()),
            instructions: function.instructions.as_ptr() as u64,
            license: self.license.as_ptr() as u64,
            name: short_name(self.name),
            btf_fd: raw(self.btf),
            function_info_size: small(function.func_info_rec_size),
            function_info: functions.as_ptr() as u64,
            n_function_info: small(function.func_info.len()),
            line_info_size: small(function.line_info_rec_size),
            line_info: lines.as_ptr() as u64,
            n_line_info: small(function.line_info.len()),
            ..LoadAttr::default()
        };
        // SAFETY: instructions, license and records outlive the call, and there is no room for what the verifier says.
        let loaded = unsafe { call_for_fd(bpf_cmd::BPF_PROG_LOAD, &mut attr) };
        // Once more for its reasons: to have them written takes the verifier several times longer.
        loaded.or_else(|_| load_and_say(&mut attr))
    }
}

/// Loads a program and has the verifier say what it does.
fn load_and_say(attr: &mut LoadAttr) -> Result<OwnedFd, (io::Error, String)> {
    let mut log = vec![0_u8; LOG_BYTES.0];
    loop {
        attr.log_level = LOG_LEVEL;
        attr.log_len = small(log.len());
        attr.log = log.as_mut_ptr() as u64;
        // SAFETY: as in `load`, and the kernel writes at most `log_len` bytes to `log`.
        match unsafe { call_for_fd(bpf_cmd::BPF_PROG_LOAD, attr) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && log.len() < LOG_BYTES.1 => {
                log = vec![0; LOG_BYTES.1.min(log.len() * 8)];
            }
            result => {
                let len = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
                return result.map_err(|error| (error, String::from_utf8_lossy(&log[..len]).into_owned()));
            }
        }
    }
}

#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct BtfAttr {
    btf: u64,
    log: u64,
    len: u32,
    log_len: u32,
    log_level: u32,
    /// Unknown to 6.1, which wants zero.
    log_true_len: u32,
}

/// Loads types.
pub(super) fn load_btf(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = BtfAttr {
        btf: btf.as_ptr() as u64,
        len: small(btf.len()),
        ..BtfAttr::default()
    };
    // SAFETY: `btf` outlives the call, which reads `len` bytes of it.
    unsafe { call_for_fd(bpf_cmd::BPF_BTF_LOAD, &mut attr) }
}

/// Fills an array of one element.
pub(super) fn set_data(map: BorrowedFd<'_>, data: &[u8]) -> io::Result<()> {
    let size = super::bpf::map_info(map)?;
    if size.key_size != 4 || size.value_size as usize != data.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let (index, data) = (0_u32, data.as_ptr().cast_mut());
    // SAFETY: key and value have the map's sizes, and an update only reads them.
    unsafe {
        element(
            bpf_cmd::BPF_MAP_UPDATE_ELEM,
            map,
            (&raw const index).cast(),
            data,
            0,
        )
    }
}

/// Lets nobody but programs write to a map from here on.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = raw(map);
    // SAFETY: the attribute holds no address.
    unsafe { call(bpf_cmd::BPF_MAP_FREEZE, &mut attr) }.map(drop)
}

#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct RunAttr {
    program_fd: u32,
    returned: u32,
    len_in: u32,
    len_out: u32,
    data_in: u64,
    data_out: u64,
    n_times: u32,
    duration_ns: u32,
}

/// Runs a program once upon a packet; what it returns.
pub(super) fn run(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<u32> {
    let mut attr = RunAttr {
        program_fd: raw(program),
        len_in: small(packet.len()),
        data_in: packet.as_ptr() as u64,
        n_times: 1,
        ..RunAttr::default()
    };
    // SAFETY: the kernel reads `len_in` bytes, and writes none: it has no address to write to.
    unsafe { call(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr) }?;
    Ok(attr.returned)
}

/// A length as the kernel takes it; one that it has no room for is refused, being longer than anything there is.
fn small(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
