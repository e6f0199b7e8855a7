//! Definitions of inner maps.
//!
//! Linux 6.1 takes an inner map only if it has BTF exactly when the outer map's template has. The loader makes
//! inner maps without, so these templates tell sizes, not types: that is why they are not `aya_ebpf`'s own.

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

        impl $crate::lookup::Lookup for $name {
            type Key = $key;
            type Value = $value;
        }
    };
}

pub(crate) use inner_map;
