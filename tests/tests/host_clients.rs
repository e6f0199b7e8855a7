//! Packets are charged to their clients at every moment of a change that moves or takes away clients' buckets. Needs root.
//!
//! The command is stopped before each of its system calls, and there packets are sent: so whatever it does between two
//! calls, some client is charged there for the first time, another a second time. A packet takes so long at these rates that
//! each bucket's time says how many it was charged with.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use aya::maps::{HashMap, Map, MapData};
use shaper_common::TICKS_PER_NSEC;
use shaper_common::bucket::Bucket;
use shaper_common::pacing::ticks;
use shaper_common::rule::ClientKey;
use shaper_tests::disturbed::Program;
use shaper_tests::scene::{Change, Scene, Step};
use shaper_user::policy::tables::Entry;
use shaper_user::stats::EntrySnapshot;

macro_rules! config {
    ($rate:literal, $most:literal) => {
        concat!(
            "[interface.eth0]\nenforcement = \"police\"\n[defaults]\nmax_clients = ",
            $most,
            "\n[[rule]]\nname = \"one\"\ndestination = \"10.0.0.1\"\nrate = \"",
            $rate,
            "\"\n[[rule]]\nname = \"net\"\ndestination = \"10.1.0.0/16\"\nrate = \"30kbit\"\nper = \"ip\"\n"
        )
    };
}

const FEW: Step = step(config!("8mbit", "5000"));
const MANY: Step = step(config!("8mbit", "9000"));
const CROWDED: Step = step(config!("8mbit", "1000"));
const OTHER_RATE: Step = step(config!("9mbit", "1000"));

const fn step(config: &'static str) -> Step {
    Step {
        config,
        command: &["apply"],
    }
}

type Address = [u8; 4];

/// One who is sent to before the change, and at every moment of it.
const ALWAYS: Address = [10, 1, 255, 1];

fn client(n: usize) -> Address {
    let [.., high, low] = n.to_be_bytes();
    [10, 1, high, low]
}

/// What a client's bucket must say in the end.
#[derive(Clone, Copy)]
struct Sent {
    n_packets: u64,
    /// Few packets of a test run may wait at a time.
    n_dropped: u64,
    /// After the first of them.
    first_ticks: u64,
}

struct Sender<'a> {
    scene: &'a Scene,
    program: Program,
    sent: BTreeMap<Address, Sent>,
}

impl<'a> Sender<'a> {
    fn new(scene: &'a Scene) -> Self {
        Self {
            scene,
            program: Program::of(&scene.paths().bpffs),
            sent: BTreeMap::new(),
        }
    }

    fn send(&mut self, to: Address) {
        let is_sent = self.program.send(to);
        if let Some(sent) = self.sent.get_mut(&to) {
            sent.n_packets += u64::from(is_sent);
            sent.n_dropped += u64::from(!is_sent);
            return;
        }
        assert!(is_sent, "the first packet of {to:?} need not wait");
        let first_ticks = self.bucket(to).last_departure_ticks;
        let sent = Sent {
            n_packets: 1,
            n_dropped: 0,
            first_ticks,
        };
        self.sent.insert(to, sent);
    }

    /// How long a packet takes, after the first.
    fn slot_ticks(&self) -> u64 {
        let wire_len = u32::try_from(self.bucket(ALWAYS).sent_bytes).unwrap();
        match rule(self.scene).entry {
            Entry::Limited { limit, .. } => limit.slot_ticks(wire_len),
            entry => panic!("{entry:?}"),
        }
    }

    fn bucket(&self, of: Address) -> Bucket {
        self.buckets()[&of]
    }

    fn buckets(&self) -> BTreeMap<Address, Bucket> {
        let clients = self.scene.plane().snapshot().unwrap().clients;
        let clients = clients.into_iter().filter_map(|client| match client.address {
            IpAddr::V4(address) => Some((address.octets(), client.bucket)),
            IpAddr::V6(_) => None,
        });
        clients.collect()
    }

    /// Whether every packet was charged to its client, and nobody was charged for more than the change took.
    fn check(&self, slot_ticks: u64, longest_ticks: u64, counted_before: u64) {
        let buckets = self.buckets();
        for (address, sent) in &self.sent {
            let Some(bucket) = buckets.get(address) else {
                panic!("{address:?} has lost his bucket");
            };
            let n_counted = bucket.sent_packets;
            assert!(
                [0, counted_before].contains(&(n_counted - sent.n_packets)),
                "{address:?}: {n_counted} counted of {}",
                sent.n_packets
            );
            assert_eq!(bucket.dropped_packets, sent.n_dropped, "{address:?}");
            let least = sent.first_ticks + (sent.n_packets - 1) * slot_ticks;
            let time = bucket.last_departure_ticks;
            assert!(
                time >= least,
                "{address:?} was not charged for {} ns",
                (least - time) / TICKS_PER_NSEC
            );
            assert!(time <= least + longest_ticks, "{address:?} was charged twice");
        }
    }
}

/// The rule whose clients have buckets.
fn rule(scene: &Scene) -> EntrySnapshot {
    let entries = scene.plane().snapshot().unwrap().entries;
    entries.into_iter().max_by_key(|entry| entry.n_clients).unwrap()
}

/// Takes the step of `change`, with packets at every moment of it.
fn move_under_packets(change: &Change) {
    let scene = Scene::before(change);
    let mut sender = Sender::new(&scene);
    sender.send(ALWAYS);
    let slot_ticks = sender.slot_ticks();
    let begun = Instant::now();
    let mut traced = scene.start(&change.there);
    let mut n_calls = 0;
    while traced.next_call().is_some() {
        sender.send(ALWAYS);
        sender.send(client(n_calls));
        if n_calls > 0 {
            sender.send(client(n_calls - 1));
        }
        n_calls += 1;
    }
    let ended = traced.finish();
    let longest = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    sender.check(slot_ticks, ticks(longest), 0);
    println!("{n_calls} calls, {} clients", sender.sent.len());
}

#[test]
fn a_table_for_more_clients_takes_over_every_charge() {
    move_under_packets(&Change {
        back: FEW,
        there: MANY,
    });
}

#[test]
fn a_table_for_fewer_clients_takes_over_every_charge() {
    move_under_packets(&Change {
        back: MANY,
        there: FEW,
    });
}

/// How many clients have been idle, of a thousand: more than half.
const N_IDLE: usize = 600;

/// Lets clients be there who have sent one packet each, when the machine started.
fn make_idle(scene: &Scene) {
    let pins = scene
        .paths()
        .bpffs
        .join(format!("v{}", shaper_common::names::LAYOUT_VERSION));
    let path = ["CLIENTS_0", "CLIENTS_1"].map(|name| pins.join(name));
    let path = path.iter().find(|path| path.exists()).unwrap();
    let mut table: HashMap<MapData, ClientKey, Bucket> =
        Map::HashMap(MapData::from_pin(path).unwrap()).try_into().unwrap();
    let rule = rule(scene);
    let idle = Bucket {
        sent_packets: 1,
        ..Bucket::default()
    };
    for n in 0..N_IDLE {
        let key = ClientKey {
            rule: rule.bucket_number,
            address: [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(client(n))],
        };
        table.insert(key, idle, 0).unwrap();
    }
}

#[test]
fn a_client_who_comes_back_while_he_is_forgotten_is_charged_for_all_he_sends() {
    let change = Change {
        back: CROWDED,
        there: OTHER_RATE,
    };
    let scene = Scene::before(&change);
    let mut sender = Sender::new(&scene);
    sender.send(ALWAYS);
    let slot_ticks = sender.slot_ticks();
    make_idle(&scene);
    let n_before = rule(&scene).bucket.sent_packets - sender.sent[&ALWAYS].n_packets;
    let begun = Instant::now();
    let mut traced = scene.start(&change.there);
    let (mut n_taken, mut n_back) = (0, 0);
    while let Some((call, _)) = traced.next_call() {
        if call.to_string() != "bpf(MAP_LOOKUP_AND_DELETE_ELEM)" {
            continue;
        }
        n_back += usize::from(sender.buckets().contains_key(&client(n_taken)));
        sender.send(client(n_taken));
        if n_taken > 0 {
            sender.send(client(n_taken - 1));
        }
        n_taken += 1;
    }
    let ended = traced.finish();
    let longest = u64::try_from(begun.elapsed().as_nanos()).unwrap();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(n_taken, N_IDLE);
    assert!(n_back > 100, "hardly anybody came back in time: {n_back}");
    sender.check(slot_ticks, ticks(longest), 1);
    let n_sent: u64 = sender.sent.values().map(|sent| sent.n_packets).sum();
    assert_eq!(rule(&scene).bucket.sent_packets, n_before + n_sent);
    println!("{n_back} of {n_taken} came back before they were taken away");
}
