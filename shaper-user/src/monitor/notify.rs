//! Tells systemd that we are ready, alive, and how things are: its notification protocol, one datagram each.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants to hear of us at least.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says; without it every message goes nowhere.
    ///
    /// # Errors
    ///
    /// If the environment names a socket that cannot be.
    pub fn from_environment() -> io::Result<Self> {
        let socket = match std::env::var("NOTIFY_SOCKET") {
            Ok(path) => Some((UnixDatagram::unbound()?, address(&path)?)),
            Err(_) => None,
        };
        let is_meant = |pid: String| pid == std::process::id().to_string();
        let micros = std::env::var("WATCHDOG_USEC")
            .ok()
            .filter(|_| std::env::var("WATCHDOG_PID").map_or(true, is_meant));
        Ok(Self {
            socket,
            watchdog: micros
                .and_then(|micros| micros.parse().ok())
                .map(Duration::from_micros),
        })
    }

    /// How often to say that we are alive: a quarter of what the manager waits.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 4)
    }

    /// Sends lines such as `READY=1`.
    ///
    /// # Errors
    ///
    /// If the manager cannot be reached.
    pub fn send(&self, lines: &str) -> io::Result<()> {
        match &self.socket {
            Some((socket, address)) => socket.send_to_addr(lines.as_bytes(), address).map(drop),
            None => Ok(()),
        }
    }
}

/// A path, or a name in the abstract namespace behind an `@`.
fn address(path: &str) -> io::Result<SocketAddr> {
    match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reaches_a_manager_of_either_kind() {
        let name = format!("shaper-test-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        for text in [format!("@{name}"), path.display().to_string()] {
            let manager = UnixDatagram::bind_addr(&address(&text).unwrap()).unwrap();
            let notify = Notify {
                socket: Some((UnixDatagram::unbound().unwrap(), address(&text).unwrap())),
                watchdog: Some(Duration::from_secs(30)),
            };
            notify.send("READY=1\n").unwrap();
            let mut buffer = [0; 64];
            let n_bytes = manager.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n_bytes], b"READY=1\n");
            assert_eq!(notify.interval(), Some(Duration::from_millis(7500)));
        }
        std::fs::remove_file(path).unwrap();
    }
}
