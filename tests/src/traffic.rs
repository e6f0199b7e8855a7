//! Traffic, and what arrived of it.
//!
//! Rates are measured where packets arrive, between the kernel's own receive timestamps: when a sender was started
//! or stopped, and when a test looked, does not matter.

pub mod arrivals;
mod collector;
pub mod frames;
mod gained;
pub mod iperf;
pub mod load;
pub mod probe;
pub mod receiver;
pub mod socket;
pub mod steady;
pub(crate) mod sys;
pub mod tap;

pub use arrivals::{Arrival, Arrivals};
pub use iperf::Iperf;
pub use load::{Load, Sent};
pub use probe::{Echo, Probe};
pub use receiver::Receiver;
pub use socket::{Clock, Options, Socket};
pub use steady::Way;
pub use tap::Tap;

/// Port that loads are sent to and receivers listen on.
pub const PORT: u16 = 5000;

/// Bytes that an IPv4 UDP packet on Ethernet takes beyond its payload.
pub const UDP4_HEADERS: u64 = 14 + 20 + 8;

/// Bytes that an IPv6 UDP packet on Ethernet takes beyond its payload.
pub const UDP6_HEADERS: u64 = 14 + 40 + 8;
