//! A bitmap that proves most misses, because a search in the kernel's hash costs more than all else a miss costs.
//!
//! Each exact destination, of either family and for any service, sets one bit of its slot's filter. A packet whose bit
//! is clear has no exact rule. The loader fills the filter of the idle slot before it makes that current with
//! [`crate::rule::feature::FILTER`]. In the slot in force it sets a bit before it inserts a rule, and clears none:
//! a bit too many costs a search, a bit too few would lose a limit.

/// Bits of a slot's filter: eight for each of a million rules.
pub const FILTER_BITS: u32 = 1 << 23;

/// Bytes of a slot's filter.
pub const FILTER_BYTES: usize = FILTER_BITS as usize / 8;

/// Bits that a hash is shifted by, down to those that number a bit.
const SHIFT: u32 = u64::BITS - FILTER_BITS.trailing_zeros();

/// Odd, and without a pattern: the golden ratio's fraction.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A second one, of the square root of two.
const FACTOR6: u64 = 0x6a09_e667_f3bc_c909;

/// Number of an IPv4 destination's bit; `word` is what its bytes make in memory.
#[inline]
#[must_use]
pub const fn bit4(word: u32) -> u32 {
    // The last octet stands highest in memory: swapped, neighbours differ in low bits, which reach all above.
    ((word.to_be() as u64).wrapping_mul(FACTOR) >> SHIFT) as u32
}

/// Number of an IPv6 destination's bit; `words` are what its bytes make in memory.
#[inline]
#[must_use]
pub const fn bit6(words: [u32; 4]) -> u32 {
    let network = words[0] as u64 | (words[1] as u64) << 32;
    let host = words[2] as u64 | (words[3] as u64) << 32;
    let network = network.wrapping_mul(FACTOR6);
    // High bits reach no others when multiplied: they are brought down first.
    let mixed = (network ^ network >> 32).wrapping_add(host);
    ((mixed ^ mixed >> 32).wrapping_mul(FACTOR) >> SHIFT) as u32
}

/// Where a bit stands: the byte, and the bit's value in it.
#[inline]
#[must_use]
pub const fn position(bit: u32) -> (usize, u8) {
    ((bit / 8) as usize, 1 << (bit % 8))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::{collections::HashSet, vec::Vec};

    use super::*;
    use crate::header::words;

    const N: usize = 1 << 18;

    /// Random bits would let 1.5 % of so many share one with another.
    fn assert_spread(bits: impl Iterator<Item = u32>) {
        let bits = bits.take(N).collect::<Vec<_>>();
        assert!(bits.iter().all(|bit| *bit < FILTER_BITS));
        let n_distinct = bits.iter().collect::<HashSet<_>>().len();
        assert!(
            n_distinct * 100 >= bits.len() * 97,
            "{n_distinct} of {}",
            bits.len()
        );
        let halves = bits.iter().filter(|bit| **bit < FILTER_BITS / 2).count();
        assert!(halves.abs_diff(bits.len() / 2) < bits.len() / 20, "{halves}");
    }

    fn v4(address: u32) -> u32 {
        bit4(u32::from_ne_bytes(address.to_be_bytes()))
    }

    fn v6(address: u128) -> u32 {
        bit6(words(address.to_be_bytes()))
    }

    #[test]
    fn neighbours_do_not_share_bits() {
        for step in [1, 2, 256, 1 << 12, 65_537] {
            assert_spread((0_u32..).map(|n| v4(0x0a00_0000_u32.wrapping_add(n.wrapping_mul(step)))));
        }
    }

    #[test]
    fn neighbouring_hosts_and_neighbouring_networks_do_not_share_bits() {
        let base = 0x2001_0db8_u128 << 96;
        for shift in [0, 8, 16, 32, 48, 64, 72, 80] {
            assert_spread((0_u128..).map(|n| v6(base + (n << shift))));
        }
        // Many networks of many hosts each.
        assert_spread((0_u128..).map(|n| v6(base + ((n & 0x1ff) | (n >> 9) << 64))));
        assert_spread((0_u128..).map(|n| v6(base + ((n & 0x1ff) << 20 | (n >> 9) << 72))));
    }

    #[test]
    fn a_bit_stands_in_the_byte_it_is_counted_in() {
        assert_eq!(position(0), (0, 1));
        assert_eq!(position(7), (0, 128));
        assert_eq!(position(FILTER_BITS - 1), (FILTER_BYTES - 1, 128));
    }
}
