//! tcx links, as far as aya does not offer them: first on the hook, with their interface, by probing.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use aya_obj::generated::{bpf_attach_type, bpf_cmd};
use zerocopy::{FromBytes, IntoBytes};

use super::bpf::{call, call_for_fd, expect_kind, info, raw};

/// `BPF_F_BEFORE` without a relative program: first on the hook.
const BPF_F_BEFORE: u32 = 1 << 3;

/// The tcx hook after which a packet is queued.
const TCX_EGRESS: u32 = bpf_attach_type::BPF_TCX_EGRESS as u32;

/// What the kernel says of a tcx link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
pub(super) struct LinkInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program_id: u32,
    zero: u32,
    /// Zero when the interface is gone or the link was detached by force.
    pub(super) ifindex: u32,
    pub(super) attach_type: u32,
}

/// The programs on a hook, in the order in which they run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) program_ids: Vec<u32>,
}

/// Describes the tcx link behind `fd`; an error when it is something else.
pub(super) fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    expect_kind(fd, "bpf_link")?;
    // SAFETY: `LinkInfo` is the beginning of `bpf_link_info`, as a tcx link fills it.
    unsafe { info(fd) }
}

#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct LinkCreateAttr {
    program_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative: u32,
    zero: u32,
    expected_revision: u64,
}

/// Attaches a program to tcx egress, before all others. `EINVAL` from a kernel without tcx.
pub(super) fn create_link(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkCreateAttr {
        program_fd: raw(program),
        target_ifindex: ifindex,
        attach_type: TCX_EGRESS,
        flags: BPF_F_BEFORE,
        ..LinkCreateAttr::default()
    };
    // SAFETY: the attribute holds no address.
    unsafe { call_for_fd(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct LinkUpdateAttr {
    link_fd: u32,
    program_fd: u32,
    flags: u32,
    old_program_fd: u32,
}

/// Replaces a link's program in place. `ENOLINK` when its interface is gone.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = LinkUpdateAttr {
        link_fd: raw(link),
        program_fd: raw(program),
        flags: 0,
        old_program_fd: 0,
    };
    // SAFETY: the attribute holds no address.
    unsafe { call(bpf_cmd::BPF_LINK_UPDATE, &mut attr) }.map(drop)
}

/// Detaches a link from its interface at once, whoever else may hold it.
pub(super) fn detach_link(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = raw(link);
    // SAFETY: the attribute holds no address.
    unsafe { call(bpf_cmd::BPF_LINK_DETACH, &mut attr) }.map(drop)
}

#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct QueryAttr {
    target_ifindex: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    program_ids: u64,
    count: u32,
    zero: u32,
    program_attach_flags: u64,
    link_ids: u64,
    link_attach_flags: u64,
    revision: u64,
}

/// The programs on an interface's tcx egress hook. `EINVAL` from a kernel without tcx.
pub(super) fn query(ifindex: u32) -> io::Result<Hook> {
    // The kernel allows 64 programs on a hook.
    let mut ids = [0_u32; 64];
    let mut attr = QueryAttr {
        target_ifindex: ifindex,
        attach_type: TCX_EGRESS,
        program_ids: ids.as_mut_ptr() as u64,
        count: 64,
        ..QueryAttr::default()
    };
    // SAFETY: the kernel writes at most `count` numbers to `ids`.
    match unsafe { call(bpf_cmd::BPF_PROG_QUERY, &mut attr) } {
        Ok(_) => Ok(Hook {
            program_ids: ids[..attr.count.min(64) as usize].to_vec(),
        }),
        // Nothing was ever attached there.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Hook::default()),
        Err(error) => Err(error),
    }
}
