//! `down`: everything that shaper made goes, and what was there before comes back.

use super::Dataplane;
use super::clsact;
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
/// The first refusal. A filter that cannot be taken away keeps what it needs, for the next `down`: the rules, the books and
/// what holds packets. After any other refusal whatever else could be taken away is gone.
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
    let mut layouts = Vec::new();
    if let Some(root) = &root {
        layouts.extend(root.pins()?);
        layouts.extend(root.others()?);
    }
    let mut was_up = !layouts.is_empty() || record != Record::default();
    was_up |= detach_filters(&mut netlink, &devices, &record)?;
    let mut errors = Vec::new();
    for pins in &layouts {
        let refused = |name: &String| links::detach_tcx(pins, name).err();
        errors.extend(pins.interfaces()?.iter().filter_map(refused));
    }
    for device in &devices {
        if let Some(held) = record.device.values().find(|held| held.ifindex == device.ifindex) {
            match hold::take_back(&mut netlink, device, &held.before) {
                Ok(left_alone) => notes.extend(left_alone),
                Err(error) => errors.push(error),
            }
        }
    }
    // What a record that was lost would have named. What is known of and could not be put back waits for the next `down`.
    let is_known = |device: &Device| record.device.values().any(|held| held.ifindex == device.ifindex);
    let ours = hold::with_our_root(&mut netlink, &devices)?;
    for device in ours.into_iter().filter(|device| !is_known(device)) {
        was_up = true;
        errors.extend(hold::take_back(&mut netlink, device, &[]).err());
    }
    errors.extend(layouts.iter().filter_map(|pins| pins.remove().err()));
    if let Some(root) = &root
        && !root.remove()?
    {
        notes.push(format!(
            "left `{}`: it holds something that shaper did not make",
            paths.bpffs.display()
        ));
    }
    errors.into_iter().next().map_or(Ok(()), Err)?;
    Record::remove(paths)?;
    Ok((was_up, notes))
}

/// Takes our filters away, wherever they are: the books may be of a run that was killed, and a filter needs no pin. Whether
/// there was one; the error is the first refusal, and the other filters are gone.
fn detach_filters(
    netlink: &mut Netlink,
    devices: &[Device],
    record: &Record,
) -> Result<bool, DataplaneError> {
    let (mut was_there, mut first_refusal) = (false, None);
    for device in clsact::of(netlink, devices)? {
        let mut recorded = record.interface.values();
        let recorded = recorded.find(|recorded| recorded.ifindex == device.ifindex);
        let made_clsact = recorded.is_some_and(|recorded| recorded.made_clsact);
        match clsact::detach(netlink, device.ifindex, made_clsact) {
            Ok(ours) => was_there |= ours,
            Err(error) => {
                first_refusal.get_or_insert(error);
            }
        }
    }
    first_refusal.map_or(Ok(was_there), Err)
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
