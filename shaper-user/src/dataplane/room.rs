//! Room in `fq` for what a new policy may hold back.

use super::Dataplane;
use super::device::{self, Device};
use super::error::DataplaneError;
use super::hold::{self, Holding};
use super::netlink::Netlink;
use super::record::{NeedsRecord, Record};
use super::topology;
use crate::policy::FqNeeds;

impl Dataplane {
    /// Gives each `fq` room for what a new policy needs. Nothing is made smaller, and no packet is lost.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn make_room(&self, needs: &FqNeeds) -> Result<(), DataplaneError> {
        let mut record = Record::read(&self.paths)?;
        if record.needs.covers(needs) {
            return Ok(());
        }
        let mut netlink = Netlink::open()?;
        let devices = device::list(&mut netlink)?;
        let interfaces = devices.iter().filter(|device| {
            record
                .interface
                .values()
                .any(|interface| interface.ifindex == device.ifindex)
        });
        let mut holders: Vec<&Device> = interfaces
            .flat_map(|device| topology::lowest(device, &devices))
            .collect();
        holders.sort_by_key(|device| device.ifindex);
        holders.dedup_by_key(|device| device.ifindex);
        let holdings = hold::plan(&mut netlink, &holders, needs)?;
        let holdings: Vec<Holding> = holdings.into_iter().map(Holding::only_changes).collect();
        for holding in holdings.iter().filter(|holding| holding.is_needed()) {
            holding.remember(&mut record);
            record.write(&self.paths)?;
            holding.carry_out(&mut netlink)?;
        }
        record.needs = NeedsRecord::from(needs);
        record.write(&self.paths)
    }
}
