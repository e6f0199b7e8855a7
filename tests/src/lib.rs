//! Tests that need a kernel and root: what they share.

#![expect(
    clippy::missing_panics_doc,
    reason = "whatever goes wrong here fails the test that asked for it"
)]

pub mod kernel;
pub mod lab;
pub mod model;
pub mod object;
pub mod packet;
pub mod random;
pub mod shaper;
pub mod traffic;
pub mod world;
