//! What the kernel made of a program.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use aya::programs::SchedClassifier;
use shaper_common::names;

use super::{Kernel, raw::bpf};

const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;

#[repr(C)]
struct InfoAttr {
    fd: u32,
    info_len: u32,
    info: u64,
}

/// Start of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Default)]
struct ProgramInfo {
    type_and_id: [u32; 2],
    tag: u64,
    jited_len: u32,
    instructions_len: u32,
    jited: u64,
    instructions: u64,
}

/// An instruction as the verifier left it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    /// Number of the program's own function that it calls: the kernel shows it there once it has compiled the program
    /// (`jit_subprogs` in `kernel/bpf/verifier.c`).
    #[must_use]
    pub fn called_function(&self) -> Option<i32> {
        const BPF_CALL: u8 = 0x85;
        const BPF_PSEUDO_CALL: u8 = 1;
        (self.code == BPF_CALL && self.registers >> 4 == BPF_PSEUDO_CALL).then_some(self.immediate)
    }
}

fn instructions(program: BorrowedFd<'_>) -> Vec<Instruction> {
    let len = info(program, &mut []).instructions_len as usize;
    let mut instructions = vec![Instruction::default(); len / size_of::<Instruction>()];
    info(program, &mut instructions);
    instructions
}

/// Asks for as many instructions as there is room for.
fn info(program: BorrowedFd<'_>, instructions: &mut [Instruction]) -> ProgramInfo {
    let mut info = ProgramInfo {
        instructions_len: u32::try_from(size_of_val(instructions)).unwrap(),
        instructions: instructions.as_mut_ptr().addr() as u64,
        ..ProgramInfo::default()
    };
    let mut attr = InfoAttr {
        fd: program.as_raw_fd().cast_unsigned(),
        info_len: u32::try_from(size_of::<ProgramInfo>()).unwrap(),
        info: std::ptr::from_mut(&mut info).addr() as u64,
    };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attr).unwrap();
    info
}

impl Kernel {
    /// What the kernel runs for a packet: the verifier has taken out what can never run.
    ///
    /// # Panics
    ///
    /// If the kernel does not show it.
    #[must_use]
    pub fn instructions(&self) -> Vec<Instruction> {
        let program: &SchedClassifier = self.ebpf.program(names::PROGRAM).unwrap().try_into().unwrap();
        instructions(program.fd().unwrap().as_fd())
    }
}
