//! Whether these interfaces can be shaped: what `shaper doctor` says of each.

use super::clsact;
use super::device::{self, Device};
use super::doctor::{Finding, bad, good};
use super::error::DataplaneError;
use super::fq::FqOptions;
use super::hold;
use super::holding;
use super::netlink::Netlink;
use super::qdisc::{self, Qdisc, ROOT};
use super::tcx;
use super::topology;
use crate::policy::FqNeeds;

/// What is on these interfaces already.
pub(super) fn interfaces(netlink: &mut Netlink, names: &[String]) -> Result<Vec<Finding>, DataplaneError> {
    let devices = device::list(netlink)?;
    let qdiscs = qdisc::list(netlink)?;
    let mut findings = Vec::new();
    for name in names {
        match device::find(&devices, name) {
            Ok(device) => {
                findings.extend(
                    topology::lowest(device, &devices)
                        .into_iter()
                        .map(|holder| queue(holder, &qdiscs)),
                );
                findings.push(neighbours(netlink, device)?);
            }
            Err(error) => findings.push(bad("interface", &error)),
        }
    }
    Ok(findings)
}

fn queue(device: &Device, qdiscs: &[Qdisc]) -> Finding {
    let needed = FqOptions::needed(
        &FqNeeds {
            limit_packets: 0,
            flow_limit_packets: 0,
            is_capped: false,
        },
        1,
    );
    let of_device = hold::of_device(qdiscs, device.ifindex);
    let root = of_device
        .iter()
        .find(|qdisc| qdisc.parent == ROOT)
        .map_or("none", |root| root.kind.as_str());
    match holding::plan(device, &of_device, &needed) {
        Ok(_) => good(
            "interface",
            format!(
                "{}: {} queues, root qdisc {root}",
                device.name, device.n_tx_queues
            ),
        ),
        Err(error) => bad("interface", &error),
    }
}

/// Other programs where ours runs.
fn neighbours(netlink: &mut Netlink, device: &Device) -> Result<Finding, DataplaneError> {
    let n_tcx = tcx::query(device.ifindex).map_or(0, |hook| hook.program_ids.len());
    let filters = clsact::egress(netlink, device.ifindex)?;
    let names: String = filters.iter().map(|filter| format!(" {}", filter.name)).collect();
    let (name, n_filters) = (&device.name, filters.len());
    Ok(good(
        "programs",
        format!("{name}: {n_tcx} on tcx egress, {n_filters} on clsact egress{names}"),
    ))
}
