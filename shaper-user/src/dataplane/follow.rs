//! What has happened since the last command: interfaces renamed, made anew or gone, and pins of other layouts.

use std::collections::BTreeMap;

use super::Dataplane;
use super::device::Device;
use super::error::DataplaneError;
use super::pins::{link_pin, program_pin};
use super::record::{InterfaceRecord, Record};

impl Dataplane {
    /// Brings the record and the pins up to what has happened to the interfaces since, and takes over the links of
    /// other layouts.
    pub(super) fn follow(&self, mut record: Record, devices: &[Device]) -> Result<Record, DataplaneError> {
        for other in self.root.others()? {
            for interface in other.interfaces()? {
                if other.open(&link_pin(&interface))?.is_some()
                    && self.pins.open(&link_pin(&interface))?.is_none()
                {
                    self.pins.adopt(&other, &link_pin(&interface))?;
                }
                if let Some(device) = devices.iter().find(|device| device.name == interface) {
                    record
                        .interface
                        .entry(interface)
                        .or_insert_with(|| InterfaceRecord {
                            ifindex: device.ifindex,
                            ..InterfaceRecord::default()
                        });
                }
            }
        }
        let mut interfaces = BTreeMap::new();
        for (name, interface) in std::mem::take(&mut record.interface) {
            let present = devices.iter().find(|device| device.ifindex == interface.ifindex);
            match present {
                Some(device) if device.name != name => {
                    for pin in [link_pin as fn(&str) -> String, program_pin] {
                        if self.pins.open(&pin(&name))?.is_some() {
                            self.pins.rename(&pin(&name), &pin(&device.name))?;
                        }
                    }
                    interfaces.insert(device.name.clone(), interface);
                }
                Some(_) => drop(interfaces.insert(name, interface)),
                // Made anew under another number: still one of ours.
                None if devices.iter().any(|device| device.name == name) => {
                    drop(interfaces.insert(name, interface));
                }
                None => {
                    self.pins.take_away(&link_pin(&name))?;
                    self.pins.take_away(&program_pin(&name))?;
                }
            }
        }
        record.interface = interfaces;
        record
            .device
            .retain(|_, device| devices.iter().any(|present| present.ifindex == device.ifindex));
        Ok(record)
    }
}
