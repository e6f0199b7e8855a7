//! Receiving a packet, with all that the kernel tells of it.

use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use libc::c_int;

use super::{length, nanoseconds};

/// What came with a received packet.
pub(crate) struct Received {
    /// Its whole length, even if the buffer was shorter.
    pub(crate) len: usize,
    /// When the kernel received it, by the wall clock.
    pub(crate) kernel_ns: u64,
    /// Address it was sent to, if the socket was asked to tell.
    pub(crate) destination: Option<IpAddr>,
    /// Traffic class or type of service, if the socket was asked to tell.
    pub(crate) traffic_class: Option<u8>,
    /// It was seen on its way out (packet sockets).
    pub(crate) is_outgoing: bool,
}

/// Receives one packet.
pub(crate) fn receive(socket: &impl AsRawFd, buffer: &mut [u8]) -> io::Result<Received> {
    let mut control = [0_u64; 32];
    // SAFETY: all zero is a valid address.
    let mut from: libc::sockaddr_storage = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zero is a valid message header.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_name = (&raw mut from).cast();
    message.msg_namelen = length(size_of::<libc::sockaddr_storage>());
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: all that the header points to outlives the call.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_TRUNC) };
    let Ok(len) = usize::try_from(len) else {
        return Err(io::Error::last_os_error());
    };
    let mut received = Received {
        len,
        kernel_ns: 0,
        destination: None,
        traffic_class: None,
        is_outgoing: false,
    };
    if c_int::from(from.ss_family) == libc::AF_PACKET {
        // SAFETY: the family says what the kernel wrote.
        let address = unsafe { &*(&raw const from).cast::<libc::sockaddr_ll>() };
        received.is_outgoing = address.sll_pkttype == libc::PACKET_OUTGOING;
    }
    // SAFETY: the kernel filled the control buffer, whose length the header holds.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: not null, so it points to a whole header in the control buffer, followed by its data.
        unsafe {
            read_control(header, &mut received);
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(received)
}

/// # Safety
///
/// `header` points to a control message that the kernel wrote.
unsafe fn read_control(header: *const libc::cmsghdr, received: &mut Received) {
    // SAFETY: the caller's promise; level and type say what the data is.
    unsafe {
        let data = libc::CMSG_DATA(header);
        match ((*header).cmsg_level, (*header).cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                received.kernel_ns = nanoseconds(data.cast::<libc::timespec>().read_unaligned());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                let address = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                received.destination = Some(address.to_canonical());
            }
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                let address = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
                received.destination = Some(IpAddr::V4(address));
            }
            (libc::IPPROTO_IP, libc::IP_TOS) => received.traffic_class = Some(data.read()),
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                received.traffic_class = Some(data.cast::<c_int>().read_unaligned().to_le_bytes()[0]);
            }
            _ => {}
        }
    }
}
