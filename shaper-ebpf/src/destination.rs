//! From a packet to its destination address.
//!
//! `skb->protocol` says what to look for. On an Ethernet device the header is read directly; where it does not
//! stand right behind the link header, or is not linear, two slower ways follow. Each checks the version.

use aya_ebpf::Global;
use shaper_common::{
    header::{
        ETH_HEADER_LEN, ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, IPV4_DESTINATION, IPV4_HEADER_LEN,
        IPV6_DESTINATION, IPV6_HEADER_LEN, VLAN_TAG_LEN, version,
    },
    names::NO_LINK_HEADER,
    outcome::Outcome,
};

use crate::skb::{Origin, Skb};

/// Bytes before the network header on this device.
#[unsafe(no_mangle)]
pub(crate) static LINK_HEADER_LEN: Global<u32> = Global::new(ETH_HEADER_LEN);

/// How many tags are looked behind.
const MAX_TAGS: u32 = 2;

/// Where a packet goes.
#[derive(Clone, Copy)]
pub(crate) enum Destination {
    /// In network order.
    V4([u8; 4]),
    /// In network order, as four words.
    V6([u32; 4]),
}

const IP: u32 = ETH_P_IP.to_be() as u32;
const IPV6: u32 = ETH_P_IPV6.to_be() as u32;
const VLAN: u32 = ETH_P_8021Q.to_be() as u32;
const QINQ: u32 = ETH_P_8021AD.to_be() as u32;

/// The destination, or why there is none.
#[inline(always)]
pub(crate) fn of(skb: Skb) -> Result<Destination, Outcome> {
    match skb.protocol() {
        IP => {
            if let Some(address) = direct_v4(skb) {
                return Ok(Destination::V4(address));
            }
        }
        IPV6 => {
            if let Some(address) = direct_v6(skb) {
                return Ok(Destination::V6(address));
            }
        }
        VLAN | QINQ => {}
        _ => return Err(Outcome::NotIp),
    }
    let mut address = [0; 4];
    match elsewhere(skb, &mut address) {
        FOUND_V4 => Ok(Destination::V4(address[0].to_ne_bytes())),
        FOUND_V6 => Ok(Destination::V6(address)),
        NOT_IP => Err(Outcome::NotIp),
        _ => Err(Outcome::Unparsable),
    }
}

/// An IPv4 destination right behind the link header.
#[inline(always)]
fn direct_v4(skb: Skb) -> Option<[u8; 4]> {
    if LINK_HEADER_LEN.load() == NO_LINK_HEADER {
        return None;
    }
    let header = skb.linear(LINK_HEADER_LEN.load(), IPV4_HEADER_LEN as usize)?;
    // SAFETY: a base header's bytes are there.
    let (first, address) = unsafe { (header.byte::<0>(), header.word::<{ IPV4_DESTINATION as usize }>()) };
    (version(first) == 4).then_some(address.to_ne_bytes())
}

/// An IPv6 destination right behind the link header.
#[inline(always)]
fn direct_v6(skb: Skb) -> Option<[u32; 4]> {
    const AT: usize = IPV6_DESTINATION as usize;
    if LINK_HEADER_LEN.load() == NO_LINK_HEADER {
        return None;
    }
    let header = skb.linear(LINK_HEADER_LEN.load(), IPV6_HEADER_LEN as usize)?;
    // SAFETY: a base header's bytes are there.
    unsafe {
        (version(header.byte::<0>()) == 6).then_some([
            header.word::<AT>(),
            header.word::<{ AT + 4 }>(),
            header.word::<{ AT + 8 }>(),
            header.word::<{ AT + 12 }>(),
        ])
    }
}

/// Results of [`elsewhere`]; a kernel function returns a number.
const UNPARSABLE: u32 = 0;
const NOT_IP: u32 = 1;
const FOUND_V4: u32 = 4;
const FOUND_V6: u32 = 6;

/// The slower ways, kept out of the way of ordinary packets.
#[cold]
#[unsafe(link_section = ".text")]
#[inline(never)]
fn elsewhere(skb: Skb, address: &mut [u32; 4]) -> u32 {
    let protocol = skb.protocol();
    if protocol == VLAN || protocol == QINQ {
        return behind_tags(skb, address);
    }
    // Tunnels have no link header, or one that is only half there: their network header is right.
    let found = load(skb, Origin::NetworkHeader, 0, protocol, address);
    if found != UNPARSABLE || LINK_HEADER_LEN.load() == NO_LINK_HEADER {
        return found;
    }
    // A frame that is bridged may be kept elsewhere than in linear bytes.
    load(skb, Origin::Data, LINK_HEADER_LEN.load(), protocol, address)
}

/// Looks behind one or two tags. Not by the network header, which may stand at the first tag: the tag's first
/// byte can look like an IP version.
#[inline(always)]
fn behind_tags(skb: Skb, address: &mut [u32; 4]) -> u32 {
    let mut offset = LINK_HEADER_LEN.load();
    if offset == NO_LINK_HEADER {
        return UNPARSABLE;
    }
    for _ in 0..MAX_TAGS {
        // A tag's two bytes of control information, then what follows it.
        let Some([_, protocol]) = skb.load::<[u16; 2]>(Origin::Data, offset) else {
            return UNPARSABLE;
        };
        offset += VLAN_TAG_LEN;
        match u32::from(protocol) {
            VLAN | QINQ => {}
            protocol @ (IP | IPV6) => return load(skb, Origin::Data, offset, protocol, address),
            _ => return NOT_IP,
        }
    }
    UNPARSABLE
}

/// Loads the destination from an IP header at `offset`.
#[inline(always)]
fn load(skb: Skb, origin: Origin, offset: u32, protocol: u32, address: &mut [u32; 4]) -> u32 {
    let Some(first) = skb.load::<u8>(origin, offset) else {
        return UNPARSABLE;
    };
    if protocol == IP && version(first) == 4 {
        if let Some(word) = skb.load(origin, offset + IPV4_DESTINATION) {
            address[0] = word;
            return FOUND_V4;
        }
    } else if protocol == IPV6
        && version(first) == 6
        && let Some(words) = skb.load(origin, offset + IPV6_DESTINATION)
    {
        *address = words;
        return FOUND_V6;
    }
    UNPARSABLE
}
