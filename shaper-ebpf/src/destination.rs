//! From a packet to its destination address.
//!
//! `skb->protocol` says what to look for. On an Ethernet device the header is read directly; where it does not
//! stand right behind the link header, or is not linear, two slower ways follow. Each checks the version.

use aya_ebpf::{Global, bindings::__sk_buff};
use shaper_common::{
    header::{
        ETH_HEADER_LEN, ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, IPV4_DESTINATION, IPV4_HEADER_LEN,
        IPV6_DESTINATION, IPV6_HEADER_LEN, VLAN_TAG_LEN, version,
    },
    names::NO_LINK_HEADER,
    outcome::Outcome,
};

use crate::{
    classify::{V4, V6, glance},
    policy::Policy,
    skb::{Origin, Skb},
};

/// Bytes before the network header on this device.
#[unsafe(no_mangle)]
pub(crate) static LINK_HEADER_LEN: Global<u32> = Global::new(ETH_HEADER_LEN);

/// How many tags are looked behind.
const MAX_TAGS: u32 = 2;

/// Where a packet goes.
#[derive(Clone, Copy)]
pub(crate) struct Destination {
    /// Whether it is an IPv4 address.
    pub(crate) is_v4: bool,
    /// The address, in network order, as the words its bytes make in memory. One of IPv4 is the first word and
    /// three of zero: left undefined, these would be copied along, and the verifier refuses that.
    pub(crate) words: [u32; 4],
    /// Where the IP header stands: bytes from the packet's first, or [`AT_NETWORK_HEADER`].
    pub(crate) offset: u32,
    /// Whether there may be an exact rule for it.
    pub(crate) may_be_exact: bool,
}

/// What a search finds: address and offset, as in [`Destination`]. Without padding, which the verifier would take
/// for undefined.
#[repr(C)]
struct Found {
    words: [u32; 4],
    offset: u32,
}

/// The IP header stands at the network header, wherever that is.
pub(crate) const AT_NETWORK_HEADER: u32 = u32::MAX;

const IP: u32 = ETH_P_IP.to_be() as u32;
const IPV6: u32 = ETH_P_IPV6.to_be() as u32;
const VLAN: u32 = ETH_P_8021Q.to_be() as u32;
const QINQ: u32 = ETH_P_8021AD.to_be() as u32;

/// The destination, or why there is none, or none that `policy` could say anything of.
#[inline(always)]
pub(crate) fn of(skb: Skb, policy: Policy) -> Result<Destination, Outcome> {
    match skb.protocol() {
        IP => {
            if let Some(word) = direct_v4(skb) {
                let may_be_exact = glance(V4(word), policy)?;
                return Ok(Destination {
                    is_v4: true,
                    words: [word, 0, 0, 0],
                    offset: LINK_HEADER_LEN.load(),
                    may_be_exact,
                });
            }
        }
        IPV6 => {
            if let Some(words) = direct_v6(skb) {
                let may_be_exact = glance(V6(words), policy)?;
                return Ok(Destination {
                    is_v4: false,
                    words,
                    offset: LINK_HEADER_LEN.load(),
                    may_be_exact,
                });
            }
        }
        VLAN | QINQ => {}
        _ => return Err(Outcome::NotIp),
    }
    let mut found = Found {
        words: [0; 4],
        offset: 0,
    };
    let result = shaper_search(skb.raw(), &raw mut found);
    let Found { words, offset } = found;
    match result {
        FOUND_V4 => Ok(Destination {
            is_v4: true,
            words,
            offset,
            may_be_exact: glance(V4(words[0]), policy)?,
        }),
        FOUND_V6 => Ok(Destination {
            is_v4: false,
            words,
            offset,
            may_be_exact: glance(V6(words), policy)?,
        }),
        NOT_IP => Err(Outcome::NotIp),
        _ => Err(Outcome::Unparsable),
    }
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

/// An IPv4 destination right behind the link header.
#[inline(always)]
fn direct_v4(skb: Skb) -> Option<u32> {
    let header = skb.linear(link_header_len()?, IPV4_HEADER_LEN as usize)?;
    // SAFETY: a base header's bytes are there.
    let (first, address) = unsafe { (header.byte::<0>(), header.word::<{ IPV4_DESTINATION as usize }>()) };
    (version(first) == 4).then_some(address)
}

/// An IPv6 destination right behind the link header.
#[inline(always)]
fn direct_v6(skb: Skb) -> Option<[u32; 4]> {
    const AT: usize = IPV6_DESTINATION as usize;
    let header = skb.linear(link_header_len()?, IPV6_HEADER_LEN as usize)?;
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

/// Results of [`shaper_search`]; a kernel function returns a number.
const UNPARSABLE: u32 = 0;
const NOT_IP: u32 = 1;
const FOUND_V4: u32 = 4;
const FOUND_V6: u32 = 6;

/// The slower ways, kept out of the way of ordinary packets.
///
/// Visible from outside: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_search(skb: *mut __sk_buff, to: *mut Found) -> u32 {
    let skb = Skb::from_raw(skb);
    // SAFETY: null, or what the caller lends.
    let Some(to) = (unsafe { to.as_mut() }) else {
        return UNPARSABLE;
    };
    if is_tagged(skb) {
        return behind_tags(skb, to);
    }
    let protocol = skb.protocol();
    // Tunnels have no link header, or one that is only half there: their network header is right.
    let found = load(skb, Origin::NetworkHeader, 0, protocol, to);
    if found != UNPARSABLE {
        to.offset = AT_NETWORK_HEADER;
        return found;
    }
    // A frame that is bridged may be kept elsewhere than in linear bytes.
    match link_header_len() {
        Some(offset) => load(skb, Origin::Data, offset, protocol, to),
        None => UNPARSABLE,
    }
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
        && let Some(words) = skb.load(origin, offset + IPV6_DESTINATION)
    {
        to.words = words;
        return FOUND_V6;
    }
    UNPARSABLE
}
