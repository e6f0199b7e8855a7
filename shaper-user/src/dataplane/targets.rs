//! What is to be attached to, and what is to be let go of. Pure.

use std::collections::BTreeMap;

use super::attach::Request;
use super::device::{self, Device};
use super::error::DataplaneError;
use super::load::Program;
use super::program::build_id;
use super::record::{InterfaceRecord, Record};
use super::topology;

/// One interface to attach to.
pub(super) struct Target {
    pub(super) device: Device,
    pub(super) wanted: InterfaceRecord,
    pub(super) holders: Vec<String>,
    /// `None` if the very program is there.
    pub(super) program: Option<Program>,
}

/// The interfaces that are let go of: the configuration has named them, and does so no more.
pub(super) fn unwanted<'a>(request: &Request, before: &Record, devices: &'a [Device]) -> Vec<&'a Device> {
    let is_unwanted = |device: &&Device| {
        let record = before.interface.get(&device.name);
        request.lets_go
            && record.is_some_and(|record| record.is_configured)
            && !request.interfaces.contains_key(&device.name)
    };
    devices.iter().filter(is_unwanted).collect()
}

/// The interfaces asked for and those that are attached already and not `unwanted`.
pub(super) fn targets(
    request: &Request,
    before: &Record,
    unwanted: &[&Device],
    devices: &[Device],
) -> Result<Vec<Target>, DataplaneError> {
    let is_policed = |name: &String| match &request.policed {
        Some(policed) => policed.contains(name),
        None => before.interface.get(name).is_some_and(|record| record.is_policed),
    };
    let was_configured = |name: &String| {
        let record = before.interface.get(name);
        record.is_some_and(|record| record.is_configured)
    };
    let is_configured =
        |name: &String| request.configured.contains(name) || (request.is_partial && was_configured(name));
    let asked = request.interfaces.iter();
    let mut wanted: BTreeMap<String, (u32, bool, bool)> = asked
        .map(|(name, overhead)| (name.clone(), (*overhead, is_policed(name), is_configured(name))))
        .collect();
    let stays = |name: &String| {
        let is_there = devices.iter().any(|device| device.name == *name);
        is_there && !unwanted.iter().any(|device| device.name == *name)
    };
    let attached = before
        .interface
        .iter()
        .filter(|(name, _)| !request.is_partial && stays(name));
    for (name, record) in attached {
        let as_before = (record.overhead, record.is_policed, record.is_configured);
        wanted.entry(name.clone()).or_insert(as_before);
    }
    let build_id = format!("{:016x}", build_id());
    wanted
        .into_iter()
        .map(|(name, (overhead, is_policed, is_configured))| {
            let device = device::find(devices, &name)?.clone();
            let wanted = InterfaceRecord {
                ifindex: device.ifindex,
                link_header_len: device.link_header_len(),
                overhead,
                is_policed,
                is_configured,
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

/// Refuses to charge a packet twice.
pub(super) fn refuse_shared_paths(targets: &[Target], devices: &[Device]) -> Result<(), DataplaneError> {
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

/// What somebody who limits a tunnel and another interface has to know, where `name` is one of them.
pub(super) fn note_on_tunnels(name: &str, targets: &[Target]) -> Option<String> {
    let devices = targets.iter().map(|target| &target.device);
    let (tunnels, others): (Vec<_>, Vec<_>) = devices.partition(|device| topology::is_tunnel(device));
    let tunnel = tunnels
        .iter()
        .find(|tunnel| tunnel.name == name)
        .or(tunnels.first())?;
    let other = others
        .iter()
        .find(|other| other.name == name)
        .or(others.first())?;
    Some(format!(
        "`{}` is a tunnel: those of its packets that leave through `{}` count there once more, as packets to the tunnel's other end; \
         `shaper exempt add` that address, or limit one of the two",
        tunnel.name, other.name
    ))
}
