//! Lookups in maps of all kinds, with keys as [`crate::stored`] lends them: `aya_ebpf` stores four bytes.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, PerCpuArray},
    helpers::generated::{bpf_map_lookup_elem, bpf_map_update_elem},
};

use crate::stored::lend;

/// A map that is looked up.
pub(crate) trait Lookup: Sized {
    /// Its key.
    type Key;
    /// Its value.
    type Value;

    /// The value of `key`, if there is one.
    #[inline(always)]
    fn lookup(&self, key: &Self::Key) -> Option<*mut Self::Value> {
        let map = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: it is a map: a global one, or an outer map's value. The verifier checks its key's size.
        let value = lend(key, |key| unsafe { bpf_map_lookup_elem(map, key.cast()) });
        (!value.is_null()).then_some(value.cast())
    }

    /// Stores `value` under `key`; nonzero if the kernel refuses.
    #[inline(always)]
    fn insert(&self, key: &Self::Key, value: &Self::Value, flags: u64) -> i64 {
        let map = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: as in `lookup`, and the verifier checks the value's size too.
        lend(key, |key| unsafe {
            bpf_map_update_elem(map, key.cast(), ptr::from_ref(value).cast(), flags)
        })
    }
}

impl<T, const N: usize, const FLAGS: usize> Lookup for Array<T, N, FLAGS> {
    type Key = u32;
    type Value = T;
}

impl<T, const N: usize, const FLAGS: usize> Lookup for PerCpuArray<T, N, FLAGS> {
    type Key = u32;
    type Value = T;
}

impl<T, const N: usize, const FLAGS: usize> Lookup for ArrayOfMaps<T, N, FLAGS> {
    type Key = u32;
    type Value = T;
}

/// The inner map at `index`, if there is one.
#[inline(always)]
pub(crate) fn inner<T, const N: usize, const FLAGS: usize>(
    outer: &ArrayOfMaps<T, N, FLAGS>,
    index: u32,
) -> Option<&T> {
    // SAFETY: the kernel keeps it for as long as a program may use it.
    outer.lookup(&index).map(|map| unsafe { &*map })
}
