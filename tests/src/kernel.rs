//! The loaded program and its maps, packet by packet: `BPF_PROG_TEST_RUN` on a clock of our own.

mod memory;
pub mod raw;
mod skb;
mod tables;
mod translated;

use std::{collections, net::IpAddr};

use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, ArrayOfMaps, HashMap, InnerMap, IterableMap as _, MapData, PerCpuArray},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use shaper_common::{
    bucket::{Bucket, CHUNK_BUCKETS},
    filter::FILTER_BYTES,
    header,
    names::{self, global},
    outcome::{N_OUTCOMES, Outcome},
    rule::{Active, ClientKey, PolicyHead, Rule},
};

use self::memory::Memory;
pub use self::{skb::Skb, translated::Instruction};
use crate::{model::Policy, object};

/// `TC_ACT_UNSPEC`: the next program on the hook sees the packet too.
pub const PASS: i32 = -1;
/// `TC_ACT_SHOT`.
pub const DROP: i32 = 2;

/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1024;
const BPF_EXIST: u64 = 2;

/// What the loader sets before it loads the program.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes before the network header.
    pub link_header_len: u32,
    /// Bytes per segment beyond what the kernel counts.
    pub overhead: u32,
    /// Drop what would have to wait, and stamp nothing.
    pub police: bool,
    /// Take the time from [`Kernel::set_clock`].
    pub fake_clock: bool,
    /// Charge by the fallback alone.
    pub force_fallback: bool,
    /// Level of aya-log; zero is off.
    pub log_level: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            link_header_len: header::ETH_HEADER_LEN,
            overhead: 0,
            police: false,
            fake_clock: true,
            force_fallback: false,
            log_level: 0,
        }
    }
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the program returned.
    pub action: i32,
    /// The packet's fields after the run.
    pub skb: Skb,
    /// The packet's bytes after the run.
    pub frame: Vec<u8>,
    /// Mean duration of a run.
    pub duration_ns: u64,
}

/// The program, loaded, with one chunk of buckets. Gone when dropped.
pub struct Kernel {
    ebpf: Ebpf,
    memory: Memory,
    clients: Option<HashMap<MapData, ClientKey, Bucket>>,
}

impl Kernel {
    /// Loads the object.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it, with the verifier's account.
    #[must_use]
    pub fn load(settings: Settings) -> Self {
        let [police, fake_clock, force_fallback] =
            [settings.police, settings.fake_clock, settings.force_fallback].map(u32::from);
        let mut ebpf = EbpfLoader::new()
            .override_global(global::LINK_HEADER_LEN, &settings.link_header_len, true)
            .override_global(global::OVERHEAD, &settings.overhead, true)
            .override_global(global::POLICE, &police, true)
            .override_global(global::FAKE_CLOCK, &fake_clock, true)
            .override_global(global::FORCE_FALLBACK, &force_fallback, true)
            .override_global(global::LOG_LEVEL, &settings.log_level, true)
            .load(&object::bytes())
            .unwrap_or_else(|error| panic!("{error:?}"));
        let program: &mut SchedClassifier = ebpf.program_mut(names::PROGRAM).unwrap().try_into().unwrap();
        program
            .load()
            .unwrap_or_else(|error| panic!("{error}: {error:?}"));

        let clock = Array::<_, u64>::try_from(ebpf.map(names::CLOCK).unwrap()).unwrap();
        let filters = Array::<_, [u8; FILTER_BYTES]>::try_from(ebpf.map(names::FILTER).unwrap()).unwrap();
        let chunk = Array::<MapData, Bucket>::create(CHUNK_BUCKETS, MMAPABLE).unwrap();
        let memory = Memory::new(clock.map(), chunk.map(), filters.map());
        let mut chunks = ArrayOfMaps::try_from(ebpf.map_mut(names::BUCKETS).unwrap()).unwrap();
        chunks.set(0, &chunk, 0).unwrap();
        Self {
            ebpf,
            memory,
            clients: None,
        }
    }

    /// Puts a policy into a slot, without making it current.
    ///
    /// # Panics
    ///
    /// If the kernel refuses it.
    pub fn fill(&mut self, slot: u32, policy: &Policy) {
        self.memory.set_filter(slot, tables::filter_bits(policy));
        self.set_slot(names::EXACT4, slot, tables::exact4(policy).as_ref());
        self.set_slot(names::EXACT6, slot, tables::exact6(policy).as_ref());
        self.set_slot(names::PREFIX4, slot, tables::prefix4(policy).as_ref());
        self.set_slot(names::PREFIX6, slot, tables::prefix6(policy).as_ref());
        if !policy.groups.is_empty() {
            self.set_slot(names::GROUPS, slot, Some(&tables::groups(policy)));
        }
        if !policy.ports.is_empty() {
            self.set_slot(names::SERVICES, slot, Some(&tables::services(policy)));
        }
        let any = policy.any.unwrap_or_default();
        let head = PolicyHead {
            any,
            features: policy.features(),
            ..PolicyHead::default()
        };
        self.array(names::POLICIES).set(slot, head, 0).unwrap();
    }

    /// Makes a slot current.
    pub fn activate(&mut self, slot: u32) {
        let head: PolicyHead = self.array(names::POLICIES).get(&slot, 0).unwrap();
        self.put_in_force(slot, head.features);
    }

    /// Makes a slot current as if it had these features and no others.
    pub fn put_in_force(&mut self, slot: u32, features: u32) {
        self.array(names::ACTIVE)
            .set(0, Active::new(slot, features), 0)
            .unwrap();
    }

    /// Puts a policy into slot 0 and makes it current.
    pub fn install(&mut self, policy: &Policy) {
        self.fill(0, policy);
        self.activate(0);
    }

    /// Puts `rule` in place of the one that `address` has in slot 0.
    pub fn replace_rule(&mut self, address: IpAddr, rule: Rule) {
        match address {
            IpAddr::V4(address) => self.replace_in(names::EXACT4, &tables::key4(0, address), rule),
            IpAddr::V6(address) => self.replace_in(names::EXACT6, &tables::key6(0, address), rule),
        }
    }

    fn replace_in<K: Pod>(&mut self, name: &str, key: &K, rule: Rule) {
        let slots = ArrayOfMaps::<_, HashMap<MapData, K, Rule>>::try_from(self.ebpf.map_mut(name).unwrap());
        let mut table = slots.unwrap().get(&0, 0).unwrap();
        table.insert(key, rule, BPF_EXIST).unwrap();
    }

    /// Makes room for so many clients, and forgets all there were. Without it there is room for none.
    pub fn replace_clients(&mut self, max_clients: u32) {
        let clients = tables::clients(max_clients);
        self.set_slot(names::CLIENTS, 0, Some(&clients));
        self.clients = Some(clients);
    }

    /// Buckets of all clients.
    #[must_use]
    pub fn clients(&self) -> collections::HashMap<ClientKey, Bucket> {
        self.clients
            .iter()
            .flat_map(HashMap::iter)
            .map(Result::unwrap)
            .collect()
    }

    /// Overwrites a slot's filter, so that it holds no destination.
    pub fn clear_filter(&self, slot: u32) {
        self.memory.set_filter(slot, [].into_iter());
    }

    /// What the fake clock shows from here on.
    pub fn set_clock(&self, now_ns: u64) {
        self.memory.set_clock(now_ns);
    }

    /// State of a bucket.
    #[must_use]
    pub fn bucket(&self, number: u32) -> Bucket {
        self.memory.bucket(number)
    }

    /// Overwrites a bucket.
    pub fn set_bucket(&self, number: u32, bucket: Bucket) {
        self.memory.set_bucket(number, bucket);
    }

    /// Sets when a bucket's last packet departs, and nothing else of it.
    pub fn set_last_departure(&self, number: u32, last_departure_ticks: u64) {
        self.memory.set_last_departure(number, last_departure_ticks);
    }

    /// All totals, summed over CPUs, in the order of [`Outcome`].
    #[must_use]
    pub fn totals(&self) -> [u64; N_OUTCOMES as usize] {
        let totals = PerCpuArray::<_, u64>::try_from(self.ebpf.map(names::TOTALS).unwrap()).unwrap();
        Outcome::ALL.map(|outcome| totals.get(&(outcome as u32), 0).unwrap().iter().sum())
    }

    /// One total, summed over CPUs.
    #[must_use]
    pub fn total(&self, outcome: Outcome) -> u64 {
        self.totals()[outcome as usize]
    }

    /// Runs the program once.
    #[must_use]
    pub fn run(&self, frame: &[u8], skb: Skb) -> Ran {
        self.repeat(frame, skb, 1)
    }

    /// Runs the program `n_runs` times on one packet, which keeps what the run before wrote to it.
    ///
    /// # Panics
    ///
    /// If the kernel refuses the frame.
    #[must_use]
    pub fn repeat(&self, frame: &[u8], skb: Skb, n_runs: u32) -> Ran {
        let program: &SchedClassifier = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        let mut ran = Ran {
            action: 0,
            skb: Skb::default(),
            frame: vec![0; frame.len()],
            duration_ns: 0,
        };
        let result = program
            .test_run(TestRunOptions {
                data_in: Some(frame),
                data_out: Some(&mut ran.frame),
                ctx_in: Some(skb.bytes()),
                ctx_out: Some(ran.skb.bytes_mut()),
                repeat: n_runs,
                ..TestRunOptions::default()
            })
            .unwrap_or_else(|error| panic!("{error:?}: {} bytes {frame:02x?}, {skb:?}", frame.len()));
        ran.action = result.return_value.cast_signed();
        ran.duration_ns = u64::try_from(result.duration.as_nanos()).unwrap();
        ran
    }

    /// The program that the loader charges clients with, not loaded yet.
    pub fn transfer_program(&mut self) -> &mut SchedClassifier {
        let program = self.ebpf.program_mut(names::TRANSFER_PROGRAM).unwrap();
        program.try_into().unwrap()
    }

    /// The loaded object.
    pub fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// A table that is missing leaves what was there, which the policy's features hide.
    fn set_slot<M: InnerMap>(&mut self, name: &str, slot: u32, inner: Option<&M>) {
        let Some(inner) = inner else { return };
        let mut slots = ArrayOfMaps::<_, M>::try_from(self.ebpf.map_mut(name).unwrap()).unwrap();
        slots.set(slot, inner, 0).unwrap();
    }

    fn array<V: Pod>(&mut self, name: &str) -> Array<&mut MapData, V> {
        self.ebpf.map_mut(name).unwrap().try_into().unwrap()
    }
}
