//! A policy as literals.

use std::{
    collections::HashSet,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use shaper_common::rule::{Group, Rule, feature};

/// A policy. Rules for every service stand by family, those for one service apart.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Exact IPv4 destinations.
    pub exact4: Vec<(Ipv4Addr, Rule)>,
    /// Exact IPv6 destinations.
    pub exact6: Vec<(Ipv6Addr, Rule)>,
    /// IPv4 prefixes.
    pub prefix4: Vec<(Ipv4Addr, u32, Rule)>,
    /// IPv6 prefixes.
    pub prefix6: Vec<(Ipv6Addr, u32, Rule)>,
    /// The rule for all the rest.
    pub any: Option<Rule>,
    /// Rules for one service: its number, then destination and prefix length; of full length, it is exact.
    pub for_service: Vec<(u32, IpAddr, u32, Rule)>,
    /// Which service a port belongs to.
    pub ports: Vec<(Port, u32)>,
    /// What [`Rule::group`] less one counts.
    pub groups: Vec<Group>,
}

/// A server's own port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// UDP instead of TCP.
    pub is_udp: bool,
    /// Its number.
    pub number: u16,
}

/// Bits of an address.
pub(crate) fn address_len(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Policy {
    /// Bits of [`feature`].
    #[must_use]
    pub fn features(&self) -> u32 {
        let bit = |is_set, bit| if is_set { bit } else { 0 };
        let of_service = |is_v4, is_exact| {
            self.for_service.iter().any(|(_, address, prefix_len, _)| {
                address.is_ipv4() == is_v4 && (*prefix_len == address_len(*address)) == is_exact
            })
        };
        bit(!self.exact4.is_empty() || of_service(true, true), feature::EXACT4)
            | bit(
                !self.exact6.is_empty() || of_service(false, true),
                feature::EXACT6,
            )
            | bit(
                !self.prefix4.is_empty() || of_service(true, false),
                feature::PREFIX4,
            )
            | bit(
                !self.prefix6.is_empty() || of_service(false, false),
                feature::PREFIX6,
            )
            | bit(self.any.is_some(), feature::ANY)
            | bit(!self.ports.is_empty(), feature::SERVICES)
            | feature::FILTER
    }

    /// The exact rules of both families: service, destination, rule.
    pub fn exact(&self) -> impl Iterator<Item = (u32, IpAddr, Rule)> + '_ {
        let v4 = self.exact4.iter().map(|(to, rule)| (0, IpAddr::V4(*to), *rule));
        let v6 = self.exact6.iter().map(|(to, rule)| (0, IpAddr::V6(*to), *rule));
        let of_service = self
            .for_service
            .iter()
            .filter(|(_, to, prefix_len, _)| *prefix_len == address_len(*to))
            .map(|(service, to, _, rule)| (*service, *to, *rule));
        v4.chain(v6).chain(of_service)
    }

    /// The prefix rules of both families: service, prefix, prefix length, rule.
    pub fn prefixes(&self) -> impl Iterator<Item = (u32, IpAddr, u32, Rule)> + '_ {
        let v4 = self
            .prefix4
            .iter()
            .map(|(to, len, rule)| (0, IpAddr::V4(*to), *len, *rule));
        let v6 = self
            .prefix6
            .iter()
            .map(|(to, len, rule)| (0, IpAddr::V6(*to), *len, *rule));
        let of_service = self
            .for_service
            .iter()
            .filter(|(_, to, prefix_len, _)| *prefix_len != address_len(*to))
            .copied();
        v4.chain(v6).chain(of_service)
    }

    /// The same without the rules that a later one for the same destinations would overwrite.
    #[must_use]
    pub fn without_duplicates(mut self) -> Self {
        keep_last(&mut self.exact4, |(address, _)| *address);
        keep_last(&mut self.exact6, |(address, _)| *address);
        keep_last(&mut self.prefix4, |(address, prefix_len, _)| {
            (*address, *prefix_len)
        });
        keep_last(&mut self.prefix6, |(address, prefix_len, _)| {
            (*address, *prefix_len)
        });
        keep_last(&mut self.for_service, |(service, address, prefix_len, _)| {
            (*service, *address, *prefix_len)
        });
        keep_last(&mut self.ports, |(port, _)| *port);
        self
    }
}

fn keep_last<T, K: Eq + Hash>(rules: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    rules.reverse();
    rules.retain(|rule| seen.insert(key(rule)));
}
