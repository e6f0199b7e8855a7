//! Sets of ports.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::service::ServiceError;

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
