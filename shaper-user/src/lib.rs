//! shaper's user space: from the configuration as written to the maps in the kernel, and back to what people read.

pub mod cmd;
pub mod config;
pub mod dataplane;
pub mod monitor;
pub mod paths;
pub mod policy;
pub mod stats;
pub mod store;
pub mod view;
