//! Charging clients' buckets from here while packets are charged to them; see [`shaper_common::transfer`].

use shaper_common::names::TRANSFER_PROGRAM;
use shaper_common::transfer::{Transfer, Transferred};

use super::error::DataplaneError;
use super::load::Program;
use super::pins::Pins;
use super::program::ProgramOptions;

/// Charges clients of the table in force.
pub(super) struct Transfers<'a> {
    pins: &'a Pins,
    /// Loaded when it is needed first.
    program: Option<Program>,
}

impl<'a> Transfers<'a> {
    pub(super) fn new(pins: &'a Pins) -> Self {
        Self { pins, program: None }
    }

    /// Loads the program now, where there is no way back later.
    ///
    /// # Errors
    ///
    /// If the kernel refuses it.
    pub(super) fn ready(mut self) -> Result<Self, DataplaneError> {
        self.loaded()?;
        Ok(self)
    }

    /// Charges a client's bucket.
    ///
    /// # Errors
    ///
    /// If the kernel refuses the program or its run; then nothing was charged.
    pub(super) fn apply(&mut self, transfer: &Transfer) -> Result<Transferred, DataplaneError> {
        Ok(match self.loaded()?.run(&transfer.packet())? {
            value if value == Transferred::Exchanged as u32 => Transferred::Exchanged,
            value if value == Transferred::Added as u32 => Transferred::Added,
            _ => Transferred::Nobody,
        })
    }

    fn loaded(&mut self) -> Result<&Program, DataplaneError> {
        match &mut self.program {
            Some(program) => Ok(program),
            none => {
                let options = ProgramOptions::default();
                Ok(none.insert(Program::load(Some(self.pins), &options, TRANSFER_PROGRAM)?))
            }
        }
    }
}
