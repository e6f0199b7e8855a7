//! From a packet to the service it comes from: by the server's own port.

use aya_ebpf::bindings::__sk_buff;
use shaper_common::{
    header::{IPV6_HEADER_LEN, version},
    port::{
        FRAGMENT, MAX_EXTENSIONS, extension_len, has_ports, index, is_later_fragment_v4, is_later_fragment_v6,
    },
};

use crate::{
    classify::EVERY_SERVICE,
    destination::AT_NETWORK_HEADER,
    policy::Policy,
    skb::{Origin, Skb},
};

/// Port index of a packet that has no ports.
pub(crate) const NO_PORT: u32 = u32::MAX;

/// Number of the service that a packet comes from; zero if it has none. `near` is its port's index or
/// [`NO_PORT`], if an ordinary place tells, `offset` where its IP header starts.
#[inline(always)]
pub(crate) fn of(skb: Skb, policy: Policy, near: Option<u32>, offset: u32) -> u32 {
    let index = match near {
        Some(index) => index,
        None => shaper_port(skb.raw(), offset),
    };
    if index == NO_PORT {
        return EVERY_SERVICE;
    }
    policy.service(index)
}

/// The port's index, wherever it is, or [`NO_PORT`]. `offset` is where the IP header stands.
///
/// Visible from outside: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_port(skb: *mut __sk_buff, offset: u32) -> u32 {
    let skb = Skb::from_raw(skb);
    let index = if offset == AT_NETWORK_HEADER {
        walk(skb, Origin::NetworkHeader, 0)
    } else {
        walk(skb, Origin::Data, offset)
    };
    index.unwrap_or(NO_PORT)
}

#[inline(always)]
fn walk(skb: Skb, origin: Origin, start: u32) -> Option<u32> {
    let first = skb.load::<u8>(origin, start)?;
    let (protocol, offset) = match version(first) {
        4 => {
            if is_later_fragment_v4(skb.load(origin, start + 6)?) {
                return None;
            }
            let header_len = u32::from(first & 0xf) * 4;
            (skb.load::<u8>(origin, start + 9)?, start + header_len)
        }
        6 => behind_extensions(skb, origin, start)?,
        _ => return None,
    };
    if !has_ports(protocol) {
        return None;
    }
    Some(index(protocol, skb.load(origin, offset)?))
}

/// The first protocol that is no extension header, and where it starts.
#[inline(always)]
fn behind_extensions(skb: Skb, origin: Origin, start: u32) -> Option<(u8, u32)> {
    let mut protocol = skb.load::<u8>(origin, start + 6)?;
    let mut offset = start + IPV6_HEADER_LEN;
    for _ in 0..MAX_EXTENSIONS {
        if has_ports(protocol) {
            break;
        }
        let [next, len, field @ ..] = skb.load::<[u8; 4]>(origin, offset)?;
        let extension_len = extension_len(protocol, len)?;
        if protocol == FRAGMENT && is_later_fragment_v6(field) {
            return None;
        }
        protocol = next;
        offset += extension_len;
    }
    Some((protocol, offset))
}
