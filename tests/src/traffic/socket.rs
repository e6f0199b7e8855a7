//! A UDP socket that labels what it sends, with every option that matters to a shaper.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use libc::{IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET, SOL_UDP, c_int};

use super::{PORT, UDP4_HEADERS, UDP6_HEADERS, sys};
use crate::lab::Host;

/// Bytes of a label: flow and sequence number.
const LABEL_BYTES: usize = 8;

/// Flow and sequence number of a payload.
pub(crate) fn label(payload: &[u8]) -> Option<(u32, u32)> {
    let (flow, rest) = payload.split_first_chunk()?;
    let sequence = rest.first_chunk()?;
    Some((u32::from_be_bytes(*flow), u32::from_be_bytes(*sequence)))
}

/// A clock that departure times may be given in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Clock {
    /// The one that fq reads.
    Monotonic = libc::CLOCK_MONOTONIC,
    /// Time of day.
    Realtime = libc::CLOCK_REALTIME,
    /// Atomic time.
    Tai = libc::CLOCK_TAI,
}

impl Clock {
    /// What it says, in nanoseconds.
    #[must_use]
    pub fn now_ns(self) -> u64 {
        sys::clock_ns(self as c_int)
    }
}

/// What kind of socket to open.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of its packets' flow; each destination needs one of its own to tell loss and order.
    pub flow: u32,
    /// Bytes of payload of each packet, at least eight.
    pub payload: usize,
    /// Only packets to this address will be sent.
    pub connect: Option<IpAddr>,
    /// Port it sends from; zero is any.
    pub source_port: u16,
    /// `UDP_SEGMENT`: this many packets are handed over at once.
    pub segments: usize,
    /// `SO_PRIORITY`.
    pub priority: Option<c_int>,
    /// `SO_MAX_PACING_RATE`, in bytes per second.
    pub max_pacing_rate: Option<u32>,
    /// Type of service or traffic class, with the ECN bits.
    pub traffic_class: c_int,
    /// `SO_SNDBUFFORCE`, in bytes; without it the system's default holds back a sender whose packets wait.
    pub send_buffer: Option<c_int>,
    /// `SO_TXTIME`: departure times are given in this clock.
    pub departure_clock: Option<Clock>,
    /// `IP_RECVERR`: a packet that is dropped on the way to the interface is an error.
    pub is_told_of_drops: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flow: 0,
            payload: 1400,
            connect: None,
            source_port: 0,
            segments: 1,
            priority: None,
            max_pacing_rate: None,
            traffic_class: 0,
            send_buffer: None,
            departure_clock: None,
            is_told_of_drops: false,
        }
    }
}

impl Options {
    /// A socket for `destination` alone.
    #[must_use]
    pub fn to(destination: IpAddr) -> Self {
        Self {
            connect: Some(destination),
            ..Self::default()
        }
    }

    /// A send buffer so large that the sender is never held back.
    #[must_use]
    pub fn unstoppable(self) -> Self {
        Self {
            send_buffer: Some(512 << 20),
            ..self
        }
    }

    /// Bytes on the wire of each packet to `destination`.
    #[must_use]
    pub fn wire_bytes(&self, destination: IpAddr) -> u64 {
        let headers = match destination {
            IpAddr::V4(_) => UDP4_HEADERS,
            IpAddr::V6(_) => UDP6_HEADERS,
        };
        self.payload as u64 + headers
    }
}

/// A UDP socket of a host. It may be used by any thread.
#[derive(Debug)]
pub struct Socket {
    udp: UdpSocket,
    options: Options,
    buffer: Vec<u8>,
    next_sequence: u32,
}

impl Socket {
    /// Opens a socket for IPv4, or IPv6 if that is what `options` connects to.
    #[must_use]
    pub fn open(host: &Host, options: Options) -> Self {
        host.run(|| Self::open_here(options))
    }

    /// Opens one in the network that the thread is in.
    #[must_use]
    pub fn open_here(options: Options) -> Self {
        let any = match options.connect {
            Some(IpAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, options.source_port)).expect("the port is free");
        if let Some(destination) = options.connect {
            socket.connect((destination, PORT)).expect("there is a route");
        }
        let this = Self {
            udp: socket,
            buffer: vec![0; options.payload.max(LABEL_BYTES) * options.segments],
            options,
            next_sequence: 0,
        };
        this.apply(any).expect("root may set every option");
        this
    }

    fn apply(&self, any: IpAddr) -> io::Result<()> {
        let options = &self.options;
        let set = |level, name, value: c_int| sys::set_option(&self.udp, level, name, value);
        sys::receive_for(&self.udp, Duration::from_millis(100))?;
        if options.segments > 1 {
            let size = c_int::try_from(options.payload).expect("a payload fits a packet");
            set(SOL_UDP, libc::UDP_SEGMENT, size)?;
        }
        if let Some(priority) = options.priority {
            set(SOL_SOCKET, libc::SO_PRIORITY, priority)?;
        }
        if let Some(rate) = options.max_pacing_rate {
            sys::set_option(&self.udp, SOL_SOCKET, libc::SO_MAX_PACING_RATE, rate)?;
        }
        if let Some(size) = options.send_buffer {
            set(SOL_SOCKET, libc::SO_SNDBUFFORCE, size)?;
        }
        if let Some(clock) = options.departure_clock {
            sys::set_option(&self.udp, SOL_SOCKET, libc::SO_TXTIME, [clock as c_int, 0])?;
        }
        if any.is_ipv6() {
            set(IPPROTO_IPV6, libc::IPV6_TCLASS, options.traffic_class)?;
            set(IPPROTO_IPV6, libc::IPV6_RECVERR, options.is_told_of_drops.into())
        } else {
            set(IPPROTO_IP, libc::IP_TOS, options.traffic_class)?;
            set(IPPROTO_IP, libc::IP_RECVERR, options.is_told_of_drops.into())
        }
    }

    /// Number of packets that were handed over.
    #[must_use]
    pub fn n_sent(&self) -> u32 {
        self.next_sequence
    }

    /// Sends to `destination`: one packet, or as many as there are segments.
    pub fn send(&mut self, destination: IpAddr) -> io::Result<()> {
        self.write_labels();
        if self.options.connect == Some(destination) {
            self.udp.send(&self.buffer)?;
        } else {
            self.udp.send_to(&self.buffer, (destination, PORT))?;
        }
        self.advance();
        Ok(())
    }

    /// Sends to `destination`, not before `departure_ns` of the socket's departure clock.
    pub fn send_at(&mut self, destination: IpAddr, departure_ns: u64) -> io::Result<()> {
        self.write_labels();
        let address = SocketAddr::new(destination, PORT);
        sys::send_at(&self.udp, address, &self.buffer, departure_ns)?;
        self.advance();
        Ok(())
    }

    fn write_labels(&mut self) {
        let payload = self.options.payload.max(LABEL_BYTES);
        for (segment, sequence) in self.buffer.chunks_exact_mut(payload).zip(self.next_sequence..) {
            segment[..4].copy_from_slice(&self.options.flow.to_be_bytes());
            segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        }
    }

    fn advance(&mut self) {
        self.next_sequence += u32::try_from(self.options.segments).expect("at most 64");
    }
}
