//! The embedded kernel program: its maps' definitions, its constants, and how it is loaded.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};

use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfError, EbpfLoader};
use aya_obj::Object;
use shaper_common::names::{PINNED_MAPS, PROGRAM, global};

use super::bpf::MapInfo;
use super::doctor;
use super::error::DataplaneError;
use super::pins::{LOGS, Pins};
use super::position::{program_info, tag_text};

/// The object that `cargo xtask ebpf` builds.
static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../shaper-ebpf/shaper.bpf.o");

/// Constants of one interface's program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramOptions {
    /// Bytes before the network header.
    pub link_header_len: u32,
    /// Bytes each packet takes on the wire beyond what the kernel counts.
    pub overhead: u32,
    /// Drops what would have to wait, and stamps nothing.
    pub is_policed: bool,
    /// aya-log's level; 0 is off and costs nothing.
    pub log_level: u8,
    /// Whether the clock is the map `CLOCK`: for tests.
    pub has_fake_clock: bool,
}

/// A map's definition, and that of the maps in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Definition {
    pub(super) map: MapInfo,
    pub(super) inner: Option<MapInfo>,
}

/// The definitions of all maps in the object.
#[derive(Debug)]
pub(super) struct Definitions(HashMap<String, Definition>);

impl Definitions {
    /// Reads them from the embedded object.
    pub(super) fn read() -> Result<Self, DataplaneError> {
        let object = Object::parse(OBJECT).map_err(|error| object_error(error.into()))?;
        let definitions = object.maps.iter().map(|(name, map)| {
            let inner = map.inner().map(|inner| definition(&inner));
            (
                name.clone(),
                Definition {
                    map: definition(map),
                    inner,
                },
            )
        });
        Ok(Self(definitions.collect()))
    }

    /// The definition of the map `name`, which the object is known to have.
    pub(super) fn get(&self, name: &str) -> Definition {
        self.0[name]
    }

    /// The definition of the maps in `name`, which is known to hold maps.
    pub(super) fn inner(&self, name: &str) -> MapInfo {
        self.0[name].inner.unwrap_or_default()
    }
}

fn definition(map: &aya_obj::Map) -> MapInfo {
    MapInfo {
        kind: map.map_type(),
        id: 0,
        key_size: map.key_size(),
        value_size: map.value_size(),
        max_entries: map.max_entries(),
        flags: map.map_flags(),
    }
}

/// Identifies the embedded object: FNV-1a of its bytes.
#[must_use]
pub fn build_id() -> u64 {
    OBJECT.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The object with its maps, those in `pins` among them, but nothing loaded.
pub(super) fn relocate(pins: Option<&Pins>, options: &ProgramOptions) -> Result<Ebpf, DataplaneError> {
    let (fake_clock, police) = (u32::from(options.has_fake_clock), u32::from(options.is_policed));
    let mut loader = EbpfLoader::new();
    loader
        .override_global(global::LINK_HEADER_LEN, &options.link_header_len, true)
        .override_global(global::OVERHEAD, &options.overhead, true)
        .override_global(global::POLICE, &police, options.is_policed)
        .override_global(global::FAKE_CLOCK, &fake_clock, true)
        .override_global(global::LOG_LEVEL, &options.log_level, false);
    if let Some(pins) = pins {
        for name in PINNED_MAPS.into_iter().chain([LOGS]) {
            loader.map_pin_path(name, pins.path(name));
        }
    }
    loader.load(OBJECT).map_err(object_error)
}

/// Loads the program over the maps pinned in `pins`.
///
/// # Errors
///
/// Missing privilege, or the verifier's refusal.
pub(super) fn load(pins: &Pins, options: &ProgramOptions) -> Result<Ebpf, DataplaneError> {
    let mut ebpf = relocate(Some(pins), options)?;
    classifier(&mut ebpf, PROGRAM)?
        .load()
        .map_err(|error| object_error(error.into()))?;
    Ok(ebpf)
}

/// Loads the program over maps of its own, and lets go of both.
pub(super) fn try_to_load(options: &ProgramOptions) -> Result<(), DataplaneError> {
    let mut ebpf = relocate(None, options)?;
    classifier(&mut ebpf, PROGRAM)?
        .load()
        .map_err(|error| object_error(error.into()))
}

/// The program `name` in an object.
pub(super) fn classifier<'a>(
    ebpf: &'a mut Ebpf,
    name: &str,
) -> Result<&'a mut SchedClassifier, DataplaneError> {
    let program = ebpf.program_mut(name).ok_or(ProgramError::NotLoaded);
    program
        .and_then(TryInto::try_into)
        .map_err(|error| object_error(error.into()))
}

/// The descriptor of the program in a loaded object.
pub(super) fn descriptor(ebpf: &mut Ebpf) -> Result<BorrowedFd<'_>, DataplaneError> {
    let program = classifier(ebpf, PROGRAM)?;
    program
        .fd()
        .map(AsFd::as_fd)
        .map_err(|error| object_error(error.into()))
}

/// The kernel's hash of a program's instructions.
pub(super) fn tag(program: BorrowedFd<'_>) -> Result<String, DataplaneError> {
    let info =
        program_info(program).map_err(|error| DataplaneError::kernel("look at the kernel program", error))?;
    Ok(tag_text(&info))
}

/// What of an aya error the operator can act on.
pub(super) fn object_error(error: EbpfError) -> DataplaneError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        let number = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error);
        // EACCES is the verifier's refusal.
        if number == Some(libc::EPERM) {
            return DataplaneError::Privilege {
                action: "load the kernel program".into(),
            };
        }
        cause = error.source();
    }
    if let EbpfError::ProgramError(ProgramError::LoadError { verifier_log, .. }) = &error
        && let Some(refusal) = refusal(&verifier_log.to_string(), doctor::kernel_version())
    {
        return refusal;
    }
    DataplaneError::Object {
        source: Box::new(error),
    }
}

/// What the verifier of a kernel of this version means by its account; `None` if it gave none.
fn refusal(log: &str, kernel_version: (u32, u32)) -> Option<DataplaneError> {
    // The reason stands at the end, before a line of statistics.
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| !line.starts_with("processed "))
        .collect();
    let reason = lines[lines.len().saturating_sub(3)..].join("; ");
    if kernel_version < doctor::OLDEST {
        let what = format!("take the kernel program ({reason})");
        return Some(DataplaneError::KernelTooOld { what });
    }
    (!reason.is_empty()).then_some(DataplaneError::Verifier { reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "119: (85) call bpf_skb_set_tstamp#192\ninvalid func unknown#192\nprocessed 98 insns\n";

    #[test]
    fn a_kernel_that_is_too_old_is_named_as_such() {
        let refusal = refusal(LOG, (5, 10)).unwrap();
        assert_eq!(refusal.code(), "kernel_too_old");
        let (message, hint) = (refusal.to_string(), refusal.hint().unwrap());
        assert!(message.ends_with("invalid func unknown#192)"), "{message}");
        assert!(hint.contains("6.1"), "{hint}");
    }

    #[test]
    fn a_kernel_that_should_take_the_program_has_its_reasons_told() {
        let refusal_of = |log| refusal(log, doctor::OLDEST);
        let said = refusal_of(LOG).unwrap();
        assert!(matches!(&said, DataplaneError::Verifier { reason } if reason.ends_with("unknown#192")));
        assert!(refusal_of("").is_none());
    }
}
