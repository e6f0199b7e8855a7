//! Frames as an application may put them together itself, and devices that have none.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use super::sys;
use crate::lab::Host;

/// Sends whole frames from interface `name` of a host.
#[derive(Debug)]
pub struct FrameSocket(OwnedFd);

impl FrameSocket {
    /// Opens it.
    #[must_use]
    pub fn open(host: &Host, name: &str) -> Self {
        host.run(|| Self::open_here(name))
    }

    /// Opens it in this thread's network.
    #[must_use]
    pub fn open_here(name: &str) -> Self {
        Self(sys::packet_socket(name).expect("the interface exists"))
    }

    /// Sends past qdisc and egress hook from then on.
    pub fn bypass_qdisc(&self) -> io::Result<()> {
        sys::set_option(&self.0, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1_i32)
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        sys::send_frame(&self.0, frame)
    }
}

/// An Ethernet frame with these tags (protocol and number, the outer one first) that carries an IP packet without
/// a transport header to `destination`.
#[must_use]
pub fn tagged(tags: &[(u16, u16)], destination: IpAddr) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for (protocol, number) in tags {
        frame.extend(protocol.to_be_bytes());
        frame.extend(number.to_be_bytes());
    }
    match destination {
        IpAddr::V4(address) => {
            // Version and length, length in bytes, 64 hops, an experimental protocol.
            frame.extend([0x08, 0x00, 0x45, 0, 0, 84, 0, 0, 0, 0, 64, 253, 0, 0, 10, 0, 0, 1]);
            frame.extend(address.octets());
            frame.extend([0; 64]);
        }
        IpAddr::V6(address) => {
            frame.extend([
                0x86, 0xdd, 0x60, 0, 0, 0, 0, 64, 253, 64, 0xfd, 0, 0, 0, 0, 0, 0, 0,
            ]);
            frame.extend([0, 0, 0, 0, 0, 0, 0, 1]);
            frame.extend(address.octets());
            frame.extend([0; 64]);
        }
    }
    frame
}

/// Opens the tun device `name` of a host, made if need be. It has a carrier as long as this is held.
#[must_use]
pub fn tun(host: &Host, name: &str) -> OwnedFd {
    host.run(|| sys::tun(name, libc::IFF_TUN))
        .expect("root may make devices")
}

/// What a virtual machine sends through the tap device of a host.
#[derive(Debug)]
pub struct Machine(File);

impl Machine {
    /// Makes the device `name`.
    #[must_use]
    pub fn new(host: &Host, name: &str) -> Self {
        let tap = host.run(|| sys::tun(name, libc::IFF_TAP | libc::IFF_VNET_HDR));
        Self(tap.expect("root may make devices").into())
    }

    /// Sends one frame. If it is longer than a page, the host keeps only its first `n_linear` bytes linear: as many as
    /// the machine says are headers.
    pub fn send(&mut self, frame: &[u8], n_linear: u16) -> io::Result<()> {
        // `struct virtio_net_hdr`: flags, kind of segmentation, bytes of headers, and what a frame without has not.
        let [low, high] = n_linear.to_ne_bytes();
        let header = [0, 0, low, high, 0, 0, 0, 0, 0, 0];
        self.0.write_all(&[&header, frame].concat())
    }
}
