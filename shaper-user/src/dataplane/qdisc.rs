//! Queueing disciplines over netlink: list, put in place, change, take away.
//!
//! Which one goes where is decided in [`holding`](super::holding).

use super::attribute::{attribute, attributes, text_of, u32_of};
use super::device::Device;
use super::error::DataplaneError;
use super::netlink::{Answer, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, Netlink, Refusal, Request};

const RTM_NEWQDISC: u16 = 36;
const RTM_DELQDISC: u16 = 37;
const RTM_GETQDISC: u16 = 38;

pub(super) const TCA_KIND: u16 = 1;
pub(super) const TCA_OPTIONS: u16 = 2;
const TCA_STATS2: u16 = 7;
const TCA_STAB: u16 = 8;
const TCA_DUMP_INVISIBLE: u16 = 10;
const TCA_STATS_APP: u16 = 4;

/// Says that an attribute holds attributes.
const NLA_F_NESTED: u16 = 1 << 15;

pub(super) const TCMSG_LEN: usize = 20;

/// Parent of a root qdisc: `TC_H_ROOT`.
pub(super) const ROOT: u32 = 0xffff_ffff;
/// Parent of clsact: `TC_H_CLSACT`.
pub(super) const CLSACT: u32 = 0xffff_fff1;
/// The only handle clsact can have.
const CLSACT_HANDLE: u32 = 0xffff_0000;

/// One qdisc of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Qdisc {
    pub(super) ifindex: u32,
    pub(super) handle: u32,
    pub(super) parent: u32,
    pub(super) kind: String,
    /// The value of `TCA_OPTIONS`, as the kernel gives and takes it.
    pub(super) options: Vec<u8>,
    /// The kind's own counters.
    pub(super) counters: Vec<u8>,
    /// Whether a size table says how long packets count.
    pub(super) has_size_table: bool,
    /// Whether filters tell its packets apart: asked for where it matters.
    pub(super) has_filters: bool,
}

/// Those of `devices` that have a qdisc of this sort.
pub(super) fn devices_with<'a>(
    netlink: &mut Netlink,
    devices: &'a [Device],
    is_of_this_sort: impl Fn(&Qdisc) -> bool,
) -> Result<Vec<&'a Device>, DataplaneError> {
    let mut qdiscs = list(netlink)?;
    qdiscs.retain(is_of_this_sort);
    let has_one = |device: &&Device| qdiscs.iter().any(|qdisc| qdisc.ifindex == device.ifindex);
    Ok(devices.iter().filter(has_one).collect())
}

/// Where a qdisc goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) ifindex: u32,
    pub(super) parent: u32,
    pub(super) handle: u32,
}

impl Place {
    /// `struct tcmsg`.
    pub(super) fn header(self, info: u32) -> [u8; TCMSG_LEN] {
        let mut header = [0; TCMSG_LEN];
        header[4..8].copy_from_slice(&self.ifindex.to_ne_bytes());
        header[8..12].copy_from_slice(&self.handle.to_ne_bytes());
        header[12..16].copy_from_slice(&self.parent.to_ne_bytes());
        header[16..20].copy_from_slice(&info.to_ne_bytes());
        header
    }
}

/// All qdiscs of all devices.
pub(super) fn list(netlink: &mut Netlink) -> Result<Vec<Qdisc>, DataplaneError> {
    let header = Place {
        ifindex: 0,
        parent: 0,
        handle: 0,
    }
    .header(0);
    let request = Request::new(RTM_GETQDISC, 0, &header).attribute(TCA_DUMP_INVISIBLE, &[]);
    let answers = netlink
        .dump(&request)
        .map_err(|refusal| refusal.into_error("list the qdiscs"))?;
    Ok(answers.iter().filter_map(parse).collect())
}

/// Puts a new qdisc in place of what is there; packets that wait there are lost.
pub(super) fn graft(netlink: &mut Netlink, place: Place, kind: &str, options: &[u8]) -> Result<(), Refusal> {
    let request =
        Request::new(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &place.header(0)).text(TCA_KIND, kind);
    netlink.change(with_options(request, kind, options))
}

/// Changes options of the qdisc that is there; packets that wait there stay.
pub(super) fn change(netlink: &mut Netlink, place: Place, kind: &str, options: &[u8]) -> Result<(), Refusal> {
    let request = Request::new(RTM_NEWQDISC, 0, &place.header(0)).text(TCA_KIND, kind);
    netlink.change(with_options(request, kind, options))
}

/// Takes a qdisc away, if it still has the handle in `place`.
pub(super) fn delete(netlink: &mut Netlink, place: Place) -> Result<(), Refusal> {
    netlink.change(Request::new(RTM_DELQDISC, 0, &place.header(0)))
}

/// Adds clsact; `false` if it is there already.
pub(super) fn add_clsact(netlink: &mut Netlink, ifindex: u32) -> Result<bool, Refusal> {
    let header = Place {
        ifindex,
        parent: CLSACT,
        handle: CLSACT_HANDLE,
    }
    .header(0);
    let request = Request::new(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, &header).text(TCA_KIND, "clsact");
    match netlink.change(request) {
        Ok(()) => Ok(true),
        Err(refusal) if refusal.number() == Some(libc::EEXIST) => Ok(false),
        Err(refusal) => Err(refusal),
    }
}

/// Takes clsact away, with whatever filters it has.
pub(super) fn delete_clsact(netlink: &mut Netlink, ifindex: u32) -> Result<(), Refusal> {
    delete(
        netlink,
        Place {
            ifindex,
            parent: CLSACT,
            handle: CLSACT_HANDLE,
        },
    )
}

fn with_options(request: Request, kind: &str, options: &[u8]) -> Request {
    // The youngest of the kinds insists on the flag; the others do not look.
    let flag = if kind == "fq_pie" { NLA_F_NESTED } else { 0 };
    if options.is_empty() {
        request
    } else {
        request.attribute(TCA_OPTIONS | flag, options)
    }
}

fn parse(answer: &Answer) -> Option<Qdisc> {
    let payload = answer.payload.as_slice();
    let mut qdisc = Qdisc {
        ifindex: u32_of(payload.get(4..)?)?,
        handle: u32_of(payload.get(8..)?)?,
        parent: u32_of(payload.get(12..)?)?,
        ..Qdisc::default()
    };
    for (kind, value) in attributes(payload.get(TCMSG_LEN..)?) {
        match kind {
            TCA_KIND => qdisc.kind = text_of(value),
            TCA_OPTIONS => qdisc.options = value.to_vec(),
            TCA_STAB => qdisc.has_size_table = true,
            TCA_STATS2 => qdisc.counters = attribute(value, TCA_STATS_APP).unwrap_or_default().to_vec(),
            _ => {}
        }
    }
    (answer.kind == RTM_NEWQDISC).then_some(qdisc)
}

/// Where a qdisc is, as tc writes it.
pub(super) fn place_text(parent: u32) -> String {
    if parent == ROOT {
        return "root".into();
    }
    format!("parent {:x}:{:x}", parent >> 16, parent & 0xffff)
}

/// A handle as tc writes it.
pub(super) fn handle_text(handle: u32) -> String {
    format!("{:x}:", handle >> 16)
}
