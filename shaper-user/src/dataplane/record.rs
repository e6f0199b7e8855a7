//! What we made and what was there before, kept in the run directory until `down`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::error::DataplaneError;
use super::holding::Before;
use crate::paths::Paths;
use crate::policy::FqNeeds;
use crate::store::{Deserialize, Serialize, read_toml, remove, write_toml};

/// How a program is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// By a tcx link.
    #[default]
    Tcx,
    /// By a filter on clsact.
    Clsact,
}

impl Hook {
    /// As people know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
        }
    }
}

/// One interface that has our program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct InterfaceRecord {
    pub(super) ifindex: u32,
    pub(super) hook: Hook,
    /// Whether clsact is there because of us.
    pub(super) made_clsact: bool,
    pub(super) link_header_len: u32,
    pub(super) overhead: u32,
    /// Drops what would have to wait.
    pub(super) is_policed: bool,
    /// Whether the configuration named it, and not somebody's hand alone.
    pub(super) is_configured: bool,
    pub(super) log_level: u8,
    /// Of the loaded object; hexadecimal, for TOML's numbers are signed.
    pub(super) build_id: String,
    /// The kernel's hash of the program's instructions, hexadecimal.
    pub(super) tag: String,
}

/// One device whose qdiscs we changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct DeviceRecord {
    pub(super) ifindex: u32,
    pub(super) before: Vec<Before>,
}

/// What each `fq` must be able to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct NeedsRecord {
    pub(super) limit_packets: u32,
    pub(super) flow_limit_packets: u32,
}

impl From<&FqNeeds> for NeedsRecord {
    fn from(needs: &FqNeeds) -> Self {
        Self {
            limit_packets: needs.limit_packets,
            flow_limit_packets: needs.flow_limit_packets,
        }
    }
}

impl NeedsRecord {
    /// What is enough for both.
    pub(super) fn or_more(self, needs: &FqNeeds) -> FqNeeds {
        FqNeeds {
            limit_packets: self.limit_packets.max(needs.limit_packets),
            flow_limit_packets: self.flow_limit_packets.max(needs.flow_limit_packets),
            is_capped: needs.is_capped,
        }
    }

    /// Whether what was needed before is enough for `needs`.
    pub(super) fn covers(self, needs: &FqNeeds) -> bool {
        self.limit_packets >= needs.limit_packets && self.flow_limit_packets >= needs.flow_limit_packets
    }
}

/// The whole file. Interfaces and devices by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) needs: NeedsRecord,
    pub(super) interface: BTreeMap<String, InterfaceRecord>,
    pub(super) device: BTreeMap<String, DeviceRecord>,
}

fn path(paths: &Paths) -> PathBuf {
    paths.run.join("dataplane.toml")
}

impl Record {
    /// Reads it; empty if there is none.
    pub(super) fn read(paths: &Paths) -> Result<Self, DataplaneError> {
        Ok(read_toml(&path(paths))?.unwrap_or_default())
    }

    /// Writes it, all or nothing.
    pub(super) fn write(&self, paths: &Paths) -> Result<(), DataplaneError> {
        Ok(write_toml(&path(paths), self)?)
    }

    /// Forgets everything.
    pub(super) fn remove(paths: &Paths) -> Result<(), DataplaneError> {
        Ok(remove(&path(paths))?)
    }
}
