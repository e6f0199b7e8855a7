//! Every map, and who writes it. Names and contents are agreed upon in [`shaper_common`].

use aya_ebpf::{
    btf_maps::{Array, ArrayOfMaps, PerCpuArray, lpm_trie::Key},
    macros::btf_map,
};
use shaper_common::{
    bucket::{self, Bucket, CHUNK_BUCKETS, MAX_CHUNKS},
    filter::FILTER_BYTES,
    names,
    outcome::N_OUTCOMES,
    rule::{Active, ClientKey, Group, Key4, Key6, Meta, N_SLOTS, PolicyHead, PrefixData4, PrefixData6, Rule},
};

use crate::{
    inner::inner_map,
    lookup::{Lookup as _, inner},
};

/// `BPF_F_MMAPABLE`: user space reads counters, and tests set the clock, without a system call.
const MMAPABLE: usize = 1024;

/// The kernel makes no trie without, and memory for clients is taken as they come.
const NO_PREALLOC: usize = names::NO_PREALLOC as usize;

/// Arrays that replace the placeholder may have another size.
const INNER_MAP: usize = names::INNER_MAP as usize;

/// A slot starts with room for one rule: the loader puts maps of the right size in its place.
const PLACEHOLDER: usize = 1;

inner_map! {
    /// Exact IPv4 destinations of one slot.
    Exact4: BPF_MAP_TYPE_HASH, Key4 => Rule, PLACEHOLDER, 0
}
inner_map! {
    /// Exact IPv6 destinations of one slot.
    Exact6: BPF_MAP_TYPE_HASH, Key6 => Rule, PLACEHOLDER, 0
}
inner_map! {
    /// IPv4 prefixes of one slot.
    Prefix4: BPF_MAP_TYPE_LPM_TRIE, Key<PrefixData4> => Rule, PLACEHOLDER, NO_PREALLOC
}
inner_map! {
    /// IPv6 prefixes of one slot.
    Prefix6: BPF_MAP_TYPE_LPM_TRIE, Key<PrefixData6> => Rule, PLACEHOLDER, NO_PREALLOC
}
inner_map! {
    /// Groups of one slot.
    Groups: BPF_MAP_TYPE_ARRAY, u32 => Group, PLACEHOLDER, INNER_MAP
}
inner_map! {
    /// Services of one slot, by port.
    Services: BPF_MAP_TYPE_ARRAY, u32 => u32, PLACEHOLDER, INNER_MAP
}
inner_map! {
    /// Buckets of clients.
    Clients: BPF_MAP_TYPE_HASH, ClientKey => Bucket, PLACEHOLDER, NO_PREALLOC
}
inner_map! {
    /// One chunk of buckets.
    Chunk: BPF_MAP_TYPE_ARRAY, u32 => Bucket, CHUNK_BUCKETS as usize, MMAPABLE
}

/// Written by the loader, last: makes a slot current.
#[btf_map]
pub(crate) static ACTIVE: Array<Active, 1> = Array::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static POLICIES: Array<PolicyHead, { N_SLOTS as usize }> = Array::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static EXACT4: ArrayOfMaps<Exact4, { N_SLOTS as usize }> = ArrayOfMaps::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static EXACT6: ArrayOfMaps<Exact6, { N_SLOTS as usize }> = ArrayOfMaps::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static PREFIX4: ArrayOfMaps<Prefix4, { N_SLOTS as usize }> = ArrayOfMaps::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static PREFIX6: ArrayOfMaps<Prefix6, { N_SLOTS as usize }> = ArrayOfMaps::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static GROUPS: ArrayOfMaps<Groups, { N_SLOTS as usize }> = ArrayOfMaps::new();

/// Written by the loader, the idle slot only.
#[btf_map]
pub(crate) static SERVICES: ArrayOfMaps<Services, { N_SLOTS as usize }> = ArrayOfMaps::new();

/// Written by the loader: a whole filter in the idle slot, single bits in the one in force.
#[btf_map]
pub(crate) static FILTER: Array<[u8; FILTER_BYTES], { N_SLOTS as usize }, MMAPABLE> = Array::new();

/// The loader puts the map here; what is in it is added here, per client, and taken away by the loader.
#[btf_map]
pub(crate) static CLIENTS: ArrayOfMaps<Clients, 1> = ArrayOfMaps::new();

/// The loader adds chunks; what is in them is written here, per packet.
#[btf_map]
static BUCKETS: ArrayOfMaps<Chunk, { MAX_CHUNKS as usize }> = ArrayOfMaps::new();

/// Written here, per packet.
#[btf_map]
pub(crate) static TOTALS: PerCpuArray<u64, { N_OUTCOMES as usize }> = PerCpuArray::new();

/// Written and read by the loader: it stands here to be pinned with the rest.
#[btf_map]
static META: Array<Meta, 1> = Array::new();

/// Written by tests, in place of the clock.
#[btf_map]
pub(crate) static CLOCK: Array<u64, 1, MMAPABLE> = Array::new();

/// The bucket of this number, if there is one.
#[inline(always)]
pub(crate) fn bucket(number: u32) -> Option<*mut Bucket> {
    let (chunk, index) = bucket::position(number);
    inner(&BUCKETS, chunk)?.lookup(&index)
}
