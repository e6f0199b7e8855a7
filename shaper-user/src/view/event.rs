//! Something that happened to the limits, as a line for people and as fields for machines.

use std::fmt;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// shaper is up: it was not before, or nobody had looked.
    Up,
    /// shaper is not up: nothing is limited.
    Down,
    /// The program was attached, or `fq` put in place.
    Repaired,
    /// Everything is as it should be again.
    Restored,
    /// Limits may not hold.
    Degraded,
    /// What is wrong could not be repaired.
    RepairFailed,
    /// Somebody undoes repairs as fast as they are made.
    Contested,
    /// A rule's deadline has come.
    Expired,
    /// The kernel had more to say than was read in time; everything was read anew.
    Lost,
    /// The kernel could not be asked.
    Unreadable,
}

impl Kind {
    /// Its name for machines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Repaired => "repaired",
            Self::Restored => "restored",
            Self::Degraded => "degraded",
            Self::RepairFailed => "repair_failed",
            Self::Contested => "contested",
            Self::Expired => "expired",
            Self::Lost => "lost",
            Self::Unreadable => "unreadable",
        }
    }

    /// syslog's number: 3 is an error, 4 a warning, 5 a notice, 6 information.
    #[must_use]
    pub const fn priority(self) -> u8 {
        match self {
            Self::RepairFailed | Self::Contested | Self::Unreadable => 3,
            Self::Degraded | Self::Lost => 4,
            Self::Repaired | Self::Restored | Self::Expired | Self::Down => 5,
            Self::Up => 6,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub kind: Kind,
    /// The interface it happened to.
    pub interface: Option<String>,
    /// The rule it happened to, by its name.
    pub rule: Option<String>,
    /// That rule's destination.
    pub destination: Option<String>,
    /// What happened, in words.
    pub what: String,
    /// What to do; empty if nothing needs to be done.
    pub remedy: String,
}

impl Event {
    /// Something that concerns no single interface or rule.
    #[must_use]
    pub fn new(kind: Kind, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            kind,
            interface: None,
            rule: None,
            destination: None,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// It happened to this interface.
    #[must_use]
    pub fn on(mut self, interface: impl Into<String>) -> Self {
        self.interface = Some(interface.into());
        self
    }
}

/// One line, whatever names and messages hold.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interface = self.interface.iter().map(|interface| format!("{interface}: "));
        let remedy = Some(&self.remedy).filter(|remedy| !remedy.is_empty());
        let remedy = remedy.map(|remedy| format!(" ({remedy})"));
        let line: String = interface.chain([self.what.clone()]).chain(remedy).collect();
        f.write_str(&line.replace(|c: char| c.is_control(), "\u{fffd}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        let event = Event::new(Kind::Degraded, "two\nlines", "`shaper up`").on("eth0");
        assert_eq!(event.to_string(), "eth0: two\u{fffd}lines (`shaper up`)");
    }
}
