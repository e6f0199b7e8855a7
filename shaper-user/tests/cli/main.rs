//! The binary, driven as an operator drives it, without a kernel.

mod check;
mod commands;
mod env;
mod import;
