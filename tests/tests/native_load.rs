//! The object as it stands in the file and in the kernel.

use std::thread;

use aya::{
    maps::{MapInfo, MapType},
    programs::SchedClassifier,
};
use shaper_common::{
    bucket::MAX_CHUNKS,
    filter::FILTER_BYTES,
    names,
    outcome::N_OUTCOMES,
    rule::{Active, Meta, N_SLOTS, PolicyHead},
};
use shaper_tests::{
    kernel::{Kernel, Settings},
    object,
};

#[test]
fn the_kernel_accepts_the_program_on_every_kind_of_device() {
    for link_header_len in [names::NO_LINK_HEADER, 14] {
        drop(Kernel::load(Settings {
            link_header_len,
            ..Settings::default()
        }));
        drop(Kernel::load(Settings {
            link_header_len,
            fake_clock: false,
            overhead: 24,
            ..Settings::default()
        }));
    }
}

#[test]
fn the_kernel_accepts_the_program_with_its_log_switched_on() {
    drop(Kernel::load(Settings {
        log_level: 5,
        ..Settings::default()
    }));
}

/// Without `CAP_PERFMON` the verifier also follows what a processor may speculate about, and guards arithmetic on
/// pointers.
#[test]
fn two_capabilities_suffice_to_load_the_programs() {
    const NET_ADMIN: u32 = 12;
    const BPF: u32 = 39;
    const VERSION_3: u32 = 0x2008_0522;
    for (link_header_len, police) in [(names::NO_LINK_HEADER, false), (14, false), (14, true)] {
        // Capabilities are a thread's own.
        let loaded = thread::spawn(move || {
            // Effective, permitted and inheritable ones, by words of 32.
            let low = [1_u32 << NET_ADMIN, 1 << NET_ADMIN, 0];
            let high = [1_u32 << (BPF - 32), 1 << (BPF - 32), 0];
            // SAFETY: header and data as the call wants them.
            let error = unsafe { libc::syscall(libc::SYS_capset, &[VERSION_3, 0], &[low, high]) };
            assert_eq!(error, 0);
            let mut kernel = Kernel::load(Settings {
                link_header_len,
                police,
                fake_clock: false,
                ..Settings::default()
            });
            kernel.transfer_program().load().unwrap();
        });
        loaded.join().unwrap();
    }
}

#[test]
fn every_map_is_what_was_agreed_upon() {
    let mut kernel = Kernel::load(Settings::default());
    let expected = [
        (names::ACTIVE, MapType::Array, size_of::<Active>(), 1),
        (names::POLICIES, MapType::Array, size_of::<PolicyHead>(), N_SLOTS),
        (names::EXACT4, MapType::ArrayOfMaps, 4, N_SLOTS),
        (names::EXACT6, MapType::ArrayOfMaps, 4, N_SLOTS),
        (names::PREFIX4, MapType::ArrayOfMaps, 4, N_SLOTS),
        (names::PREFIX6, MapType::ArrayOfMaps, 4, N_SLOTS),
        (names::GROUPS, MapType::ArrayOfMaps, 4, N_SLOTS),
        (names::SERVICES, MapType::ArrayOfMaps, 4, N_SLOTS),
        (names::FILTER, MapType::Array, FILTER_BYTES, N_SLOTS),
        (names::CLIENTS, MapType::ArrayOfMaps, 4, 1),
        (names::BUCKETS, MapType::ArrayOfMaps, 4, MAX_CHUNKS),
        (names::TOTALS, MapType::PerCpuArray, 8, N_OUTCOMES),
        (names::META, MapType::Array, size_of::<Meta>(), 1),
        (names::CLOCK, MapType::Array, 8, 1),
    ];
    for name in names::PINNED_MAPS {
        assert!(expected.iter().any(|(expected, ..)| *expected == name), "{name}");
    }
    for (name, map_type, value_size, max_entries) in expected {
        let info = info(&mut kernel, name);
        assert_eq!(info.map_type().unwrap(), map_type, "{name}");
        assert_eq!(info.key_size(), 4, "{name}");
        assert_eq!(info.value_size() as usize, value_size, "{name}");
        assert_eq!(info.max_entries(), max_entries, "{name}");
        assert_eq!(info.name_as_str(), Some(name));
    }
}

#[test]
fn the_program_keeps_its_name_and_may_call_every_helper() {
    let mut kernel = Kernel::load(Settings::default());
    let program: &SchedClassifier = kernel.ebpf().program(names::PROGRAM).unwrap().try_into().unwrap();
    let info = program.info().unwrap();
    assert_eq!(info.name_as_str(), Some(names::PROGRAM));
    assert_eq!(info.gpl_compatible(), Some(true));
    if let Some(n_instructions) = info.verified_instruction_count() {
        println!("{n_instructions} instructions verified");
        assert!(
            n_instructions < 400_000,
            "{n_instructions} of a million that the verifier is ready to follow"
        );
    }
}

#[test]
fn no_instruction_is_newer_than_linux_6_1() {
    let object = object::bytes();
    let instructions = object::instructions(&object);
    assert!(instructions.len() > 500);
    for (index, instruction) in instructions.iter().enumerate() {
        assert!(
            object::is_v3(instruction),
            "instruction {index}: {instruction:02x?}"
        );
    }
}

fn info(kernel: &mut Kernel, name: &str) -> MapInfo {
    use aya::maps::Map;
    let map = kernel.ebpf().map(name).unwrap();
    let (Map::Array(data) | Map::ArrayOfMaps(data) | Map::PerCpuArray(data)) = map else {
        panic!("{name} is another kind of map");
    };
    data.info().unwrap()
}
