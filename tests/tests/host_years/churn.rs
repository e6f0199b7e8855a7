//! Rules, interfaces and clients that come and go by the thousand. Each round is an hour for the clients; `SHAPER_HOURS` says how
//! many there are, twenty if it is not set.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use shaper_tests::alone::{Server, ip};
use shaper_tests::lab::bpf::{self, Id};
use shaper_tests::monitor::{Monitor, PATIENCE};
use shaper_user::cmd;
use shaper_user::dataplane::{Dataplane, monotonic_ns};
use shaper_user::paths::Paths;

use super::{CONFIG, route, send};

/// What the own memory of the monitor may grow by, in kB. What glibc has at hand between two looks varies by 400.
const SLACK: u64 = 512;
/// What the monitor may need at a time, in kB, its binary of 8 MB included. Reading the kernel's types takes 20 MB more.
const PEAK: u64 = 20 * 1024;

fn paths(server: &Server) -> Paths {
    Paths {
        bpffs: server.bpffs().join("shaper"),
        run: server.dir().join("run"),
        state: server.dir().join("state"),
        config: server.dir().join("shaper.toml"),
    }
}

/// Where something is pinned.
fn paths_of_pins(server: &Server) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(server.pin("META").parent().unwrap()).unwrap();
    entries.map(|entry| entry.unwrap().path())
}

/// Programs, maps and links that are pinned, or that something pinned holds.
fn pinned(server: &Server) -> BTreeSet<Id> {
    paths_of_pins(server)
        .flat_map(|path| bpf::ids_at(&path).unwrap())
        .collect()
}

/// Waits until the kernel has freed all of `made` that is not pinned.
fn assert_freed(server: &Server, made: &BTreeSet<Id>) {
    let (began, pinned) = (Instant::now(), pinned(server));
    let left = || -> Vec<Id> {
        let ids = bpf::ids();
        let left = made.difference(&pinned).filter(|id| ids.contains(*id));
        left.copied().collect()
    };
    while !left().is_empty() {
        assert!(
            began.elapsed() < PATIENCE,
            "not pinned, and not freed: {:?}",
            left()
        );
    }
}

fn pins(server: &Server) -> BTreeSet<OsString> {
    let names = paths_of_pins(server).map(|path| path.file_name().unwrap().to_owned());
    names.collect()
}

/// Runs a command in this process: thousands of processes would take minutes.
fn in_process(paths: &Paths, args: &[&str]) {
    let directories = [
        ("--bpffs-dir", &paths.bpffs),
        ("--run-dir", &paths.run),
        ("--state-dir", &paths.state),
        ("--config", &paths.config),
    ];
    let mut words: Vec<OsString> = vec!["shaper".into(), "--quiet".into()];
    for (option, path) in directories {
        words.extend([option.into(), path.into()]);
    }
    words.extend(args.iter().map(OsString::from));
    let mut out = Vec::new();
    assert_eq!(cmd::main(words, &mut out), 0, "{args:?}");
}

/// Pins, the monitor's descriptors and ours.
type Held = (BTreeSet<OsString>, usize, usize);

fn n_own_descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn thousands_of_changes_leave_no_pin_no_descriptor_and_no_memory_behind() {
    let server = Server::up(CONFIG);
    route();
    let (paths, monitor) = (paths(&server), Monitor::start(&mut server.command(&["monitor"])));
    let n_rounds: u32 = std::env::var("SHAPER_HOURS").map_or(20, |text| text.parse().unwrap());
    // Rules take most of the time, and the monitor has least to do with them.
    let (n_rules, n_interfaces, n_clients) = (25, 12, 200);
    let mut seen: Option<(Held, u64)> = None;
    let mut n_changes = 0;
    let (others, mut made) = (bpf::ids(), BTreeSet::new());
    for round in 0..n_rounds {
        for n in 0..n_rules {
            let client = format!("10.1.{}.{}", 1 + n / 250, 1 + n % 250);
            let rate = format!("{}mbit", 1 + round);
            in_process(&paths, &["set", &client, &rate]);
            in_process(&paths, &["unset", &client]);
            n_changes += 2;
        }
        for n in 0..n_interfaces {
            let name = format!("veth{round}x{n}");
            ip(&format!("link add {name} type veth peer name p{round}x{n}"));
            monitor.hear(&format!("{name}: attached by"));
            ip(&format!("link del {name}"));
            n_changes += 2;
        }
        for n in 0..n_clients {
            send(
                Ipv4Addr::new(
                    10,
                    1,
                    100 + u8::try_from(n / 250).unwrap(),
                    u8::try_from(n % 250).unwrap(),
                ),
                1,
            );
        }
        let plane = Dataplane::open(&paths).unwrap();
        let n_found = plane.snapshot().unwrap().clients.len();
        assert!(n_found >= n_clients, "{n_found}");
        // An hour later.
        let later = monotonic_ns() + 3_600_000_000_000;
        let aged = plane.age_clients(later, Duration::from_mins(5)).unwrap();
        assert!(aged.n_removed >= n_clients, "{aged:?}");
        n_changes += 2 * n_clients;
        drop(plane);
        // What came by a pattern and went is forgotten with the next change of the books.
        in_process(&paths, &["up"]);
        in_process(&paths, &["set", "10.1.90.1", "1mbit", "--for", "1s"]);
        n_changes += 2;
        let (memory, n_descriptors) = monitor.at_rest();
        monitor.hear("the rule for 10.1.90.1 has ended");
        made.extend(bpf::ids().difference(&others).copied());
        let now = (pins(&server), n_descriptors, n_own_descriptors());
        println!(
            "{n_changes} changes: {} pins, {} and {} descriptors, {memory} kB, at most {} kB",
            now.0.len(),
            now.1,
            now.2,
            monitor.peak(),
        );
        if let Some((first, first_memory)) = &seen {
            assert_eq!(&now, first, "pins, the monitor's descriptors and ours");
            assert!(
                memory <= first_memory + SLACK,
                "{memory} kB after {first_memory} kB"
            );
        }
        // What the first end of a rule takes comes after the first look.
        if round > 0 {
            seen.get_or_insert((now, memory));
        }
    }
    assert!(monitor.peak() <= PEAK, "{} kB", monitor.peak());
    assert_freed(&server, &made);
    assert_eq!(server.run(&["status"]).code, 0);
}
