//! Requests over a route netlink socket, one at a time.
//!
//! What is asked for is left to [`device`](super::device), [`qdisc`](super::qdisc) and [`clsact`](super::clsact).

use std::io;

use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

use super::attribute::{append, attribute, text_of, u32_of};
use super::error::DataplaneError;

const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// Replace what is there.
pub(super) const NLM_F_REPLACE: u16 = 0x100;
/// Fail if something is there.
pub(super) const NLM_F_EXCL: u16 = 0x200;
/// Make it if nothing is there.
pub(super) const NLM_F_CREATE: u16 = 0x400;

/// On an error: it does not repeat the request.
const NLM_F_CAPPED: u16 = 0x100;
/// On an error: attributes follow.
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const HEADER_LEN: usize = 16;

/// A request being written.
#[derive(Clone, Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
}

/// One message of an answer, without its netlink header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) kind: u16,
    pub(super) payload: Vec<u8>,
}

impl Request {
    /// A request of `kind` that begins with `header`.
    pub(super) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.extend_from_slice(header);
        Self { bytes }
    }

    /// Adds an attribute.
    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        append(&mut self.bytes, kind, value);
        self
    }

    /// Adds a text that ends in zero.
    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        self.attribute(kind, &[value.as_bytes(), &[0]].concat())
    }

    fn finish(mut self, extra_flags: u16, sequence: u32) -> Vec<u8> {
        let len = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&len.to_ne_bytes());
        let flags = u16_at(&self.bytes, 6) | extra_flags;
        self.bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.bytes
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes
        .get(at..at + 2)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u16::from_ne_bytes)
}

/// Why the kernel refused, in numbers and perhaps in words.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: io::Error,
    pub(super) text: String,
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self {
            error,
            text: String::new(),
        }
    }
}

impl Refusal {
    /// Its error number.
    pub(super) fn number(&self) -> Option<i32> {
        self.error.raw_os_error()
    }

    /// As an error of the data plane.
    pub(super) fn into_error(self, doing: impl Into<String>) -> DataplaneError {
        match DataplaneError::kernel(doing, self.error) {
            DataplaneError::Kernel { doing, source } if !self.text.is_empty() => DataplaneError::Netlink {
                doing,
                text: self.text,
                source,
            },
            error => error,
        }
    }
}

/// A connection to the kernel of the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, DataplaneError> {
        let refused = |error| DataplaneError::kernel("open a netlink socket", error);
        let mut socket = Socket::new(NETLINK_ROUTE).map_err(refused)?;
        socket.bind_auto().map_err(refused)?;
        socket.connect(&SocketAddr::new(0, 0)).map_err(refused)?;
        // So that the kernel says in words what is wrong.
        socket.set_ext_ack(true).map_err(refused)?;
        socket.set_cap_ack(true).map_err(refused)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Has something changed.
    pub(super) fn change(&mut self, request: Request) -> Result<(), Refusal> {
        self.exchange(request, NLM_F_ACK).map(drop)
    }

    /// Asks for all there is.
    pub(super) fn dump(&mut self, request: &Request) -> Result<Vec<Answer>, Refusal> {
        for _ in 0..20 {
            if let Some(answers) = self.exchange(request.clone(), NLM_F_DUMP)? {
                return Ok(answers);
            }
        }
        Err(io::Error::from_raw_os_error(libc::EINTR).into())
    }

    /// `None` if something changed while the kernel was answering.
    fn exchange(&mut self, request: Request, flags: u16) -> Result<Option<Vec<Answer>>, Refusal> {
        self.sequence += 1;
        let bytes = request.finish(flags, self.sequence);
        self.socket.send(&bytes, 0)?;
        let mut answers = Vec::new();
        let mut is_consistent = true;
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while let Some((header, body, next)) = split_message(rest) {
                rest = next;
                if header.sequence != self.sequence {
                    continue;
                }
                is_consistent &= header.flags & NLM_F_DUMP_INTR == 0;
                match header.kind {
                    NLMSG_ERROR | NLMSG_DONE => {
                        refusal(header, body).map_or(Ok(()), Err)?;
                        return Ok(is_consistent.then_some(answers));
                    }
                    kind => answers.push(Answer {
                        kind,
                        payload: body.to_vec(),
                    }),
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
}

/// Header and body of the first message, and what follows it.
fn split_message(bytes: &[u8]) -> Option<(Header, &[u8], &[u8])> {
    let len = u32_of(bytes)? as usize;
    let body = bytes.get(HEADER_LEN..len)?;
    let header = Header {
        kind: u16_at(bytes, 4),
        flags: u16_at(bytes, 6),
        sequence: u32_of(&bytes[8..])?,
    };
    Some((
        header,
        body,
        bytes.get(len.next_multiple_of(4)..).unwrap_or_default(),
    ))
}

/// What an `NLMSG_ERROR` or `NLMSG_DONE` says, unless it says that all is well.
fn refusal(header: Header, body: &[u8]) -> Option<Refusal> {
    let number = body
        .get(0..4)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, i32::from_ne_bytes);
    if number == 0 {
        return None;
    }
    let mut text = String::new();
    if header.flags & NLM_F_ACK_TLVS != 0 {
        // An error repeats the header of the request, and all of the request unless it is capped.
        let repeated = match header.kind {
            NLMSG_DONE => 0,
            _ if header.flags & NLM_F_CAPPED != 0 => HEADER_LEN,
            _ => body
                .get(4..)
                .and_then(u32_of)
                .map_or(0, |len| (len as usize).next_multiple_of(4)),
        };
        let words = body
            .get(4 + repeated..)
            .and_then(|bytes| attribute(bytes, NLMSGERR_ATTR_MSG));
        text = words.map(text_of).unwrap_or_default();
    }
    Some(Refusal {
        error: io::Error::from_raw_os_error(-number),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_kernel_are_found_behind_its_number() {
        let mut body = (-libc::ENOENT).to_ne_bytes().to_vec();
        body.extend([0; HEADER_LEN]);
        append(&mut body, NLMSGERR_ATTR_MSG, b"Specified qdisc kind is unknown\0");
        let header = Header {
            kind: NLMSG_ERROR,
            flags: NLM_F_CAPPED | NLM_F_ACK_TLVS,
            sequence: 1,
        };
        let refusal = refusal(header, &body).unwrap();
        assert_eq!(
            (refusal.number(), &*refusal.text),
            (Some(libc::ENOENT), "Specified qdisc kind is unknown")
        );
        assert!(super::refusal(header, &[0; 4]).is_none());
    }
}
