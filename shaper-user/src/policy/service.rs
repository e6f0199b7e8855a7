//! Services: sets of the server's own ports, by name or as written.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Most ports and ranges of ports that one service may list.
const MAX_SPANS: usize = 1_000;

/// Ports of one protocol, next to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortSpan {
    /// UDP instead of TCP.
    pub is_udp: bool,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// A set of ports: spans in ascending order, with a gap between any two of one protocol. Two sets are the same if
/// and only if they are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ports(Vec<PortSpan>);

/// What a rule is for, if not for everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// As the operator calls it.
    pub name: String,
    /// Ports of the server.
    pub ports: Ports,
}

/// Why a text is not a service.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ServiceError {
    /// Not a protocol with a port or a range.
    #[error("`{text}` is not a protocol and a port")]
    Port {
        /// As written.
        text: String,
    },
    /// The first port is behind the last.
    #[error("the range in `{text}` runs backwards")]
    Backwards {
        /// As written.
        text: String,
    },
    /// No such name.
    #[error("there is no service `{name}`")]
    Unknown {
        /// As written.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A name that means something else already.
    #[error("`{name}` is the name of a service already")]
    Taken {
        /// As written.
        name: String,
    },
    /// No ports at all.
    #[error("the service `{name}` has no ports")]
    Empty {
        /// Its name.
        name: String,
    },
    /// More ports than anybody means.
    #[error("the service `{name}` lists more than 1000 ports and ranges")]
    TooMany {
        /// Its name.
        name: String,
    },
}

impl ServiceError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Port { .. } => "write for example `tcp:993`, `udp:443` or `tcp:8000-8099`".to_owned(),
            Self::Backwards { .. } => "write the lower port first".to_owned(),
            Self::Unknown { known, .. } => {
                format!(
                    "known are {known}; or write for example `tcp:993`, or define it under [service.NAME]"
                )
            }
            Self::Taken { .. } => "choose another".to_owned(),
            Self::Empty { .. } => "write for example ports = [\"tcp:993\"]".to_owned(),
            Self::TooMany { .. } => "write ranges, for example `tcp:8000-8099`".to_owned(),
        }
    }
}

/// Services that need no definition: name, TCP ports, UDP ports.
const BUILT_IN: [(&str, &[u16], &[u16]); 8] = [
    ("imap", &[143, 993], &[]),
    ("pop3", &[110, 995], &[]),
    ("smtp", &[25, 465, 587], &[]),
    ("http", &[80], &[]),
    ("https", &[443], &[443]),
    ("ssh", &[22], &[]),
    ("ftp", &[20, 21], &[]),
    ("dns", &[53], &[53]),
];

impl Service {
    /// A service that needs no definition.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, tcp, udp) = BUILT_IN.iter().find(|(known, ..)| *known == name)?;
        let span = |is_udp| {
            move |port: &u16| PortSpan {
                is_udp,
                first: *port,
                last: *port,
            }
        };
        let spans = tcp.iter().map(span(false)).chain(udp.iter().map(span(true)));
        Some(Self {
            name: (*name).to_owned(),
            ports: Ports::of(spans.collect()),
        })
    }

    /// Names of the services that need no definition.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, ..)| *name)
    }

    /// The service `name` with ports as written.
    pub(super) fn defined(name: &str, n_written: usize, spans: Vec<PortSpan>) -> Result<Self, ServiceError> {
        let name = name.to_owned();
        if Self::built_in(&name).is_some() {
            return Err(ServiceError::Taken { name });
        }
        if n_written == 0 {
            return Err(ServiceError::Empty { name });
        }
        if n_written > MAX_SPANS {
            return Err(ServiceError::TooMany { name });
        }
        Ok(Self {
            name,
            ports: Ports::of(spans),
        })
    }
}

/// Whether `text` names ports itself instead of a service.
pub(super) fn is_ports(text: &str) -> bool {
    text.contains(':')
}

impl Ports {
    /// The set of all ports in `spans`.
    #[must_use]
    pub fn of(mut spans: Vec<PortSpan>) -> Self {
        spans.sort_unstable();
        let mut merged: Vec<PortSpan> = Vec::with_capacity(spans.len());
        for span in spans {
            match merged.last_mut() {
                Some(last) if last.is_udp == span.is_udp && span.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(span.last);
                }
                _ => merged.push(span),
            }
        }
        Self(merged)
    }

    /// One TCP port, unless it is zero.
    #[must_use]
    pub fn tcp(port: u16) -> Option<Self> {
        let span = PortSpan {
            is_udp: false,
            first: port,
            last: port,
        };
        (port > 0).then(|| Self(vec![span]))
    }

    /// Its spans, in ascending order.
    #[must_use]
    pub fn spans(&self) -> &[PortSpan] {
        &self.0
    }

    /// Ports that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        let pairs = self.0.iter().flat_map(|a| other.0.iter().map(move |b| (a, b)));
        Self(pairs.filter_map(|(a, b)| a.common(*b)).collect())
    }

    /// Ports that are in either.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied().collect())
    }

    /// Ports that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let mut left = self.0.clone();
        for hole in &other.0 {
            left = left.into_iter().flat_map(|span| span.without(*hole)).collect();
        }
        Self::of(left)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every port of `other` is one of its own.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.common(other) == *other
    }
}

impl PortSpan {
    /// A part of it that `claimed`, spans without overlap, holds already, and by whom.
    pub(super) fn claimed(self, claimed: &BTreeMap<Self, usize>) -> Option<(Self, usize)> {
        let behind = Self {
            first: self.last,
            last: u16::MAX,
            ..self
        };
        // Spans do not overlap, so the last that begins before the end of this one also ends last.
        let (span, owner) = claimed.range(..=behind).next_back()?;
        self.common(*span).map(|common| (common, *owner))
    }

    fn without(self, hole: Self) -> impl Iterator<Item = Self> {
        let parts = match self.common(hole) {
            None => [Some(self), None],
            Some(common) => [
                (self.first < common.first).then(|| Self {
                    last: common.first - 1,
                    ..self
                }),
                (common.last < self.last).then(|| Self {
                    first: common.last + 1,
                    ..self
                }),
            ],
        };
        parts.into_iter().flatten()
    }

    fn common(self, other: Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (self.is_udp == other.is_udp && first <= last).then_some(Self { first, last, ..self })
    }
}

impl FromStr for PortSpan {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let owned = || text.to_owned();
        let parsed = || {
            let (protocol, ports) = text.split_once(':')?;
            let is_udp = match protocol {
                "tcp" => false,
                "udp" => true,
                _ => return None,
            };
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            Some((is_udp, port(first)?, port(last)?))
        };
        let (is_udp, first, last) = parsed().ok_or_else(|| ServiceError::Port { text: owned() })?;
        if first > last {
            return Err(ServiceError::Backwards { text: owned() });
        }
        Ok(Self { is_udp, first, last })
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse()
        .ok()
        .filter(|port: &u16| *port > 0 && port.to_string() == text)
}

impl fmt::Display for PortSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.is_udp { "udp" } else { "tcp" };
        if self.first == self.last {
            write!(f, "{protocol}:{}", self.first)
        } else {
            write!(f, "{protocol}:{}-{}", self.first, self.last)
        }
    }
}

/// `tcp:143,tcp:993`.
impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, span) in self.0.iter().enumerate() {
            write!(f, "{}{span}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(texts: &[&str]) -> Ports {
        Ports::of(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_set_is_the_same_however_it_is_written() {
        assert_eq!(ports(&["tcp:1-4", "tcp:5", "tcp:3-9"]), ports(&["tcp:1-9"]));
        assert_eq!(ports(&["tcp:80", "udp:80"]).to_string(), "tcp:80,udp:80");
        assert_ne!(ports(&["tcp:1-3", "tcp:5"]), ports(&["tcp:1-5"]));
        assert_eq!(
            ports(&["tcp:65535", "tcp:65534-65535"]).to_string(),
            "tcp:65534-65535"
        );
    }

    #[test]
    fn what_is_no_port_is_refused_with_how_to_write_one() {
        for text in [
            "",
            "tcp",
            "tcp:",
            "tcp:0",
            "tcp:65536",
            "tcp:80-",
            "tcp:-80",
            "TCP:80",
            "sctp:80",
            "tcp:080",
            "tcp:+80",
            "tcp:80-90-100",
            "tcp: 80",
            "tcp:http",
        ] {
            let error = text.parse::<PortSpan>().unwrap_err();
            assert_eq!(
                error,
                ServiceError::Port {
                    text: text.to_owned()
                }
            );
        }
        let error = "tcp:90-80".parse::<PortSpan>().unwrap_err();
        assert_eq!(error.to_string(), "the range in `tcp:90-80` runs backwards");
    }

    #[test]
    fn common_ports_are_those_in_both() {
        let imap = Service::built_in("imap").unwrap().ports;
        assert_eq!(imap.common(&ports(&["tcp:993-995"])), ports(&["tcp:993"]));
        assert!(imap.common(&ports(&["udp:143"])).is_empty());
        assert_eq!(
            ports(&["tcp:1-9"]).without(&ports(&["tcp:3-4", "tcp:9"])),
            ports(&["tcp:1-2", "tcp:5-8"])
        );
        assert!(imap.contains(&ports(&["tcp:143"])) && !ports(&["tcp:143"]).contains(&imap));
    }

    #[test]
    fn https_is_quic_too() {
        assert_eq!(
            Service::built_in("https").unwrap().ports.to_string(),
            "tcp:443,udp:443"
        );
        assert!(Service::built_in_names().all(|name| Service::built_in(name).is_some()));
    }
}
