//! What people and programs read: rows in, text out. No I/O.

pub mod check;
pub mod event;
pub mod explanation;
pub mod json;
pub mod row;
pub mod status;
pub mod table;
mod time;
pub mod units;

pub use units::Unit;
