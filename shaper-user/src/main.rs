//! shaper
fn main() {}
