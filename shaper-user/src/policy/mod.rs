//! Rules, known to be valid.

pub mod tables;
