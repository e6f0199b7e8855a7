//! Our filter on clsact, where the kernel has no tcx: found again by its priority and handle.

use std::os::fd::{AsRawFd, BorrowedFd};

use shaper_common::names::{CLSACT_HANDLE, CLSACT_PRIORITY, PROGRAM};

use super::attribute::{append, attribute, attributes, text_of, u32_of};
use super::device::Device;
use super::error::DataplaneError;
use super::netlink::{Answer, NLM_F_CREATE, Netlink, Refusal, Request};
use super::qdisc::{self, CLSACT, Place, Qdisc, TCA_KIND, TCA_OPTIONS, TCMSG_LEN};

const RTM_NEWTFILTER: u16 = 44;
const RTM_DELTFILTER: u16 = 45;
const RTM_GETTFILTER: u16 = 46;

const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_ID: u16 = 11;
/// The program's result is the action.
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;

/// Parents of filters: `TC_H_CLSACT` with `TC_H_MIN_INGRESS` or `TC_H_MIN_EGRESS`.
const INGRESS: u32 = 0xffff_fff2;
const EGRESS: u32 = 0xffff_fff3;

/// Priority and protocol (all), as `tcm_info` has them.
fn info(priority: u16) -> u32 {
    u32::from(priority) << 16 | u32::from(0x0003_u16.to_be())
}

/// A filter on the egress side of clsact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) priority: u16,
    pub(super) handle: u32,
    pub(super) kind: String,
    /// Of a program.
    pub(super) name: String,
    pub(super) program_id: u32,
}

impl Filter {
    /// Whether it is the filter that [`attach`] makes.
    pub(super) fn is_ours(&self) -> bool {
        self.priority == CLSACT_PRIORITY
            && self.handle == CLSACT_HANDLE
            && self.kind == "bpf"
            && self.name == PROGRAM
    }
}

fn parse(answer: &Answer) -> Option<Filter> {
    let payload = answer.payload.as_slice();
    let mut filter = Filter {
        handle: u32_of(payload.get(8..)?)?,
        priority: u16::try_from(u32_of(payload.get(16..)?)? >> 16).ok()?,
        ..Filter::default()
    };
    for (kind, value) in attributes(payload.get(TCMSG_LEN..)?) {
        match kind {
            TCA_KIND => filter.kind = text_of(value),
            TCA_OPTIONS => {
                filter.name = attribute(value, TCA_BPF_NAME).map(text_of).unwrap_or_default();
                filter.program_id = attribute(value, TCA_BPF_ID).and_then(u32_of).unwrap_or_default();
            }
            _ => {}
        }
    }
    // Handle zero stands for the chain of a priority, not for a filter.
    (answer.kind == RTM_NEWTFILTER && filter.handle != 0).then_some(filter)
}

fn list(netlink: &mut Netlink, ifindex: u32, parent: u32) -> Result<Vec<Filter>, DataplaneError> {
    let answers = dump(netlink, ifindex, parent)?;
    Ok(answers.iter().filter_map(parse).collect())
}

fn dump(netlink: &mut Netlink, ifindex: u32, parent: u32) -> Result<Vec<Answer>, DataplaneError> {
    let header = Place {
        ifindex,
        parent,
        handle: 0,
    }
    .header(0);
    match netlink.dump(&Request::new(RTM_GETTFILTER, 0, &header)) {
        Ok(answers) => Ok(answers),
        // There is no such qdisc.
        Err(refusal) if matches!(refusal.number(), Some(libc::EINVAL | libc::ENOENT)) => Ok(Vec::new()),
        Err(refusal) => Err(refusal.into_error("list the clsact filters")),
    }
}

/// Whether a qdisc other than clsact has filters.
pub(super) fn has_filters(netlink: &mut Netlink, ifindex: u32, handle: u32) -> Result<bool, DataplaneError> {
    Ok(!dump(netlink, ifindex, handle)?.is_empty())
}

/// The filters on the egress side, in the order in which they run.
pub(super) fn egress(netlink: &mut Netlink, ifindex: u32) -> Result<Vec<Filter>, DataplaneError> {
    list(netlink, ifindex, EGRESS)
}

/// Puts the program into our filter, in place of the one that may be there. The flag says that clsact was added.
pub(super) fn attach(
    netlink: &mut Netlink,
    interface: &str,
    ifindex: u32,
    program: BorrowedFd<'_>,
) -> Result<bool, DataplaneError> {
    let foreign = egress(netlink, ifindex)?.into_iter().find(|filter| {
        let is_our_place = filter.handle == CLSACT_HANDLE || filter.kind != "bpf";
        filter.priority == CLSACT_PRIORITY && is_our_place && !filter.is_ours()
    });
    if let Some(foreign) = foreign {
        return Err(DataplaneError::ForeignFilter {
            interface: interface.into(),
            priority: CLSACT_PRIORITY,
            problem: format!("it is {} {}", foreign.kind, foreign.name)
                .trim_end()
                .into(),
        });
    }
    let refused = |refusal: Refusal| refusal.into_error(format!("attach to `{interface}` by clsact"));
    let is_added = qdisc::add_clsact(netlink, ifindex).map_err(refused)?;
    let mut options = Vec::new();
    append(&mut options, TCA_BPF_FD, &program.as_raw_fd().to_ne_bytes());
    append(&mut options, TCA_BPF_NAME, &[PROGRAM.as_bytes(), &[0]].concat());
    append(
        &mut options,
        TCA_BPF_FLAGS,
        &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes(),
    );
    let header = Place {
        ifindex,
        parent: EGRESS,
        handle: CLSACT_HANDLE,
    }
    .header(info(CLSACT_PRIORITY));
    let request = Request::new(RTM_NEWTFILTER, NLM_F_CREATE, &header)
        .text(TCA_KIND, "bpf")
        .attribute(TCA_OPTIONS, &options);
    if let Err(refusal) = netlink.change(request) {
        if is_added {
            let _ = qdisc::delete_clsact(netlink, ifindex);
        }
        return Err(refused(refusal));
    }
    Ok(is_added)
}

/// Those of `devices` that have clsact, whoever added it.
pub(super) fn of<'a>(
    netlink: &mut Netlink,
    devices: &'a [Device],
) -> Result<Vec<&'a Device>, DataplaneError> {
    qdisc::devices_with(netlink, devices, is_clsact)
}

/// Whether the device has clsact, whoever added it.
pub(super) fn is_there(netlink: &mut Netlink, ifindex: u32) -> Result<bool, DataplaneError> {
    let qdiscs = qdisc::list(netlink)?;
    Ok(qdiscs
        .iter()
        .any(|qdisc| qdisc.ifindex == ifindex && is_clsact(qdisc)))
}

fn is_clsact(qdisc: &Qdisc) -> bool {
    qdisc.parent == CLSACT && qdisc.kind == "clsact"
}

/// Takes our filter away if it is there, and clsact if we added it and nobody else uses it. Whether the filter was there.
pub(super) fn detach(
    netlink: &mut Netlink,
    ifindex: u32,
    is_clsact_ours: bool,
) -> Result<bool, DataplaneError> {
    let refused = |refusal: Refusal| refusal.into_error("detach from clsact");
    let was_there = egress(netlink, ifindex)?.iter().any(Filter::is_ours);
    if was_there {
        let header = Place {
            ifindex,
            parent: EGRESS,
            handle: CLSACT_HANDLE,
        }
        .header(info(CLSACT_PRIORITY));
        netlink
            .change(Request::new(RTM_DELTFILTER, 0, &header).text(TCA_KIND, "bpf"))
            .map_err(refused)?;
    }
    if is_clsact_ours {
        let is_empty =
            list(netlink, ifindex, EGRESS)?.is_empty() && list(netlink, ifindex, INGRESS)?.is_empty();
        if is_empty && is_there(netlink, ifindex)? {
            qdisc::delete_clsact(netlink, ifindex).map_err(refused)?;
        }
    }
    Ok(was_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_filter_is_taken_for_ours() {
        let ours = Filter {
            priority: CLSACT_PRIORITY,
            handle: CLSACT_HANDLE,
            kind: "bpf".into(),
            name: PROGRAM.into(),
            program_id: 9,
        };
        assert!(ours.is_ours());
        assert!(
            !Filter {
                handle: 1,
                ..ours.clone()
            }
            .is_ours()
        );
        assert!(
            !Filter {
                name: "cil_to_netdev".into(),
                ..ours.clone()
            }
            .is_ours()
        );
        assert!(!Filter { priority: 2, ..ours }.is_ours());
    }

    #[test]
    fn a_filter_is_read_and_the_head_of_its_chain_is_not() {
        let header = |handle| {
            Place {
                ifindex: 3,
                parent: EGRESS,
                handle,
            }
            .header(info(CLSACT_PRIORITY))
        };
        let mut payload = header(CLSACT_HANDLE).to_vec();
        append(&mut payload, TCA_KIND, b"bpf\0");
        let mut options = Vec::new();
        append(&mut options, TCA_BPF_NAME, b"shaper_egress\0");
        append(&mut options, TCA_BPF_ID, &42_u32.to_ne_bytes());
        append(&mut payload, TCA_OPTIONS, &options);
        let filter = parse(&Answer {
            kind: RTM_NEWTFILTER,
            payload,
        })
        .unwrap();
        assert!(filter.is_ours());
        assert_eq!(filter.program_id, 42);
        let head = Answer {
            kind: RTM_NEWTFILTER,
            payload: header(0).to_vec(),
        };
        assert_eq!(parse(&head), None);
    }
}
