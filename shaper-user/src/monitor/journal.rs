//! Writes events: into the journal with their fields where it listens, else as lines on standard error.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;

use crate::view::event::Event;

/// Where the journal takes datagrams.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Where events go.
#[derive(Debug)]
pub struct Journal {
    socket: Option<UnixDatagram>,
}

impl Journal {
    /// The journal, if that is where standard error goes.
    #[must_use]
    pub fn open() -> Self {
        let socket = is_standard_error_journal()
            .then(|| {
                UnixDatagram::unbound()
                    .and_then(|socket| socket.connect(SOCKET).map(|()| socket))
                    .ok()
            })
            .flatten();
        Self { socket }
    }

    /// Writes one event. What the journal does not take goes to standard error.
    pub fn write(&self, event: &Event) {
        let is_sent = self
            .socket
            .as_ref()
            .is_some_and(|socket| socket.send(&fields(event)).is_ok());
        if !is_sent {
            // The number is syslog's, which whoever reads a service's standard error understands.
            let _ = writeln!(io::stderr(), "<{}>shaper: {event}", event.kind.priority());
        }
    }
}

/// `$JOURNAL_STREAM` names the device and the file number of the stream that the service was given.
fn is_standard_error_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    std::fs::metadata("/proc/self/fd/2")
        .is_ok_and(|metadata| stream == format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// The event in the journal's own form: each field with its length, as values may hold anything.
fn fields(event: &Event) -> Vec<u8> {
    let priority = event.kind.priority().to_string();
    let message = event.to_string();
    let all = [
        ("MESSAGE", Some(message.as_str())),
        ("PRIORITY", Some(&priority)),
        ("SYSLOG_IDENTIFIER", Some("shaper")),
        ("SHAPER_EVENT", Some(event.kind.name())),
        ("SHAPER_INTERFACE", event.interface.as_deref()),
        ("SHAPER_RULE", event.rule.as_deref()),
        ("SHAPER_DESTINATION", event.destination.as_deref()),
        (
            "SHAPER_REMEDY",
            Some(event.remedy.as_str()).filter(|remedy| !remedy.is_empty()),
        ),
    ];
    let mut bytes = Vec::new();
    for (name, value) in all {
        let Some(value) = value else { continue };
        bytes.extend(name.as_bytes());
        bytes.push(b'\n');
        bytes.extend((value.len() as u64).to_le_bytes());
        bytes.extend(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::event::Kind;

    #[test]
    fn a_value_cannot_forge_a_field() {
        let event = Event::new(Kind::Degraded, "x", "").on("eth0\nPRIORITY=0");
        let bytes = fields(&event);
        let value = b"eth0\nPRIORITY=0";
        let mut field = b"SHAPER_INTERFACE\n".to_vec();
        field.extend((value.len() as u64).to_le_bytes());
        field.extend(value);
        assert!(bytes.windows(field.len()).any(|window| window == field));
        assert!(!bytes.windows(13).any(|window| window == b"SHAPER_REMEDY"));
    }
}
