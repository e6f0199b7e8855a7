//! Names of what stands in the kernel. The kernel keeps 15 characters of a name.

/// Changes with every change of a key, a value or the meaning of either.
pub const LAYOUT_VERSION: u64 = 4;

/// First word of the map `META`: the bytes `shaper-1`.
pub const MAGIC: u64 = u64::from_be_bytes(*b"shaper-1");

/// The tc egress program.
pub const PROGRAM: &str = "shaper_egress";

/// The program that the loader runs to add to clients' buckets; attached nowhere.
pub const TRANSFER_PROGRAM: &str = "shaper_transfer";

/// [`crate::rule::Active`], one entry.
pub const ACTIVE: &str = "ACTIVE";
/// [`crate::rule::PolicyHead`] by slot.
pub const POLICIES: &str = "POLICIES";
/// By slot: hash of [`crate::rule::Key4`] -> [`crate::rule::Rule`].
pub const EXACT4: &str = "EXACT4";
/// By slot: hash of [`crate::rule::Key6`] -> [`crate::rule::Rule`].
pub const EXACT6: &str = "EXACT6";
/// By slot: trie of [`crate::rule::PrefixData4`] -> [`crate::rule::Rule`].
pub const PREFIX4: &str = "PREFIX4";
/// By slot: trie of [`crate::rule::PrefixData6`] -> [`crate::rule::Rule`].
pub const PREFIX6: &str = "PREFIX6";
/// By slot: array of [`crate::rule::Group`], of any size; [`crate::rule::Rule::group`] less one is the index.
pub const GROUPS: &str = "GROUPS";
/// By slot: array of `u32` service numbers by [`crate::rule::port_index`], of [`crate::rule::N_PORTS`] entries.
pub const SERVICES: &str = "SERVICES";
/// By slot: [`crate::filter::FILTER_BYTES`] bytes that user space may map, one bit per exact destination; see
/// [`crate::filter`] for who sets and clears them.
pub const FILTER: &str = "FILTER";
/// One entry: hash of [`crate::rule::ClientKey`] -> [`crate::bucket::Bucket`], of as many entries as clients may have
/// buckets of their own; created with `BPF_F_NO_PREALLOC`. The kernel program inserts, the loader ages.
pub const CLIENTS: &str = "CLIENTS";
/// By chunk: array of [`crate::bucket::Bucket`].
pub const BUCKETS: &str = "BUCKETS";
/// A `u64` per CPU by [`crate::outcome::Outcome`].
pub const TOTALS: &str = "TOTALS";
/// [`crate::rule::Meta`], one entry.
pub const META: &str = "META";
/// The fake clock of the tests, one `u64` of nanoseconds.
pub const CLOCK: &str = "CLOCK";

/// Every map that is shared between interfaces and pinned, by name.
pub const PINNED_MAPS: [&str; 13] = [
    ACTIVE, POLICIES, EXACT4, EXACT6, PREFIX4, PREFIX6, GROUPS, SERVICES, FILTER, CLIENTS, BUCKETS, TOTALS,
    META,
];

/// `BPF_F_INNER_MAP`: arrays behind [`GROUPS`] and [`SERVICES`] may have any size, and must be created with this.
pub const INNER_MAP: u32 = 1 << 12;

/// `BPF_F_NO_PREALLOC`: hashes behind [`CLIENTS`] and every trie must be created with this.
pub const NO_PREALLOC: u32 = 1;

/// Constants the loader sets before it loads the program.
pub mod global {
    /// `u32`: bytes before the network header; [`NO_LINK_HEADER`](super::NO_LINK_HEADER) when the device has
    /// none or none that can be relied upon.
    pub const LINK_HEADER_LEN: &str = "LINK_HEADER_LEN";
    /// `u32`: bytes each packet takes on the wire beyond what the kernel counts.
    pub const OVERHEAD: &str = "OVERHEAD";
    /// `u32`: 1 drops what would have to wait, and stamps nothing: for devices without `fq`.
    pub const POLICE: &str = "POLICE";
    /// `u32`: 1 reads the clock from the map `CLOCK`.
    pub const FAKE_CLOCK: &str = "FAKE_CLOCK";
    /// `u32`: 1 charges by the fallback alone.
    pub const FORCE_FALLBACK: &str = "FORCE_FALLBACK";
    /// `u8`: aya-log's level, 0 is off.
    pub const LOG_LEVEL: &str = "AYA_LOG_LEVEL";
}

/// Value of [`global::LINK_HEADER_LEN`] for a device without a link header.
pub const NO_LINK_HEADER: u32 = 0;

/// Priority of our clsact filter, where the kernel has no tcx.
pub const CLSACT_PRIORITY: u16 = 1;

/// Handle of our clsact filter: the identity it is found by again.
pub const CLSACT_HANDLE: u32 = 0x5a9e;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_keeps_every_name_whole() {
        for name in PINNED_MAPS.iter().chain([&PROGRAM, &TRANSFER_PROGRAM, &CLOCK]) {
            assert!(name.len() <= 15, "{name}");
        }
    }
}
