//! Which devices a packet passes on its way out: where `fq` must be, and which devices must not both be shaped. Pure.

use super::device::Device;

/// Kinds of devices whose packets go out through the device below them.
const UPPER_KINDS: [&str; 6] = ["vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "macsec"];
/// Kinds of devices whose packets go out inside others, through whatever interface leads to the tunnel's other end.
const TUNNEL_KINDS: [&str; 17] = [
    "amt",
    "erspan",
    "geneve",
    "gre",
    "gretap",
    "ip6erspan",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "ipip",
    "ovpn",
    "sit",
    "tun",
    "vti",
    "vti6",
    "vxlan",
    "wireguard",
];
/// Kinds of devices whose packets go out through one of their ports.
const MASTER_KINDS: [&str; 3] = ["bond", "team", "bridge"];

/// The devices directly below `device`.
fn below<'a>(device: &'a Device, devices: &'a [Device]) -> impl Iterator<Item = &'a Device> {
    let is_upper = UPPER_KINDS.contains(&device.kind.as_str());
    let is_master = MASTER_KINDS.contains(&device.kind.as_str());
    devices.iter().filter(move |other| {
        let is_lower = is_upper && device.lower == Some(other.ifindex);
        let is_port = is_master && other.master == Some(device.ifindex);
        (is_lower || is_port) && other.ifindex != device.ifindex
    })
}

/// `device` and all devices below it, from the top; each once, whatever loops there are.
fn path<'a>(device: &'a Device, devices: &'a [Device]) -> Vec<&'a Device> {
    let mut path = vec![device];
    let mut next = 0;
    while let Some(device) = path.get(next).copied() {
        for lower in below(device, devices) {
            if !path.iter().any(|present| present.ifindex == lower.ifindex) {
                path.push(lower);
            }
        }
        next += 1;
    }
    path
}

/// The devices that hold the packets of `device`: the lowest ones below it, else itself.
pub(super) fn lowest<'a>(device: &'a Device, devices: &'a [Device]) -> Vec<&'a Device> {
    path(device, devices)
        .into_iter()
        .filter(|device| below(device, devices).next().is_none())
        .collect()
}

/// The devices that hold the packets of any of `tops`, each once.
pub(super) fn lowest_of_all<'a>(
    tops: impl Iterator<Item = &'a Device>,
    devices: &'a [Device],
) -> Vec<&'a Device> {
    let mut all: Vec<&Device> = tops.flat_map(|device| lowest(device, devices)).collect();
    all.sort_by_key(|device| device.ifindex);
    all.dedup_by_key(|device| device.ifindex);
    all
}

/// Whether routes decide which other interfaces the packets of `device` pass as well, inside other packets.
pub(super) fn is_tunnel(device: &Device) -> bool {
    TUNNEL_KINDS.contains(&device.kind.as_str())
}

/// Whether the packets of one of two devices also pass the other.
pub(super) fn share_a_path(a: &Device, b: &Device, devices: &[Device]) -> bool {
    let passes = |from: &Device, to: &Device| {
        path(from, devices)
            .iter()
            .any(|device| device.ifindex == to.ifindex)
    };
    a.ifindex != b.ifindex && (passes(a, b) || passes(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(ifindex: u32, kind: &str, lower: u32, master: u32) -> Device {
        let some = |number| (number != 0).then_some(number);
        Device {
            ifindex,
            kind: kind.into(),
            lower: some(lower),
            master: some(master),
            ..Device::default()
        }
    }

    /// Two ports, their bond, a VLAN on it, a bridge over the VLAN and a veth, whose peer is 8.
    fn stack() -> Vec<Device> {
        vec![
            device(1, "", 0, 3),
            device(2, "", 0, 3),
            device(3, "bond", 0, 0),
            device(4, "vlan", 3, 5),
            device(5, "bridge", 0, 0),
            device(6, "veth", 8, 5),
            device(7, "", 0, 0),
            device(8, "veth", 6, 0),
        ]
    }

    fn lowest_of(ifindex: usize) -> Vec<u32> {
        let devices = stack();
        lowest(&devices[ifindex - 1], &devices)
            .iter()
            .map(|device| device.ifindex)
            .collect()
    }

    #[test]
    fn packets_are_held_by_the_lowest_devices() {
        assert_eq!(lowest_of(7), [7]);
        assert_eq!(lowest_of(3), [1, 2]);
        assert_eq!(lowest_of(4), [1, 2]);
        assert_eq!(lowest_of(5), [6, 1, 2]);
        assert_eq!(lowest_of(6), [6]);
    }

    #[test]
    fn a_bond_without_ports_holds_its_own_packets() {
        let devices = [device(3, "bond", 0, 0)];
        assert_eq!(lowest(&devices[0], &devices)[0].ifindex, 3);
    }

    #[test]
    fn above_and_below_share_a_path_and_neighbours_do_not() {
        let devices = stack();
        let share = |a: usize, b: usize| share_a_path(&devices[a - 1], &devices[b - 1], &devices);
        assert!(share(3, 1) && share(1, 3) && share(5, 2) && share(4, 2) && share(6, 5));
        assert!(!share(1, 2) && !share(7, 3) && !share(6, 4));
        // A veth's other end receives; it does not send the packet once more.
        assert!(!share(6, 8));
        assert!(!share(3, 3));
    }

    #[test]
    fn a_loop_ends() {
        let devices = [device(1, "vlan", 2, 0), device(2, "vlan", 1, 0)];
        assert_eq!(path(&devices[0], &devices).len(), 2);
    }
}
