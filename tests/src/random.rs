//! Random policies and frames, drawn so that every outcome is frequent.

mod config;
mod frame;
mod policy;

use std::{
    env,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

pub use self::{
    config::Written,
    frame::{Sample, frame},
    policy::policy,
};

/// The seed that `SHAPER_SEED` gives, or another one each time. Printed, so that a failure can be had again.
#[must_use]
pub fn seed() -> u64 {
    let seed = number("SHAPER_SEED").unwrap_or_else(fresh_seed);
    println!("SHAPER_SEED={seed}");
    seed
}

/// The number that an environment variable holds, if it is set.
#[must_use]
pub fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}={text}: {error}")),
    )
}

fn fresh_seed() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() % (1 << 53)).unwrap()
}

/// A generator of numbers that depend on the seed alone (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that starts at `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end
    }

    /// Whether one in `n` came up.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// A number of as many bits as `bits` allows: each order of magnitude is as likely as the next.
    pub fn magnitude(&mut self, bits: Range<u32>) -> u64 {
        let n_bits = bits.start + self.below32(bits.end - bits.start);
        (1 << n_bits) | self.below(1 << n_bits)
    }

    /// One of `choices`.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    fn below32(&mut self, end: u32) -> u32 {
        u32::try_from(self.below(u64::from(end))).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }
}
