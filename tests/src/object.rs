//! The kernel program's object as it is checked in.

use std::{borrow::Cow, env, fs};

/// The object: the checked-in one, or the file that `SHAPER_OBJECT` names.
///
/// # Panics
///
/// If that file cannot be read.
#[must_use]
pub fn bytes() -> Cow<'static, [u8]> {
    match env::var_os("SHAPER_OBJECT") {
        Some(path) => {
            Cow::Owned(fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        }
        None => Cow::Borrowed(aya::include_bytes_aligned!("../../shaper-ebpf/shaper.bpf.o")),
    }
}

/// Whether the tests run in an emulated guest, where everything takes far longer.
#[must_use]
pub fn in_lab() -> bool {
    env::var_os("SHAPER_LAB").is_some()
}

/// One BPF instruction.
pub type Instruction = [u8; 8];

/// Every instruction in the object, of all its sections.
///
/// # Panics
///
/// If it is no 64-bit little-endian ELF file.
#[must_use]
pub fn instructions(object: &[u8]) -> Vec<Instruction> {
    const EXECUTABLE: u64 = 4;
    assert_eq!(object[..6], *b"\x7fELF\x02\x01");
    let sections = number::<8>(object, 0x28);
    let (section_size, n_sections) = (number::<2>(object, 0x3a), number::<2>(object, 0x3c));
    let mut instructions = Vec::new();
    for index in 0..n_sections {
        let header = usize::try_from(sections + index * section_size).unwrap();
        if number::<8>(object, header + 8) & EXECUTABLE != 0 {
            let start = usize::try_from(number::<8>(object, header + 24)).unwrap();
            let len = usize::try_from(number::<8>(object, header + 32)).unwrap();
            instructions.extend(object[start..start + len].as_chunks::<8>().0);
        }
    }
    instructions
}

fn number<const N: usize>(bytes: &[u8], offset: usize) -> u64 {
    let mut number = [0; 8];
    number[..N].copy_from_slice(&bytes[offset..offset + N]);
    u64::from_le_bytes(number)
}

/// Whether every kernel since 6.1 knows the instruction, and takes it for what it means today.
///
/// BPF v4 added sign-extending loads and moves, byte swaps, signed division and the long jump; 6.1 knows stores of
/// constants, but not into a packet's context, which the verifier refuses where it happens.
#[must_use]
pub fn is_v3(instruction: &Instruction) -> bool {
    let [code, _, ref rest @ ..] = *instruction;
    let offset = i16::from_le_bytes([rest[0], rest[1]]);
    let immediate = i32::from_le_bytes([rest[2], rest[3], rest[4], rest[5]]);
    let (class, operation, mode) = (code & 7, code & 0xf0, code & 0xe0);
    match class {
        // Loads of 64 bits of immediate, of the packet, and of memory; 0x80 would extend the sign.
        0 | 1 => mode <= 0x60,
        2 => mode == 0x60,
        // Stores, and atomics: add, or, and, xor, exchange, compare and exchange, with the old value or without.
        3 => mode == 0x60 || (mode == 0xc0 && matches!(immediate & !1, 0 | 0x40 | 0x50 | 0xa0 | 0xe0 | 0xf0)),
        // A 32-bit jump without condition is the long jump.
        6 => operation != 0,
        5 => true,
        // Arithmetic: the offset tells signed division and sign-extending moves, class 7 with 0xd0 a byte swap.
        _ => offset == 0 && !(class == 7 && operation == 0xd0),
    }
}
