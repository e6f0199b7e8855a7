//! Which bucket belongs to whom: a bucket remembers its owner, so an identity keeps its bucket whatever becomes of
//! the rules around it. Pure.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

use shaper_common::bucket::{CHUNK_BUCKETS, MAX_CHUNKS};

use crate::policy::tables::BucketId;

/// Most buckets there can be.
pub(super) const MOST: u32 = CHUNK_BUCKETS * MAX_CHUNKS;

/// An identity is a hash already.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("an identity is one number");
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

/// The owners of all buckets.
#[derive(Debug)]
pub(super) struct Owners {
    numbers: HashMap<BucketId, u32, BuildHasherDefault<AsIs>>,
    /// Zero: nobody's.
    by_number: Vec<u64>,
    /// No lower number is free.
    lowest: usize,
}

impl Owners {
    /// `owners` as the buckets say, by number; `in_use` are the numbers that rules in force lead to.
    pub(super) fn new(mut owners: Vec<u64>, in_use: impl Iterator<Item = u32>) -> Self {
        let mut numbers: HashMap<BucketId, u32, BuildHasherDefault<AsIs>> = HashMap::default();
        for number in in_use {
            let place = number as usize;
            if place >= owners.len() {
                owners.resize(place + 1, 0);
            }
            if owners[place] == 0 {
                // Somebody's, though it does not say whose: packets are charged to it.
                owners[place] = u64::MAX;
            } else {
                numbers.insert(BucketId(owners[place]), number);
            }
        }
        for (number, owner) in (0..).zip(&owners) {
            if *owner != 0
                && let Entry::Vacant(entry) = numbers.entry(BucketId(*owner))
            {
                entry.insert(number);
            }
        }
        Self {
            numbers,
            by_number: owners,
            lowest: 0,
        }
    }

    /// The bucket of `id`.
    pub(super) fn number(&self, id: BucketId) -> Option<u32> {
        self.numbers.get(&id).copied()
    }

    /// Gives `id` the first bucket that is nobody's; `None` if there is none.
    pub(super) fn give(&mut self, id: BucketId) -> Option<u32> {
        let free = self.by_number[self.lowest..].iter().position(|owner| *owner == 0);
        let place = free.map_or(self.by_number.len(), |free| self.lowest + free);
        let number = u32::try_from(place).ok().filter(|number| *number < MOST)?;
        if place == self.by_number.len() {
            self.by_number.push(0);
        }
        self.by_number[place] = id.0;
        self.lowest = place + 1;
        self.numbers.insert(id, number);
        Some(number)
    }

    /// The numbers that are somebody's, but not in `in_use`, in ascending order.
    pub(super) fn left_over(&self, in_use: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut is_used = vec![false; self.by_number.len()];
        for number in in_use {
            if let Some(is_used) = is_used.get_mut(number as usize) {
                *is_used = true;
            }
        }
        let owned = (0..).zip(&self.by_number).zip(is_used);
        owned
            .filter(|((_, owner), is_used)| **owner != 0 && !is_used)
            .map(|((number, _), _)| number)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_finds_its_bucket_again_and_a_new_one_gets_the_first_that_is_free() {
        let mut owners = Owners::new(vec![7, 0, 9], [0, 2].into_iter());
        assert_eq!(owners.number(BucketId(7)), Some(0));
        assert_eq!(owners.number(BucketId(9)), Some(2));
        assert_eq!(owners.number(BucketId(8)), None);
        assert_eq!(owners.give(BucketId(8)), Some(1));
        assert_eq!(owners.give(BucketId(6)), Some(3));
        assert_eq!(owners.number(BucketId(6)), Some(3));
    }

    #[test]
    fn a_bucket_in_use_is_given_to_nobody_even_if_it_has_lost_its_owner() {
        let mut owners = Owners::new(vec![0, 0], [0, 3].into_iter());
        assert_eq!(owners.give(BucketId(1)), Some(1));
        assert_eq!(owners.give(BucketId(2)), Some(2));
        assert_eq!(owners.give(BucketId(3)), Some(4));
    }

    #[test]
    fn of_two_buckets_with_one_owner_the_one_in_use_counts() {
        let owners = Owners::new(vec![5, 5], [1].into_iter());
        assert_eq!(owners.number(BucketId(5)), Some(1));
        assert_eq!(owners.left_over([1].into_iter()), [0]);
    }

    #[test]
    fn there_is_an_end_to_buckets() {
        let mut owners = Owners::new(vec![1; MOST as usize - 1], std::iter::empty());
        assert_eq!(owners.give(BucketId(2)), Some(MOST - 1));
        assert_eq!(owners.give(BucketId(3)), None);
    }
}
