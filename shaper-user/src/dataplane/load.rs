//! Loads one program of the embedded object over the maps that are pinned.
//!
//! aya's own loader reads the types of the whole kernel first, for relocations that the object has none of. That takes 19 MB for
//! a moment, at each interface that comes, and the allocator may keep them. So aya parses and links the object, and the rest is
//! done here.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya::EbpfError;
use aya::programs::ProgramError;
use aya::sys::SyscallError;
use aya_obj::btf::BtfFeatures;
use aya_obj::{EbpfSectionKind, Object, VerifierLog};
use shaper_common::names::global;

use super::bpf_program::{self, Source};
use super::error::DataplaneError;
use super::pins::{Pins, shared_maps};
use super::program::{Definition, OBJECT, ProgramOptions, object_error};

/// What the oldest kernel that will do understands of BTF: all of it.
const FEATURES: BtfFeatures = BtfFeatures::new(true, true, true, true, true, true, true, true);

/// A program in the kernel.
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Program {
    /// Loads the program `name` over the maps in `pins`; without, over maps of its own.
    ///
    /// # Errors
    ///
    /// Missing privilege, or the verifier's refusal.
    pub(super) fn load(
        pins: Option<&Pins>,
        options: &ProgramOptions,
        name: &str,
    ) -> Result<Self, DataplaneError> {
        let mut object = Object::parse(OBJECT).map_err(|error| object_error(error.into()))?;
        set_globals(&mut object, options)?;
        let features = &FEATURES;
        let missing = || object_error(ProgramError::NotLoaded.into());
        let btf = object
            .fixup_and_sanitize_btf(features)
            .map_err(|error| object_error(error.into()))?
            .ok_or_else(missing)?;
        let btf =
            bpf_program::load_btf(&btf.to_bytes()).map_err(|error| call_error("bpf_btf_load", error))?;
        // The kernel keeps them for the program, once that is loaded.
        let _maps = link(&mut object, pins)?;

        let program = object.programs.get(name).ok_or_else(missing)?;
        let function = object
            .functions
            .get(&program.function_key())
            .ok_or_else(missing)?;
        let source = Source {
            name,
            license: &program.license,
            function,
            btf: btf.as_fd(),
        };
        source.load().map(Self).map_err(|(io_error, log)| {
            let verifier_log = VerifierLog::new(log);
            object_error(
                ProgramError::LoadError {
                    io_error,
                    verifier_log,
                }
                .into(),
            )
        })
    }

    /// Runs the program once upon `packet`; what it returns.
    ///
    /// # Errors
    ///
    /// If the kernel refuses; then it has not run.
    pub(super) fn run(&self, packet: &[u8]) -> Result<u32, DataplaneError> {
        bpf_program::run(self.as_fd(), packet).map_err(|io_error| call_error("bpf_prog_test_run", io_error))
    }
}

/// Gives the object's constants their values.
fn set_globals(object: &mut Object, options: &ProgramOptions) -> Result<(), DataplaneError> {
    let link_header_len = options.link_header_len.to_ne_bytes();
    let overhead = options.overhead.to_ne_bytes();
    let police = u32::from(options.is_policed).to_ne_bytes();
    let fake_clock = u32::from(options.has_fake_clock).to_ne_bytes();
    let log_level = [options.log_level];
    // Each with whether the object must have it.
    let globals: [(&str, &[u8], bool); 5] = [
        (global::LINK_HEADER_LEN, &link_header_len, true),
        (global::OVERHEAD, &overhead, true),
        (global::POLICE, &police, options.is_policed),
        (global::FAKE_CLOCK, &fake_clock, true),
        (global::LOG_LEVEL, &log_level, false),
    ];
    let globals = globals.map(|(name, value, is_required)| (name, (value, is_required)));
    object
        .patch_map_data(HashMap::from(globals))
        .map_err(|error| object_error(error.into()))
}

/// Puts the maps' descriptors and the functions that are called into the object's instructions. Programs can be loaded as long
/// as the maps are kept.
fn link(object: &mut Object, pins: Option<&Pins>) -> Result<Vec<OwnedFd>, DataplaneError> {
    let maps = std::mem::take(&mut object.maps);
    let fds = maps
        .iter()
        .map(|(name, map)| open_or_make(name, map, pins))
        .collect::<Result<Vec<_>, _>>()?;
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let known = maps
        .iter()
        .zip(&fds)
        .map(|((name, map), fd)| (name.as_str(), fd.as_raw_fd(), map));
    object
        .relocate_maps(known, &sections)
        .and_then(|()| object.relocate_calls(&sections))
        .map_err(|error| object_error(error.into()))?;
    Ok(fds)
}

/// The map `name` where it is pinned, else one of its own.
fn open_or_make(name: &str, map: &aya_obj::Map, pins: Option<&Pins>) -> Result<OwnedFd, DataplaneError> {
    let pins = pins.filter(|_| shared_maps().any(|shared| shared == name));
    if let Some(fd) = pins.map(|pins| pins.open(name)).transpose()?.flatten() {
        return Ok(fd);
    }
    let fd = Definition::of(map)
        .make(name)
        .map_err(|error| call_error("bpf_map_create", error))?;
    if !map.data().is_empty() {
        bpf_program::set_data(fd.as_fd(), map.data())
            .map_err(|error| call_error("bpf_map_update_elem", error))?;
    }
    if map.section_kind() == EbpfSectionKind::Rodata {
        // The verifier takes what cannot change for constants, and leaves out what these rule out.
        bpf_program::freeze(fd.as_fd()).map_err(|error| call_error("bpf_map_freeze", error))?;
    }
    if let Some(pins) = pins {
        pins.put(name, fd.as_fd())?;
    }
    Ok(fd)
}

fn call_error(call: &'static str, io_error: std::io::Error) -> DataplaneError {
    let error = ProgramError::SyscallError(SyscallError { call, io_error });
    object_error(EbpfError::from(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_asks_for_none_of_the_kernels_types() {
        let object = Object::parse(OBJECT).unwrap();
        assert!(object.btf.is_some() && !object.has_btf_relocations());
    }
}
