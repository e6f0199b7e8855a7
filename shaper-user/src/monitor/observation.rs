//! What one look finds.

use crate::view::event::{Event, Kind};

/// One interface that is wanted or attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Whether attaching again would mend what is wrong.
    pub is_repairable: bool,
    /// Everything that is wrong, each with what to do.
    pub problems: Vec<(String, String)>,
}

/// Whether anything is limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// shaper is up.
    Up,
    /// Nothing is limited.
    #[default]
    Down,
    /// What another version of shaper has attached goes on, and this one can neither read nor repair it.
    Other {
        /// What is there.
        what: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Standing {
    /// What is said when it comes to that.
    pub(super) fn event(&self) -> Event {
        match self {
            Self::Up => Event::new(Kind::Up, "shaper is up", ""),
            Self::Down => Event::new(Kind::Down, "shaper is not up: nothing is limited", "`shaper up`"),
            Self::Other { what, remedy } => Event::new(Kind::Degraded, what, remedy),
        }
    }
}

/// What one look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Whether anything is limited.
    pub standing: Standing,
    /// All that are wanted or attached.
    pub interfaces: Vec<Seen>,
    /// Whether there are interfaces that were renamed, or are gone and not waited for.
    pub is_outdated: bool,
}
