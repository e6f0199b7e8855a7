//! Letting go of interfaces that the configuration does not name any more.

use super::Dataplane;
use super::attach::{Attached, Done};
use super::device::Device;
use super::error::DataplaneError;
use super::hold;
use super::links;
use super::netlink::Netlink;
use super::record::{Hook, Record};
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
            links::detach(netlink, &self.pins, device, known.as_ref())?;
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
        let paced = devices.iter().filter(is_paced);
        let holders = not_needed(topology::lowest(unwanted, devices), paced, devices);
        self.put_back(netlink, &holders, record)
    }

    /// Puts the qdiscs back that hold packets of no interface: a run was killed before it had put them back, or before
    /// it had attached the program above them, or was refused it.
    pub(super) fn release_the_rest(
        &self,
        netlink: &mut Netlink,
        devices: &[Device],
        record: &mut Record,
    ) -> Vec<Attached> {
        let find = |name: &String| devices.iter().find(|device| device.name == *name);
        let interfaces: Option<Vec<&Device>> = record.interface.keys().map(find).collect();
        let Some(interfaces) = interfaces else {
            // What an interface stood on that is gone, and may come back, nobody knows.
            return Vec::new();
        };
        let held = record.device.keys().filter_map(find).collect();
        let rest = not_needed(held, interfaces.into_iter(), devices);
        let released = |device: &Device| Attached {
            interface: device.name.clone(),
            hook: Hook::default(),
            done: Done::Released,
            is_fq_put: false,
            holders: Vec::new(),
            notes: self.put_back(netlink, &[device], record),
        };
        rest.into_iter().map(released).collect()
    }

    /// Puts the qdiscs of `holders` back; what was left alone.
    fn put_back(&self, netlink: &mut Netlink, holders: &[&Device], record: &mut Record) -> Vec<String> {
        let mut notes = Vec::new();
        for device in holders {
            let Some(held) = record.device.get(&device.name) else {
                continue;
            };
            match hold::take_back(netlink, device, &held.before) {
                Ok(left_alone) => {
                    notes.extend(left_alone);
                    record.device.remove(&device.name);
                }
                // The next `up`, `reload` or `down` tries again.
                Err(error) => notes.push(format!("left fq on `{}`: {error}", device.name)),
            }
        }
        if let Err(error) = record.write(&self.paths) {
            notes.push(error.to_string());
        }
        notes
    }
}

/// Those of `holders` that hold packets of none of these interfaces.
fn not_needed<'a>(
    mut holders: Vec<&'a Device>,
    interfaces: impl Iterator<Item = &'a Device>,
    devices: &'a [Device],
) -> Vec<&'a Device> {
    let needed = topology::lowest_of_all(interfaces, devices);
    holders.retain(|holder| needed.iter().all(|device| device.ifindex != holder.ifindex));
    holders
}
