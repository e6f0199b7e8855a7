//! Cables, and what an interface says about itself.

use std::process::Command;

use super::Host;
use super::host::run;

/// What a cable must not do, by ethtool's names.
const SEGMENTATION: [&str; 8] = [
    "tso",
    "tx-udp-segmentation",
    "tx-gre-segmentation",
    "tx-gre-csum-segmentation",
    "tx-ipxip4-segmentation",
    "tx-ipxip6-segmentation",
    "tx-udp_tnl-segmentation",
    "tx-udp_tnl-csum-segmentation",
];

/// Joins two hosts by a cable, with `n_queues` transmit queues at each end.
///
/// Packets are cut to their size on the wire before they go through: super-packets cross a veth pair whole
/// otherwise, and neither counters nor arrival times would be those of a wire. One processor receives whatever
/// comes out of the cable: packets would overtake each other between the backlogs of two.
pub fn cable(one: (&Host, &str), other: (&Host, &str), n_queues: u32) {
    let (host, name) = one;
    let (peer, peer_name) = other;
    host.ip([format!(
        "link add {name} numtxqueues {n_queues} numrxqueues {n_queues} type veth peer name {peer_name} \
         numtxqueues {n_queues} numrxqueues {n_queues} netns {}",
        peer.name()
    )]);
    for (host, name) in [one, other] {
        let mut ethtool = vec!["-K", name];
        for feature in SEGMENTATION {
            ethtool.extend([feature, "off"]);
        }
        host.output("ethtool", &ethtool);
        // Only `ip netns exec` shows the namespace's own interfaces under /sys.
        let rps = format!("for queue in /sys/class/net/{name}/queues/rx-*; do echo 1 >$queue/rps_cpus; done");
        run(Command::new("ip").args(["netns", "exec", host.name(), "sh", "-c", &rps]));
        host.ip([format!("link set {name} up")]);
    }
}

/// What has crossed an interface, as the interface counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
}

impl Counters {
    /// Reads those of interface `name` of `host`.
    #[must_use]
    pub fn read(host: &Host, name: &str) -> Self {
        let text = host.output("ip", &["-j", "-s", "link", "show", "dev", name]);
        let links: serde_json::Value = serde_json::from_str(&text).expect("ip writes JSON");
        let count = |direction: &str, unit: &str| {
            links[0]["stats64"][direction][unit]
                .as_u64()
                .unwrap_or_else(|| panic!("no {direction} {unit} in {text}"))
        };
        Self {
            rx_bytes: count("rx", "bytes"),
            rx_packets: count("rx", "packets"),
            tx_bytes: count("tx", "bytes"),
            tx_packets: count("tx", "packets"),
        }
    }

    /// What has been added since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            rx_bytes: self.rx_bytes - earlier.rx_bytes,
            rx_packets: self.rx_packets - earlier.rx_packets,
            tx_bytes: self.tx_bytes - earlier.tx_bytes,
            tx_packets: self.tx_packets - earlier.tx_packets,
        }
    }
}
