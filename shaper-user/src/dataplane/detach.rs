//! `down`: everything that shaper made goes, and what was there before comes back.

use super::Dataplane;
use super::device::{self, Device};
use super::error::DataplaneError;
use super::hold;
use super::links;
use super::netlink::Netlink;
use super::pins::Root;
use super::record::Record;
use crate::paths::Paths;
use crate::store::StoreError;

/// Takes away everything that shaper made, as far as it is still there. `false` if there was nothing; the texts say
/// what was left alone.
///
/// # Errors
///
/// The first refusal; whatever else could be taken away is gone.
pub fn take_down(paths: &Paths) -> Result<(bool, Vec<String>), DataplaneError> {
    let root = Root::open(&paths.bpffs)?;
    let mut notes = Vec::new();
    let record = match Record::read(paths) {
        Err(DataplaneError::Store(error @ StoreError::Damaged { .. })) => {
            notes.push(format!(
                "{error}: what was there before is not known, the kernel's default comes back"
            ));
            Record::default()
        }
        record => record?,
    };
    let mut netlink = Netlink::open()?;
    let devices = device::list(&mut netlink)?;
    let mut first_error = None;
    let mut keep = |result: Result<(), DataplaneError>| {
        if let Err(error) = result {
            first_error.get_or_insert(error);
        }
    };
    let mut layouts = Vec::new();
    if let Some(root) = &root {
        layouts.extend(root.pins()?);
        layouts.extend(root.others()?);
    }
    let mut was_up = !layouts.is_empty() || record != Record::default();
    for pins in &layouts {
        let mut names = pins.interfaces()?;
        names.extend(record.interface.keys().cloned());
        names.sort();
        names.dedup();
        for name in names {
            let recorded = record.interface.get(&name);
            let device = devices.iter().find(|device| {
                recorded.map_or(device.name == name, |recorded| recorded.ifindex == device.ifindex)
            });
            keep(links::detach(&mut netlink, pins, &name, device, recorded));
        }
    }
    for device in &devices {
        if let Some(held) = record.device.values().find(|held| held.ifindex == device.ifindex) {
            match hold::take_back(&mut netlink, device, &held.before) {
                Ok(left_alone) => notes.extend(left_alone),
                Err(error) => keep(Err(error)),
            }
        }
    }
    // What a record that was lost would have named. What is known of and could not be put back waits for the next `down`.
    let is_known = |device: &Device| record.device.values().any(|held| held.ifindex == device.ifindex);
    let ours = hold::with_our_root(&mut netlink, &devices)?;
    for device in ours.into_iter().filter(|device| !is_known(device)) {
        was_up = true;
        keep(hold::take_back(&mut netlink, device, &[]).map(drop));
    }
    for pins in &layouts {
        keep(pins.remove());
    }
    if let Some(root) = &root
        && !root.remove()?
    {
        notes.push(format!(
            "left `{}`: it holds something that shaper did not make",
            paths.bpffs.display()
        ));
    }
    first_error.map_or(Ok(()), Err)?;
    Record::remove(paths)?;
    Ok((was_up, notes))
}

impl Dataplane {
    /// Lets go of the maps that this run has made, and has not attached anything to. `false` if another layout is
    /// in force, which stays so.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn give_up(self) -> Result<bool, DataplaneError> {
        self.pins.remove()?;
        let is_alone = self.root.others()?.is_empty();
        if is_alone {
            self.root.remove()?;
            Record::remove(&self.paths)?;
        }
        Ok(is_alone)
    }
}
