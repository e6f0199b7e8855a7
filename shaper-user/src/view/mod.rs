//! What people and programs read: rows in, text out. No I/O.

pub mod json;
pub mod units;

pub use units::Unit;
