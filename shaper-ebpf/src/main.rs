//! The tc egress program: destination -> rule -> bucket -> verdict -> act.
//!
//! It decides nothing itself: [`shaper_common`] does, and is tested on its own. Here is what needs the kernel:
//! reading the packet, finding the rule, racing for the bucket, writing the departure time. A second program, for the
//! loader alone, adds to buckets while packets are charged to them.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch, core_intrinsics))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::inline_always,
        reason = "each packet would pay for a call, and the verifier follows one function best"
    )
)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        internal_features,
        reason = "the target has no compare-and-exchange but the compiler's own"
    )
)]

#[cfg(target_arch = "bpf")]
mod charge;
#[cfg(target_arch = "bpf")]
mod classify;
#[cfg(target_arch = "bpf")]
mod clients;
#[cfg(target_arch = "bpf")]
mod clock;
#[cfg(target_arch = "bpf")]
mod control;
#[cfg(target_arch = "bpf")]
mod count;
#[cfg(target_arch = "bpf")]
mod destination;
#[cfg(target_arch = "bpf")]
mod encap;
#[cfg(target_arch = "bpf")]
mod family;
#[cfg(target_arch = "bpf")]
mod inner;
#[cfg(target_arch = "bpf")]
mod limit;
#[cfg(target_arch = "bpf")]
mod log;
#[cfg(target_arch = "bpf")]
mod lookup;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod policy;
#[cfg(target_arch = "bpf")]
mod program;
#[cfg(target_arch = "bpf")]
mod service;
#[cfg(target_arch = "bpf")]
mod shared;
#[cfg(target_arch = "bpf")]
mod skb;
#[cfg(target_arch = "bpf")]
mod stamp;
#[cfg(target_arch = "bpf")]
mod stored;
#[cfg(target_arch = "bpf")]
mod transfer;
#[cfg(target_arch = "bpf")]
mod wire;

#[cfg(not(target_arch = "bpf"))]
fn main() {
    eprintln!("this is a kernel program: `cargo xtask ebpf` builds it");
}
