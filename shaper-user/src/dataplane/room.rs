//! Room in `fq` for what a new policy may hold back.

use super::Dataplane;
use super::device;
use super::error::DataplaneError;
use super::hold;
use super::netlink::Netlink;
use super::record::{NeedsRecord, Record};
use super::topology;
use crate::policy::FqNeeds;

impl Dataplane {
    /// Gives each `fq` room for what a new policy needs. Nothing is made smaller, and no packet is lost. What is not
    /// `fq` any more stays as it is: `status` tells, `up` repairs.
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
        let is_ours = |ifindex| {
            let mut paced = record
                .interface
                .values()
                .filter(|interface| !interface.is_policed);
            paced.any(|interface| interface.ifindex == ifindex)
        };
        let interfaces = devices.iter().filter(|device| is_ours(device.ifindex));
        for holder in topology::lowest_of_all(interfaces, &devices) {
            match hold::plan(&mut netlink, &[holder], needs) {
                Ok(holdings) => {
                    for holding in holdings {
                        holding.remember(&mut record);
                        record.write(&self.paths)?;
                        holding.change(&mut netlink)?;
                    }
                }
                Err(DataplaneError::ForeignQdisc { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        record.needs = NeedsRecord::from(needs);
        record.write(&self.paths)
    }
}
