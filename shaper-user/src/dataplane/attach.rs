//! `up`: everything on the interfaces, in an order that leaves no gap.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use shaper_common::names::PROGRAM;

use super::Dataplane;
use super::clsact;
use super::device;
use super::error::DataplaneError;
use super::hold::{self, Holding};
use super::links;
use super::load::Program;
use super::netlink::Netlink;
use super::pins::program_pin;
use super::program::{self, ProgramOptions};
use super::record::{Hook, InterfaceRecord, NeedsRecord, Record};
use super::targets::{Target, note_on_tunnels, refuse_shared_paths, targets, unwanted};
use super::topology;
use super::undo::{Stopped, Undo};
use crate::policy::FqNeeds;

/// What `up` asks for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Interfaces, each with its overhead in bytes per packet. Those that are attached already are kept besides.
    pub interfaces: BTreeMap<String, u32>,
    /// Of these, interfaces that the configuration names.
    pub configured: BTreeSet<String>,
    /// Whether interfaces that the configuration named when they were attached, and that are not asked for, are let go of.
    pub lets_go: bool,
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
    /// What the operator has to know: what was left as it was where it was let go of, say.
    pub notes: Vec<String>,
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
    /// It was let go of.
    Detached,
    /// What was there before is put back: no interface needs our `fq` there any more.
    Released,
}

impl Dataplane {
    /// Puts `fq` in place and attaches the program; a policy should be in force before.
    ///
    /// # Errors
    ///
    /// Whatever stands against it; then what this call did is undone.
    pub fn attach(&self, request: &Request) -> Result<Vec<Attached>, DataplaneError> {
        self.attach_and(request, || Ok(()))
            .map_err(|stopped| stopped.error)
    }

    /// As [`attach`](Self::attach), with a policy that `commit` puts in force: as the last step, so that whatever is
    /// refused leaves rules and buckets as they are; but where no program of ours runs yet, before the first packet meets it.
    ///
    /// # Errors
    ///
    /// Whatever stands against it, or what `commit` says; then what this call did is undone, as far as the kernel lets it.
    pub fn attach_and<E: From<DataplaneError>>(
        &self,
        request: &Request,
        commit: impl FnOnce() -> Result<(), E>,
    ) -> Result<Vec<Attached>, Stopped<E>> {
        let mut netlink = Netlink::open()?;
        let devices = device::list(&mut netlink)?;
        let before = self.follow(Record::read(&self.paths)?, &devices, &request.keep_gone)?;
        // Everything that can be refused without a change comes first.
        let unwanted = unwanted(request, &before, &devices);
        let mut targets = targets(request, &before, &unwanted, &devices)?;
        refuse_shared_paths(&targets, &devices)?;
        let paced = targets.iter().filter(|target| !target.wanted.is_policed);
        let holders = topology::lowest_of_all(paced.map(|target| &target.device), &devices);
        // The policy that runs until then has packets to hold, too.
        let room = before.needs.or_more(&request.needs);
        let holdings = hold::plan(&mut netlink, &holders, &room)?;
        for target in &mut targets {
            self.load(&mut netlink, target, &before, request.hook)?;
        }
        let is_first = self.pins.interfaces()?.is_empty();
        let mut record = before.clone();
        let mut undo = Undo::default();
        let mut carry_out = || {
            let netlink = &mut netlink;
            let attached = self.carry_out(netlink, request, &mut targets, &holdings, &mut record, &mut undo);
            let detached = attached.and_then(|mut attached| {
                // Packets that pass both are charged twice for a moment, and never go unlimited.
                attached.extend(self.let_go(netlink, &unwanted, &mut record, &mut undo)?);
                Ok(attached)
            });
            detached.map_err(E::from)
        };
        let done = if is_first {
            commit().and_then(|()| carry_out())
        } else {
            carry_out().and_then(|attached| commit().map(|()| attached))
        };
        let mut attached = match done {
            Ok(attached) => attached,
            Err(error) => {
                let left = self.undo(&mut netlink, &undo, &record, &before);
                return Err(Stopped { error, left });
            }
        };
        let new = attached.iter_mut().find(|one| one.done == Done::Attached);
        if let Some(new) = new {
            new.notes.extend(note_on_tunnels(&new.interface, &targets));
        }
        let detached = attached.iter_mut().filter(|one| one.done == Done::Detached);
        for (one, device) in detached.zip(&unwanted) {
            one.notes = self.release(&mut netlink, device, &devices, &mut record);
        }
        if !request.is_partial {
            attached.extend(self.release_the_rest(&mut netlink, &devices, &mut record));
        }
        Ok(attached)
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
            // Who named it is nothing to the program.
            let is_same = wanted
                == InterfaceRecord {
                    is_configured: wanted.is_configured,
                    ..present.clone()
                };
            if is_chosen && is_same && self.is_running(netlink, &target.device, present)? {
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
        target.program = Some(Program::load(Some(&self.pins), &options, PROGRAM)?);
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
            if let Some(loaded) = &target.program {
                let fd = loaded.as_fd();
                target.wanted.tag = program::tag(fd)?;
                let present = record.interface.get(&name).cloned();
                let mut changed = self.before_change(&target.device, present.as_ref())?;
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
                let link = links::attach(netlink, &self.pins, &target.device, fd, present, request.hook);
                let is_same_hook = |hook| present.is_none_or(|present| present.hook == hook);
                let intent = record.interface.get(&name);
                changed.is_new = match &link {
                    Ok(link) => link.is_first && is_same_hook(link.hook),
                    // Of what was added for it, clsact may still be there.
                    Err(_) => present.is_none() && intent.is_some_and(|intent| intent.made_clsact),
                };
                undo.changed.push(changed);
                let link = link?;
                target.wanted.hook = link.hook;
                target.wanted.made_clsact = link.made_clsact;
                done = if link.is_first {
                    Done::Attached
                } else {
                    Done::Replaced
                };
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
                notes: Vec::new(),
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
}
