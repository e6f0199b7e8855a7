//! The Debian package: installed, installed over itself, removed, purged.

use std::path::Path;
use std::time::Duration;

use shaper_tests::machine::{must, property, sh, status, within};

const SOON: Duration = Duration::from_mins(1);
const INSTALL: &str = "DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i /lab/shaper.deb";

fn program_of(interface: &str) -> String {
    must(&format!(
        "stat --format=%i /sys/fs/bpf/shaper/*/*{interface}* | sort"
    ))
}

#[test]
fn it_comes_stays_and_goes() {
    must("sed -i '/never0/d' /etc/shaper/shaper.toml");
    must(INSTALL);
    assert_eq!(property("shaper.service", "UnitFileState"), "enabled");
    must("systemctl start shaper.service && shaper set 10.0.0.3 1mbit && systemctl reload shaper.service");
    within(SOON, "limits are in force", || status().0 == 0);

    // Over itself: the service is not stopped, and what is attached stays attached.
    let since = property("shaper.service", "ActiveEnterTimestampMonotonic");
    let attached = program_of("up0");
    must(INSTALL);
    assert_eq!(property("shaper.service", "ActiveEnterTimestampMonotonic"), since);
    assert_eq!(program_of("up0"), attached);
    within(SOON, "limits are still in force", || status().0 == 0);
    within(SOON, "the monitor runs again", || {
        property("shaper-monitor.service", "ActiveState") == "active"
    });

    must("dpkg --remove shaper");
    assert!(must("tc qdisc show dev up0 root").contains("noqueue"));
    assert!(!Path::new("/sys/fs/bpf/shaper").exists() && !Path::new("/usr/bin/shaper").exists());
    assert_ne!(sh("systemctl is-active shaper-monitor.service").code, 0);
    assert!(
        Path::new("/etc/shaper/shaper.toml").exists() && Path::new("/var/lib/shaper/rules.toml").exists()
    );

    must("dpkg --purge shaper");
    assert!(!Path::new("/etc/shaper/shaper.toml").exists() && !Path::new("/var/lib/shaper").exists());
    assert!(!Path::new("/run/shaper").exists());
}
