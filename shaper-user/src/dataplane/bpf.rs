//! The `bpf` system call, as far as aya does not offer it: batches, links with their interface, maps without types.
//!
//! Nothing here asks the kernel for an object by id: that needs `CAP_SYS_ADMIN`, and shaper gets by without it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::{bpf_attach_type, bpf_cmd};

/// `BPF_F_BEFORE` without a relative program: first on the hook.
const BPF_F_BEFORE: u32 = 1 << 3;

/// The tcx hook after which a packet is queued.
const TCX_EGRESS: u32 = bpf_attach_type::BPF_TCX_EGRESS as u32;

/// What the kernel says of a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MapInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

/// What the kernel says of a program.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
}

/// What the kernel says of a tcx link.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// One `bpf` system call.
///
/// # Safety
///
/// Every address in `attr` must be valid for what `cmd` does with it.
unsafe fn call<A>(cmd: bpf_cmd, attr: &mut A) -> io::Result<i32> {
    // SAFETY: `attr` is readable and writable for the length given; the caller vouches for the rest.
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, &raw mut *attr, size_of::<A>()) };
    i32::try_from(result)
        .ok()
        .filter(|result| *result >= 0)
        .ok_or_else(io::Error::last_os_error)
}

/// A `bpf` system call that returns a new descriptor.
///
/// # Safety
///
/// As for [`call`], and `cmd` must be one that returns a descriptor.
unsafe fn call_for_fd<A>(cmd: bpf_cmd, attr: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's.
    let fd = unsafe { call(cmd, attr) }?;
    // SAFETY: the kernel has just handed this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[expect(
    clippy::cast_sign_loss,
    reason = "a descriptor is not negative; the kernel's field is unsigned"
)]
fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

#[repr(C)]
struct PinAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// Pins `fd` at `path`, where nothing may be.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut attr = PinAttr {
        path: path.as_ptr() as u64,
        fd: raw(fd),
        flags: 0,
    };
    // SAFETY: `path` is a string that ends in zero and outlives the call.
    unsafe { call(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

/// Opens what is pinned at `path`.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut attr = PinAttr {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    // SAFETY: `path` is a string that ends in zero and outlives the call.
    unsafe { call_for_fd(bpf_cmd::BPF_OBJ_GET, &mut attr) }
}

#[repr(C)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// # Safety
///
/// `T` must be plain old data that begins like the kernel's structure for this sort of descriptor.
unsafe fn info<T: Default>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    #[expect(clippy::cast_possible_truncation, reason = "a structure of a few words")]
    let mut attr = InfoAttr {
        fd: raw(fd),
        len: size_of::<T>() as u32,
        info: &raw mut info as u64,
    };
    // SAFETY: the kernel writes at most `len` bytes into `info`.
    unsafe { call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }?;
    Ok(info)
}

/// Describes the map behind `fd`; an error when it is something else.
pub(super) fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    // The kernel answers alike for maps, programs and links; only the descriptor's name tells them apart.
    expect_kind(fd, "bpf-map")?;
    // SAFETY: `MapInfo` is the beginning of `bpf_map_info`.
    unsafe { info(fd) }
}

/// Describes the program behind `fd`; an error when it is something else.
pub(super) fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    expect_kind(fd, "bpf-prog")?;
    // SAFETY: `ProgramInfo` is the beginning of `bpf_prog_info`.
    unsafe { info(fd) }
}

/// Describes the tcx link behind `fd`; an error when it is something else.
pub(super) fn link_info(fd: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    expect_kind(fd, "bpf_link")?;
    // SAFETY: `LinkInfo` is the beginning of `bpf_link_info`, as a tcx link fills it.
    unsafe { info(fd) }
}

fn expect_kind(fd: BorrowedFd<'_>, kind: &str) -> io::Result<()> {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))?;
    let name = link.to_string_lossy();
    if name
        .replace(['-', '_'], "")
        .contains(&kind.replace(['-', '_'], ""))
    {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is {name}, not {kind}"),
        ))
    }
}

#[repr(C)]
#[derive(Default)]
struct CreateAttr {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_fd: u32,
    numa_node: u32,
    name: [u8; 16],
}

/// Makes a map; `name` is cut to what the kernel keeps. A map of maps needs one to go by.
pub(super) fn create_map(
    definition: &MapInfo,
    name: &str,
    template: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let mut attr = CreateAttr {
        kind: definition.kind,
        key_size: definition.key_size,
        value_size: definition.value_size,
        max_entries: definition.max_entries,
        flags: definition.flags,
        inner_fd: template.map_or(0, raw),
        ..CreateAttr::default()
    };
    let len = name.len().min(15);
    attr.name[..len].copy_from_slice(&name.as_bytes()[..len]);
    // SAFETY: the attribute holds no address.
    unsafe { call_for_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr) }
}

#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    zero: u32,
    key: u64,
    value_or_next: u64,
    flags: u64,
}

/// An operation on one element of a map.
///
/// # Safety
///
/// `key` and `value` must be valid for the map's key and value size, as `cmd` reads or writes them.
pub(super) unsafe fn element(
    cmd: bpf_cmd,
    map: BorrowedFd<'_>,
    key: *const u8,
    value: *mut u8,
) -> io::Result<()> {
    let mut attr = ElementAttr {
        map_fd: raw(map),
        zero: 0,
        key: key as u64,
        value_or_next: value as u64,
        flags: 0,
    };
    // SAFETY: the caller's.
    unsafe { call(cmd, &mut attr) }.map(drop)
}

/// A batch operation, as the kernel takes it.
#[repr(C)]
#[derive(Default)]
pub(super) struct BatchAttr {
    pub(super) in_batch: u64,
    pub(super) out_batch: u64,
    pub(super) keys: u64,
    pub(super) values: u64,
    /// How many; comes back as how many were done, also after an error.
    pub(super) count: u32,
    pub(super) map_fd: u32,
    pub(super) element_flags: u64,
    pub(super) flags: u64,
}

/// An operation on many elements of a map.
///
/// # Safety
///
/// The addresses in `attr` must be valid for `attr.count` keys and values of the map's sizes, and the batch
/// positions for one key each.
pub(super) unsafe fn batch(cmd: bpf_cmd, map: BorrowedFd<'_>, attr: &mut BatchAttr) -> io::Result<()> {
    attr.map_fd = raw(map);
    // SAFETY: the caller's.
    unsafe { call(cmd, attr) }.map(drop)
}

#[repr(C)]
#[derive(Default)]
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
pub(super) fn create_tcx_link(program: BorrowedFd<'_>, ifindex: u32) -> io::Result<OwnedFd> {
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
#[derive(Default)]
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
pub(super) fn query_tcx(ifindex: u32) -> io::Result<Hook> {
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
