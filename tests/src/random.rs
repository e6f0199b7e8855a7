//! Random policies and frames, drawn so that every outcome is frequent.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::Range,
};

use shaper_common::{
    bucket::CHUNK_BUCKETS,
    outcome::Outcome,
    pacing::{Limit, MAX_RATE_BYTES_PER_SEC, MIN_RATE_BYTES_PER_SEC},
    rule::{Rule, kind},
};

use crate::{
    model::{Packet, Policy},
    packet,
};

/// A generator of numbers that depend on the seed alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// Whether one in `n` came up.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of as many bits as `bits` allows: each order of magnitude is as likely as the next.
    pub fn magnitude(&mut self, bits: Range<u32>) -> u64 {
        let n_bits = bits.start + self.below32(bits.end - bits.start);
        (1 << n_bits) | self.below(1 << n_bits)
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn below32(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }
}

/// A policy in which a few buckets are shared by many rules, so that they fill up.
#[must_use]
pub fn policy(random: &mut Random) -> Policy {
    Policy {
        exact4: (0..random.below(40))
            .map(|_| (near4(random), rule(random)))
            .collect(),
        exact6: (0..random.below(40))
            .map(|_| (near6(random), rule(random)))
            .collect(),
        prefix4: (0..random.below(8)).map(|_| prefix4(random)).collect(),
        prefix6: (0..random.below(8)).map(|_| prefix6(random)).collect(),
        any: random.one_in(2).then(|| rule(random)),
    }
    .without_duplicates()
}

fn rule(random: &mut Random) -> Rule {
    let rate = random
        .magnitude(10..37)
        .clamp(MIN_RATE_BYTES_PER_SEC, MAX_RATE_BYTES_PER_SEC);
    let ecn_ns = (!random.one_in(4)).then(|| random.magnitude(0..25));
    let limit = Limit::new(rate, random.magnitude(0..30), random.magnitude(10..35), ecn_ns);
    let bucket = if random.one_in(50) {
        CHUNK_BUCKETS + random.below32(9)
    } else {
        random.below32(16)
    };
    let kind = if random.one_in(8) {
        kind::EXEMPT
    } else {
        kind::LIMITED
    };
    Rule {
        kind,
        ..Rule::limited(limit, bucket)
    }
}

/// An address of a small neighbourhood, so that rules and frames meet.
fn near4(random: &mut Random) -> Ipv4Addr {
    Ipv4Addr::new(
        10,
        random.pick(&[0, 1, 2, 128]),
        random.pick(&[0, 1, 255]),
        random.pick(&[0, 1, 2, 3, 4, 255]),
    )
}

fn near6(random: &mut Random) -> Ipv6Addr {
    let low = random.pick(&[0, 1, 2, 3, 0xffff]);
    Ipv6Addr::new(
        0x2001,
        0xdb8,
        0,
        random.pick(&[0, 1, 0x8000]),
        0,
        random.pick(&[0, 1]),
        0,
        low,
    )
}

fn prefix4(random: &mut Random) -> (Ipv4Addr, u32, Rule) {
    let prefix_len = random.below32(33);
    let mask = u32::MAX.checked_shl(32 - prefix_len).unwrap_or(0);
    (
        Ipv4Addr::from(u32::from(near4(random)) & mask),
        prefix_len,
        rule(random),
    )
}

fn prefix6(random: &mut Random) -> (Ipv6Addr, u32, Rule) {
    let prefix_len = random.below32(129);
    let mask = u128::MAX.checked_shl(128 - prefix_len).unwrap_or(0);
    (
        Ipv6Addr::from(u128::from(near6(random)) & mask),
        prefix_len,
        rule(random),
    )
}

/// A frame and what the program is to make of it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its bytes.
    pub frame: Vec<u8>,
    /// What they say.
    pub packet: Packet,
}

/// A random frame, most often to a destination that a rule of `policy` covers.
#[must_use]
pub fn frame(random: &mut Random, policy: &Policy, now_ns: u64) -> Sample {
    let destination = destination(random, policy);
    let ecn = u8::try_from(random.below(4)).unwrap();
    let payload_len = usize::try_from(random.magnitude(1..11)).unwrap();
    let is_link_control = random.one_in(20);
    let frame = if is_link_control {
        packet::link_control(destination, ecn)
    } else {
        packet::udp_with_ecn(destination, ecn, payload_len)
    };
    let mut sample = Sample {
        frame,
        packet: Packet {
            destination: Ok(destination),
            is_link_control,
            wire_len: 0,
            is_ect: ecn != 0,
            is_stampable: true,
            tstamp: tstamp(random, now_ns),
            priority: if random.one_in(4) { random.below32(64) } else { 0 },
        },
    };
    if random.one_in(10) {
        spoil(random, &mut sample);
    }
    let n_tags = if random.one_in(5) { random.below(4) } else { 0 };
    for _ in 0..n_tags {
        let control = u16::from_le_bytes([random.byte(), random.byte()]);
        sample.frame = packet::tagged(random.pick(&[0x8100, 0x88a8]), control, &sample.frame);
    }
    if n_tags > 0 {
        sample.packet.is_link_control = false;
        sample.packet.is_ect = false;
        sample.packet.is_stampable = false;
    }
    if n_tags > 2 {
        sample.packet.destination = Err(Outcome::Unparsable);
    }
    let len = u32::try_from(sample.frame.len()).unwrap();
    // A longer wire length without segments is what a packet looks like that was cut after it was counted.
    sample.packet.wire_len = if random.one_in(4) {
        (len + random.below32(65_000)).min(65_536)
    } else {
        len
    };
    sample
}

fn destination(random: &mut Random, policy: &Policy) -> IpAddr {
    match random.below(10) {
        0..3 if !policy.exact4.is_empty() => {
            let index = usize::try_from(random.below(policy.exact4.len() as u64)).unwrap();
            IpAddr::V4(policy.exact4[index].0)
        }
        3..6 if !policy.exact6.is_empty() => {
            let index = usize::try_from(random.below(policy.exact6.len() as u64)).unwrap();
            IpAddr::V6(policy.exact6[index].0)
        }
        0..8 if random.one_in(2) => IpAddr::V4(near4(random)),
        0..8 => IpAddr::V6(near6(random)),
        8 if random.one_in(2) => IpAddr::V4(Ipv4Addr::from(u32::try_from(random.bits() >> 32).unwrap())),
        8 => IpAddr::V6(Ipv6Addr::from(
            u128::from(random.bits()) << 64 | u128::from(random.bits()),
        )),
        _ => random
            .pick(&[
                "224.0.0.1",
                "255.255.255.255",
                "127.0.0.1",
                "169.254.3.4",
                "ff02::1",
                "fe80::1",
                "::1",
                "::",
            ])
            .parse()
            .unwrap(),
    }
}

/// Mostly none; else past, near, beyond what `fq` accepts, or of the wall clock.
fn tstamp(random: &mut Random, now_ns: u64) -> u64 {
    match random.below(12) {
        0 => now_ns - random.magnitude(0..30),
        1 => now_ns + random.magnitude(0..40),
        2 => 1_790_000_000_000_000_000 + random.magnitude(0..40),
        _ => 0,
    }
}

/// Makes the frame something else than IP, or something that only claims to be.
fn spoil(random: &mut Random, sample: &mut Sample) {
    sample.packet.is_ect = false;
    if random.one_in(2) {
        sample.frame[12..14]
            .copy_from_slice(&random.pick(&[0x0806_u16, 0x88cc, 0x8847, 0x0801]).to_be_bytes());
        sample.packet.destination = Err(Outcome::NotIp);
        sample.packet.is_stampable = false;
    } else {
        let version = random.pick(&[0, 1, 5, 7, 15]);
        sample.frame[14] = (sample.frame[14] & 0xf) | (version << 4);
        sample.packet.destination = Err(Outcome::Unparsable);
    }
}
