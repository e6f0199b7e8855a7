//! The `bpf` system call, as far as tests look behind the product's back.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_MAP_DELETE_ELEM: i32 = 3;
const BPF_MAP_GET_NEXT_KEY: i32 = 4;
const BPF_LINK_DETACH: i32 = 34;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_OBJ_PIN: i32 = 6;
const BPF_OBJ_GET: i32 = 7;
const BPF_PROG_GET_NEXT_ID: i32 = 11;
const BPF_MAP_GET_NEXT_ID: i32 = 12;
const BPF_LINK_UPDATE: i32 = 29;
const BPF_LINK_GET_NEXT_ID: i32 = 31;

/// Room for the longest attributes that are used; the kernel takes zeros beyond those it knows.
#[repr(C)]
struct Attributes([u64; 16]);

/// Opens what is pinned at `path`.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    call_for_fd(BPF_OBJ_GET, &[path.as_ptr() as u64])
}

/// Pins a program at `path`.
pub fn pin(program: &impl AsFd, path: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    call(BPF_OBJ_PIN, &[path.as_ptr() as u64, number(program).into()]).map(drop)
}

/// Puts another program in the place of a link's.
pub fn update_link(link: &impl AsFd, program: &impl AsFd) -> io::Result<()> {
    call(BPF_LINK_UPDATE, &[pair(number(link), number(program))]).map(drop)
}

/// Detaches a link from its interface, whoever else holds it.
pub fn detach_link(link: &impl AsFd) -> io::Result<()> {
    call(BPF_LINK_DETACH, &[number(link).into()]).map(drop)
}

/// An array that can be mapped into memory, of `n` elements of `value_size` bytes.
pub fn create_array(value_size: u32, n: u32) -> io::Result<OwnedFd> {
    let words = [
        pair(BPF_MAP_TYPE_ARRAY, 4),
        pair(value_size, n),
        pair(BPF_F_MMAPABLE, 0),
    ];
    call_for_fd(BPF_MAP_CREATE, &words)
}

/// The value at `key`, into `value`, which has room for it.
pub fn read(map: &impl AsFd, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    let words = [number(map).into(), key.as_ptr() as u64, value.as_mut_ptr() as u64];
    call(BPF_MAP_LOOKUP_ELEM, &words).map(drop)
}

/// Writes the value at `key`; both are as long as the map has them.
pub fn write(map: &impl AsFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let words = [number(map).into(), key.as_ptr() as u64, value.as_ptr() as u64];
    call(BPF_MAP_UPDATE_ELEM, &words).map(drop)
}

/// Takes `key` away.
pub fn delete(map: &impl AsFd, key: &[u8]) -> io::Result<()> {
    call(BPF_MAP_DELETE_ELEM, &[number(map).into(), key.as_ptr() as u64]).map(drop)
}

/// The first key of a map whose keys have `len` bytes.
pub fn first_key(map: &impl AsFd, len: usize) -> io::Result<Vec<u8>> {
    let mut key = vec![0; len];
    call(
        BPF_MAP_GET_NEXT_KEY,
        &[number(map).into(), 0, key.as_mut_ptr() as u64],
    )?;
    Ok(key)
}

/// How many programs, maps and links there are in the kernel.
#[must_use]
pub fn n_objects() -> [usize; 3] {
    [BPF_PROG_GET_NEXT_ID, BPF_MAP_GET_NEXT_ID, BPF_LINK_GET_NEXT_ID].map(n_ids)
}

/// A program, map or link by what `/proc` calls its number, such as `map_id`, and that number.
pub type Id = (&'static str, u32);

/// Those of all programs, maps and links in the kernel.
#[must_use]
pub fn ids() -> BTreeSet<Id> {
    let commands = [
        ("prog_id", BPF_PROG_GET_NEXT_ID),
        ("map_id", BPF_MAP_GET_NEXT_ID),
        ("link_id", BPF_LINK_GET_NEXT_ID),
    ];
    let all = commands.into_iter().flat_map(|(kind, command)| {
        let following = move |id: &u32| next_id(command, *id);
        std::iter::successors(next_id(command, 0), following).map(move |id| (kind, id))
    });
    all.collect()
}

/// Those of what is pinned at `path`, and of the maps in it if it is a map of maps.
pub fn ids_at(path: &Path) -> io::Result<Vec<Id>> {
    const ARRAY_OF_MAPS: u32 = 12;
    let object = open(path)?;
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", number(&object)))?;
    let field = |name: &str| -> Option<u32> {
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        let (_, value) = fields.into_iter().find(|(found, _)| *found == name)?;
        value.trim().parse().ok()
    };
    // What a link leads to has lines of its own.
    let own = ["link_id", "map_id", "prog_id"]
        .into_iter()
        .find_map(|kind| Some((kind, field(kind)?)));
    let mut ids = vec![own.ok_or(io::ErrorKind::InvalidData)?];
    if field("map_type") == Some(ARRAY_OF_MAPS) {
        for index in 0..field("max_entries").unwrap_or_default() {
            let mut inner = 0_u32;
            let (key, value) = ((&raw const index) as u64, (&raw mut inner) as u64);
            match call(BPF_MAP_LOOKUP_ELEM, &[number(&object).into(), key, value]) {
                Ok(_) => ids.push(("map_id", inner)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(ids)
}

fn n_ids(command: i32) -> usize {
    let (mut id, mut n) = (0_u32, 0);
    while let Some(next) = next_id(command, id) {
        (id, n) = (next, n + 1);
    }
    n
}

fn next_id(command: i32, id: u32) -> Option<u32> {
    let mut attributes = Attributes([0; 16]);
    attributes.0[0] = id.into();
    system_call(command, &mut attributes).ok()?;
    u32::try_from(attributes.0[0] >> 32).ok()
}

/// The number of a descriptor, as attributes hold it.
pub(crate) fn number(fd: &impl AsFd) -> u32 {
    fd.as_fd().as_raw_fd().cast_unsigned()
}

/// Two 32-bit fields that follow each other.
pub(crate) fn pair(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

/// A command that returns a new descriptor.
pub(super) fn call_for_fd(command: i32, words: &[u64]) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(call(command, words)?).expect("descriptors are small");
    // SAFETY: these commands return a new descriptor that has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Any other command.
pub(crate) fn call(command: i32, words: &[u64]) -> io::Result<i64> {
    let mut attributes = Attributes([0; 16]);
    attributes.0[..words.len()].copy_from_slice(words);
    system_call(command, &mut attributes)
}

fn system_call(command: i32, attributes: &mut Attributes) -> io::Result<i64> {
    // SAFETY: the attributes outlive the call, as does all that callers let them point to; the kernel checks them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            &raw mut *attributes,
            size_of::<Attributes>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}
