//! Where a table of a policy slot stands: in a map of maps, and pinned beside it.
//!
//! What stands there is known from the slot's head. The map of maps is asked only where it must be: before Linux 6.8 the
//! kernel waits for all running programs whenever one is read (commit 012772581d04), which takes 10 ms or more each time.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::bpf;
use super::error::{DataplaneError, MISSING};
use super::maps::Map;
use super::pins::Pins;

/// One table of one slot.
pub(super) struct Place<'a> {
    pub(super) outer: &'a Map<u32, u32>,
    pub(super) name: &'static str,
    pub(super) slot: u32,
    pub(super) pins: &'a Pins,
}

impl Place<'_> {
    fn pin_name(&self) -> String {
        format!("{}_{}", self.name, self.slot)
    }

    fn refused(&self, error: io::Error) -> DataplaneError {
        DataplaneError::kernel(format!("change the map {}", self.name), error)
    }

    /// The id of the table that stands here.
    pub(super) fn id(&self) -> Result<u32, DataplaneError> {
        let id = self.outer.get(&self.slot).map_err(|error| self.refused(error))?;
        Ok(id.unwrap_or_default())
    }

    /// The id of the map that is pinned here.
    fn pinned_id(&self) -> Result<Option<u32>, DataplaneError> {
        let Some(fd) = self.pins.open(&self.pin_name())? else {
            return Ok(None);
        };
        // Anything else is replaced.
        Ok(bpf::map_info(fd.as_fd()).ok().map(|info| info.id))
    }

    /// The table `id` that stands here, by its pin; 0 is none.
    pub(super) fn open(&self, id: u32) -> Result<Option<OwnedFd>, DataplaneError> {
        if id == 0 {
            return Ok(None);
        }
        let problem = match self.pins.open(&self.pin_name())? {
            None => MISSING.into(),
            Some(fd) => match bpf::map_info(fd.as_fd()) {
                Ok(info) if info.id == id => return Ok(Some(fd)),
                Ok(_) => "it is not the table in force".into(),
                Err(error) => error.to_string(),
            },
        };
        Err(DataplaneError::ForeignPin {
            path: self.pins.path(&self.pin_name()),
            problem,
        })
    }

    /// Puts the table `id` in place of `old`, or nothing. Waits until no program runs that began before, unless there is
    /// nothing to do.
    pub(super) fn put(&self, old: u32, id: u32, table: Option<&OwnedFd>) -> Result<(), DataplaneError> {
        let Some(fd) = table else {
            if old != 0 {
                self.outer
                    .delete(&self.slot)
                    .map_err(|error| self.refused(error))?;
            }
            return self.pins.take_away(&self.pin_name());
        };
        if self.pinned_id()? != Some(id) {
            self.pins.put(&self.pin_name(), fd.as_fd())?;
        }
        if id == old {
            return Ok(());
        }
        #[expect(
            clippy::cast_sign_loss,
            reason = "a descriptor is not negative; the kernel's field is unsigned"
        )]
        self.outer
            .put(&self.slot, &(fd.as_raw_fd() as u32))
            .map_err(|error| self.refused(error))
    }
}
