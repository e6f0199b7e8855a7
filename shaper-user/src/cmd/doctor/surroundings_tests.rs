//! Folders that stand for machines.

use super::*;

/// A folder that stands for a machine; gone when dropped.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let root = std::env::temp_dir().join(format!("shaper-doctor-{}-{name}", std::process::id()));
        for (file, text) in files {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(root)
    }

    fn of(&self, what: &str) -> Vec<(State, String)> {
        let checks = Surroundings::new(&self.0).examine();
        let of_kind = checks.into_iter().filter(|check| check.what == what);
        of_kind.map(|check| (check.state, check.found)).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_plain_machine_has_nothing_to_complain_of() {
    let machine = Machine::new(
        "plain",
        &[
            ("run/systemd/system/x", ""),
            ("usr/lib/x86_64-linux-gnu/systemd/libsystemd-shared-252.so", ""),
            (
                "sys/kernel/security/lockdown",
                "[none] integrity confidentiality\n",
            ),
            (
                "etc/systemd/network/a.network",
                "[Match]\nName=eth0\n# [FairQueueing]\n",
            ),
            ("etc/network/interfaces", "iface eth0 inet dhcp # etc\n"),
        ],
    );
    assert_eq!(machine.of("systemd"), [(State::Ok, "252".to_owned())]);
    assert_eq!(machine.of("lockdown"), [(State::Ok, "none".to_owned())]);
    assert_eq!(machine.of("container"), [(State::Ok, "none".to_owned())]);
    assert_eq!(machine.of("others")[0].0, State::Ok);
    assert_eq!(machine.of("boot")[0].0, State::Warn);
}

#[test]
fn each_tool_that_manages_qdiscs_is_named_with_its_file() {
    let machine = Machine::new(
        "tools",
        &[
            ("etc/firehol/fireqos.conf", ""),
            ("etc/systemd/network/a.network", "[HierarchyTokenBucketClass]\n"),
            (
                "etc/network/interfaces",
                "  up /sbin/tc qdisc add dev eth0 root sfq\n",
            ),
            (
                "etc/NetworkManager/system-connections/w",
                "[tc]\nqdisc.root=fq_codel\n",
            ),
            ("run/cilium/x", ""),
        ],
    );
    let found = machine.of("others");
    assert!(
        found.iter().all(|(state, _)| *state == State::Warn) && found.len() == 5,
        "{found:?}"
    );
    for named in [
        "Cilium",
        "FireQOS",
        "networkd",
        "/etc/network/interfaces",
        "NetworkManager",
    ] {
        assert!(
            found.iter().any(|(_, text)| text.contains(named)),
            "{named}: {found:?}"
        );
    }
}

#[test]
fn old_systemd_lockdown_and_a_container_are_told() {
    let machine = Machine::new(
        "old",
        &[
            ("run/systemd/system/x", ""),
            ("run/systemd/container", "lxc\n"),
            ("usr/lib/systemd/libsystemd-shared-249.so", ""),
            (
                "sys/kernel/security/lockdown",
                "none integrity [confidentiality]\n",
            ),
        ],
    );
    assert_eq!(machine.of("systemd"), [(State::Warn, "249".to_owned())]);
    assert_eq!(
        machine.of("lockdown"),
        [(State::Warn, "confidentiality".to_owned())]
    );
    assert!(machine.of("container")[0].1.contains("lxc"));
}

#[test]
fn whatever_networkd_reads_is_looked_at_and_nothing_else() {
    let machine = Machine::new(
        "networkd",
        &[
            ("etc/systemd/network/a.network", "[StochasticFairBlue]\n"),
            ("etc/systemd/network/b.network.d/x.conf", "[PIE]\n"),
            ("run/systemd/network/c.network", "[QuickFairQueueingClass]\n"),
            ("usr/lib/systemd/network/d.network", "[FlowQueuePIE]\n"),
            // In place of the one below; no file of networkd's; no section.
            ("etc/systemd/network/e.network", "[Match]\n"),
            ("usr/lib/systemd/network/e.network", "[CAKE]\n"),
            ("etc/systemd/network/f.network.off", "[CAKE]\n"),
            ("etc/systemd/network/g.network", "[Network]\nDescription=[CAKE]\n"),
        ],
    );
    let found = machine.of("others");
    assert_eq!(found.len(), 4, "{found:?}");
    for named in [
        "etc/systemd/network/a",
        "b.network.d/x",
        "run/systemd/network/c",
        "d.network",
    ] {
        assert!(
            found.iter().any(|(_, text)| text.contains(named)),
            "{named}: {found:?}"
        );
    }
}

#[test]
fn wondershaper_is_found_where_debian_starts_it() {
    let machine = Machine::new(
        "wondershaper",
        &[
            (
                "etc/network/interfaces",
                "iface eth0 inet dhcp\n    up /sbin/wondershaper eth0 9000 900\n    # up /sbin/tc qdisc\n",
            ),
            ("etc/network/interfaces.d/eth1", "post-up fireqos start\n"),
        ],
    );
    let found = machine.of("others");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].1.contains("interfaces.d/eth1 runs fireqos"), "{found:?}");
    assert!(found[1].1.contains("interfaces runs wondershaper"), "{found:?}");
}
