//! From a packet to its destination address.
//!
//! `skb->protocol` says what to look for. On an Ethernet device the header is read directly; where it does not
//! stand right behind the link header, has options or is not linear, two slower ways follow. Each checks the version.

use aya_ebpf::{Global, bindings::__sk_buff};
use shaper_common::{
    header::{
        ETH_HEADER_LEN, ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, IPV4_DESTINATION, IPV6_DESTINATION,
        VLAN_TAG_LEN, version,
    },
    names::NO_LINK_HEADER,
};

use crate::{
    family::Family,
    skb::{Linear, Origin, Skb},
};

/// Bytes before the network header on this device.
#[unsafe(no_mangle)]
pub(crate) static LINK_HEADER_LEN: Global<u32> = Global::new(ETH_HEADER_LEN);

/// How many tags are looked behind.
const MAX_TAGS: u32 = 2;

/// Bytes looked at behind the base header: two ports, or an ICMP type.
const PAYLOAD_LEN: u32 = 4;

/// What a search finds. Without padding, which the verifier would take for undefined.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    /// The address, as the words its bytes make in memory; one of IPv4 is the first word.
    pub(crate) words: [u32; 4],
    /// Where the IP header stands: bytes from the packet's first, or [`AT_NETWORK_HEADER`].
    pub(crate) offset: u32,
}

/// The IP header stands at the network header, wherever that is.
pub(crate) const AT_NETWORK_HEADER: u32 = u32::MAX;

const IP: u32 = ETH_P_IP.to_be() as u32;
const IPV6: u32 = ETH_P_IPV6.to_be() as u32;
const VLAN: u32 = ETH_P_8021Q.to_be() as u32;
const QINQ: u32 = ETH_P_8021AD.to_be() as u32;

/// What to look for.
pub(crate) enum Protocol {
    /// IPv4, right behind the link header as a rule.
    V4,
    /// IPv6, likewise.
    V6,
    /// Either, behind tags.
    Tagged,
    /// Neither.
    Other,
}

/// What `skb->protocol` says.
#[inline(always)]
pub(crate) fn protocol(skb: Skb) -> Protocol {
    match skb.protocol() {
        IP => Protocol::V4,
        IPV6 => Protocol::V6,
        VLAN | QINQ => Protocol::Tagged,
        _ => Protocol::Other,
    }
}

/// A base header that stands right behind an Ethernet header, and its destination. Four bytes of payload follow.
#[inline(always)]
pub(crate) fn direct<T: Family>(skb: Skb) -> Option<(T, Linear)> {
    // A number the compiler knows: loaders without CAP_PERFMON may not add any other to a packet's address.
    if LINK_HEADER_LEN.load() != ETH_HEADER_LEN {
        return None;
    }
    let header = skb.linear(ETH_HEADER_LEN, (T::HEADER_LEN + PAYLOAD_LEN) as usize)?;
    // SAFETY: it was just looked that they are there.
    unsafe { T::is_plain(header.byte::<0>()).then(|| (T::read(header), header)) }
}

/// Whether the packet starts with a tag; its network header may stand there instead of at the IP header.
#[inline(always)]
pub(crate) fn is_tagged(skb: Skb) -> bool {
    matches!(skb.protocol(), VLAN | QINQ)
}

/// Bytes before the network header, if the device has any.
#[inline(always)]
pub(crate) fn link_header_len() -> Option<u32> {
    let len = LINK_HEADER_LEN.load();
    (len != NO_LINK_HEADER).then_some(len)
}

/// Results of [`shaper_search`]; a kernel function returns a number.
pub(crate) const UNPARSABLE: u32 = 0;
pub(crate) const NOT_IP: u32 = 1;
pub(crate) const FOUND_V4: u32 = 4;
pub(crate) const FOUND_V6: u32 = 6;

/// The destination by the slower ways: [`FOUND_V4`], [`FOUND_V6`], or why there is none.
///
/// Visible from outside: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
pub(crate) extern "C" fn shaper_search(skb: *mut __sk_buff, to: *mut Found) -> u32 {
    let skb = Skb::from_raw(skb);
    // SAFETY: null, or what the caller lends.
    let Some(to) = (unsafe { to.as_mut() }) else {
        return UNPARSABLE;
    };
    if is_tagged(skb) {
        return behind_tags(skb, to);
    }
    let protocol = skb.protocol();
    // First where any byte is found: of a frame that is bridged, few may be linear, or none.
    if let Some(offset) = link_header_len() {
        let found = load(skb, Origin::Data, offset, protocol, to);
        if found != UNPARSABLE {
            return found;
        }
    }
    // Tunnels have no link header, or one that is only half there: their network header is right.
    let found = load(skb, Origin::NetworkHeader, 0, protocol, to);
    to.offset = AT_NETWORK_HEADER;
    found
}

/// Looks behind one or two tags. Not by the network header, which may stand at the first tag: the tag's first
/// byte can look like an IP version.
#[inline(always)]
fn behind_tags(skb: Skb, to: &mut Found) -> u32 {
    let Some(mut offset) = link_header_len() else {
        return UNPARSABLE;
    };
    for _ in 0..MAX_TAGS {
        // A tag's two bytes of control information, then what follows it.
        let Some([_, protocol]) = skb.load::<[u16; 2]>(Origin::Data, offset) else {
            return UNPARSABLE;
        };
        offset += VLAN_TAG_LEN;
        match u32::from(protocol) {
            VLAN | QINQ => {}
            protocol @ (IP | IPV6) => return load(skb, Origin::Data, offset, protocol, to),
            _ => return NOT_IP,
        }
    }
    UNPARSABLE
}

/// Loads the destination from an IP header at `offset` from `origin`.
#[inline(always)]
fn load(skb: Skb, origin: Origin, offset: u32, protocol: u32, to: &mut Found) -> u32 {
    to.offset = offset;
    let Some(first) = skb.load::<u8>(origin, offset) else {
        return UNPARSABLE;
    };
    if protocol == IP && version(first) == 4 {
        if let Some(word) = skb.load(origin, offset + IPV4_DESTINATION) {
            to.words[0] = word;
            return FOUND_V4;
        }
    } else if protocol == IPV6
        && version(first) == 6
        && skb.load_to(origin, offset + IPV6_DESTINATION, &raw mut to.words)
    {
        return FOUND_V6;
    }
    UNPARSABLE
}
