//! Two policies, the way from one to the other, and packets to a destination that both limit.

use std::collections::BTreeSet;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use shaper_common::header::ETH_P_IP;
use shaper_common::names::{LAYOUT_VERSION, PINNED_MAPS, PROGRAM};
use shaper_user::dataplane::Dataplane;
use shaper_user::policy::tables::Tables;

use crate::entries::{everything, limited, v4};
use crate::world::World;
use crate::{object, packet};

/// A destination that every policy limits, by one and the same bucket.
pub const LIMITED: [u8; 4] = [10, 0, 0, 1];

/// The program over the pinned maps of a world.
#[derive(Debug)]
pub struct Program(Ebpf);

impl Program {
    /// Loads it.
    #[must_use]
    pub fn load(world: &World) -> Self {
        let mut loader = EbpfLoader::new();
        let pins = world.paths().bpffs.join(format!("v{LAYOUT_VERSION}"));
        for name in PINNED_MAPS {
            loader.map_pin_path(name, pins.join(name));
        }
        let object = object::bytes();
        let mut ebpf = loader.load(&object).unwrap();
        let program: &mut SchedClassifier = ebpf.program_mut(PROGRAM).unwrap().try_into().unwrap();
        program.load().unwrap();
        Self(ebpf)
    }

    /// The program itself.
    #[must_use]
    pub fn classifier(&self) -> &SchedClassifier {
        self.0.program(PROGRAM).unwrap().try_into().unwrap()
    }

    /// Sends a packet.
    pub fn send(&self, address: [u8; 4]) {
        let frame = packet::ethernet(ETH_P_IP, &packet::ipv4(address.into(), 17, 0, &[0; 64]));
        let options = TestRunOptions {
            data_in: Some(&frame),
            repeat: 1,
            ..TestRunOptions::default()
        };
        self.classifier().test_run(options).unwrap();
    }
}

/// All tables anew, and back to a few.
#[must_use]
pub fn few_and_everything() -> [Tables; 2] {
    let few = Tables::new(vec![limited(v4(1), 3_000_000), limited(v4(7), 1_000_000)]);
    [few, everything()]
}

/// Two that differ in one entry.
#[must_use]
pub fn one_entry() -> [Tables; 2] {
    let all = everything();
    let mut entries = all.entries().to_vec();
    for entry in entries.iter_mut().filter(|(key, _)| *key == v4(1)) {
        *entry = limited(v4(1), 7_000_000);
    }
    let mut one = Tables::new(entries);
    one.groups.clone_from(&all.groups);
    one.ports.clone_from(&all.ports);
    one.max_clients = all.max_clients;
    [all, one]
}

/// Two with other groups, and another maximum of clients.
#[must_use]
pub fn groups_and_clients() -> [Tables; 2] {
    let all = everything();
    let mut other = all.clone();
    other.groups.reverse();
    other.max_clients *= 2;
    [all, other]
}

/// The names of all pins.
#[must_use]
pub fn pins(world: &World) -> BTreeSet<String> {
    let dir = world.paths().bpffs.join(format!("v{LAYOUT_VERSION}"));
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Packets that the bucket of [`LIMITED`] has seen.
#[must_use]
pub fn n_packets(plane: &Dataplane) -> u64 {
    let bucket = plane.get(&v4(1)).unwrap().unwrap().bucket;
    bucket.sent_packets + bucket.dropped_packets
}
