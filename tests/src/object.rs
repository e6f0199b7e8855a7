//! The kernel program's object as it is checked in.

use std::{borrow::Cow, env, fs};

/// The object: the checked-in one, or the file that `SHAPER_OBJECT` names.
///
/// # Panics
///
/// If that file cannot be read.
#[must_use]
pub fn bytes() -> Cow<'static, [u8]> {
    match env::var_os("SHAPER_OBJECT") {
        Some(path) => {
            Cow::Owned(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        }
        None => Cow::Borrowed(aya::include_bytes_aligned!("../../shaper-ebpf/shaper.bpf.o")),
    }
}

/// Whether the tests run in an emulated guest, where everything takes far longer.
#[must_use]
pub fn in_lab() -> bool {
    env::var_os("SHAPER_LAB").is_some()
}
