//! Is everything in place? As the kernel tells it, not as it was once made.

use std::collections::BTreeSet;

use super::coverage::coverage;
use super::device::{self, Device};
use super::error::DataplaneError;
use super::hold;
use super::netlink::Netlink;
use super::position::{Position, position};
use super::program::build_id;
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
    /// Bytes each packet takes on the wire beyond what the kernel counts, as the program has it.
    pub overhead: u32,
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

    /// Where the program runs, and what is wrong with that.
    fn place(&mut self, found: Result<Position, String>) {
        let position = match found {
            Ok(position) => position,
            Err(why) => {
                let what = format!("the program is not attached: nothing is limited ({why})");
                return self.problem(what, "run `shaper up`");
            }
        };
        self.position = Some((position.place, position.n_programs));
        if position.place > 1 {
            self.problem(
                format!(
                    "{} other programs run first, and may let packets pass unseen",
                    position.place - 1
                ),
                "attach them after shaper's, or run `shaper down` and `shaper up`",
            );
        }
        if position.is_twice {
            self.problem(
                "the program stands on tcx and on clsact: packets are charged twice",
                "run `shaper up`; what stays then shows in `tc filter show dev IFACE egress`",
            );
        }
    }
}

/// What one look at everything found.
struct Look<'a> {
    needs: FqNeeds,
    map_ids: Vec<u32>,
    devices: &'a [Device],
    qdiscs: &'a [Qdisc],
}

/// Another of `names` whose packets pass `name` or the other way round.
fn same_path<'a>(name: &str, names: &'a BTreeSet<String>, devices: &[Device]) -> Option<&'a String> {
    let find = |name: &str| devices.iter().find(|device| device.name == name);
    let device = find(name)?;
    let shares = |other: &&String| {
        find(other.as_str()).is_some_and(|other| topology::share_a_path(device, other, devices))
    };
    names.iter().find(shares)
}

impl Dataplane {
    /// How the interfaces are that should have our program.
    ///
    /// # Errors
    ///
    /// If the kernel cannot be asked.
    pub fn interfaces(&self) -> Result<Vec<InterfaceStatus>, DataplaneError> {
        let record = Record::read(&self.paths)?;
        let mut names: BTreeSet<String> = record.interface.keys().cloned().collect();
        names.extend(self.pins.interfaces()?);
        let mut netlink = Netlink::open()?;
        let devices = device::list(&mut netlink)?;
        let qdiscs = qdisc::list(&mut netlink)?;
        let look = Look {
            needs: FqNeeds::from(record.needs),
            map_ids: self.map_ids()?,
            devices: &devices,
            qdiscs: &qdiscs,
        };
        let mut interfaces = Vec::new();
        for name in &names {
            let recorded = record.interface.get(name);
            let mut status = self.interface(&mut netlink, name, recorded, &look)?;
            if let Some(other) = same_path(name, &names, &devices) {
                status.problem(
                    format!("what it sends also passes `{other}`: limited twice"),
                    "take one of them out of the other, or `shaper down` and `shaper up -i` the upper one",
                );
            }
            interfaces.push(status);
        }
        Ok(interfaces)
    }

    fn interface(
        &self,
        netlink: &mut Netlink,
        name: &str,
        recorded: Option<&InterfaceRecord>,
        look: &Look<'_>,
    ) -> Result<InterfaceStatus, DataplaneError> {
        let unknown = InterfaceRecord::default();
        let (record, devices) = (recorded.unwrap_or(&unknown), look.devices);
        let mut status = InterfaceStatus {
            name: name.into(),
            hook: record.hook,
            is_policed: record.is_policed,
            overhead: record.overhead,
            ..InterfaceStatus::default()
        };
        if recorded.is_none() {
            status.problem(
                "nothing is known of how it was attached: `dataplane.toml` does not name it",
                "run `shaper up`",
            );
        }
        if !record.build_id.is_empty() && record.build_id != format!("{:016x}", build_id()) {
            status.problem(
                "the program is of another build of shaper",
                "run `shaper up`: it replaces the program in place",
            );
        }
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
        status.place(position(netlink, &self.pins, &look.map_ids, device, record)?);
        let holders = topology::lowest(device, devices);
        for holder in holders.into_iter().filter(|_| !record.is_policed) {
            let of_device = hold::of_device(look.qdiscs, holder.ifindex);
            let coverage = coverage(holder, &of_device, &hold::needed(&look.needs, holder));
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
