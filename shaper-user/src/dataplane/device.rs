//! The network devices of this namespace, as the kernel lists them.

use super::attribute::{attribute, attributes, text_of, u32_of};
use super::error::DataplaneError;
use super::netlink::{Answer, Netlink, Request};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;

const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NUM_TX_QUEUES: u16 = 31;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;

const IFINFOMSG_LEN: usize = 16;

/// `ARPHRD_ETHER`.
const ARPHRD_ETHER: u16 = 1;

/// One network device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) ifindex: u32,
    pub(super) name: String,
    /// `ARPHRD_*`.
    pub(super) hardware: u16,
    /// `vlan`, `bond`, `veth`...; empty for hardware.
    pub(super) kind: String,
    /// The device below, if it is in this namespace.
    pub(super) lower: Option<u32>,
    /// The bond, team or bridge it is a port of.
    pub(super) master: Option<u32>,
    /// Transmit queues there can ever be.
    pub(super) n_tx_queues: u32,
}

impl Device {
    /// Bytes before the network header that can be relied upon.
    pub(super) fn link_header_len(&self) -> u32 {
        if self.hardware == ARPHRD_ETHER {
            shaper_common::header::ETH_HEADER_LEN
        } else {
            shaper_common::names::NO_LINK_HEADER
        }
    }
}

/// All devices.
pub(super) fn list(netlink: &mut Netlink) -> Result<Vec<Device>, DataplaneError> {
    let request = Request::new(RTM_GETLINK, 0, &[0; IFINFOMSG_LEN]);
    let answers = netlink
        .dump(&request)
        .map_err(|refusal| refusal.into_error("list the interfaces"))?;
    Ok(answers.iter().filter_map(parse).collect())
}

/// The device called `name`.
pub(super) fn find<'a>(devices: &'a [Device], name: &str) -> Result<&'a Device, DataplaneError> {
    devices
        .iter()
        .find(|device| device.name == name)
        .ok_or_else(|| DataplaneError::NoSuchInterface {
            name: name.into(),
            similar: similar(name, devices),
        })
}

fn parse(answer: &Answer) -> Option<Device> {
    let payload = answer.payload.as_slice();
    if answer.kind != RTM_NEWLINK || payload.len() < IFINFOMSG_LEN {
        return None;
    }
    let mut device = Device {
        hardware: u16::from_ne_bytes(payload[2..4].try_into().ok()?),
        ifindex: u32_of(&payload[4..])?,
        n_tx_queues: 1,
        ..Device::default()
    };
    let mut is_lower_elsewhere = false;
    for (kind, value) in attributes(&payload[IFINFOMSG_LEN..]) {
        match kind {
            IFLA_IFNAME => device.name = text_of(value),
            IFLA_LINK => device.lower = u32_of(value).filter(|lower| *lower != 0),
            IFLA_MASTER => device.master = u32_of(value),
            IFLA_LINKINFO => device.kind = attribute(value, IFLA_INFO_KIND).map(text_of).unwrap_or_default(),
            IFLA_NUM_TX_QUEUES => device.n_tx_queues = u32_of(value)?.max(1),
            IFLA_LINK_NETNSID => is_lower_elsewhere = true,
            _ => {}
        }
    }
    if is_lower_elsewhere {
        device.lower = None;
    }
    Some(device)
}

/// Names that a hurried finger may have meant.
fn similar(name: &str, devices: &[Device]) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = devices
        .iter()
        .map(|device| (distance(name, &device.name), device.name.as_str()))
        .filter(|(distance, _)| distance * 2 <= name.len().min(4))
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(3)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::super::attribute::append;
    use super::*;

    fn named(name: &str) -> Device {
        Device {
            name: name.into(),
            ..Device::default()
        }
    }

    #[test]
    fn a_name_that_was_mistyped_is_suggested() {
        let devices = [named("eth0"), named("eth1"), named("wlan0"), named("lo")];
        assert_eq!(similar("eht0", &devices), ["eth0"]);
        assert_eq!(similar("eth2", &devices), ["eth0", "eth1"]);
        assert_eq!(similar("bond0", &devices), Vec::<String>::new());
    }

    #[test]
    fn a_device_is_read_from_its_attributes() {
        let mut payload = vec![0; IFINFOMSG_LEN];
        payload[2..4].copy_from_slice(&1_u16.to_ne_bytes());
        payload[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        append(&mut payload, IFLA_IFNAME, b"v.5\0");
        append(&mut payload, IFLA_LINK, &3_u32.to_ne_bytes());
        append(&mut payload, IFLA_NUM_TX_QUEUES, &4_u32.to_ne_bytes());
        let mut info = Vec::new();
        append(&mut info, IFLA_INFO_KIND, b"vlan\0");
        append(&mut payload, IFLA_LINKINFO, &info);
        let device = parse(&Answer {
            kind: RTM_NEWLINK,
            payload: payload.clone(),
        })
        .unwrap();
        let expected = Device {
            ifindex: 7,
            name: "v.5".into(),
            hardware: 1,
            kind: "vlan".into(),
            lower: Some(3),
            master: None,
            n_tx_queues: 4,
        };
        assert_eq!(device, expected);
        assert_eq!(device.link_header_len(), 14);
        // The peer of a veth in another namespace has a number that means nothing here.
        append(&mut payload, IFLA_LINK_NETNSID, &0_u32.to_ne_bytes());
        assert_eq!(
            parse(&Answer {
                kind: RTM_NEWLINK,
                payload
            })
            .unwrap()
            .lower,
            None
        );
    }
}
