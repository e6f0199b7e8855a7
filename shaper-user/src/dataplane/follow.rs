//! What has happened since the last command: interfaces renamed, made anew or gone, and pins of other layouts.

use std::collections::{BTreeMap, BTreeSet};

use super::Dataplane;
use super::device::Device;
use super::error::DataplaneError;
use super::links;
use super::pins::{Pins, link_pin, program_pin};
use super::record::{InterfaceRecord, Record};

impl Dataplane {
    /// Brings the record and the pins up to what has happened to the interfaces since. Interfaces of other layouts
    /// become ours.
    pub(super) fn follow(
        &self,
        mut record: Record,
        devices: &[Device],
        keep_gone: &BTreeSet<String>,
    ) -> Result<Record, DataplaneError> {
        for other in self.root.others()? {
            for interface in other.interfaces()? {
                if let Some(device) = devices.iter().find(|device| device.name == interface) {
                    let found = InterfaceRecord {
                        ifindex: device.ifindex,
                        hook: links::expected(device, None),
                        ..InterfaceRecord::default()
                    };
                    record.interface.entry(interface).or_insert(found);
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
                    // The configuration may not know the new name yet.
                    let interface = InterfaceRecord {
                        is_configured: false,
                        ..interface
                    };
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
                    if keep_gone.contains(&name) {
                        interfaces.insert(name, interface);
                    }
                }
            }
        }
        record.interface = interfaces;
        let held = std::mem::take(&mut record.device).into_values();
        record.device = held
            .filter_map(|held| {
                let device = devices.iter().find(|device| device.ifindex == held.ifindex)?;
                Some((device.name.clone(), held))
            })
            .collect();
        Ok(record)
    }

    /// Takes over the link that another layout has for `interface`, so that its program can be replaced in place.
    /// Says whose it was.
    pub(super) fn adopt(&self, interface: &str) -> Result<Option<Pins>, DataplaneError> {
        let name = link_pin(interface);
        for other in self.root.others()? {
            if other.open(&name)?.is_some() && self.pins.open(&name)?.is_none() {
                self.pins.adopt(&other, &name)?;
                return Ok(Some(other));
            }
        }
        Ok(None)
    }
}
