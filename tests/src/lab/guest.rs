//! The kernel that the tests run on.

use std::fmt;
use std::fs;
use std::process::Command;

use super::host::run;

/// A kernel release, by its first two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    /// First with fq's bands and fast path, and with tcx, among the kernels that are tested.
    pub const V6_12: Self = Self(6, 12);

    /// First whose fq converts stamps of other clocks, and wakes a flow for an earlier packet.
    pub const V7: Self = Self(7, 0);

    /// The kernel that runs.
    #[must_use]
    pub fn running() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("every Linux has it");
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Self(major, minor),
            _ => panic!("{release} is no kernel release"),
        }
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What the kernel has logged since it booted.
#[must_use]
pub fn kernel_log() -> String {
    String::from_utf8_lossy(&run(&mut Command::new("dmesg")).stdout).into_owned()
}
