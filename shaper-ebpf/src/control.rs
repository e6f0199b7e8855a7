//! Whether a packet keeps the link alive, where its IP header does not stand where most do.

use aya_ebpf::bindings::__sk_buff;
use shaper_common::header::{IPV6_HEADER_LEN, is_link_control_v4, is_link_control_v6, version};

use crate::{
    destination::AT_NETWORK_HEADER,
    skb::{Origin, Skb},
};

/// Whether it does, and is therefore never limited, whomever it goes to. `offset` is where its IP header starts.
#[inline(always)]
pub(crate) fn is_control(skb: Skb, offset: u32) -> bool {
    shaper_control(skb.raw(), offset) != 0
}

/// The same, visible from outside: the kernel verifies it once, and not for each way to it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text")]
#[inline(never)]
extern "C" fn shaper_control(skb: *mut __sk_buff, offset: u32) -> u32 {
    let skb = Skb::from_raw(skb);
    let is_control = if offset == AT_NETWORK_HEADER {
        look(skb, Origin::NetworkHeader, 0)
    } else {
        look(skb, Origin::Data, offset)
    };
    u32::from(is_control.unwrap_or(false))
}

#[inline(always)]
fn look(skb: Skb, origin: Origin, start: u32) -> Option<bool> {
    let first = skb.load::<u8>(origin, start)?;
    if version(first) == 4 {
        let protocol = skb.load(origin, start + 9)?;
        let header_len = u32::from(first & 0xf) * 4;
        Some(is_link_control_v4(
            protocol,
            skb.load(origin, start + header_len)?,
        ))
    } else {
        let [next_header, hop_limit] = skb.load::<[u8; 2]>(origin, start + 6)?;
        let payload = skb.load(origin, start + IPV6_HEADER_LEN)?;
        Some(is_link_control_v6(next_header, hop_limit, payload))
    }
}
