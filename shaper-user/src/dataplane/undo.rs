//! What a run that fails has done by then, and how it is undone.

use std::os::fd::{AsFd as _, OwnedFd};

use super::Dataplane;
use super::device::Device;
use super::error::DataplaneError;
use super::hold;
use super::links;
use super::netlink::Netlink;
use super::pins::{Pins, link_pin, program_pin};
use super::record::{InterfaceRecord, Record};

/// What has been done.
#[derive(Default)]
pub(super) struct Undo {
    pub(super) changed: Vec<Changed>,
    /// Devices that got `fq`.
    pub(super) held: Vec<Device>,
}

/// An interface whose program was replaced or taken away, or that had none.
pub(super) struct Changed {
    pub(super) device: Device,
    /// What was known of it.
    before: Option<InterfaceRecord>,
    /// The program that was pinned for it.
    program: Option<OwnedFd>,
    /// The layout that has lost its link.
    owner: Option<Pins>,
    /// Whether nothing of ours ran there.
    pub(super) is_new: bool,
}

impl Dataplane {
    /// What has to be known to undo whatever is about to be done to `device`. A link of another layout becomes ours.
    pub(super) fn before_change(
        &self,
        device: &Device,
        before: Option<&InterfaceRecord>,
    ) -> Result<Changed, DataplaneError> {
        let owner = self.adopt(&device.name)?;
        let pins = owner.as_ref().unwrap_or(&self.pins);
        let program = match before {
            Some(_) => pins.open(&program_pin(&device.name))?,
            None => None,
        };
        Ok(Changed {
            device: device.clone(),
            before: before.cloned(),
            program,
            owner,
            is_new: false,
        })
    }

    /// Undoes what a failed run has done; the error that stopped it is the one to report.
    pub(super) fn undo(&self, netlink: &mut Netlink, undo: &Undo, record: &Record, before: &Record) {
        for changed in &undo.changed {
            self.change_back(netlink, changed, record.interface.get(&changed.device.name));
        }
        for device in &undo.held {
            if let Some(held) = record.device.get(&device.name) {
                let _ = hold::take_back(netlink, device, &held.before);
            }
        }
        let _ = before.write(&self.paths);
    }

    fn change_back(&self, netlink: &mut Netlink, changed: &Changed, now: Option<&InterfaceRecord>) {
        let device = &changed.device;
        if changed.is_new {
            let _ = links::detach(netlink, &self.pins, &device.name, Some(device), now);
        } else if let (Some(before), Some(program)) = (&changed.before, &changed.program) {
            let (hook, now) = (Some(before.hook), now.or(Some(before)));
            let _ = links::attach(netlink, &self.pins, device, program.as_fd(), now, hook);
            let _ = self.pins.put(&program_pin(&device.name), program.as_fd());
        }
        if let Some(owner) = &changed.owner {
            let _ = owner.adopt(&self.pins, &link_pin(&device.name));
            let _ = self.pins.take_away(&program_pin(&device.name));
        }
    }
}
