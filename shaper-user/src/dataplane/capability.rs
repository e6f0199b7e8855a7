//! What this process may do.

use std::fs;

/// `CAP_NET_ADMIN`: qdiscs, and attaching programs to devices.
pub(super) const NET_ADMIN: u32 = 12;
/// `CAP_SYS_ADMIN`: stands in for the newer one.
const SYS_ADMIN: u32 = 21;
/// `CAP_BPF`: maps and programs.
pub(super) const BPF: u32 = 39;

/// Whether this process has a capability.
pub(super) fn has(capability: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    is_in(effective(&status), capability)
}

fn effective(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

fn is_in(mask: u64, capability: u32) -> bool {
    let has = |capability: u32| (mask >> capability) & 1 == 1;
    has(capability) || (capability == BPF && has(SYS_ADMIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_from_the_mask() {
        let mask = effective("Name:\tshaper\nCapPrm:\t0\nCapEff:\t000000c000001000\n");
        assert!(is_in(mask, NET_ADMIN) && is_in(mask, BPF));
        assert!(!is_in(mask, SYS_ADMIN));
        assert!(is_in(1 << SYS_ADMIN, BPF));
        assert_eq!(effective(""), 0);
    }
}
