//! What people and programs read: rows in, text out. No I/O.

pub mod check;
pub mod event;
pub mod explanation;
pub mod json;
pub mod row;
pub mod rule;
pub mod status;
pub mod table;
pub mod units;

pub use units::Unit;
