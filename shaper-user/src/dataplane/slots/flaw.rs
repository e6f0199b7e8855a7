//! Whether packets go by what is pinned.

use shaper_common::rule::{Active, Rule};

use super::Slots;
use crate::dataplane::content::Content;
use crate::dataplane::error::DataplaneError;
use crate::policy::tables::TableKey;

impl Slots {
    /// Why packets go by something else than `content`, which was read from `slot` in force; `None` if they do not.
    pub(in crate::dataplane) fn flaw(
        &self,
        slot: u32,
        content: &Content,
    ) -> Result<Option<String>, DataplaneError> {
        let active = self
            .active
            .get(&0)
            .map_err(|error| DataplaneError::kernel("read the map ACTIVE", error))?;
        let found = active.unwrap_or_default();
        if found != Active::new(slot, content.features()) {
            return Ok(Some("packets are not led to all tables (map ACTIVE)".into()));
        }
        let head = self.head(slot)?;
        for (place, id) in self.places(slot).zip(head.tables) {
            if place.id()? != id {
                let name = place.name;
                return Ok(Some(format!(
                    "packets do not go by the table that is pinned (map {name})"
                )));
            }
        }
        let is_hidden = |(key, _): &&(TableKey, Rule)| !self.filter.has(slot, key);
        let n_hidden = content.rules.iter().filter(is_hidden).count();
        Ok((n_hidden > 0)
            .then(|| format!("the filter hides {n_hidden} of the rules from packets (map FILTER)")))
    }
}
