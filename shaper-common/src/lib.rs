//! What the kernel program and its loader agree on.
//!
//! No I/O, no clock, no allocation: the same source is compiled into the eBPF object, the unit tests and the
//! model that kernel runs are compared with.
//!
//! * [`pacing`] is the decision: limit, last departure, now, wire length -> verdict.
//! * [`stamp`] reconciles that decision with a departure time the packet already carries.
//! * [`joint`] says what two rules or two limits on one packet come to.
//! * [`shared`] says how many packets may wait in a send buffer that others need too.
//! * [`port`] finds the port that tells services apart.
//! * [`header`] says which addresses can be limited at all, and where an address stands in a header.
//! * [`rule`], [`packed`] and [`bucket`] are what the maps hold; [`names`] is what they are called.
//! * [`transfer`] is what the loader charges while packets are charged too.
//! * [`client`] tells clients apart; [`filter`] tells most destinations that have no rule, without a search.

#![no_std]

pub mod bucket;
pub mod client;
pub mod filter;
pub mod header;
pub mod joint;
pub mod names;
pub mod outcome;
pub mod pacing;
pub mod packed;
pub mod port;
pub mod rule;
pub mod shared;
pub mod stamp;
pub mod transfer;

/// Nanoseconds in a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;

/// Ticks in a nanosecond. Bucket times are kept in ticks, so that rounding a packet's slot stays far below
/// 100 ppm at ordinary rates; a `u64` of ticks lasts for nine years of uptime.
pub const TICKS_PER_NSEC: u64 = 64;
