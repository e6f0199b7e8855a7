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

/// Why a run failed, and why what it had done by then could not be undone, if it could not.
#[derive(Debug)]
pub struct Stopped<E> {
    /// What stopped it.
    pub error: E,
    /// What was refused when it was undone.
    pub left: Vec<DataplaneError>,
}

impl<E: From<DataplaneError>> From<DataplaneError> for Stopped<E> {
    fn from(error: DataplaneError) -> Self {
        Self {
            error: error.into(),
            left: Vec::new(),
        }
    }
}

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

    /// Undoes what a failed run has done. What the kernel does not let it undo stays in the books, for `up` and `down`;
    /// returns why.
    pub(super) fn undo(
        &self,
        netlink: &mut Netlink,
        undo: &Undo,
        record: &Record,
        before: &Record,
    ) -> Vec<DataplaneError> {
        let mut left = Vec::new();
        let mut known = before.clone();
        for changed in &undo.changed {
            let name = &changed.device.name;
            let now = record.interface.get(name);
            if let Err(error) = self.change_back(netlink, changed, now) {
                left.push(error);
                known.interface.extend(now.map(|now| (name.clone(), now.clone())));
            }
        }
        for device in &undo.held {
            let Some(held) = record.device.get(&device.name) else {
                continue;
            };
            if let Err(error) = hold::take_back(netlink, device, &held.before) {
                left.push(error);
                known.device.insert(device.name.clone(), held.clone());
            }
        }
        left.extend(known.write(&self.paths).err());
        left
    }

    fn change_back(
        &self,
        netlink: &mut Netlink,
        changed: &Changed,
        now: Option<&InterfaceRecord>,
    ) -> Result<(), DataplaneError> {
        let device = &changed.device;
        if changed.is_new {
            links::detach(netlink, &self.pins, device, now)?;
        } else if let (Some(before), Some(program)) = (&changed.before, &changed.program) {
            let (hook, now) = (Some(before.hook), now.or(Some(before)));
            links::attach(netlink, &self.pins, device, program.as_fd(), now, hook)?;
            self.pins.put(&program_pin(&device.name), program.as_fd())?;
        }
        if let Some(owner) = &changed.owner {
            owner.adopt(&self.pins, &link_pin(&device.name))?;
            self.pins.take_away(&program_pin(&device.name))?;
        }
        Ok(())
    }
}
