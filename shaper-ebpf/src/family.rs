//! What is different about IPv4 and IPv6. A packet's family is known early, and both ways stay apart from there on:
//! joined, they would have to carry an address of either size.

use aya_ebpf::btf_maps::lpm_trie::Key;
use shaper_common::{
    filter,
    header::{
        self, IPV4_DESTINATION, IPV4_HEADER_LEN, IPV6_DESTINATION, IPV6_HEADER_LEN, is_link_control_v4,
        is_link_control_v6, version,
    },
    port::{has_ports, index, is_later_fragment_v4},
    rule::{Key4, Key6, PREFIX4_FIXED_BITS, PREFIX6_FIXED_BITS, PrefixData4, PrefixData6, Rule, feature},
};

use crate::{
    lookup::{Lookup, inner},
    maps::{EXACT4, EXACT6, PREFIX4, PREFIX6},
    service::NO_PORT,
    skb::Linear,
};

/// First byte of an IPv4 header without options: version and length.
const NO_OPTIONS: u8 = 0x45;

/// A destination address of one family.
pub(crate) trait Family: Copy {
    /// Of the tables: exact destinations, then prefixes.
    const FEATURES: [u32; 2];
    /// Bytes of a base header.
    const HEADER_LEN: u32;

    /// Whether a header that starts with this byte is of this family, and a payload stands right behind its base.
    fn is_plain(first: u8) -> bool;

    /// The destination in a base header.
    ///
    /// # Safety
    ///
    /// At `header` there are a base header and four more bytes.
    unsafe fn read(header: Linear) -> Self;

    /// Whether a packet keeps the link alive, and is therefore never limited, whomever it goes to.
    ///
    /// # Safety
    ///
    /// As for [`read`](Self::read).
    unsafe fn is_control(header: Linear) -> bool;

    /// Index of the server's own port or [`NO_PORT`]; `None` if it may stand further behind than the base header.
    ///
    /// # Safety
    ///
    /// As for [`read`](Self::read).
    unsafe fn near_port(header: Linear) -> Option<u32>;

    /// Number of its bit in the filter.
    fn bit(self) -> u32;

    /// Whether only an exact rule can limit it.
    fn is_never_limited(self) -> bool;

    /// The rule for exactly this destination, if there is one.
    fn exact(self, slot: u32, service: u32) -> Option<&'static Rule>;

    /// The rule for the longest prefix it is in, if there is one.
    fn prefix(self, slot: u32, service: u32) -> Option<&'static Rule>;

    /// Whether a rule gives each client of this family a bucket.
    fn has_clients(rule: &Rule) -> bool;

    /// As functions take it that the kernel verifies by themselves.
    fn address(self) -> Address;
}

/// An address of either family. Without padding, which the verifier would take for undefined.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Address {
    /// The words its bytes make in memory; of IPv4, the first one.
    pub(crate) words: [u32; 4],
    /// 4 or 6.
    pub(crate) version: u32,
}

/// An IPv4 address, as the word its bytes make in memory.
#[derive(Clone, Copy)]
pub(crate) struct V4(pub(crate) u32);

/// An IPv6 address, as the words its bytes make in memory.
#[derive(Clone, Copy)]
pub(crate) struct V6(pub(crate) [u32; 4]);

impl Family for V4 {
    const FEATURES: [u32; 2] = [feature::EXACT4, feature::PREFIX4];
    const HEADER_LEN: u32 = IPV4_HEADER_LEN;

    #[inline(always)]
    fn is_plain(first: u8) -> bool {
        first == NO_OPTIONS
    }

    #[inline(always)]
    unsafe fn read(header: Linear) -> Self {
        // SAFETY: promised by the caller.
        Self(unsafe { header.word::<{ IPV4_DESTINATION as usize }>() })
    }

    #[inline(always)]
    unsafe fn is_control(header: Linear) -> bool {
        // SAFETY: promised by the caller.
        let (protocol, payload) =
            unsafe { (header.byte::<9>(), header.word::<{ IPV4_HEADER_LEN as usize }>()) };
        is_link_control_v4(protocol, payload.to_ne_bytes())
    }

    #[inline(always)]
    unsafe fn near_port(header: Linear) -> Option<u32> {
        // SAFETY: promised by the caller.
        let (fragment, protocol, ports) = unsafe {
            (
                [header.byte::<6>(), header.byte::<7>()],
                header.byte::<9>(),
                header.word::<{ IPV4_HEADER_LEN as usize }>().to_ne_bytes(),
            )
        };
        // Nothing else can stand in between: without ports here, there are none.
        if is_later_fragment_v4(fragment) || !has_ports(protocol) {
            return Some(NO_PORT);
        }
        Some(index(protocol, [ports[0], ports[1]]))
    }

    #[inline(always)]
    fn bit(self) -> u32 {
        filter::bit4(self.0)
    }

    #[inline(always)]
    fn is_never_limited(self) -> bool {
        header::is_never_limited_v4(self.0.to_ne_bytes())
    }

    #[inline(always)]
    fn exact(self, slot: u32, service: u32) -> Option<&'static Rule> {
        rule_in(inner(&EXACT4, slot), &key4(service, self.0))
    }

    #[inline(always)]
    fn prefix(self, slot: u32, service: u32) -> Option<&'static Rule> {
        let key = Key::<PrefixData4>::new(PREFIX4_FIXED_BITS + 32, key4(service, self.0));
        rule_in(inner(&PREFIX4, slot), &key)
    }

    #[inline(always)]
    fn has_clients(rule: &Rule) -> bool {
        rule.client_len4 != 0
    }

    #[inline(always)]
    fn address(self) -> Address {
        Address {
            words: [self.0, 0, 0, 0],
            version: 4,
        }
    }
}

impl Family for V6 {
    const FEATURES: [u32; 2] = [feature::EXACT6, feature::PREFIX6];
    const HEADER_LEN: u32 = IPV6_HEADER_LEN;

    #[inline(always)]
    fn is_plain(first: u8) -> bool {
        version(first) == 6
    }

    #[inline(always)]
    unsafe fn read(header: Linear) -> Self {
        const AT: usize = IPV6_DESTINATION as usize;
        // SAFETY: promised by the caller.
        Self(unsafe {
            [
                header.word::<AT>(),
                header.word::<{ AT + 4 }>(),
                header.word::<{ AT + 8 }>(),
                header.word::<{ AT + 12 }>(),
            ]
        })
    }

    #[inline(always)]
    unsafe fn is_control(header: Linear) -> bool {
        // SAFETY: promised by the caller.
        let (next_header, hop_limit, payload) = unsafe {
            (
                header.byte::<6>(),
                header.byte::<7>(),
                header.word::<{ IPV6_HEADER_LEN as usize }>(),
            )
        };
        is_link_control_v6(next_header, hop_limit, payload.to_ne_bytes())
    }

    #[inline(always)]
    unsafe fn near_port(header: Linear) -> Option<u32> {
        // SAFETY: promised by the caller.
        let (protocol, ports) = unsafe {
            (
                header.byte::<6>(),
                header.word::<{ IPV6_HEADER_LEN as usize }>().to_ne_bytes(),
            )
        };
        has_ports(protocol).then(|| index(protocol, [ports[0], ports[1]]))
    }

    #[inline(always)]
    fn bit(self) -> u32 {
        filter::bit6(self.0)
    }

    #[inline(always)]
    fn is_never_limited(self) -> bool {
        header::is_never_limited_v6(self.0)
    }

    #[inline(always)]
    fn exact(self, slot: u32, service: u32) -> Option<&'static Rule> {
        let address = self.0;
        rule_in(inner(&EXACT6, slot), &Key6 { service, address })
    }

    #[inline(always)]
    fn prefix(self, slot: u32, service: u32) -> Option<&'static Rule> {
        let data = PrefixData6 {
            zero: 0,
            service,
            address: self.0,
        };
        rule_in(inner(&PREFIX6, slot), &Key::new(PREFIX6_FIXED_BITS + 128, data))
    }

    #[inline(always)]
    fn has_clients(rule: &Rule) -> bool {
        rule.client_len6 != 0
    }

    #[inline(always)]
    fn address(self) -> Address {
        Address {
            words: self.0,
            version: 6,
        }
    }
}

/// Made of words: built of bytes, it would be stored byte by byte.
#[inline(always)]
fn key4(service: u32, word: u32) -> Key4 {
    // SAFETY: `repr(C)`, a word and four bytes; every bit pattern is valid.
    unsafe { core::mem::transmute([service, word]) }
}

#[inline(always)]
fn rule_in<M: Lookup<Value = Rule>>(table: Option<&M>, key: &M::Key) -> Option<&'static Rule> {
    let rule = table?.lookup(key)?;
    // SAFETY: a map's value; the loader replaces whole maps, or one rule by another in one step, and waits for running
    // programs before the old one's memory is used again.
    Some(unsafe { &*rule })
}
