//! Is everything in place? As the kernel tells it, not as it was once made.

use super::coverage::coverage;
use super::device::{self, Device};
use super::error::DataplaneError;
use super::hold;
use super::links;
use super::netlink::Netlink;
use super::qdisc::{self, Qdisc};
use super::record::{Hook, InterfaceRecord, NeedsRecord, Record};
use super::{Dataplane, fq, topology};
use crate::policy::FqNeeds;

/// What is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// One interface, as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its number; zero if it is gone.
    pub ifindex: u32,
    /// What it is called since it was attached to, if that is another name.
    pub renamed_to: Option<String>,
    /// How the program is attached.
    pub hook: Hook,
    /// What would have to wait is dropped: fq need not be there.
    pub is_policed: bool,
    /// The program's place among all on the hook, counting from one, and how many there are; `None` if it is not
    /// there.
    pub position: Option<(usize, usize)>,
    /// Queues on which fq holds packets.
    pub n_fq: u32,
    /// Queues there are.
    pub n_queues: u32,
    /// Packets that fq dropped because a flow was full, or because they were beyond its horizon.
    pub fq_drops: u64,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

impl From<NeedsRecord> for FqNeeds {
    fn from(needs: NeedsRecord) -> Self {
        Self {
            limit_packets: needs.limit_packets,
            flow_limit_packets: needs.flow_limit_packets,
            is_capped: false,
        }
    }
}

impl InterfaceStatus {
    fn problem(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem {
            what: what.into(),
            remedy: remedy.into(),
        });
    }
}

impl Dataplane {
    /// How the interfaces are that should have our program.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked.
    pub fn interfaces(&self) -> Result<Vec<InterfaceStatus>, DataplaneError> {
        let mut record = Record::read(&self.paths)?;
        for name in self.pins.interfaces()? {
            record.interface.entry(name).or_default();
        }
        let mut netlink = Netlink::open()?;
        let devices = device::list(&mut netlink)?;
        let qdiscs = qdisc::list(&mut netlink)?;
        let needs = FqNeeds::from(record.needs);
        record
            .interface
            .iter()
            .map(|(name, interface)| self.interface(&mut netlink, name, interface, &devices, &qdiscs, &needs))
            .collect()
    }

    fn interface(
        &self,
        netlink: &mut Netlink,
        name: &str,
        record: &InterfaceRecord,
        devices: &[Device],
        qdiscs: &[Qdisc],
        needs: &FqNeeds,
    ) -> Result<InterfaceStatus, DataplaneError> {
        let mut status = InterfaceStatus {
            name: name.into(),
            hook: record.hook,
            is_policed: record.is_policed,
            ..InterfaceStatus::default()
        };
        let Some(device) = devices.iter().find(|device| device.name == name) else {
            let same = |device: &&Device| record.ifindex != 0 && device.ifindex == record.ifindex;
            match devices.iter().find(same) {
                Some(renamed) => {
                    status.problem(format!("it is called `{}` now", renamed.name), "run `shaper up`");
                    status.renamed_to = Some(renamed.name.clone());
                }
                None => status.problem(
                    format!("there is no interface `{name}`"),
                    "`shaper up` when it is back, or `shaper down`",
                ),
            }
            return Ok(status);
        };
        status.ifindex = device.ifindex;
        let position = links::position(netlink, &self.pins, device, record.hook)?;
        status.position = position.map(|position| (position.place, position.n_programs));
        match position {
            None => status.problem(
                "the program is not attached: nothing is limited",
                "run `shaper up`",
            ),
            Some(position) if position.place > 1 => status.problem(
                format!(
                    "{} other programs run first, and may let packets pass unseen",
                    position.place - 1
                ),
                "attach them after shaper's, or run `shaper down` and `shaper up`",
            ),
            Some(_) => {}
        }
        let holders = topology::lowest(device, devices);
        for holder in holders.into_iter().filter(|_| !record.is_policed) {
            let of_device = hold::of_device(qdiscs, holder.ifindex);
            let coverage = coverage(holder, &of_device, &hold::needed(needs, holder));
            status.n_fq += coverage.n_fq;
            status.n_queues += coverage.n_queues;
            if let Some(problem) = coverage.problem {
                status.problem(
                    problem,
                    "run `shaper up`, and keep others from replacing the qdisc",
                );
            }
            for fq in of_device.iter().filter(|qdisc| qdisc.kind == "fq") {
                let counters = fq::FqStats::decode(&fq.counters);
                status.fq_drops += counters.flow_limit_drops + counters.horizon_drops;
            }
        }
        Ok(status)
    }
}
