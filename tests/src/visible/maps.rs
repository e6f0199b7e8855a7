//! What stands in a map, whatever its keys and values are.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::Path;
use std::ptr::NonNull;

use crate::lab::bpf;

const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;
const BPF_MAP_LOOKUP_BATCH: i32 = 24;

/// `BPF_F_MMAPABLE`
const MMAPABLE: u32 = 1 << 10;

/// Arrays and hashes of maps.
const MAPS_OF_MAPS: [u32; 2] = [12, 13];

/// Kinds of maps that are read as a whole: hashes, arrays, tries, maps of maps.
const KINDS: [u32; 5] = [1, 2, 11, MAPS_OF_MAPS[0], MAPS_OF_MAPS[1]];

/// What has more entries than this is filled before it is pinned, and then changed by packets alone.
const MANY: u32 = 100_000;

/// An array of the kernel's in this process's memory.
#[derive(Debug)]
pub(super) struct Contents {
    words: NonNull<u64>,
    len: usize,
}

impl Contents {
    fn new(fd: &OwnedFd, info: &Info) -> Self {
        let size = info.max_entries as usize * info.value_size.next_multiple_of(8) as usize;
        // SAFETY: a fresh mapping at an address of the kernel's choice; the kernel refuses one longer than the array.
        let memory = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        assert_ne!(memory, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
        // SAFETY: the mapping that was just made.
        unsafe { libc::madvise(memory, size, libc::MADV_DONTFORK) };
        Self {
            words: NonNull::new(memory.cast()).unwrap(),
            len: size / 8,
        }
    }

    fn digest(&self) -> u64 {
        // SAFETY: inside the mapping; nobody writes while the program that is watched is stopped.
        let words = unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) };
        digest(words)
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nobody else refers to.
        unsafe { libc::munmap(self.words.as_ptr().cast(), self.len * 8) };
    }
}

/// The beginning of what the kernel tells of a map.
#[repr(C)]
#[derive(Default)]
struct Info {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
}

/// Which object is pinned at `path`, and a digest of what it holds.
pub(super) fn read(path: &Path, mapped: &mut BTreeMap<u32, Contents>) -> (u32, u64) {
    let fd = bpf::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let info = info(&fd);
    let name = path.file_name().unwrap().to_string_lossy();
    let name = name.strip_prefix("new_").unwrap_or(&name);
    if name.starts_with("prog_") || name.starts_with("link_") {
        // Behind the numbers of a link stands that of its program.
        return (info.id, info.key_size.into());
    }
    if info.flags & MMAPABLE != 0 {
        let contents = mapped.entry(info.id).or_insert_with(|| Contents::new(&fd, &info));
        return (info.id, contents.digest());
    }
    if KINDS.contains(&info.kind) && info.max_entries <= MANY {
        return (info.id, digest_of_entries(&fd, &info));
    }
    (info.id, 0)
}

fn info(fd: &OwnedFd) -> Info {
    let mut info = Info::default();
    let size = u32::try_from(size_of::<Info>()).unwrap();
    let words = [bpf::pair(bpf::number(fd), size), &raw mut info as u64];
    bpf::call(BPF_OBJ_GET_INFO_BY_FD, &words).unwrap();
    info
}

/// The order of a hash's entries does not matter.
fn digest_of_entries(fd: &OwnedFd, info: &Info) -> u64 {
    let (key_size, value_size) = (info.key_size as usize, info.value_size as usize);
    let most = info.max_entries as usize + 64;
    let (mut keys, mut values) = (vec![0_u8; most * key_size], vec![0_u8; most * value_size]);
    let mut position = vec![0_u64; key_size.div_ceil(8)];
    let words = [
        0,
        position.as_mut_ptr() as u64,
        keys.as_mut_ptr() as u64,
        values.as_mut_ptr() as u64,
        bpf::pair(u32::try_from(most).unwrap(), bpf::number(fd)),
    ];
    // As everything fits, the kernel says that there is no more; how many there were it tells by what it has written.
    let _ = bpf::call(BPF_MAP_LOOKUP_BATCH, &words);
    let entries = keys.chunks_exact(key_size).zip(values.chunks_exact(value_size));
    let digests = entries.map(|(key, value)| digest_of_bytes(key.iter().chain(value)));
    digests.fold(0, u64::wrapping_add)
}

pub(super) fn digest_of_bytes<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    let words: Vec<u64> = bytes.into_iter().map(|byte| u64::from(*byte)).collect();
    digest(&words)
}

fn digest(words: &[u64]) -> u64 {
    // Four at a time, so that none waits for the one before.
    let mut lanes = [1_u64, 2, 3, 4];
    for chunk in words.chunks(4) {
        for (lane, word) in lanes.iter_mut().zip(chunk) {
            *lane = (lane.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
    lanes
        .into_iter()
        .fold(0, |all, lane| (all ^ lane).wrapping_mul(31))
}

/// Whose the buckets in a pinned chunk are, and how many packets each has seen.
pub(super) fn owned(path: &Path) -> Vec<(u64, u64)> {
    let fd = bpf::open(path).unwrap();
    let contents = Contents::new(&fd, &info(&fd));
    // SAFETY: inside the mapping; nobody writes between two commands.
    let words = unsafe { std::slice::from_raw_parts(contents.words.as_ptr(), contents.len) };
    let (buckets, _) = words.as_chunks::<8>();
    let owned = buckets.iter().filter(|bucket| bucket[7] != 0);
    owned
        .map(|[_, _, n_sent, _, _, n_dropped, _, owner]| (*owner, n_sent + n_dropped))
        .collect()
}

/// Lets all buckets in a pinned chunk that are anybody's look as if they had seen so many packets.
pub(super) fn mark(path: &Path, n_packets: u64) {
    let fd = bpf::open(path).unwrap();
    let contents = Contents::new(&fd, &info(&fd));
    // SAFETY: inside the mapping; nobody else writes between two commands.
    let words = unsafe { std::slice::from_raw_parts_mut(contents.words.as_ptr(), contents.len) };
    let (buckets, _) = words.as_chunks_mut::<8>();
    for [_, _, n_sent, _, _, _, _, owner] in buckets {
        if *owner != 0 {
            *n_sent = n_packets;
        }
    }
}

/// The numbers of the maps that stand in a pinned map of maps; `None` if it is another map.
pub(super) fn inner(path: &Path) -> Option<Vec<u32>> {
    let fd = bpf::open(path).unwrap();
    let info = info(&fd);
    if !MAPS_OF_MAPS.contains(&info.kind) {
        return None;
    }
    let value = |index: u32| {
        let mut id = 0_u32;
        let words = [
            bpf::number(&fd).into(),
            &raw const index as u64,
            &raw mut id as u64,
        ];
        bpf::call(BPF_MAP_LOOKUP_ELEM, &words).ok().map(|_| id)
    };
    Some((0..info.max_entries.min(16)).filter_map(value).collect())
}
