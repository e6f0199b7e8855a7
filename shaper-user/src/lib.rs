//! shaper's user space: from the configuration as written to the maps in the kernel, and back to what people read.

pub mod policy;
pub mod stats;
