//! Where a program is attached: by a pinned tcx link, or by clsact. Attaching never leaves an interface without one
//! that had one.

use std::os::fd::{AsFd, BorrowedFd};

use super::clsact;
use super::device::Device;
use super::error::DataplaneError;
use super::netlink::Netlink;
use super::pins::{Pins, link_pin, program_pin};
use super::record::{Hook, InterfaceRecord};
use super::tcx;

/// How a program came to be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) hook: Hook,
    /// Whether clsact is there because of us.
    pub(super) made_clsact: bool,
    /// Whether there was none of ours before.
    pub(super) is_first: bool,
}

/// Attaches `program`, in place of the one that may be there. Without a `choice` of hook by tcx, else by clsact.
pub(super) fn attach(
    netlink: &mut Netlink,
    pins: &Pins,
    device: &Device,
    program: BorrowedFd<'_>,
    before: Option<&InterfaceRecord>,
    choice: Option<Hook>,
) -> Result<Link, DataplaneError> {
    let before = before.filter(|before| before.ifindex == device.ifindex);
    let by_tcx = match choice {
        Some(Hook::Clsact) => None,
        _ => attach_tcx(pins, device, program)?,
    };
    if let Some(is_first) = by_tcx {
        // Whether the books know of it or not: a packet is not to be charged twice.
        let made_clsact = before.is_some_and(|before| before.made_clsact);
        if let Err(error) = clsact::detach(netlink, device.ifindex, made_clsact) {
            // In nobody's books yet, so nobody else would take it away again.
            if is_first {
                let _ = detach_tcx(pins, &device.name);
            }
            return Err(error);
        }
        return Ok(Link {
            hook: Hook::Tcx,
            made_clsact: false,
            is_first,
        });
    }
    if choice == Some(Hook::Tcx) {
        return Err(DataplaneError::KernelTooOld {
            what: "attach programs by tcx".into(),
        });
    }
    let is_first = !clsact::egress(netlink, device.ifindex)?
        .iter()
        .any(clsact::Filter::is_ours);
    let is_added = clsact::attach(netlink, &device.name, device.ifindex, program)?;
    if let Err(error) = detach_tcx(pins, &device.name) {
        if is_first {
            let _ = clsact::detach(netlink, device.ifindex, is_added);
        }
        return Err(error);
    }
    let made_before = before.is_some_and(|before| before.made_clsact);
    Ok(Link {
        hook: Hook::Clsact,
        made_clsact: is_added || made_before,
        is_first,
    })
}

/// The hook that [`attach`] will take.
pub(super) fn expected(device: &Device, choice: Option<Hook>) -> Hook {
    choice.unwrap_or_else(|| match tcx::query(device.ifindex) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Hook::Clsact,
        _ => Hook::Tcx,
    })
}

/// The flag says that there was no link before; `None` if the kernel has no tcx.
fn attach_tcx(pins: &Pins, device: &Device, program: BorrowedFd<'_>) -> Result<Option<bool>, DataplaneError> {
    let refused = |error| DataplaneError::kernel(format!("attach to `{}` by tcx", device.name), error);
    let name = link_pin(&device.name);
    if let Some(link) = pins.open(&name)? {
        let info = tcx::link_info(link.as_fd()).map_err(|error| DataplaneError::ForeignPin {
            path: pins.path(&name),
            problem: error.to_string(),
        })?;
        if info.ifindex == device.ifindex {
            match tcx::update_link(link.as_fd(), program) {
                Ok(()) => return Ok(Some(false)),
                Err(error) if error.raw_os_error() == Some(libc::ENOLINK) => {}
                Err(error) => return Err(refused(error)),
            }
        }
        // Of an interface of the same name that is gone.
        pins.take_away(&name)?;
    }
    match tcx::create_link(program, device.ifindex) {
        Ok(link) => {
            pins.put(&name, link.as_fd())?;
            Ok(Some(true))
        }
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL) => Ok(None),
            Some(libc::ERANGE) => Err(DataplaneError::FullHook {
                interface: device.name.clone(),
            }),
            _ => Err(refused(error)),
        },
    }
}

/// Detaches our link from `interface`, and forgets its pin.
pub(super) fn detach_tcx(pins: &Pins, interface: &str) -> Result<(), DataplaneError> {
    let name = link_pin(interface);
    if let Some(link) = pins.open(&name)?
        && tcx::link_info(link.as_fd()).is_ok()
    {
        // It may be detached already, by force or with its interface; without the pin it goes in any case.
        let _ = tcx::detach_link(link.as_fd());
    }
    pins.take_away(&name)
}

/// Detaches whatever of ours is on `device`.
pub(super) fn detach(
    netlink: &mut Netlink,
    pins: &Pins,
    device: &Device,
    record: Option<&InterfaceRecord>,
) -> Result<(), DataplaneError> {
    detach_tcx(pins, &device.name)?;
    // Whatever the books say of the hook: they may be of a run that was killed.
    let made_clsact = record.is_some_and(|record| record.made_clsact);
    clsact::detach(netlink, device.ifindex, made_clsact)?;
    pins.take_away(&program_pin(&device.name))
}
