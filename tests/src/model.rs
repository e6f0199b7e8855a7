//! The oracle: what the kernel program must do with a packet, said once more with ordinary maps.
//!
//! The decision itself is `shaper_common`'s; the way to it and the consequences are written anew.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use shaper_common::{
    bucket::{Bucket, CHUNK_BUCKETS},
    outcome::{N_OUTCOMES, Outcome},
    pacing::{Verdict, schedule},
    rule::{Rule, feature, kind},
    stamp::{Stamp, reconcile},
};

/// A policy as literals.
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
}

impl Policy {
    /// Bits of [`feature`].
    #[must_use]
    pub fn features(&self) -> u32 {
        let bit = |is_set, bit| if is_set { bit } else { 0 };
        bit(!self.exact4.is_empty(), feature::EXACT4)
            | bit(!self.exact6.is_empty(), feature::EXACT6)
            | bit(!self.prefix4.is_empty(), feature::PREFIX4)
            | bit(!self.prefix6.is_empty(), feature::PREFIX6)
            | bit(self.any.is_some(), feature::ANY)
    }
}

impl Policy {
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
        self
    }
}

fn keep_last<T, K: Eq + Hash>(rules: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = HashSet::new();
    rules.reverse();
    rules.retain(|rule| seen.insert(key(rule)));
}

/// What the program is told about a packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet {
    /// Its destination, or why it has none.
    pub destination: Result<IpAddr, Outcome>,
    /// Whether it keeps the link alive, and is therefore never limited.
    pub is_link_control: bool,
    /// Bytes on the wire that are charged.
    pub wire_len: u32,
    /// Whether it can carry a CE mark.
    pub is_ect: bool,
    /// Whether the kernel's helper can stamp it.
    pub is_stampable: bool,
    /// The stamp it carries.
    pub tstamp: u64,
    /// Its priority.
    pub priority: u32,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The main total that counts it.
    pub outcome: Outcome,
    /// Its stamp afterwards.
    pub tstamp: u64,
    /// Its priority afterwards.
    pub priority: u32,
    /// Whether it is marked afterwards.
    pub is_marked: bool,
}

/// Policy, buckets and totals.
#[derive(Clone, Debug, Default)]
pub struct Model {
    policy: Policy,
    exact: HashMap<IpAddr, Rule>,
    /// By bucket number; one that is missing is untouched.
    pub buckets: HashMap<u32, Bucket>,
    /// In the order of [`Outcome`].
    pub totals: [u64; N_OUTCOMES as usize],
}

impl Model {
    /// A model of untouched buckets under `policy`.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let v4 = policy
            .exact4
            .iter()
            .map(|(address, rule)| (IpAddr::V4(*address), *rule));
        let v6 = policy
            .exact6
            .iter()
            .map(|(address, rule)| (IpAddr::V6(*address), *rule));
        Self {
            policy: policy.clone(),
            exact: v4.chain(v6).collect(),
            buckets: HashMap::new(),
            totals: [0; N_OUTCOMES as usize],
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Puts another policy in force; buckets stay.
    pub fn replace_policy(&mut self, policy: &Policy) {
        let fresh = Self::new(policy);
        self.policy = fresh.policy;
        self.exact = fresh.exact;
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &Packet, now_ns: u64) -> Expected {
        let untouched = |outcome| Expected {
            outcome,
            tstamp: packet.tstamp,
            priority: packet.priority,
            is_marked: false,
        };
        let rule = packet.destination.and_then(|destination| self.rule(destination));
        let expected = match rule {
            Err(outcome) => untouched(outcome),
            Ok(_) if packet.is_link_control => untouched(Outcome::NeverLimited),
            Ok(rule) if rule.bucket >= CHUNK_BUCKETS => untouched(Outcome::NoBucket),
            Ok(rule) => self.limit(&rule, packet, now_ns),
        };
        self.count(expected.outcome);
        expected
    }

    fn limit(&mut self, rule: &Rule, packet: &Packet, now_ns: u64) -> Expected {
        let bucket = self.buckets.entry(rule.bucket).or_default();
        let mut expected = Expected {
            outcome: Outcome::BeyondHorizon,
            tstamp: packet.tstamp,
            priority: packet.priority,
            is_marked: false,
        };
        let verdict = schedule(&rule.limit, bucket.last_departure_ticks, now_ns, packet.wire_len);
        let departure_ns = match verdict {
            Verdict::BeyondHorizon => {
                bucket.dropped_packets += 1;
                bucket.dropped_bytes += u64::from(packet.wire_len);
                return expected;
            }
            Verdict::Conforming { last_departure_ticks } => {
                bucket.last_departure_ticks = last_departure_ticks;
                expected.outcome = Outcome::Conforming;
                now_ns
            }
            Verdict::Paced {
                departure_ns,
                last_departure_ticks,
                is_marked,
            } => {
                bucket.last_departure_ticks = last_departure_ticks;
                bucket.paced_packets += 1;
                expected.outcome = Outcome::Paced;
                if packet.priority % 16 == 7 {
                    expected.priority = packet.priority - 1;
                }
                expected.is_marked = is_marked && packet.is_ect;
                departure_ns
            }
        };
        bucket.sent_packets += 1;
        bucket.sent_bytes += u64::from(packet.wire_len);
        if expected.is_marked {
            bucket.marked_packets += 1;
            self.count(Outcome::Marked);
        }
        let stamp = reconcile(packet.tstamp, 0, departure_ns, now_ns);
        if let Stamp::Set(tstamp) | Stamp::Replace(tstamp) = stamp {
            expected.tstamp = tstamp;
            if !packet.is_stampable {
                self.count(Outcome::RawStamped);
            }
        }
        if let Stamp::Replace(_) = stamp {
            self.count(Outcome::Restamped);
        }
        expected
    }

    /// The rule that limits a destination, or why none does.
    fn rule(&self, destination: IpAddr) -> Result<Rule, Outcome> {
        let unless_exempt = |rule: &Rule| {
            if rule.kind == kind::EXEMPT {
                Err(Outcome::Exempt)
            } else {
                Ok(*rule)
            }
        };
        if let Some(rule) = self.exact.get(&destination) {
            return unless_exempt(rule);
        }
        let has_prefixes = match destination {
            IpAddr::V4(_) => !self.policy.prefix4.is_empty(),
            IpAddr::V6(_) => !self.policy.prefix6.is_empty(),
        };
        if !has_prefixes && self.policy.any.is_none() {
            return Err(Outcome::Unlimited);
        }
        if is_never_limited(destination) {
            return Err(Outcome::NeverLimited);
        }
        let longest = match destination {
            IpAddr::V4(address) => longest(&self.policy.prefix4, |(prefix, prefix_len, rule)| {
                covers(
                    u32::from(*prefix).into(),
                    u32::from(address).into(),
                    32 - prefix_len,
                )
                .then_some((*prefix_len, rule))
            }),
            IpAddr::V6(address) => longest(&self.policy.prefix6, |(prefix, prefix_len, rule)| {
                covers((*prefix).into(), address.into(), 128 - prefix_len).then_some((*prefix_len, rule))
            }),
        };
        longest
            .or(self.policy.any.as_ref())
            .map_or(Err(Outcome::Unlimited), unless_exempt)
    }

    fn count(&mut self, outcome: Outcome) {
        self.totals[outcome as usize] += 1;
    }
}

fn longest<P>(prefixes: &[P], covering: impl Fn(&P) -> Option<(u32, &Rule)>) -> Option<&Rule> {
    prefixes
        .iter()
        .filter_map(covering)
        .max_by_key(|(prefix_len, _)| *prefix_len)
        .map(|(_, rule)| rule)
}

/// Whether two addresses agree but for the last `n_host_bits`.
fn covers(prefix: u128, address: u128, n_host_bits: u32) -> bool {
    let differing = prefix ^ address;
    n_host_bits == 128 || differing >> n_host_bits == 0
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
