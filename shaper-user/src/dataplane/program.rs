//! The embedded kernel program: its maps' definitions, its constants, and what is said when it cannot be loaded.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::EbpfError;
use aya::programs::ProgramError;
use aya_obj::Object;

use super::bpf::{self, MapInfo};
use super::doctor;
use super::error::DataplaneError;
use super::position::{program_info, tag_text};

/// The object that `cargo xtask ebpf` builds.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../shaper-ebpf/shaper.bpf.o");

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
        let maps = object.maps.iter();
        let definitions = maps.map(|(name, map)| (name.clone(), Definition::of(map)));
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

impl Definition {
    /// As the object has it.
    pub(super) fn of(map: &aya_obj::Map) -> Self {
        Self {
            map: definition(map),
            inner: map.inner().map(|inner| definition(&inner)),
        }
    }

    /// Makes the map, with nothing in it; one of maps needs one to go by.
    pub(super) fn make(&self, name: &str) -> io::Result<OwnedFd> {
        let template = self.inner.map(|inner| bpf::create_map(&inner, name, None));
        let template = template.transpose()?;
        bpf::create_map(&self.map, name, template.as_ref().map(AsFd::as_fd))
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
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error);
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
