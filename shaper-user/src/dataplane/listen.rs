//! Hears that links or qdiscs changed. What changed is not read: whoever hears it looks at everything anew, so nothing
//! is lost when the kernel has more to say than fits.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::error::DataplaneError;

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_TC: u32 = 4;

/// What was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    #[default]
    Nothing,
    /// Something changed.
    Change,
    /// More changed than the kernel could tell.
    Overflow,
}

/// Joined to the kernel's announcements of links and of qdiscs and filters.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
}

impl Listener {
    /// Joins in the network namespace of the caller.
    ///
    /// # Errors
    ///
    /// If the kernel refuses.
    pub fn open() -> Result<Self, DataplaneError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(NETLINK_ROUTE)?;
            socket.bind(&SocketAddr::new(0, 0))?;
            socket.add_membership(RTNLGRP_LINK)?;
            socket.add_membership(RTNLGRP_TC)?;
            socket.set_non_blocking(true)?;
            Ok(socket)
        };
        let socket = open().map_err(|error| DataplaneError::kernel("listen to the kernel", error))?;
        Ok(Self { socket })
    }

    /// Takes in all that there is to hear, without waiting.
    ///
    /// # Errors
    ///
    /// If the socket cannot be read.
    pub fn drain(&self) -> Result<Heard, DataplaneError> {
        let mut heard = Heard::Nothing;
        let mut buffer = Vec::with_capacity(1 << 15);
        loop {
            buffer.clear();
            match self.socket.recv(&mut buffer, 0) {
                Ok(_) if heard == Heard::Nothing => heard = Heard::Change,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(heard),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => heard = Heard::Overflow,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DataplaneError::kernel("hear of changes", error)),
            }
        }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
