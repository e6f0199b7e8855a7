//! What systemd hears of the monitor: that it is ready, once it has looked; that it is alive, as long as the kernel answers.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use shaper_common::names::LAYOUT_VERSION;
use shaper_tests::alone::Server;
use shaper_tests::monitor::{Monitor, PATIENCE};

use super::CONFIG;

/// What the manager wants to hear of the monitor every so many microseconds. It looks as often as it says something: four
/// times as often.
const WATCHDOG_USEC: u32 = 40_000;
/// Many looks long.
const LONG: Duration = Duration::from_secs(1);

/// The service manager's end.
struct Manager(UnixDatagram);

impl Manager {
    /// Starts the monitor as a service.
    fn start(server: &Server) -> (Self, Monitor) {
        let path = server.dir().join("notify");
        let manager = Self(UnixDatagram::bind(&path).unwrap());
        let mut command = server.command(&["monitor"]);
        command
            .env("NOTIFY_SOCKET", path)
            .env("WATCHDOG_USEC", WATCHDOG_USEC.to_string());
        (manager, Monitor::begin(&mut command))
    }

    /// The next message, if one comes in time.
    fn hear(&self, patience: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 1024];
        let len = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    /// Waits for a message with all of these in it.
    fn hear_of(&self, texts: &[&str]) -> String {
        let mut heard = Vec::new();
        while let Some(message) = self.hear(PATIENCE) {
            if texts.iter().all(|text| message.contains(text)) {
                return message;
            }
            heard.push(message);
        }
        panic!("no {texts:?} among {heard:?}");
    }

    /// Forgets what was said so far.
    fn forget(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 1024]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }
}

#[test]
fn the_watchdog_is_fed_as_long_as_the_kernel_answers() {
    let server = Server::up(CONFIG);
    let (manager, monitor) = Manager::start(&server);
    let first = manager.hear(PATIENCE).unwrap();
    assert_eq!(first, "READY=1\nWATCHDOG=1\nSTATUS=1 interfaces, 0 degraded\n");
    let again = "WATCHDOG=1\nSTATUS=1 interfaces, 0 degraded\n";
    assert_eq!(manager.hear(PATIENCE).unwrap(), again);

    // A program of ours is not where it should be: the kernel says so, and so does the monitor.
    fs::rename(server.pin("ACTIVE"), server.pin("elsewhere")).unwrap();
    monitor.hear("/ACTIVE");
    manager.forget();
    assert_eq!(
        manager.hear(LONG),
        None,
        "fed, although the kernel cannot be read"
    );

    fs::rename(server.pin("elsewhere"), server.pin("ACTIVE")).unwrap();
    assert_eq!(manager.hear_of(&["WATCHDOG=1"]), again);

    // The kernel has answered that there is nothing.
    server.ok(&["down"]);
    manager.hear_of(&["WATCHDOG=1\n", "STATUS=shaper is not up\n"]);
    manager.hear_of(&["WATCHDOG=1\n", "STATUS=shaper is not up\n"]);
    server.ok(&["up"]);
    manager.hear_of(&[again]);
}

#[test]
fn what_waits_for_the_monitor_to_be_ready_does_not_wait_for_the_kernel_to_be_read() {
    let server = Server::up(CONFIG);
    fs::remove_file(server.pin("ACTIVE")).unwrap();
    let (manager, monitor) = Manager::start(&server);
    assert_eq!(manager.hear(PATIENCE).as_deref(), Some("READY=1\n"));
    monitor.hear("/ACTIVE");
    assert_eq!(
        manager.hear(LONG),
        None,
        "fed, although the kernel cannot be read"
    );
}

#[test]
fn another_version_that_goes_on_is_degraded_and_the_watchdog_is_fed() {
    let server = Server::up(CONFIG);
    let layout = server.pin("META").parent().unwrap().to_owned();
    let other = layout.with_file_name(format!("v{}", LAYOUT_VERSION + 1));
    fs::rename(&layout, &other).unwrap();
    let (manager, monitor) = Manager::start(&server);
    monitor.hear("of another version of shaper");
    manager.hear_of(&["WATCHDOG=1\n", "of another version of shaper"]);
    let once = server.run(&["monitor", "--once"]);
    assert!(
        once.code == 7 && once.err.contains("of another version of shaper"),
        "{once:?}"
    );
    fs::rename(&other, &layout).unwrap();
    monitor.hear("shaper is up");
}
