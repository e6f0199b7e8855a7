//! Tests that need a kernel and root: what they share.

#![expect(
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::must_use_candidate,
    reason = "whatever goes wrong here fails the test that asked for it; traffic is sent for its effect"
)]

pub mod alone;
pub mod changes;
pub mod disturbed;
pub mod entries;
pub mod kernel;
pub mod lab;
pub mod machine;
pub mod model;
pub mod monitor;
pub mod object;
pub mod packet;
pub mod plane;
pub mod random;
pub mod scene;
pub mod seed;
pub mod server;
pub mod shaper;
pub mod trace;
pub mod traffic;
pub mod visible;
pub mod world;
