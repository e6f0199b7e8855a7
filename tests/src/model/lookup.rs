//! From a packet to its rule, and to the client it goes to.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use shaper_common::{
    outcome::Outcome,
    rule::{ClientKey, Rule, kind},
};

use super::policy::{Policy, Port, address_len};

/// A policy's exact rules and ports by key, for a model that is asked a million times.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    exact: HashMap<(u32, IpAddr), Rule>,
    ports: HashMap<Port, u32>,
}

impl Lookup {
    pub(super) fn new(policy: &Policy) -> Self {
        Self {
            exact: policy
                .exact()
                .map(|(service, address, rule)| ((service, address), rule))
                .collect(),
            ports: policy.ports.iter().copied().collect(),
        }
    }

    /// The rule that limits or blocks a destination, or why none does.
    pub(super) fn rule(
        &self,
        policy: &Policy,
        destination: IpAddr,
        port: Option<Port>,
    ) -> Result<Rule, Outcome> {
        let service = port.and_then(|port| self.ports.get(&port)).copied().unwrap_or(0);
        let exact = |service| self.exact.get(&(service, destination));
        if let Some(rule) = exact(service).or_else(|| exact(0)) {
            return unless_exempt(rule);
        }
        let is_of_family = |prefix: &IpAddr| prefix.is_ipv4() == destination.is_ipv4();
        if policy.any.is_none() && !policy.prefixes().any(|(_, prefix, ..)| is_of_family(&prefix)) {
            return Err(Outcome::Unlimited);
        }
        if is_never_limited(destination) {
            return Err(Outcome::NeverLimited);
        }
        let longest = |service| {
            policy
                .prefixes()
                .filter(|(of, prefix, len, _)| *of == service && covers(*prefix, *len, destination))
                .max_by_key(|(_, _, len, _)| *len)
                .map(|(_, _, len, rule)| (len, rule))
        };
        let for_all = longest(0).or(policy.any.map(|rule| (0, rule)));
        let for_service = if service == 0 { None } else { longest(service) };
        let candidates = [
            for_all.map(|rule| (false, rule)),
            for_service.map(|rule| (true, rule)),
        ];
        candidates
            .iter()
            .flatten()
            .max_by_key(|(is_service, (len, _))| (*len, *is_service))
            .map_or(Err(Outcome::Unlimited), |(_, (_, rule))| unless_exempt(rule))
    }
}

/// Key of the bucket that the client at `destination` has to himself, if `rule` tells clients apart.
pub(super) fn client(rule: &Rule, destination: IpAddr) -> Option<ClientKey> {
    let (len, address) = match destination {
        // Counted from the front of the address that it stands in.
        IpAddr::V4(address) => (
            rule.client_len4.checked_sub(1).map(|len| len + 97),
            address.to_ipv6_mapped(),
        ),
        IpAddr::V6(address) => (rule.client_len6.checked_sub(1).map(|len| len + 1), address),
    };
    let masked = u128::from(address) >> (128 - u32::from(len?)) << (128 - u32::from(len?));
    let octets = Ipv6Addr::from(masked).octets();
    let (words, _) = octets.as_chunks::<4>();
    Some(ClientKey {
        rule: rule.bucket,
        address: [0, 1, 2, 3].map(|word: usize| u32::from_ne_bytes(words[word])),
    })
}

fn unless_exempt(rule: &Rule) -> Result<Rule, Outcome> {
    if rule.kind == kind::EXEMPT {
        Err(Outcome::Exempt)
    } else {
        Ok(*rule)
    }
}

/// Whether two addresses of one family agree in the leading `prefix_len` bits.
fn covers(prefix: IpAddr, prefix_len: u32, address: IpAddr) -> bool {
    let n_host_bits = address_len(address) - prefix_len.min(address_len(address));
    let differing = match (prefix, address) {
        (IpAddr::V4(prefix), IpAddr::V4(address)) => u128::from(u32::from(prefix) ^ u32::from(address)),
        (IpAddr::V6(prefix), IpAddr::V6(address)) => u128::from(prefix) ^ u128::from(address),
        _ => return false,
    };
    differing.checked_shr(n_host_bits).unwrap_or(0) == 0
}

fn is_never_limited(destination: IpAddr) -> bool {
    match destination {
        IpAddr::V4(address) => {
            address.octets()[0] == 0
                || address.is_loopback()
                || address.is_link_local()
                || address.octets()[0] >= 224
        }
        IpAddr::V6(address) => {
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
        }
    }
}
