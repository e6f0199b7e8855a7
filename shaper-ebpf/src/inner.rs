//! Definitions of inner maps.
//!
//! Linux 6.1 takes an inner map only if it has BTF exactly when the outer map's template has. The loader makes
//! inner maps without, so these templates tell sizes, not types: that is why they are not `aya_ebpf`'s own.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::{bpf_map_lookup_elem, bpf_map_update_elem};

use crate::stored::lend;

/// Defines a type whose layout is an inner map's definition, as the loader reads it in BTF.
macro_rules! inner_map {
    ($(#[$doc:meta])* $name:ident: $map_type:ident, $key:ty => $value:ty, $max_entries:expr, $flags:expr) => {
        $(#[$doc])*
        #[repr(C)]
        pub(crate) struct $name {
            r#type: *const [i32; aya_ebpf::bindings::bpf_map_type::$map_type as usize],
            key_size: *const [i32; size_of::<$key>()],
            value_size: *const [i32; size_of::<$value>()],
            max_entries: *const [i32; $max_entries],
            map_flags: *const [i32; $flags],
        }

        impl $crate::inner::Lookup for $name {
            type Key = $key;
            type Value = $value;
        }
    };
}

pub(crate) use inner_map;

/// An inner map that is looked up.
pub(crate) trait Lookup: Sized {
    /// Its key.
    type Key;
    /// Its value.
    type Value;

    /// The value of `key`, if there is one.
    #[inline(always)]
    fn lookup(&self, key: &Self::Key) -> Option<*mut Self::Value> {
        let map = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: an outer map's value is a map, and the verifier checks its key's size.
        let value = lend(key, |key| unsafe { bpf_map_lookup_elem(map, key.cast()) });
        (!value.is_null()).then_some(value.cast())
    }

    /// Stores `value` under `key`; nonzero if the kernel refuses.
    #[inline(always)]
    fn insert(&self, key: &Self::Key, value: &Self::Value, flags: u64) -> i64 {
        let map = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: as in `lookup`, and the verifier checks the value's size too.
        lend(key, |key| unsafe { bpf_map_update_elem(map, key.cast(), ptr::from_ref(value).cast(), flags) })
    }
}
