//! `fq` on the devices that hold the packets: remembered, put in place, verified, and taken back.

use super::clsact;
use super::coverage::coverage;
use super::device::Device;
use super::error::DataplaneError;
use super::fq::FqOptions;
use super::holding::{self, Before, Plan, Step};
use super::netlink::{Netlink, Refusal};
use super::qdisc::{self, Qdisc};
use super::record::{DeviceRecord, Record};
use crate::policy::FqNeeds;

/// What has to be done on one device.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) device: Device,
    pub(super) needed: FqOptions,
    plan: Plan,
}

/// What each `fq` of `device` needs.
pub(super) fn needed(needs: &FqNeeds, device: &Device) -> FqOptions {
    FqOptions::needed(needs, device.n_tx_queues)
}

/// The qdiscs of one device.
pub(super) fn of_device(qdiscs: &[Qdisc], ifindex: u32) -> Vec<Qdisc> {
    qdiscs
        .iter()
        .filter(|qdisc| qdisc.ifindex == ifindex)
        .cloned()
        .collect()
}

/// Plans for all `devices`; nothing is changed.
pub(super) fn plan(
    netlink: &mut Netlink,
    devices: &[&Device],
    needs: &FqNeeds,
) -> Result<Vec<Holding>, DataplaneError> {
    let qdiscs = qdisc::list(netlink)?;
    devices
        .iter()
        .map(|device| {
            let needed = needed(needs, device);
            let mut qdiscs = of_device(&qdiscs, device.ifindex);
            ask_for_filters(netlink, &mut qdiscs)?;
            let plan = holding::plan(device, &qdiscs, &needed)?;
            Ok(Holding {
                device: (*device).clone(),
                needed,
                plan,
            })
        })
        .collect()
}

/// Finds out which of the qdiscs of a device that would be replaced have filters.
fn ask_for_filters(netlink: &mut Netlink, qdiscs: &mut [Qdisc]) -> Result<(), DataplaneError> {
    let is_replaced: Vec<bool> = qdiscs
        .iter()
        .map(|qdisc| holding::is_replaced(qdisc, qdiscs))
        .collect();
    for (qdisc, _) in qdiscs.iter_mut().zip(is_replaced).filter(|(_, is)| *is) {
        qdisc.has_filters = clsact::has_filters(netlink, qdisc.ifindex, qdisc.handle)?;
    }
    Ok(())
}

impl Holding {
    /// Whether there is anything to do.
    pub(super) fn is_needed(&self) -> bool {
        !self.plan.steps.is_empty()
    }

    /// Notes what is there, to be written down before it is replaced.
    pub(super) fn remember(&self, record: &mut Record) {
        let entry = record.device.entry(self.device.name.clone()).or_default();
        if entry.ifindex != self.device.ifindex {
            *entry = DeviceRecord {
                ifindex: self.device.ifindex,
                before: Vec::new(),
            };
        }
        for before in &self.plan.before {
            remember(&mut entry.before, before);
        }
    }

    /// Does it, and sees that it is done.
    pub(super) fn carry_out(&self, netlink: &mut Netlink) -> Result<(), DataplaneError> {
        for step in &self.plan.steps {
            carry_out(netlink, step).map_err(|refusal| self.refused(step, refusal))?;
        }
        let qdiscs = of_device(&qdisc::list(netlink)?, self.device.ifindex);
        match coverage(&self.device, &qdiscs, &self.needed).problem {
            None => Ok(()),
            Some(problem) => Err(DataplaneError::FqOptions {
                device: self.device.name.clone(),
                problem,
            }),
        }
    }

    /// Does only what loses no packet.
    pub(super) fn change(&self, netlink: &mut Netlink) -> Result<(), DataplaneError> {
        for step in &self.plan.steps {
            if matches!(step, Step::Change { .. }) {
                carry_out(netlink, step).map_err(|refusal| self.refused(step, refusal))?;
            }
        }
        Ok(())
    }

    fn refused(&self, step: &Step, refusal: Refusal) -> DataplaneError {
        let device = self.device.name.clone();
        match step {
            Step::Graft { kind, .. } if kind == "fq" && refusal.number() == Some(libc::ENOENT) => {
                DataplaneError::NoFq { device }
            }
            _ => refusal.into_error(format!("put fq on `{device}`")),
        }
    }
}

/// What was there first stays remembered, unless somebody has put something else there since.
fn remember(remembered: &mut Vec<Before>, before: &Before) {
    let same_place = remembered
        .iter_mut()
        .find(|remembered| remembered.parent == before.parent);
    match same_place {
        Some(first) if first.kind == "fq" && first.handle != 0 && first.handle == before.handle => {}
        Some(first) => *first = before.clone(),
        None => remembered.push(before.clone()),
    }
}

fn carry_out(netlink: &mut Netlink, step: &Step) -> Result<(), Refusal> {
    match step {
        Step::Graft { place, kind, options } => qdisc::graft(netlink, *place, kind, options),
        Step::Change { place, kind, options } => qdisc::change(netlink, *place, kind, options),
        Step::Delete { place } => qdisc::delete(netlink, *place),
    }
}

/// Puts back what was on `device`, as far as the kernel lets it. The texts name what somebody else has put there since.
pub(super) fn take_back(
    netlink: &mut Netlink,
    device: &Device,
    before: &[Before],
) -> Result<Vec<String>, DataplaneError> {
    let qdiscs = of_device(&qdisc::list(netlink)?, device.ifindex);
    let (steps, left_alone) = holding::restore(device.ifindex, before, &qdiscs);
    let name = &device.name;
    let mut first_refusal = None;
    for step in &steps {
        if let Err(refusal) = carry_out(netlink, step) {
            first_refusal.get_or_insert(refusal);
        }
    }
    if let Some(refusal) = first_refusal {
        return Err(refusal.into_error(format!("put the qdisc of `{name}` back")));
    }
    Ok(left_alone
        .into_iter()
        .map(|qdisc| format!("left {qdisc} on `{name}`: it was put there by somebody else"))
        .collect())
}

/// Devices that have a root qdisc of ours.
pub(super) fn with_our_root<'a>(
    netlink: &mut Netlink,
    devices: &'a [Device],
) -> Result<Vec<&'a Device>, DataplaneError> {
    qdisc::devices_with(netlink, devices, holding::is_our_root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(handle: u32, kind: &str, options: u8) -> Before {
        Before {
            parent: qdisc::ROOT,
            handle,
            kind: kind.into(),
            options: vec![options],
        }
    }

    #[test]
    fn what_was_there_first_stays_remembered() {
        let mut remembered = Vec::new();
        remember(&mut remembered, &before(0x1_0000, "fq", 1));
        // The same fq, which has our options by then.
        remember(&mut remembered, &before(0x1_0000, "fq", 2));
        assert_eq!(remembered, [before(0x1_0000, "fq", 1)]);
        // Somebody has put something else there.
        remember(&mut remembered, &before(0x2_0000, "cake", 3));
        assert_eq!(remembered, [before(0x2_0000, "cake", 3)]);
    }
}
