//! The Debian package: installed, upgraded, removed, installed again, purged.

use std::path::Path;
use std::time::Duration;

use shaper_tests::machine::{must, property, sh, status, within};

const SOON: Duration = Duration::from_mins(1);
const CONFIG: &str = "/etc/shaper/shaper.toml";
/// As an operator writes it.
const POLICY: &str = "# mine\n[interface.up0]\n[[rule]]\ndestination = \"10.0.0.2\"\nrate = \"1mbit\"\n";
const UNITS: [&str; 2] = ["shaper.service", "shaper-monitor.service"];

/// Whether dpkg asks nothing: it would wait for an answer, and gets none.
fn install(package: &str) -> String {
    must(&format!(
        "DEBIAN_FRONTEND=noninteractive dpkg -i /lab/{package}.deb </dev/null 2>&1"
    ))
}

/// A machine that never had shaper, with pages and other documents as on one that people use.
fn bare() {
    must("systemctl stop shaper-monitor.service shaper.service || true");
    must(
        "if [ ! -e /sys/class/net/up0 ]; then sh /usr/lib/lab/card.sh; fi; ip link set down0 up; ip link set up0 up",
    );
    must("rm -f /etc/dpkg/dpkg.cfg.d/*");
    must("if dpkg-query -W shaper 2>/dev/null; then dpkg --purge shaper; fi");
    must("rm -rf /etc/shaper /var/lib/shaper /run/shaper /usr/bin/shaper /etc/fail2ban/action.d/shaper.conf");
    must("rm -f /usr/lib/systemd/system/shaper*.service /etc/systemd/system/*/shaper*.service");
    must("systemctl daemon-reload");
}

/// The package, with a policy of the operator's in force.
fn in_use() {
    bare();
    install("shaper");
    std::fs::write(CONFIG, POLICY).unwrap();
    must("systemctl reload shaper.service");
    assert_in_force();
}

fn assert_in_force() {
    within(SOON, "limits are in force", || {
        status().0 == 0 && must("tc qdisc show dev up0 root").contains("qdisc fq ")
    });
}

fn assert_nothing_is_limited() {
    assert!(!Path::new("/sys/fs/bpf/shaper").exists());
    assert!(must("tc qdisc show dev up0 root").contains("noqueue"));
}

fn program_of(interface: &str) -> String {
    must(&format!(
        "stat --format=%i /sys/fs/bpf/shaper/*/*{interface}* | sort"
    ))
}

fn build() -> String {
    must("grep build_id /run/shaper/dataplane.toml")
}

fn is_active(unit: &str) -> bool {
    property(unit, "ActiveState") == "active"
}

#[test]
fn as_delivered_it_starts_and_limits_nothing() {
    bare();
    let qdiscs = || must("tc qdisc show; tc filter show dev up0 egress");
    let before = qdiscs();
    install("shaper");
    assert_eq!(property("shaper.service", "UnitFileState"), "enabled");
    assert!(UNITS.into_iter().all(is_active));
    assert_eq!(property("shaper.service", "Result"), "success");
    must("shaper check");
    assert_eq!(status().0, 6);
    assert_eq!(qdiscs(), before);
    assert_nothing_is_limited();
}

#[test]
fn over_itself_another_build_and_another_layout_it_keeps_limits_and_what_an_operator_wrote() {
    in_use();
    must("shaper set 10.0.0.3 1mbit");
    let since = property("shaper.service", "ActiveEnterTimestampMonotonic");
    let (attached, build_before) = (program_of("up0"), build());
    install("shaper");
    assert_eq!(program_of("up0"), attached);
    install("older");
    assert_ne!(build(), build_before);
    assert_in_force();
    assert_eq!(property("shaper.service", "ActiveEnterTimestampMonotonic"), since);
    assert_eq!(std::fs::read_to_string(CONFIG).unwrap(), POLICY);
    assert!(must("shaper -o plain list").contains("10.0.0.3"));
    within(SOON, "the monitor runs again", || {
        is_active("shaper-monitor.service")
    });
    // And over one whose tables had another layout, which it cannot go on with: they are made anew.
    must("cd /sys/fs/bpf/shaper && mv v* v0");
    install("shaper");
    assert!(!Path::new("/sys/fs/bpf/shaper/v0").exists());
    assert_in_force();
    assert_eq!(property("shaper.service", "ActiveEnterTimestampMonotonic"), since);
    assert!(must("shaper -o plain list").contains("10.0.0.3"));
}

#[test]
fn removed_it_is_gone_and_installed_again_limits_are_back() {
    in_use();
    must("shaper set 10.0.0.3 1mbit");
    let installed = must("dpkg -L shaper");
    let files = || installed.lines().filter(|file| Path::new(file).is_file());
    let is_kept = |file: &&str| file.starts_with("/etc/");
    assert!(files().any(|file| file.contains("/man8/shaper-monitor.8")));
    must("dpkg --remove shaper");
    assert_nothing_is_limited();
    assert!(!UNITS.into_iter().any(is_active));
    assert_eq!(files().find(|file| !is_kept(file)), None);
    assert_eq!(std::fs::read_to_string(CONFIG).unwrap(), POLICY);

    install("shaper");
    assert!(UNITS.into_iter().all(is_active));
    assert_in_force();
    assert!(must("shaper -o plain list").contains("10.0.0.3"));

    must("dpkg --purge shaper");
    assert_nothing_is_limited();
    assert_eq!(files().next(), None);
    for left in ["/etc/shaper", "/var/lib/shaper", "/run/shaper"] {
        assert!(!Path::new(left).exists(), "{left}");
    }
    assert_eq!(
        must("find /etc/systemd /var/lib/systemd -name '*shaper*'"),
        "",
        "systemd has forgotten it, too"
    );
}

#[test]
fn an_upgrade_takes_limits_along_that_were_put_in_force_by_hand() {
    in_use();
    must("systemctl stop shaper.service && shaper up && systemctl start shaper-monitor.service");
    let (build_before, monitor) = (build(), property("shaper-monitor.service", "MainPID"));
    install("older");
    assert_ne!(build(), build_before);
    assert_in_force();
    assert!(!is_active("shaper.service"));
    assert_ne!(property("shaper-monitor.service", "MainPID"), monitor);
    assert!(is_active("shaper-monitor.service"));
}

#[test]
fn an_upgrade_starts_nothing_that_was_stopped() {
    in_use();
    must("systemctl stop shaper.service");
    install("older");
    assert!(!UNITS.into_iter().any(is_active));
    assert_nothing_is_limited();
    assert_eq!(sh("shaper status --brief").code, 6);
}
