//! The oracle: what the kernel program must do with a packet, said once more with ordinary maps.
//!
//! The decision for one limit is `shaper_common`'s; the way to it, what two limits come to and the consequences are
//! written anew.

mod lookup;
mod packet;
mod policy;

use std::{collections::HashMap, net::IpAddr, num::NonZeroU32};

use shaper_common::{
    bucket::{Bucket, CHUNK_BUCKETS},
    outcome::{N_OUTCOMES, Outcome},
    pacing::{Limit, Verdict, schedule, ticks},
    rule::{ClientKey, Rule, kind},
    shared::admit,
    stamp::{Stamp, reconcile},
};

use self::lookup::Lookup;
pub use self::packet::{Expected, Packet};
pub use self::policy::{Policy, Port};

/// Policy, buckets and totals.
#[derive(Clone, Debug, Default)]
pub struct Model {
    policy: Policy,
    lookup: Lookup,
    is_policing: bool,
    /// By bucket number; one that is missing is untouched.
    pub buckets: HashMap<u32, Bucket>,
    /// Buckets of clients.
    pub clients: HashMap<ClientKey, Bucket>,
    /// How many of them there can be.
    pub max_clients: usize,
    /// In the order of [`Outcome`].
    pub totals: [u64; N_OUTCOMES as usize],
}

/// Where a bucket is found.
#[derive(Clone, Copy)]
enum Place {
    Number(u32),
    Client(ClientKey),
}

/// A limit on a packet, and what its bucket says to it.
#[derive(Clone, Copy)]
struct Charge {
    place: Place,
    verdict: Verdict,
}

impl Model {
    /// A model without a policy; `is_policing` drops what would have to wait.
    #[must_use]
    pub fn new(is_policing: bool) -> Self {
        Self {
            is_policing,
            ..Self::default()
        }
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Puts another policy in force; buckets stay.
    pub fn replace_policy(&mut self, policy: &Policy) {
        self.lookup = Lookup::new(policy);
        self.policy = policy.clone();
    }

    /// Forgets all clients, and makes room for so many.
    pub fn replace_clients(&mut self, max_clients: usize) {
        self.clients.clear();
        self.max_clients = max_clients;
    }

    /// Sends a packet.
    pub fn send(&mut self, packet: &Packet, now_ns: u64) -> Expected {
        let mut expected = Expected {
            outcome: Outcome::Unlimited,
            tstamp: packet.tstamp,
            priority: packet.priority,
            is_marked: false,
        };
        let found = packet.destination.and_then(|destination| {
            let rule = self.lookup.rule(&self.policy, destination, packet.port)?;
            Ok((rule, destination))
        });
        expected.outcome = match found {
            Err(outcome) => outcome,
            Ok(_) if packet.is_link_control => Outcome::NeverLimited,
            Ok((rule, _)) if rule.kind == kind::BLOCKED => {
                if rule.bucket < CHUNK_BUCKETS {
                    self.count_drop(Place::Number(rule.bucket));
                }
                Outcome::Blocked
            }
            Ok((rule, destination)) => match self.place(&rule, destination) {
                Some(place) => self.limit(place, &rule, packet, now_ns, &mut expected),
                None => Outcome::NoBucket,
            },
        };
        self.count(expected.outcome);
        expected
    }

    /// Where a rule's packet is charged; makes a bucket for a client that has none.
    fn place(&mut self, rule: &Rule, destination: IpAddr) -> Option<Place> {
        if let Some(key) = lookup::client(rule, destination) {
            if self.clients.contains_key(&key) || self.clients.len() < self.max_clients {
                self.clients.entry(key).or_default();
                return Some(Place::Client(key));
            }
            self.count(Outcome::ClientsFull);
        }
        (rule.bucket < CHUNK_BUCKETS).then_some(Place::Number(rule.bucket))
    }

    fn limit(
        &mut self,
        place: Place,
        rule: &Rule,
        packet: &Packet,
        now_ns: u64,
        expected: &mut Expected,
    ) -> Outcome {
        let mut charges = vec![self.decide(place, &rule.limit.unpacked(), packet, now_ns)];
        let group = usize::try_from(rule.group).unwrap().checked_sub(1);
        if let Some(group) = group.and_then(|group| self.policy.groups.get(group)).copied()
            && group.bucket < CHUNK_BUCKETS
        {
            charges.push(self.decide(
                Place::Number(group.bucket),
                &group.limit.unpacked(),
                packet,
                now_ns,
            ));
        }
        if charges
            .iter()
            .any(|charge| charge.verdict == Verdict::BeyondHorizon)
        {
            return self.drop_packet(&charges, Outcome::BeyondHorizon);
        }
        if !self.may_wait(&charges, rule.shared_packets, packet, now_ns) {
            return self.drop_packet(&charges, Outcome::SharedFull);
        }
        let (departure_ns, asks_for_mark) = self.charge(&charges, now_ns);
        let is_paced = departure_ns > now_ns;
        if is_paced {
            expected.is_marked = asks_for_mark && packet.is_ect;
            if packet.priority % 16 == 7 {
                expected.priority = packet.priority - 1;
            }
        }
        self.count_sent(&charges, packet, is_paced, expected.is_marked);
        if !self.is_policing {
            self.stamp(packet, departure_ns, now_ns, expected);
        }
        if is_paced {
            Outcome::Paced
        } else {
            Outcome::Conforming
        }
    }

    fn decide(&mut self, place: Place, limit: &Limit, packet: &Packet, now_ns: u64) -> Charge {
        let horizon_ticks = if self.is_policing { 0 } else { limit.horizon_ticks };
        let limit = Limit {
            horizon_ticks,
            ..*limit
        };
        let last_departure_ticks = self.bucket(place).last_departure_ticks;
        Charge {
            place,
            verdict: schedule(&limit, last_departure_ticks, now_ns, packet.wire_len),
        }
    }

    /// Charges all; when the packet departs, and whether any limit asks for a mark.
    fn charge(&mut self, charges: &[Charge], now_ns: u64) -> (u64, bool) {
        let (mut latest_ns, mut asks_for_mark) = (now_ns, false);
        for charge in charges {
            let bucket = self.bucket(charge.place);
            match charge.verdict {
                Verdict::Conforming { last_departure_ticks } => {
                    bucket.last_departure_ticks = last_departure_ticks;
                }
                Verdict::Paced {
                    departure_ns,
                    last_departure_ticks,
                    is_marked,
                } => {
                    bucket.last_departure_ticks = last_departure_ticks;
                    latest_ns = latest_ns.max(departure_ns);
                    asks_for_mark |= is_marked;
                }
                Verdict::BeyondHorizon => unreachable!("dropped before anything was charged"),
            }
        }
        (latest_ns, asks_for_mark)
    }

    fn stamp(&mut self, packet: &Packet, departure_ns: u64, now_ns: u64, expected: &mut Expected) {
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
    }

    fn bucket(&mut self, place: Place) -> &mut Bucket {
        match place {
            Place::Number(number) => self.buckets.entry(number).or_default(),
            Place::Client(key) => self.clients.entry(key).or_default(),
        }
    }

    fn count_sent(&mut self, charges: &[Charge], packet: &Packet, is_paced: bool, is_marked: bool) {
        for charge in charges {
            let bucket = self.bucket(charge.place);
            bucket.sent_packets += 1;
            bucket.sent_bytes += u64::from(packet.wire_len);
            bucket.paced_packets += u64::from(is_paced);
            bucket.marked_packets += u64::from(is_marked);
        }
        if is_marked {
            self.count(Outcome::Marked);
        }
    }

    /// Whether a packet, which is of a shared socket, may wait if it has to; takes its place.
    fn may_wait(&mut self, charges: &[Charge], max_packets: u32, packet: &Packet, now_ns: u64) -> bool {
        let now_ticks = ticks(now_ns);
        let starts = charges
            .iter()
            .map(|charge| self.bucket(charge.place).last_departure_ticks);
        let wait_ticks = starts.max().unwrap_or(0).saturating_sub(now_ticks);
        let Some(max_packets) = NonZeroU32::new(max_packets).filter(|_| wait_ticks > 0) else {
            return true;
        };
        let bucket = self.bucket(charges[0].place);
        let taken_ticks = bucket.shared_ticks;
        match admit(taken_ticks, now_ticks, wait_ticks, packet.wire_len, max_packets) {
            Some(taken_ticks) => {
                self.bucket(charges[0].place).shared_ticks = taken_ticks;
                true
            }
            None => false,
        }
    }

    fn drop_packet(&mut self, charges: &[Charge], outcome: Outcome) -> Outcome {
        for charge in charges {
            self.count_drop(charge.place);
        }
        outcome
    }

    fn count_drop(&mut self, place: Place) {
        self.bucket(place).dropped_packets += 1;
    }

    fn count(&mut self, outcome: Outcome) {
        self.totals[outcome as usize] += 1;
    }
}
