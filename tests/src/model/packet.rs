//! What goes into the model and what comes out.

use std::net::IpAddr;

use shaper_common::outcome::Outcome;

use super::Port;

/// What the program is told about a packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Its destination, or why it has none.
    pub destination: Result<IpAddr, Outcome>,
    /// The server's own port, if it can be seen.
    pub port: Option<Port>,
    /// Whether it keeps the link alive, and is therefore never limited.
    pub is_link_control: bool,
    /// Bytes on the wire that are charged.
    pub wire_len: u32,
    /// Whether it can carry a CE mark.
    pub is_ect: bool,
    /// Whether the kernel's helper can stamp it.
    pub is_stampable: bool,
    /// The stamp it carries.
    pub tstamp: u64,
    /// Its priority.
    pub priority: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The main total that counts it.
    pub outcome: Outcome,
    /// Its stamp afterwards.
    pub tstamp: u64,
    /// Its priority afterwards.
    pub priority: u32,
    /// Whether it is marked afterwards.
    pub is_marked: bool,
}
