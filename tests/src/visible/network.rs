//! What the network knows of an interface: its qdiscs, the filters on its way out, and the programs there.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use super::maps::digest_of_bytes;
use crate::lab::bpf;

const BPF_PROG_QUERY: i32 = 16;
const BPF_TCX_EGRESS: u32 = 47;

const RTM_GETQDISC: u16 = 38;
const RTM_GETTFILTER: u16 = 46;
/// `TC_H_CLSACT` and the class for packets that leave.
const EGRESS: u32 = 0xffff_fff3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_FQ_PLIMIT: u16 = 1;
const TCA_FQ_FLOW_PLIMIT: u16 = 2;

/// Before the attributes of a message: `struct nlmsghdr`, `struct tcmsg`.
const HEADER_LEN: usize = 16;
const TC_LEN: usize = 20;

/// What is sent out by one interface meets these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// The numbers of the programs, in their order.
    pub programs: Vec<u32>,
    /// Its qdiscs.
    pub qdiscs: Vec<Qdisc>,
    /// A digest of each of its filters, in ascending order.
    filters: Vec<u64>,
}

/// A qdisc, without its counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qdisc {
    /// Such as `fq`.
    pub kind: String,
    /// Its number.
    pub handle: u32,
    /// What it stands on.
    pub parent: u32,
    /// A digest of its options.
    pub options: u64,
    /// Of an `fq`: packets that it holds, in all and of one flow.
    pub room: Option<(u32, u32)>,
}

impl Interface {
    /// How many programs what is sent meets.
    #[must_use]
    pub fn n_programs(&self) -> usize {
        self.programs.len() + self.filters.len()
    }
}

/// Asks the network of the thread that made it.
#[derive(Debug)]
pub(super) struct Network(OwnedFd);

impl Network {
    pub(super) fn new() -> Self {
        // SAFETY: a system call without pointers.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                libc::NETLINK_ROUTE,
            )
        };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: a new descriptor that has no other owner.
        Self(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// All interfaces, in the order of their numbers.
    pub(super) fn look(&self) -> Vec<Interface> {
        let qdiscs = self.dump(RTM_GETQDISC, 0, 0);
        let interface = |(index, name): (u32, String)| {
            let filters = self.dump(RTM_GETTFILTER, index, EGRESS);
            // One without a number stands for all of its priority.
            let filters = filters.iter().filter(|message| word(message, 8) != 0);
            let mut filters: Vec<_> = filters
                .map(|message| digest_of_bytes(&message[TC_LEN..]))
                .collect();
            filters.sort_unstable();
            let own = qdiscs.iter().filter(|message| word(message, 4) == index);
            Interface {
                programs: programs(index),
                qdiscs: own.map(|message| Qdisc::of(message)).collect(),
                filters,
                name,
            }
        };
        interfaces().into_iter().map(interface).collect()
    }

    /// The messages of an answer, without their first headers.
    fn dump(&self, kind: u16, interface: u32, parent: u32) -> Vec<Vec<u8>> {
        const NLM_F_REQUEST_DUMP: u16 = 0x301;
        const NLMSG_ERROR: u16 = 2;
        const NLMSG_DONE: u16 = 3;
        let mut request = [0_u8; HEADER_LEN + TC_LEN];
        let len = u32::try_from(request.len()).unwrap();
        request[0..4].copy_from_slice(&len.to_ne_bytes());
        request[4..6].copy_from_slice(&kind.to_ne_bytes());
        request[6..8].copy_from_slice(&NLM_F_REQUEST_DUMP.to_ne_bytes());
        request[20..24].copy_from_slice(&interface.to_ne_bytes());
        request[28..32].copy_from_slice(&parent.to_ne_bytes());
        // SAFETY: as many bytes as there are.
        let sent = unsafe { libc::send(self.0.as_raw_fd(), request.as_ptr().cast(), request.len(), 0) };
        assert!(sent > 0, "{}", io::Error::last_os_error());
        let (mut messages, mut room) = (Vec::new(), vec![0_u8; 1 << 16]);
        loop {
            // SAFETY: as much room as is said.
            let n = unsafe { libc::recv(self.0.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), 0) };
            let n = usize::try_from(n).unwrap_or_else(|_| panic!("{}", io::Error::last_os_error()));
            let mut rest = &room[..n];
            while rest.len() >= HEADER_LEN {
                let len = word(rest, 0) as usize;
                match u16::from_ne_bytes([rest[4], rest[5]]) {
                    // No filter can be where there is no qdisc for them.
                    NLMSG_ERROR | NLMSG_DONE => return messages,
                    _ => messages.push(rest[HEADER_LEN..len].to_vec()),
                }
                rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

impl Qdisc {
    fn of(message: &[u8]) -> Self {
        let attributes = &message[TC_LEN..];
        let kind = attribute(attributes, TCA_KIND);
        let kind = String::from_utf8_lossy(kind).trim_end_matches('\0').to_owned();
        let options = attribute(attributes, TCA_OPTIONS);
        let number = |wanted| word(attribute(options, wanted), 0);
        let room = (kind == "fq").then(|| (number(TCA_FQ_PLIMIT), number(TCA_FQ_FLOW_PLIMIT)));
        Self {
            kind,
            room,
            handle: word(message, 8),
            parent: word(message, 12),
            options: digest_of_bytes(options),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The value of one of `attributes`; empty if it is not there.
fn attribute(attributes: &[u8], wanted: u16) -> &[u8] {
    let mut rest = attributes;
    while rest.len() >= 4 {
        let len = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        if u16::from_ne_bytes([rest[2], rest[3]]) == wanted {
            return &rest[4..len];
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    &[]
}

fn interfaces() -> Vec<(u32, String)> {
    let mut found = Vec::new();
    // SAFETY: the list ends with a zero, its names are strings, and it is freed once, after its last use.
    unsafe {
        let list = libc::if_nameindex();
        assert!(!list.is_null(), "{}", io::Error::last_os_error());
        let mut next = list;
        while (*next).if_index != 0 {
            let name = CStr::from_ptr((*next).if_name);
            found.push(((*next).if_index, name.to_string_lossy().into_owned()));
            next = next.add(1);
        }
        libc::if_freenameindex(list);
    }
    found
}

/// The programs that see what leaves; none where the kernel does not know that place.
fn programs(interface: u32) -> Vec<u32> {
    let mut ids = [0_u32; 8];
    let words = [
        bpf::pair(interface, BPF_TCX_EGRESS),
        0,
        ids.as_mut_ptr() as u64,
        ids.len() as u64,
    ];
    let _ = bpf::call(BPF_PROG_QUERY, &words);
    ids.into_iter().filter(|id| *id != 0).collect()
}
