//! Keeps limits in place while interfaces come and go: what is wanted, what was seen, and what is to be done about
//! the difference.
//!
//! Nothing here touches the kernel, but [`notify`] and [`journal`] talk to systemd. `cmd::monitor` looks, asks
//! [`State`] what to do, and does it.

pub mod journal;
pub mod notify;
mod observation;
mod retry;
mod state;
mod wanted;

pub use observation::{Observation, Seen, Standing};
pub use retry::Retry;
pub use state::{Repair, State};
pub use wanted::Wanted;
