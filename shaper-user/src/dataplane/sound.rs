//! Do packets go by what is pinned? Nothing of it is changed by shaper but under the lock, and nobody else should.

use shaper_common::pacing::ticks;

use super::buckets::Chunks;
use super::content::Content;
use super::error::DataplaneError;
use super::{Dataplane, Problem, monotonic_ns};
use crate::policy::tables::Tables;

/// No queue is that long, even where a rate was raised from the lowest to the highest.
const LONGEST_QUEUE_NS: u64 = 600 * shaper_common::NSEC_PER_SEC;

/// Everything is made anew, from the policy.
const ANEW: &str = "`shaper down`, then `shaper up`: nothing is limited in between, and buckets begin anew";

impl Dataplane {
    /// What is in force, and what of it packets do not go by.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses.
    pub fn inspect(&self) -> Result<(Tables, Vec<Problem>), DataplaneError> {
        let (content, chunks, flaw) = self.slots.in_force(|slot| {
            let content = self.slots.content(slot)?;
            let flaw = self.slots.flaw(slot, &content)?;
            Ok((content, self.buckets.chunks()?, flaw))
        })?;
        let flaws = [
            flaw,
            self.buckets.flaw(&chunks)?,
            missing_bucket(&content, &chunks),
            blocked_bucket(&content, &chunks),
        ];
        let problems = flaws.into_iter().flatten().map(|what| Problem {
            what,
            remedy: ANEW.into(),
        });
        let problems = problems.collect();
        Ok((self.tables(content, &chunks)?, problems))
    }
}

fn missing_bucket(content: &Content, chunks: &Chunks) -> Option<String> {
    let is_missing = |number: &u32| *number as usize >= chunks.n_buckets();
    let n_missing = content.buckets().filter(is_missing).count();
    (n_missing > 0).then(|| format!("{n_missing} rules have no bucket to be charged to"))
}

/// A bucket that is further ahead of the clock than any queue drops all packets, and for how long.
fn blocked_bucket(content: &Content, chunks: &Chunks) -> Option<String> {
    let latest = ticks(monotonic_ns().saturating_add(LONGEST_QUEUE_NS));
    let is_ahead = |number: &u32| chunks.read(*number).last_departure_ticks > latest;
    let n_ahead = content.buckets().filter(is_ahead).count();
    (n_ahead > 0).then(|| format!("{n_ahead} buckets are far ahead of the clock, and drop every packet"))
}
