//! Taking one entry away and freeing its bucket, beside however many others.

use super::Dataplane;
use super::content::{has_bucket, has_clients};
use super::error::DataplaneError;
use crate::policy::tables::TableKey;

impl Dataplane {
    /// Takes away what stands at `key`, and touches nothing else. The caller holds the lock.
    ///
    /// `false` if that is not all there is to do: where a table would be empty, packets are no longer led to it; a rule for a
    /// service may share its bucket, and one for clients has theirs. Then nothing was changed.
    ///
    /// # Errors
    ///
    /// Whatever the kernel refuses; what was in force stays so.
    pub fn remove_one(&self, key: &TableKey) -> Result<bool, DataplaneError> {
        let found = self
            .slots
            .in_force(|slot| Ok((self.slots.rule(slot, key)?, self.slots.has_others(slot, key)?)))?;
        let (rule, is_enough) = match found {
            (None, _) => return Ok(true),
            (Some(rule), has_others) => (rule, has_others && !has_clients(&rule)),
        };
        if !is_enough {
            return Ok(false);
        }
        let chunks = self.buckets.chunks()?;
        self.buckets.wait_for_running_programs()?;
        if !self.slots.change_in_place(key, None)? {
            return Ok(false);
        }
        // Nobody else's, once no packet can be charged to it any more; if that cannot be known, the next whole change
        // finds it.
        if has_bucket(&rule) && self.buckets.wait_for_running_programs().is_ok() {
            chunks.take_back(rule.bucket);
        }
        Ok(true)
    }
}
