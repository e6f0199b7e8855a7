//! Letting go of interfaces that the configuration does not name any more.

use super::Dataplane;
use super::attach::{Attached, Done};
use super::device::Device;
use super::error::DataplaneError;
use super::hold;
use super::links;
use super::netlink::Netlink;
use super::record::Record;
use super::topology;
use super::undo::Undo;

impl Dataplane {
    /// Detaches from `unwanted` interfaces; what holds their packets stays until [`release`](Self::release).
    pub(super) fn let_go(
        &self,
        netlink: &mut Netlink,
        unwanted: &[&Device],
        record: &mut Record,
        undo: &mut Undo,
    ) -> Result<Vec<Attached>, DataplaneError> {
        let mut detached = Vec::new();
        for device in unwanted {
            let name = &device.name;
            let known = record.interface.get(name).cloned();
            undo.changed.push(self.before_change(device, known.as_ref())?);
            links::detach(netlink, &self.pins, name, Some(device), known.as_ref())?;
            record.interface.remove(name);
            record.write(&self.paths)?;
            detached.push(Attached {
                interface: name.clone(),
                hook: known.unwrap_or_default().hook,
                done: Done::Detached,
                is_fq_put: false,
                holders: Vec::new(),
                notes: Vec::new(),
            });
        }
        Ok(detached)
    }

    /// Puts the qdiscs back that hold packets of the `unwanted` interface and of no other; what was left alone.
    pub(super) fn release(
        &self,
        netlink: &mut Netlink,
        unwanted: &Device,
        devices: &[Device],
        record: &mut Record,
    ) -> Vec<String> {
        let is_paced = |device: &&Device| {
            let known = record.interface.get(&device.name);
            known.is_some_and(|known| !known.is_policed)
        };
        let needed = topology::lowest_of_all(devices.iter().filter(is_paced), devices);
        let mut notes = Vec::new();
        for device in topology::lowest(unwanted, devices) {
            let is_needed = needed.iter().any(|other| other.ifindex == device.ifindex);
            let Some(held) = record.device.get(&device.name).filter(|_| !is_needed) else {
                continue;
            };
            match hold::take_back(netlink, device, &held.before) {
                Ok(left_alone) => {
                    notes.extend(left_alone);
                    record.device.remove(&device.name);
                }
                // `down` tries again.
                Err(error) => notes.push(format!("left fq on `{}`: {error}", device.name)),
            }
        }
        if let Err(error) = record.write(&self.paths) {
            notes.push(error.to_string());
        }
        notes
    }
}
