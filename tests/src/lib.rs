//! Tests that need a kernel and root: what they share.

pub mod kernel;
pub mod lab;
pub mod model;
pub mod object;
pub mod packet;
pub mod random;
pub mod shaper;
pub mod traffic;
