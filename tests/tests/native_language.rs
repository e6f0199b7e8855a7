//! Random configurations, from their text to the kernel's tables by the loader's own way: what becomes of random packets
//! is what `shaper get` says.

use std::{collections::BTreeMap, net::IpAddr};

use shaper_common::{bucket::Bucket, outcome::Outcome, pacing::Limit};
use shaper_tests::{
    disturbed::Program,
    model::{self, Packet},
    object,
    random::{self, Random, Written},
    world::World,
};
use shaper_user::{
    policy::{
        Action, Destination, Policy, PortSpan, Ports, Prefix, Winner,
        tables::{Entry, Tables},
    },
    stats::Snapshot,
};

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum(u64, u64);

impl Sum {
    fn add(&mut self, packet: &Packet) {
        self.0 += 1;
        self.1 += u64::from(packet.wire_len);
    }
}

/// Who was charged for what. A rule is known by its rate, as [`Written`] gives each another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Charged {
    rules: BTreeMap<u64, Sum>,
    clients: BTreeMap<(u64, IpAddr), Sum>,
    /// By name.
    groups: BTreeMap<String, Sum>,
    blocked_packets: u64,
    /// Packets that no rule limits.
    left_alone_packets: u64,
}

#[test]
fn the_kernel_does_with_random_packets_what_get_says() {
    let (n_configs, n_packets) = if object::in_lab() { (30, 100) } else { (400, 300) };
    let mut random = Random::new(random::seed());
    let world = World::new();
    let plane = world.up();
    let program = Program::load(&world);
    let mut written = Written::new(&mut random);
    let mut all = Charged::default();
    for n_config in 0..n_configs {
        // Often one entry is all that differs, and the loader puts it in place.
        if random.one_in(2) {
            written = Written::new(&mut random);
        } else {
            written.change(&mut random);
        }
        let policy = written.policy().expect("what would be refused is left out");
        plane.apply(&Tables::from(&policy)).unwrap();
        let before = charged(&plane.snapshot().unwrap(), &policy);
        let mut expected = Charged::default();
        for _ in 0..n_packets {
            let sample = random::frame(&mut random, &model::Policy::default(), 1 << 40);
            expected.add(&policy, &sample.packet);
            program.send_frame(&sample.frame, sample.packet.wire_len);
        }
        let after = charged(&plane.snapshot().unwrap(), &policy);
        assert_eq!(
            since(after, &before),
            expected,
            "configuration {n_config}:\n{}",
            written.text()
        );
        all.rules.extend(expected.rules);
        all.clients.extend(expected.clients);
        all.groups.extend(expected.groups);
        all.blocked_packets += expected.blocked_packets;
        all.left_alone_packets += expected.left_alone_packets;
    }
    // A run that never got to some of it would prove nothing about it.
    assert!(!all.rules.is_empty() && !all.clients.is_empty() && all.groups.len() == 2);
    assert!(all.blocked_packets > 0 && all.left_alone_packets > 0);
}

impl Charged {
    /// Adds what becomes of a packet by the policy's own account.
    fn add(&mut self, policy: &Policy, packet: &Packet) {
        let port = packet.port.map(|port| PortSpan {
            is_udp: port.is_udp,
            first: port.number,
            last: port.number,
        });
        let ports = port.map(|port| Ports::of(vec![port]));
        let winner = packet.destination.ok().map(|address| {
            let destination = Destination::Prefix(Prefix::from(address));
            (address, policy.explain(destination, ports.as_ref())[0].winner)
        });
        let Some((address, Winner::Rule(rule))) = winner.filter(|_| !packet.is_link_control) else {
            self.left_alone_packets += 1;
            return;
        };
        let limit = match &rule.action {
            Action::Unlimited => {
                self.left_alone_packets += 1;
                return;
            }
            Action::Block => {
                self.blocked_packets += 1;
                return;
            }
            Action::Limit(limit) => identity(&limit.limit()),
        };
        self.rules.entry(limit).or_default().add(packet);
        if let Some(group) = &rule.group {
            self.groups.entry(group.name.clone()).or_default().add(packet);
        }
        if let Some(lens) = rule.per.clients(rule.destination) {
            let len = if address.is_ipv4() { lens.v4 } else { lens.v6 };
            let client = Prefix::of(address, len).address();
            self.clients.entry((limit, client)).or_default().add(packet);
        }
    }
}

/// What the kernel has counted.
fn charged(snapshot: &Snapshot, policy: &Policy) -> Charged {
    let mut charged = Charged::default();
    let mut limits = BTreeMap::new();
    let mut blocked = BTreeMap::new();
    for entry in &snapshot.entries {
        match entry.entry {
            Entry::Exempt => {}
            Entry::Blocked { .. } => {
                blocked.insert(entry.bucket_number, entry.bucket.dropped_packets);
            }
            Entry::Limited { limit, .. } => {
                limits.insert(entry.bucket_number, identity(&limit));
                charged.rules.insert(identity(&limit), sum(&entry.bucket));
            }
        }
    }
    for client in &snapshot.clients {
        let key = (limits[&client.bucket_number], client.address);
        charged.clients.insert(key, sum(&client.bucket));
    }
    for (group, counted) in policy.groups().iter().zip(&snapshot.groups) {
        charged.groups.insert(group.name.clone(), sum(&counted.bucket));
    }
    charged.blocked_packets = blocked.values().sum();
    charged.left_alone_packets = [
        Outcome::Unlimited,
        Outcome::Exempt,
        Outcome::NeverLimited,
        Outcome::NotIp,
        Outcome::Unparsable,
    ]
    .map(|outcome| snapshot.total(outcome))
    .iter()
    .sum();
    charged
}

/// What was counted in between, without what was not.
fn since(after: Charged, before: &Charged) -> Charged {
    Charged {
        rules: growth(after.rules, &before.rules),
        clients: growth(after.clients, &before.clients),
        groups: growth(after.groups, &before.groups),
        blocked_packets: after.blocked_packets - before.blocked_packets,
        left_alone_packets: after.left_alone_packets - before.left_alone_packets,
    }
}

fn growth<K: Ord>(after: BTreeMap<K, Sum>, before: &BTreeMap<K, Sum>) -> BTreeMap<K, Sum> {
    let grown = after.into_iter().map(|(key, sum)| {
        let old = before.get(&key).copied().unwrap_or_default();
        (key, Sum(sum.0 - old.0, sum.1 - old.1))
    });
    grown.filter(|(_, sum)| *sum != Sum::default()).collect()
}

fn sum(bucket: &Bucket) -> Sum {
    Sum(bucket.sent_packets, bucket.sent_bytes)
}

/// A number that only limits of the same rate share.
fn identity(limit: &Limit) -> u64 {
    limit.ticks_per_byte
}
