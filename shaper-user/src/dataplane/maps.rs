//! A map with the types of its keys and values, checked against the kernel's own description of it.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::Pod;
use aya_obj::generated::bpf_cmd;

use super::bpf::{self, MapInfo};
use super::error::DataplaneError;

/// `BPF_NOEXIST`
const NO_EXIST: u64 = 1;

/// A map of `K` to `V`.
#[derive(Debug)]
pub(super) struct Map<K, V> {
    fd: OwnedFd,
    info: MapInfo,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Pod, V: Pod> Map<K, V> {
    /// The map behind `fd`. The error says in words what it is instead.
    pub(super) fn new(fd: OwnedFd) -> Result<Self, String> {
        let info = bpf::map_info(fd.as_fd()).map_err(|error| error.to_string())?;
        // The kernel reads and writes as many bytes as the map's sizes say.
        if info.key_size as usize != size_of::<K>() || info.value_size as usize != size_of::<V>() {
            return Err(format!(
                "its keys and values have {} and {} bytes instead of {} and {}",
                info.key_size,
                info.value_size,
                size_of::<K>(),
                size_of::<V>()
            ));
        }
        Ok(Self {
            fd,
            info,
            types: PhantomData,
        })
    }

    /// The kernel's description.
    pub(super) fn info(&self) -> &MapInfo {
        &self.info
    }

    /// Its descriptor.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// The value of `key`.
    pub(super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        self.look_up(bpf_cmd::BPF_MAP_LOOKUP_ELEM, key)
    }

    /// Takes `key` away and returns its value, as it was when it went.
    pub(super) fn take(&self, key: &K) -> io::Result<Option<V>> {
        self.look_up(bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, key)
    }

    fn look_up(&self, cmd: bpf_cmd, key: &K) -> io::Result<Option<V>> {
        let mut value = std::mem::MaybeUninit::<V>::uninit();
        // SAFETY: key and value have the sizes that `new` compared with the map's.
        let result = unsafe {
            bpf::element(
                cmd,
                self.as_fd(),
                (&raw const *key).cast(),
                value.as_mut_ptr().cast(),
                0,
            )
        };
        match result {
            // SAFETY: the kernel has written the whole value, and any bits are valid for a `Pod`.
            Ok(()) => Ok(Some(unsafe { value.assume_init() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sets the value of `key`.
    pub(super) fn put(&self, key: &K, value: &V) -> io::Result<()> {
        self.update(key, value, 0)
    }

    /// Sets the value of `key`, which must not be there yet; `false` if it is.
    pub(super) fn insert(&self, key: &K, value: &V) -> io::Result<bool> {
        match self.update(key, value, NO_EXIST) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            result => result.map(|()| true),
        }
    }

    fn update(&self, key: &K, value: &V, flags: u64) -> io::Result<()> {
        // SAFETY: key and value have the sizes that `new` compared with the map's; an update only reads them.
        unsafe {
            bpf::element(
                bpf_cmd::BPF_MAP_UPDATE_ELEM,
                self.as_fd(),
                (&raw const *key).cast(),
                (&raw const *value).cast_mut().cast(),
                flags,
            )
        }
    }

    /// Takes `key` away; it is no error if it is not there.
    pub(super) fn delete(&self, key: &K) -> io::Result<()> {
        // SAFETY: the key has the size that `new` compared with the map's; there is no value.
        let result = unsafe {
            bpf::element(
                bpf_cmd::BPF_MAP_DELETE_ELEM,
                self.as_fd(),
                (&raw const *key).cast(),
                std::ptr::null_mut(),
                0,
            )
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The key after `key`, or the first one.
    pub(super) fn next_key(&self, key: Option<&K>) -> io::Result<Option<K>> {
        let mut next = std::mem::MaybeUninit::<K>::uninit();
        let key = key.map_or(std::ptr::null(), |key| (&raw const *key).cast());
        // SAFETY: both keys have the size that `new` compared with the map's.
        let result = unsafe {
            bpf::element(
                bpf_cmd::BPF_MAP_GET_NEXT_KEY,
                self.as_fd(),
                key,
                next.as_mut_ptr().cast(),
                0,
            )
        };
        match result {
            // SAFETY: the kernel has written the whole key, and any bits are valid for a `Pod`.
            Ok(()) => Ok(Some(unsafe { next.assume_init() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<K, V> AsFd for Map<K, V> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One `u64` for each possible CPU, summed.
pub(super) fn sum_per_cpu(map: BorrowedFd<'_>, index: u32) -> io::Result<u64> {
    let info = bpf::map_info(map)?;
    if info.key_size != 4 || info.value_size != 8 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let n_cpus = aya::util::nr_cpus().map_err(|(_, error)| error)?;
    let mut values = vec![0_u64; n_cpus];
    // SAFETY: the kernel writes eight bytes for each possible CPU.
    unsafe {
        bpf::element(
            bpf_cmd::BPF_MAP_LOOKUP_ELEM,
            map,
            (&raw const index).cast(),
            values.as_mut_ptr().cast(),
            0,
        )
    }?;
    Ok(values.iter().fold(0, |sum, value| sum.wrapping_add(*value)))
}

/// How a map differs from its definition, in words.
pub(super) fn difference(found: &MapInfo, wanted: &MapInfo) -> Option<String> {
    let fields = [
        ("type", found.kind, wanted.kind),
        ("key size", found.key_size, wanted.key_size),
        ("value size", found.value_size, wanted.value_size),
        ("number of entries", found.max_entries, wanted.max_entries),
        ("flags", found.flags, wanted.flags),
    ];
    fields
        .into_iter()
        .find(|(_, found, wanted)| found != wanted)
        .map(|(what, found, wanted)| format!("its {what} is {found} instead of {wanted}"))
}

/// The map behind `fd` as one of `K` to `V`.
pub(super) fn typed<K: Pod, V: Pod>(fd: OwnedFd, name: &str) -> Result<Map<K, V>, DataplaneError> {
    Map::new(fd).map_err(|problem| {
        DataplaneError::kernel(
            format!("use the map {name}"),
            io::Error::new(io::ErrorKind::InvalidData, problem),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_differs_in_any_field_is_found_out() {
        let wanted = MapInfo {
            kind: 1,
            id: 7,
            key_size: 8,
            value_size: 40,
            max_entries: 64,
            flags: 1,
        };
        assert_eq!(difference(&MapInfo { id: 8, ..wanted }, &wanted), None);
        for found in [
            MapInfo { kind: 2, ..wanted },
            MapInfo {
                key_size: 4,
                ..wanted
            },
            MapInfo {
                value_size: 48,
                ..wanted
            },
            MapInfo {
                max_entries: 65,
                ..wanted
            },
            MapInfo { flags: 0, ..wanted },
        ] {
            assert!(difference(&found, &wanted).is_some(), "{found:?}");
        }
    }
}
