//! All access to `__sk_buff`, and to the packet behind it.
//!
//! Fields are read and written volatile: merged or narrowed accesses are refused by the verifier, or cost more.

#![expect(
    clippy::cast_possible_truncation,
    reason = "sizes of header fields, and a word that is loaded as one"
)]

use core::arch::asm;

use aya_ebpf::{
    bindings::{__sk_buff, bpf_hdr_start_off::BPF_HDR_START_NET},
    helpers::{bpf_skb_ecn_set_ce, bpf_skb_load_bytes, bpf_skb_load_bytes_relative, bpf_skb_set_tstamp},
    programs::TcContext,
};

use crate::stored::Stored;

/// `TCP_CLOSE`: what every socket but a connected one of TCP, UDP or SCTP is in; `fq` tells them apart by it too
/// (`fq_classify` in `net/sched/sch_fq.c`).
const CLOSE: u32 = 7;

/// The packet.
#[derive(Clone, Copy)]
pub(crate) struct Skb(*mut __sk_buff);

/// One getter per field.
macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident: $kind:ty),+ $(,)?) => {
        $(
            $(#[$doc])*
            #[inline(always)]
            pub(crate) fn $name(self) -> $kind {
                // SAFETY: the kernel hands a classifier a valid `__sk_buff` for its whole run.
                unsafe { (&raw const (*self.0).$name).read_volatile() }
            }
        )+
    };
}

impl Skb {
    /// For functions that the kernel verifies by themselves: they take what it knows the type of.
    #[inline(always)]
    pub(crate) fn raw(self) -> *mut __sk_buff {
        self.0
    }

    /// The reverse.
    #[inline(always)]
    pub(crate) fn from_raw(raw: *mut __sk_buff) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(crate) fn of(ctx: &TcContext) -> Self {
        Self(ctx.skb.skb)
    }

    getters! {
        /// Bytes, before segmentation.
        len: u32,
        /// Bytes as the kernel counts them for a qdisc: headers of every segment included.
        wire_len: u32,
        /// Segments; zero and one both mean that there is nothing to segment.
        gso_segs: u32,
        /// Bytes of payload in a segment.
        gso_size: u32,
        /// Its low bits choose the band of a qdisc.
        priority: u32,
        /// Departure or receive time; at egress as it stands in the `sk_buff`, of any clock.
        tstamp: u64,
        /// Which clock `tstamp` is of.
        tstamp_type: u8,
    }

    /// `EtherType` of what follows the tag the device adds, if any; in network order.
    #[inline(always)]
    pub(crate) fn protocol(self) -> u32 {
        // SAFETY: as in `getters`.
        unsafe { (&raw const (*self.0).protocol).read_volatile() }
    }

    /// Whether the device is going to add a VLAN tag.
    #[inline(always)]
    pub(crate) fn vlan_present(self) -> bool {
        // SAFETY: as in `getters`.
        unsafe { (&raw const (*self.0).vlan_present).read_volatile() != 0 }
    }

    /// Whether its socket is not connected, so that it may serve several clients. A packet that is forwarded has no
    /// socket.
    #[inline(always)]
    pub(crate) fn is_of_shared_socket(self) -> bool {
        // SAFETY: as in `getters`.
        let socket = unsafe { (&raw const (*self.0).__bindgen_anon_2.sk).read_volatile() };
        // SAFETY: the kernel's, for as long as the packet.
        !socket.is_null() && unsafe { (&raw const (*socket).state).read_volatile() } == CLOSE
    }

    #[inline(always)]
    pub(crate) fn set_priority(self, priority: u32) {
        // SAFETY: as in `getters`; a classifier may write this field.
        unsafe { (&raw mut (*self.0).priority).write_volatile(priority) };
    }

    /// Writes the stamp alone; its clock stays what it was.
    #[inline(always)]
    pub(crate) fn store_tstamp(self, tstamp_ns: u64) {
        // SAFETY: as in `set_priority`.
        unsafe { (&raw mut (*self.0).tstamp).write_volatile(tstamp_ns) };
    }

    /// Writes the stamp and its clock; nonzero if the kernel refuses.
    #[inline(always)]
    pub(crate) fn set_tstamp(self, tstamp_ns: u64, clock: u8) -> i64 {
        // SAFETY: the helper checks what it is given.
        unsafe { bpf_skb_set_tstamp(self.0, tstamp_ns, u32::from(clock)) }
    }

    /// Marks the packet "congestion experienced"; false if it cannot carry the mark.
    #[inline(always)]
    pub(crate) fn mark_ce(self) -> bool {
        // SAFETY: the helper checks the packet; no pointer into it is held here.
        unsafe { bpf_skb_ecn_set_ce(self.0) == 1 }
    }

    /// The packet's linear bytes from `offset` on, if there are at least `len`.
    #[inline(always)]
    pub(crate) fn linear(self, offset: u32, len: usize) -> Option<Linear> {
        // SAFETY: as in `getters`.
        let (data, end) = unsafe {
            (
                (&raw const (*self.0).data).read_volatile() as usize,
                (&raw const (*self.0).data_end).read_volatile() as usize,
            )
        };
        let start = data + offset as usize;
        (start + len <= end).then_some(Linear(start))
    }

    /// A `T` at `offset` from `origin`, if there are that many bytes.
    #[inline(always)]
    pub(crate) fn load<T: Copy>(self, origin: Origin, offset: u32) -> Option<T> {
        let mut value = Stored::uninit();
        // SAFETY: filled by the helper; callers ask for types that any bytes are valid for.
        self.load_to(origin, offset, value.as_mut_ptr())
            .then(|| unsafe { value.assume_init() })
    }

    /// Loads the `T` at `offset` from `origin`; false if there are not that many bytes.
    #[inline(always)]
    pub(crate) fn load_to<T: Copy>(self, origin: Origin, offset: u32, to: *mut T) -> bool {
        let to = to.cast();
        let len = size_of::<T>() as u32;
        // SAFETY: `to` has room for `len` bytes; the verifier makes sure.
        let error = unsafe {
            match origin {
                Origin::Data => bpf_skb_load_bytes(self.0.cast(), offset, to, len),
                Origin::NetworkHeader => {
                    bpf_skb_load_bytes_relative(self.0.cast(), offset, to, len, BPF_HDR_START_NET)
                }
            }
        };
        error == 0
    }
}

/// Where an offset counts from.
#[derive(Clone, Copy)]
pub(crate) enum Origin {
    /// The packet's first byte. Finds bytes wherever they are kept.
    Data,
    /// The network header. Finds linear bytes only.
    NetworkHeader,
}

/// A place in the packet with bytes that were checked to be there.
#[derive(Clone, Copy)]
pub(crate) struct Linear(usize);

impl Linear {
    /// The byte at `OFFSET`.
    ///
    /// # Safety
    ///
    /// It is one of those that were checked to be there; the verifier makes sure.
    #[inline(always)]
    pub(crate) unsafe fn byte<const OFFSET: usize>(self) -> u8 {
        // SAFETY: promised by the caller.
        unsafe { ((self.0 + OFFSET) as *const u8).read() }
    }

    /// The four bytes at `OFFSET`, as they stand in memory.
    ///
    /// # Safety
    ///
    /// As for [`byte`](Self::byte).
    #[inline(always)]
    pub(crate) unsafe fn word<const OFFSET: usize>(self) -> u32 {
        let word: u64;
        // The compiler would load four bytes one by one, for it cannot know that the kernel allows this at
        // any address.
        // SAFETY: promised by the caller.
        unsafe {
            asm!(
                "{word} = *(u32 *)({start} + {offset})",
                word = out(reg) word,
                start = in(reg) self.0,
                offset = const OFFSET,
                options(nostack, readonly),
            );
        }
        word as u32
    }
}
