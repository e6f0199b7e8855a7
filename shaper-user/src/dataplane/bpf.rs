//! The `bpf` system call, as far as aya does not offer it: pins, batches, maps without types.
//!
//! Nothing here asks the kernel for an object by id: that needs `CAP_SYS_ADMIN`, and shaper gets by without it.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::bpf_cmd;
use zerocopy::{FromBytes, IntoBytes};

/// What the kernel says of a map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes)]
pub(super) struct MapInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) key_size: u32,
    pub(super) value_size: u32,
    pub(super) max_entries: u32,
    pub(super) flags: u32,
}

/// One `bpf` system call.
///
/// An attribute has no padding: a kernel that knows fewer fields refuses the call unless the rest is zero.
///
/// # Safety
///
/// Every address in `attr` must be valid for what `cmd` does with it.
pub(super) unsafe fn call<A: FromBytes + IntoBytes>(cmd: bpf_cmd, attr: &mut A) -> io::Result<i32> {
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
pub(super) unsafe fn call_for_fd<A: FromBytes + IntoBytes>(
    cmd: bpf_cmd,
    attr: &mut A,
) -> io::Result<OwnedFd> {
    // SAFETY: the caller's.
    let fd = unsafe { call(cmd, attr) }?;
    // SAFETY: the kernel has just handed this descriptor to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[expect(
    clippy::cast_sign_loss,
    reason = "a descriptor is not negative; the kernel's field is unsigned"
)]
pub(super) fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

#[repr(C)]
#[derive(FromBytes, IntoBytes)]
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
#[derive(Default, FromBytes, IntoBytes)]
struct IdAttr {
    id: u32,
    next_id: u32,
    flags: u32,
}

/// Opens a program by its number, which only root may.
pub(super) fn open_program(id: u32) -> io::Result<OwnedFd> {
    let mut attr = IdAttr {
        id,
        ..IdAttr::default()
    };
    // SAFETY: the attribute holds no address.
    unsafe { call_for_fd(bpf_cmd::BPF_PROG_GET_FD_BY_ID, &mut attr) }
}

#[repr(C)]
#[derive(FromBytes, IntoBytes)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// # Safety
///
/// `T` must be plain old data that begins like the kernel's structure for this sort of descriptor.
pub(super) unsafe fn info<T: Default + FromBytes + IntoBytes>(fd: BorrowedFd<'_>) -> io::Result<T> {
    let mut info = T::default();
    // SAFETY: the caller's; what is asked for holds no address.
    unsafe { fill(fd, &mut info) }?;
    Ok(info)
}

/// # Safety
///
/// As for [`info`], and every address in `info` must be valid for as much as `info` says.
pub(super) unsafe fn fill<T: FromBytes + IntoBytes>(fd: BorrowedFd<'_>, info: &mut T) -> io::Result<()> {
    #[expect(clippy::cast_possible_truncation, reason = "a structure of a few words")]
    let mut attr = InfoAttr {
        fd: raw(fd),
        len: size_of::<T>() as u32,
        info: std::ptr::from_mut(info) as u64,
    };
    // SAFETY: the kernel writes at most `len` bytes into `info`; the caller vouches for the rest.
    unsafe { call(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr) }.map(drop)
}

/// Describes the map behind `fd`; an error when it is something else.
pub(super) fn map_info(fd: BorrowedFd<'_>) -> io::Result<MapInfo> {
    // The kernel answers alike for maps, programs and links; only the descriptor's name tells them apart.
    expect_kind(fd, "bpf-map")?;
    // SAFETY: `MapInfo` is the beginning of `bpf_map_info`.
    unsafe { info(fd) }
}

/// The beginning of `bpf_map_info`, with the map's name.
#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct NamedMapInfo {
    info: MapInfo,
    name: [u8; 16],
}

/// The name of the map behind `fd`, cut to what the kernel keeps.
pub(super) fn map_name(fd: BorrowedFd<'_>) -> io::Result<String> {
    expect_kind(fd, "bpf-map")?;
    // SAFETY: `NamedMapInfo` is the beginning of `bpf_map_info`.
    let named: NamedMapInfo = unsafe { info(fd) }?;
    let len = named.name.iter().position(|byte| *byte == 0).unwrap_or(16);
    Ok(String::from_utf8_lossy(&named.name[..len]).into_owned())
}

pub(super) fn expect_kind(fd: BorrowedFd<'_>, kind: &str) -> io::Result<()> {
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
#[derive(Default, FromBytes, IntoBytes)]
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

/// A name as the kernel keeps it: cut, and ended by a zero.
pub(super) fn short_name(name: &str) -> [u8; 16] {
    let mut short = [0; 16];
    let len = name.len().min(15);
    short[..len].copy_from_slice(&name.as_bytes()[..len]);
    short
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
        name: short_name(name),
        ..CreateAttr::default()
    };
    // SAFETY: the attribute holds no address.
    unsafe { call_for_fd(bpf_cmd::BPF_MAP_CREATE, &mut attr) }
}

#[repr(C)]
#[derive(FromBytes, IntoBytes)]
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
    flags: u64,
) -> io::Result<()> {
    let mut attr = ElementAttr {
        map_fd: raw(map),
        zero: 0,
        key: key as u64,
        value_or_next: value as u64,
        flags,
    };
    // SAFETY: the caller's.
    unsafe { call(cmd, &mut attr) }.map(drop)
}

/// A batch operation, as the kernel takes it.
#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
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
