//! Many entries of a map in few system calls.

use std::io;
use std::os::fd::AsFd;

use aya::Pod;
use aya_obj::generated::bpf_cmd;

use super::bpf::{self, BatchAttr};
use super::maps::Map;

/// Entries in one call; more do not make it faster.
const CHUNK: usize = 4096;

/// Whether the kernel does not offer this batch operation for this type of map.
fn is_unsupported(error: &io::Error) -> bool {
    // 524 is the kernel's ENOTSUPP, which is not meant to reach user space but does.
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | 524))
}

/// Puts all `entries` into `map`. `put` hears how many more there are, time and again.
pub(super) fn fill<K: Pod, V: Pod>(
    map: &Map<K, V>,
    entries: &[(K, V)],
    put: &mut dyn FnMut(usize),
) -> io::Result<()> {
    for chunk in entries.chunks(CHUNK) {
        let keys: Vec<K> = chunk.iter().map(|(key, _)| *key).collect();
        let values: Vec<V> = chunk.iter().map(|(_, value)| *value).collect();
        #[expect(clippy::cast_possible_truncation, reason = "at most CHUNK")]
        let mut attr = BatchAttr {
            keys: keys.as_ptr() as u64,
            values: values.as_ptr() as u64,
            count: keys.len() as u32,
            ..BatchAttr::default()
        };
        // SAFETY: `count` keys and values of the sizes that `Map::new` compared with the map's; only read.
        match unsafe { bpf::batch(bpf_cmd::BPF_MAP_UPDATE_BATCH, map.as_fd(), &mut attr) } {
            Ok(()) => {}
            Err(error) if is_unsupported(&error) => {
                for (key, value) in chunk {
                    map.put(key, value)?;
                }
            }
            Err(error) => return Err(error),
        }
        put(chunk.len());
    }
    Ok(())
}

/// Takes `keys` away from `map`; it is no error if one is not there.
pub(super) fn delete<K: Pod, V: Pod>(map: &Map<K, V>, keys: &[K]) -> io::Result<()> {
    for chunk in keys.chunks(CHUNK) {
        #[expect(clippy::cast_possible_truncation, reason = "at most CHUNK")]
        let mut attr = BatchAttr {
            keys: chunk.as_ptr() as u64,
            count: chunk.len() as u32,
            ..BatchAttr::default()
        };
        // SAFETY: `count` keys of the size that `Map::new` compared with the map's; only read.
        match unsafe { bpf::batch(bpf_cmd::BPF_MAP_DELETE_BATCH, map.as_fd(), &mut attr) } {
            Ok(()) => {}
            Err(error) if is_unsupported(&error) || error.kind() == io::ErrorKind::NotFound => {
                chunk.iter().try_for_each(|key| map.delete(key))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// All entries of `map`, in no order.
pub(super) fn read<K: Pod, V: Pod>(map: &Map<K, V>) -> io::Result<Vec<(K, V)>> {
    let mut entries = Vec::new();
    let batches = for_each(map, |batch| {
        entries.extend_from_slice(batch);
        Ok(())
    });
    match batches {
        Err(error) if is_unsupported(&error) => read_singly(map),
        result => result.map(|()| entries),
    }
}

/// All entries of `map`, in no order, some at a time.
pub(super) fn for_each<K: Pod, V: Pod>(
    map: &Map<K, V>,
    mut visit: impl FnMut(&[(K, V)]) -> io::Result<()>,
) -> io::Result<()> {
    let mut size = CHUNK.min(map.info().max_entries as usize).max(1);
    // A position is a key for tries and a bucket number for hashes.
    let mut position = vec![0_u64; size_of::<K>().div_ceil(8).max(1)];
    let mut next = position.clone();
    let mut is_first = true;
    loop {
        let mut keys = Vec::<K>::with_capacity(size);
        let mut values = Vec::<V>::with_capacity(size);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "bounded by the map's number of entries"
        )]
        let mut attr = BatchAttr {
            in_batch: if is_first { 0 } else { position.as_ptr() as u64 },
            out_batch: next.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: size as u32,
            ..BatchAttr::default()
        };
        // SAFETY: room for `count` keys and values of the map's sizes, and for a key in each position.
        let result = unsafe { bpf::batch(bpf_cmd::BPF_MAP_LOOKUP_BATCH, map.as_fd(), &mut attr) };
        let is_last = match result {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            // One bucket of the hash holds more than the whole buffer.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => {
                size *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        let count = (attr.count as usize).min(size);
        // SAFETY: the kernel has written `count` keys and values.
        unsafe {
            keys.set_len(count);
            values.set_len(count);
        }
        let entries: Vec<(K, V)> = keys.into_iter().zip(values).collect();
        visit(&entries)?;
        if is_last {
            return Ok(());
        }
        is_first = false;
        std::mem::swap(&mut position, &mut next);
    }
}

fn read_singly<K: Pod, V: Pod>(map: &Map<K, V>) -> io::Result<Vec<(K, V)>> {
    let mut entries = Vec::new();
    let mut key = map.next_key(None)?;
    while let Some(present) = key {
        if let Some(value) = map.get(&present)? {
            entries.push((present, value));
        }
        key = map.next_key(Some(&present))?;
    }
    Ok(entries)
}
