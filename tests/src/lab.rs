//! Hosts joined by cables: network namespaces of our own and veth pairs, gone when dropped.
//!
//! What is sent through them is left to [`crate::traffic`], limits to [`crate::shaper`].

pub mod bpf;
pub mod foreign;
pub mod guest;
pub mod host;
pub mod link;
pub mod qdisc;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use foreign::Foreign;
pub use guest::Release;
pub use host::Host;

/// Interface of the server that leads to the clients.
pub const UPLINK: &str = "up0";

/// Interface of the clients that leads to the server.
pub const DOWNLINK: &str = "down0";

/// Address of the server on the cable.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// Address of the clients' host on the cable; never limited by a test that means one client only.
pub const CLIENTS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// IPv6 address of the server on the cable.
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// IPv6 address of the clients' host on the cable.
pub const CLIENTS6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);

const SERVER_MAC: &str = "02:00:00:00:00:01";
const CLIENTS_MAC: &str = "02:00:00:00:00:02";

/// Client number `n`: one of the 65536 addresses that live on the clients' host.
#[must_use]
pub fn client(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, 1, high, low))
}

/// IPv6 client number `n`.
#[must_use]
pub fn client6(n: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, n))
}

/// A server that is tested, a cable, and a host that all client addresses live on.
#[derive(Debug)]
pub struct Lab {
    /// The sender; its [`UPLINK`] is where limits go.
    pub server: Host,
    /// The receiver of whatever is sent to a [`client`].
    pub clients: Host,
}

impl Lab {
    /// One transmit queue.
    #[must_use]
    pub fn new() -> Self {
        Self::with_queues(1)
    }

    /// A server whose interface has `n_queues` transmit queues.
    #[must_use]
    pub fn with_queues(n_queues: u32) -> Self {
        let lab = Self {
            server: Host::new("server"),
            clients: Host::new("clients"),
        };
        link::cable((&lab.server, UPLINK), (&lab.clients, DOWNLINK), n_queues);
        lab.server.ip([
            format!("link set {UPLINK} address {SERVER_MAC}"),
            format!("address add {SERVER}/24 dev {UPLINK}"),
            format!("address add {SERVER6}/64 dev {UPLINK} nodad"),
            format!("route add 10.1.0.0/16 via {CLIENTS}"),
            format!("route add fd00:1::/64 via {CLIENTS6}"),
            // Known from the start: the first packet of a test is not held up by a question for an address.
            format!("neighbour add {CLIENTS} dev {UPLINK} lladdr {CLIENTS_MAC}"),
            format!("neighbour add {CLIENTS6} dev {UPLINK} lladdr {CLIENTS_MAC}"),
        ]);
        lab.clients.ip([
            format!("link set {DOWNLINK} address {CLIENTS_MAC}"),
            format!("address add {CLIENTS}/24 dev {DOWNLINK}"),
            format!("address add {CLIENTS6}/64 dev {DOWNLINK} nodad"),
            // A whole network is local: no address needs to be added for a client to exist.
            "route add local 10.1.0.0/16 dev lo".to_owned(),
            "route add local fd00:1::/64 dev lo".to_owned(),
            format!("neighbour add {SERVER} dev {DOWNLINK} lladdr {SERVER_MAC}"),
            format!("neighbour add {SERVER6} dev {DOWNLINK} lladdr {SERVER_MAC}"),
        ]);
        lab
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

/// Address of the host that sends through a [`Router`].
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);

/// A server that only forwards: packets that it sends belong to none of its sockets.
#[derive(Debug)]
pub struct Router {
    /// Where packets come from; `src0` is its interface, [`SOURCE`] its address.
    pub source: Host,
    /// The router, whose [`UPLINK`] is where limits go, and the clients.
    pub lab: Lab,
}

impl Router {
    /// Three hosts in a row.
    #[must_use]
    pub fn new() -> Self {
        let router = Self {
            source: Host::new("source"),
            lab: Lab::new(),
        };
        link::cable((&router.source, "src0"), (&router.lab.server, "in0"), 1);
        router.source.ip([
            format!("address add {SOURCE}/24 dev src0"),
            "route add default via 10.2.0.1".to_owned(),
        ]);
        router.lab.server.ip(["address add 10.2.0.1/24 dev in0"]);
        router.lab.server.sysctl("net/ipv4/ip_forward", "1");
        router
            .lab
            .clients
            .ip([format!("route add 10.2.0.0/24 via {SERVER}")]);
        router
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}
