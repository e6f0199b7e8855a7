//! Charging clients' buckets from here while packets are charged to them; see [`shaper_common::transfer`].

use aya::Ebpf;
use aya::programs::{TestRun as _, TestRunOptions};
use shaper_common::names::TRANSFER_PROGRAM;
use shaper_common::transfer::{Transfer, Transferred};

use super::error::DataplaneError;
use super::pins::Pins;
use super::program::{self, ProgramOptions, object_error};

/// Charges clients of the table in force.
pub(super) struct Transfers<'a> {
    pins: &'a Pins,
    /// Loaded when it is needed first.
    program: Option<Ebpf>,
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
        let options = TestRunOptions {
            data_in: Some(&transfer.packet()),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let program = program::classifier(self.loaded()?, TRANSFER_PROGRAM)?;
        let ran = program
            .test_run(options)
            .map_err(|error| object_error(error.into()))?;
        Ok(match ran.return_value {
            value if value == Transferred::Exchanged as u32 => Transferred::Exchanged,
            value if value == Transferred::Added as u32 => Transferred::Added,
            _ => Transferred::Nobody,
        })
    }

    fn loaded(&mut self) -> Result<&mut Ebpf, DataplaneError> {
        match &mut self.program {
            Some(ebpf) => Ok(ebpf),
            none => {
                let mut ebpf = program::relocate(Some(self.pins), &ProgramOptions::default())?;
                program::classifier(&mut ebpf, TRANSFER_PROGRAM)?
                    .load()
                    .map_err(|error| object_error(error.into()))?;
                Ok(none.insert(ebpf))
            }
        }
    }
}
