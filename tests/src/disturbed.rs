//! The program, over the pinned maps of a world whose policy changes.

use std::path::Path;

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use shaper_common::header::ETH_P_IP;
use shaper_common::names::{LAYOUT_VERSION, PINNED_MAPS, PROGRAM};

use crate::kernel::{DROP, Skb};
use crate::world::World;
use crate::{object, packet};

/// The program over the pinned maps of a world.
#[derive(Debug)]
pub struct Program(Ebpf);

impl Program {
    /// Loads it.
    #[must_use]
    pub fn load(world: &World) -> Self {
        Self::of(&world.paths().bpffs)
    }

    /// Loads it over the maps below `bpffs`.
    #[must_use]
    pub fn of(bpffs: &Path) -> Self {
        let mut loader = EbpfLoader::new();
        let pins = bpffs.join(format!("v{LAYOUT_VERSION}"));
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

    /// Sends a packet; false if it is dropped.
    pub fn send(&self, address: [u8; 4]) -> bool {
        self.send_long(address, 0)
    }

    /// Sends a packet that takes so many bytes on the wire; zero is as many as it has. False if it is dropped.
    pub fn send_long(&self, address: [u8; 4], wire_len: u32) -> bool {
        let frame = packet::ethernet(ETH_P_IP, &packet::ipv4(address.into(), 17, 0, &[0; 64]));
        self.send_frame(&frame, wire_len)
    }

    /// Sends a frame that takes so many bytes on the wire; false if it is dropped.
    pub fn send_frame(&self, frame: &[u8], wire_len: u32) -> bool {
        let skb = Skb {
            wire_len,
            ..Skb::default()
        };
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(skb.bytes()),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let ran = self.classifier().test_run(options).unwrap();
        ran.return_value.cast_signed() != DROP
    }
}
