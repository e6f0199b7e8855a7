//! `up`: everything on the interfaces, in an order that leaves no gap.

use std::collections::{BTreeMap, BTreeSet};

use aya::Ebpf;

use super::Dataplane;
use super::clsact;
use super::device::{self, Device};
use super::error::DataplaneError;
use super::hold::{self, Holding};
use super::links;
use super::netlink::Netlink;
use super::pins::{Pins, link_pin, program_pin};
use super::program::{self, ProgramOptions, build_id};
use super::record::{Hook, InterfaceRecord, NeedsRecord, Record};
use super::topology;
use crate::policy::FqNeeds;

/// What `up` asks for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Interfaces, each with its overhead in bytes per packet. Those that are attached already are kept besides.
    pub interfaces: BTreeMap<String, u32>,
    /// Of these, interfaces where what would have to wait is dropped: nothing has to hold packets there. `None` leaves
    /// what is attached as it is.
    pub policed: Option<BTreeSet<String>>,
    /// What each `fq` must be able to hold.
    pub needs: FqNeeds,
    /// aya-log's level; `None` leaves what is attached at its own.
    pub log_level: Option<u8>,
    /// The only hook to try.
    pub hook: Option<Hook>,
    /// Whether interfaces that are attached already are left as they are, so that one that is refused does not
    /// stand in the way of another.
    pub is_partial: bool,
    /// Interfaces that stay ours although they are gone: they may come back.
    pub keep_gone: BTreeSet<String>,
}

/// What became of one interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Its name.
    pub interface: String,
    /// How the program is attached.
    pub hook: Hook,
    /// What was done.
    pub done: Done,
    /// Whether fq was put in place, or given other settings, on one of `holders`.
    pub is_fq_put: bool,
    /// The devices that hold its packets.
    pub holders: Vec<String>,
}

/// What was done to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// There was no program of ours.
    Attached,
    /// The program was replaced in place.
    Replaced,
    /// The very program was there.
    Nothing,
}

/// One interface to attach to.
struct Target {
    device: Device,
    wanted: InterfaceRecord,
    holders: Vec<String>,
    /// `None` if the very program is there.
    program: Option<Ebpf>,
}

/// What this run has done, to be undone if it fails.
#[derive(Default)]
struct Undo {
    attached: Vec<(Device, InterfaceRecord)>,
    held: Vec<Device>,
    adopted: Vec<(String, Pins)>,
}

impl Dataplane {
    /// Puts `fq` in place and attaches the program; a policy should be in force before.
    ///
    /// # Errors
    ///
    /// Whatever stands against it; then what this call did is undone.
    pub fn attach(&self, request: &Request) -> Result<Vec<Attached>, DataplaneError> {
        let mut netlink = Netlink::open()?;
        let devices = device::list(&mut netlink)?;
        let before = self.follow(Record::read(&self.paths)?, &devices, &request.keep_gone)?;
        // Everything that can be refused without a change comes first.
        let mut targets = targets(request, &before, &devices)?;
        refuse_shared_paths(&targets, &devices)?;
        let paced = targets.iter().filter(|target| !target.wanted.is_policed);
        let holders = topology::lowest_of_all(paced.map(|target| &target.device), &devices);
        let holdings = hold::plan(&mut netlink, &holders, &request.needs)?;
        for target in &mut targets {
            self.load(&mut netlink, target, &before, request.hook)?;
        }
        let mut record = before.clone();
        let mut undo = Undo::default();
        let attached = self.carry_out(
            &mut netlink,
            request,
            &mut targets,
            &holdings,
            &mut record,
            &mut undo,
        );
        if attached.is_err() {
            self.undo(&mut netlink, &undo, &record, &before);
        }
        attached
    }

    /// Loads the program of `target`, unless the very same runs there.
    fn load(
        &self,
        netlink: &mut Netlink,
        target: &mut Target,
        before: &Record,
        choice: Option<Hook>,
    ) -> Result<(), DataplaneError> {
        if let Some(present) = before.interface.get(&target.device.name) {
            let wanted = InterfaceRecord {
                hook: present.hook,
                made_clsact: present.made_clsact,
                tag: present.tag.clone(),
                ..target.wanted.clone()
            };
            let is_chosen = choice.is_none_or(|hook| hook == present.hook);
            if is_chosen && wanted == *present && self.is_running(netlink, &target.device, present)? {
                target.wanted = wanted;
                return Ok(());
            }
        }
        let options = ProgramOptions {
            link_header_len: target.wanted.link_header_len,
            overhead: target.wanted.overhead,
            log_level: target.wanted.log_level,
            is_policed: target.wanted.is_policed,
            has_fake_clock: false,
        };
        target.program = Some(program::load(&self.pins, &options)?);
        Ok(())
    }

    fn carry_out(
        &self,
        netlink: &mut Netlink,
        request: &Request,
        targets: &mut [Target],
        holdings: &[Holding],
        record: &mut Record,
        undo: &mut Undo,
    ) -> Result<Vec<Attached>, DataplaneError> {
        record.needs = NeedsRecord::from(&request.needs);
        for holding in holdings.iter().filter(|holding| holding.is_needed()) {
            if !record.device.contains_key(&holding.device.name) {
                undo.held.push(holding.device.clone());
            }
            holding.remember(record);
            record.write(&self.paths)?;
            holding.carry_out(netlink)?;
        }
        let mut attached = Vec::new();
        for target in targets {
            let name = target.device.name.clone();
            let mut done = Done::Nothing;
            if let Some(ebpf) = &mut target.program {
                let fd = program::descriptor(ebpf)?;
                target.wanted.tag = program::tag(fd)?;
                if let Some(other) = self.adopt(&name)? {
                    undo.adopted.push((name.clone(), other));
                }
                let present = record.interface.get(&name).cloned();
                if present.is_none() {
                    // Whatever kills us from here on, `down` knows whose clsact it finds.
                    let hook = links::expected(&target.device, request.hook);
                    let intent = InterfaceRecord {
                        hook,
                        made_clsact: hook == Hook::Clsact
                            && !clsact::is_there(netlink, target.device.ifindex)?,
                        ..target.wanted.clone()
                    };
                    record.interface.insert(name.clone(), intent);
                    record.write(&self.paths)?;
                }
                let present = present.as_ref();
                let link = links::attach(netlink, &self.pins, &target.device, fd, present, request.hook)?;
                target.wanted.hook = link.hook;
                target.wanted.made_clsact = link.made_clsact;
                done = if link.is_first {
                    Done::Attached
                } else {
                    Done::Replaced
                };
                if link.is_first {
                    undo.attached.push((target.device.clone(), target.wanted.clone()));
                }
                self.pins.put(&program_pin(&name), fd)?;
            }
            record.interface.insert(name.clone(), target.wanted.clone());
            let (hook, holders) = (target.wanted.hook, target.holders.clone());
            let is_put = |holding: &Holding| holding.is_needed() && holders.contains(&holding.device.name);
            attached.push(Attached {
                interface: name,
                hook,
                done,
                is_fq_put: holdings.iter().any(is_put),
                holders,
            });
        }
        record.write(&self.paths)?;
        self.say_build_id()?;
        if !request.is_partial {
            for other in self.root.others()? {
                other.remove()?;
            }
        }
        Ok(attached)
    }

    /// Undoes what a failed run has done; the error that stopped it is the one to report.
    fn undo(&self, netlink: &mut Netlink, undo: &Undo, record: &Record, before: &Record) {
        for (device, attached) in &undo.attached {
            let _ = links::detach(netlink, &self.pins, &device.name, Some(device), Some(attached));
        }
        for (interface, other) in &undo.adopted {
            let _ = other.adopt(&self.pins, &link_pin(interface));
        }
        for device in &undo.held {
            if let Some(held) = record.device.get(&device.name) {
                let _ = hold::take_back(netlink, device, &held.before);
            }
        }
        let _ = before.write(&self.paths);
    }
}

/// The interfaces asked for and those that are attached already.
fn targets(request: &Request, before: &Record, devices: &[Device]) -> Result<Vec<Target>, DataplaneError> {
    let is_policed = |name: &String| match &request.policed {
        Some(policed) => policed.contains(name),
        None => before.interface.get(name).is_some_and(|record| record.is_policed),
    };
    let asked = request.interfaces.iter();
    let mut wanted: BTreeMap<String, (u32, bool)> = asked
        .map(|(name, overhead)| (name.clone(), (*overhead, is_policed(name))))
        .collect();
    let is_there = |name: &String| devices.iter().any(|device| device.name == *name);
    let attached = before
        .interface
        .iter()
        .filter(|(name, _)| !request.is_partial && is_there(name));
    for (name, record) in attached {
        let as_before = (record.overhead, record.is_policed);
        wanted.entry(name.clone()).or_insert(as_before);
    }
    let build_id = format!("{:016x}", build_id());
    wanted
        .into_iter()
        .map(|(name, (overhead, is_policed))| {
            let device = device::find(devices, &name)?.clone();
            let wanted = InterfaceRecord {
                ifindex: device.ifindex,
                link_header_len: device.link_header_len(),
                overhead,
                is_policed,
                log_level: request.log_level.unwrap_or_else(|| {
                    let attached = before.interface.get(&name);
                    attached.map_or(0, |record| record.log_level)
                }),
                build_id: build_id.clone(),
                ..InterfaceRecord::default()
            };
            let lowest = topology::lowest(&device, devices);
            let holders = lowest.iter().filter(|_| !is_policed);
            let holders = holders.map(|device| device.name.clone()).collect();
            Ok(Target {
                device,
                wanted,
                holders,
                program: None,
            })
        })
        .collect()
}

fn refuse_shared_paths(targets: &[Target], devices: &[Device]) -> Result<(), DataplaneError> {
    for (n, target) in targets.iter().enumerate() {
        let same_path = |other: &&Target| topology::share_a_path(&target.device, &other.device, devices);
        if let Some(other) = targets[..n].iter().find(same_path) {
            return Err(DataplaneError::SamePath {
                interface: target.device.name.clone(),
                other: other.device.name.clone(),
            });
        }
    }
    Ok(())
}
