//! Where our program runs on an interface, as the kernel tells it; and if it does not, what runs there instead.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use zerocopy::{FromBytes, IntoBytes};

use super::Dataplane;
use super::attribute::text_of;
use super::bpf::{expect_kind, fill};
use super::clsact;
use super::device::Device;
use super::error::DataplaneError;
use super::netlink::Netlink;
use super::pins::{Pins, link_pin, program_pin};
use super::record::{Hook, InterfaceRecord};
use super::tcx;

/// What the kernel says of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgramInfo {
    pub(super) id: u32,
    /// A hash of its instructions, whatever maps they use.
    pub(super) tag: [u8; 8],
    /// The maps that it uses.
    pub(super) map_ids: Vec<u32>,
    /// As much of its name as the kernel keeps.
    pub(super) name: String,
}

/// The beginning of `bpf_prog_info`.
#[repr(C)]
#[derive(Default, FromBytes, IntoBytes)]
struct RawProgramInfo {
    kind: u32,
    id: u32,
    tag: [u8; 8],
    /// Lengths and addresses of instructions, which we do not ask for.
    instructions: [u64; 3],
    load_time: u64,
    created_by_uid: u32,
    n_map_ids: u32,
    map_ids: u64,
    name: [u8; 16],
}

/// Where our program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// Counting from one.
    pub(super) place: usize,
    pub(super) n_programs: usize,
    /// Whether it also stands on the other hook, and charges each packet twice.
    pub(super) is_twice: bool,
}

impl Dataplane {
    /// Whether the program that `present` tells of runs on `device`, and nowhere else.
    pub(super) fn is_running(
        &self,
        netlink: &mut Netlink,
        device: &Device,
        present: &InterfaceRecord,
    ) -> Result<bool, DataplaneError> {
        let found = position(netlink, &self.pins, &self.map_ids()?, device, present)?;
        Ok(found.is_ok_and(|position| !position.is_twice))
    }
}

/// Where the program pinned for `device` runs over the pinned maps, those with `map_ids`; or why it does not.
pub(super) fn position(
    netlink: &mut Netlink,
    pins: &Pins,
    map_ids: &[u32],
    device: &Device,
    record: &InterfaceRecord,
) -> Result<Result<Position, String>, DataplaneError> {
    let Some(program) = pinned_program(pins, &device.name)? else {
        return Ok(Err("its pin is missing".into()));
    };
    if !record.tag.is_empty() && record.tag != tag_text(&program) {
        return Ok(Err("another program is pinned in its place".into()));
    }
    if map_ids.iter().any(|id| !program.map_ids.contains(id)) {
        return Ok(Err("it uses other maps than those that are pinned".into()));
    }
    let filters = clsact::egress(netlink, device.ifindex)?;
    let ours = filters
        .iter()
        .find(|filter| filter.is_ours() || filter.program_id == program.id);
    let on_tcx = tcx_programs(device)?;
    let (ids, is_twice) = match record.hook {
        Hook::Tcx => {
            if let Some(why) = broken_link(pins, device, program.id)? {
                return Ok(Err(why));
            }
            (on_tcx, ours.is_some())
        }
        Hook::Clsact => {
            match ours {
                None => return Ok(Err("its filter is not on clsact".into())),
                Some(filter) if filter.program_id != program.id => {
                    return Ok(Err("another program stands in its filter".into()));
                }
                Some(_) => {}
            }
            // What stands on tcx runs before clsact.
            let is_twice = on_tcx.contains(&program.id);
            let of_filters = filters.iter().map(|filter| filter.program_id);
            (
                on_tcx
                    .into_iter()
                    .filter(|id| *id != program.id)
                    .chain(of_filters)
                    .collect(),
                is_twice,
            )
        }
    };
    let place = ids.iter().position(|id| *id == program.id);
    Ok(place
        .map(|place| Position {
            place: place + 1,
            n_programs: ids.len(),
            is_twice,
        })
        .ok_or_else(|| "it is not on the hook".into()))
}

/// What is wrong with the link of `device`, if anything.
fn broken_link(pins: &Pins, device: &Device, program_id: u32) -> Result<Option<String>, DataplaneError> {
    let Some(link) = pins.open(&link_pin(&device.name))? else {
        return Ok(Some("the pin of its link is missing".into()));
    };
    let Ok(info) = tcx::link_info(link.as_fd()) else {
        return Ok(Some("something else is pinned in place of its link".into()));
    };
    let why = if info.ifindex == 0 {
        "its link was detached"
    } else if info.ifindex != device.ifindex {
        "its link is on another interface"
    } else if info.program_id != program_id {
        "another program was put into its link"
    } else {
        return Ok(None);
    };
    Ok(Some(why.into()))
}

/// The programs on tcx; none where the kernel has no tcx.
fn tcx_programs(device: &Device) -> Result<Vec<u32>, DataplaneError> {
    match tcx::query(device.ifindex) {
        Ok(hook) => Ok(hook.program_ids),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(Vec::new()),
        Err(error) => Err(DataplaneError::kernel(
            format!("list the programs on `{}`", device.name),
            error,
        )),
    }
}

/// The program pinned for an interface.
fn pinned_program(pins: &Pins, interface: &str) -> Result<Option<ProgramInfo>, DataplaneError> {
    let name = program_pin(interface);
    let Some(program) = pins.open(&name)? else {
        return Ok(None);
    };
    let info = program_info(program.as_fd()).map_err(|error| DataplaneError::ForeignPin {
        path: pins.path(&name),
        problem: error.to_string(),
    })?;
    Ok(Some(info))
}

/// Describes the program behind `fd`; an error when it is something else.
pub(super) fn program_info(fd: BorrowedFd<'_>) -> io::Result<ProgramInfo> {
    expect_kind(fd, "bpf-prog")?;
    // The kernel allows 64 maps in a program.
    let mut map_ids = vec![0_u32; 64];
    let mut raw = RawProgramInfo {
        n_map_ids: 64,
        map_ids: map_ids.as_mut_ptr() as u64,
        ..RawProgramInfo::default()
    };
    // SAFETY: `RawProgramInfo` is the beginning of `bpf_prog_info`, and there is room for as many numbers as it says.
    unsafe { fill(fd, &mut raw) }?;
    map_ids.truncate(raw.n_map_ids as usize);
    Ok(ProgramInfo {
        id: raw.id,
        tag: raw.tag,
        map_ids,
        name: text_of(&raw.name),
    })
}

/// The tag of a program as the kernel's tools write it.
pub(super) fn tag_text(program: &ProgramInfo) -> String {
    program.tag.iter().map(|byte| format!("{byte:02x}")).collect()
}
