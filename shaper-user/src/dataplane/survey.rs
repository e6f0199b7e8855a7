//! Whether these interfaces can be shaped: what `shaper doctor` says of each.

use std::os::fd::AsFd as _;

use shaper_common::names::PROGRAM;

use super::bpf;
use super::clsact;
use super::device::{self, Device};
use super::doctor::{Finding, bad, good, poor};
use super::error::DataplaneError;
use super::fq::FqOptions;
use super::hold;
use super::holding;
use super::netlink::Netlink;
use super::position;
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

/// Other programs where ours runs, or is to run.
fn neighbours(netlink: &mut Netlink, device: &Device) -> Result<Finding, DataplaneError> {
    let program_ids = tcx::query(device.ifindex).map_or_else(|_| Vec::new(), |hook| hook.program_ids);
    let filters = clsact::egress(netlink, device.ifindex)?;
    // What stands on tcx runs before clsact.
    let of_tcx = program_ids.into_iter().map(name);
    let of_filters = filters.into_iter().map(|filter| match filter {
        _ if filter.is_ours() => PROGRAM.to_owned(),
        _ if filter.name.is_empty() => filter.kind,
        _ => filter.name,
    });
    let names: Vec<String> = of_tcx.chain(of_filters).collect();
    Ok(in_order(&device.name, &names))
}

/// What a program is called; its number, if the kernel does not tell.
fn name(id: u32) -> String {
    let found = bpf::open_program(id).and_then(|program| position::program_info(program.as_fd()));
    match found {
        Ok(program) if !program.name.is_empty() => program.name,
        _ => format!("program {id}"),
    }
}

/// What it means that these programs see a packet one after the other.
fn in_order(interface: &str, names: &[String]) -> Finding {
    const WHAT: &str = "programs";
    let is_ours = |name: &String| name == PROGRAM;
    let shown = |names: &[String]| names.join(", ");
    match names.iter().position(is_ours) {
        None if names.is_empty() => good(WHAT, format!("{interface}: none on the way out")),
        None => Finding {
            remedy:
                "shaper's runs before those on tcx; one that comes before it and ends the chain lets packets \
                pass without a limit"
                    .into(),
            ..good(WHAT, format!("{interface}: {}", shown(names)))
        },
        Some(0) if names.len() == 1 => good(WHAT, format!("{interface}: none but shaper's")),
        Some(0) => good(
            WHAT,
            format!("{interface}: shaper's runs before {}", shown(&names[1..])),
        ),
        Some(place) => poor(
            WHAT,
            format!("{interface}: {} before shaper's", shown(&names[..place])),
            "one that ends the chain lets packets pass without a limit: attach it after shaper's, or run `shaper \
             down` and `shaper up`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::doctor::Fitness;
    use super::*;

    #[test]
    fn who_runs_before_us_is_named_with_what_that_means() {
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            in_order("eth0", &names)
        };
        assert_eq!(found(&[]).found, "eth0: none on the way out");
        assert_eq!(found(&[PROGRAM]).found, "eth0: none but shaper's");
        assert_eq!(
            found(&[PROGRAM, "meter"]).found,
            "eth0: shaper's runs before meter"
        );
        assert!(found(&["meter"]).remedy.contains("before it and ends the chain"));
        let late = found(&["cil_to_netdev", "meter", PROGRAM, "other"]);
        assert_eq!(late.fitness, Fitness::Poor);
        assert_eq!(late.found, "eth0: cil_to_netdev, meter before shaper's");
        assert!(late.remedy.contains("without a limit"), "{}", late.remedy);
    }
}
