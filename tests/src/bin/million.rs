//! What a million rules cost: one JSON line for each thing that an operator does with them, and the kernel memory that they
//! take. `million [RULES] [v6]`, as root; the program under test is `SHAPER_BIN`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Instant;

use aya::maps::MapData;
use shaper_tests::server::Server;

const HEAD: &str = "[interface.eth0]\nenforcement = \"police\"\n";
/// Changes of one rule, of which the median counts.
const N_CHANGES: u32 = 5;

fn main() {
    let mut args = std::env::args().skip(1);
    let n_rules: u32 = args
        .next()
        .map_or(1_000_000, |text| text.parse().expect("a number of rules"));
    let is_v6 = args.next().is_some();
    let address = |n: u32| {
        if is_v6 {
            format!("2001:db8::{:x}:{:x}", n >> 16, n & 0xffff)
        } else {
            std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string()
        }
    };
    let family = if is_v6 { "ipv6" } else { "ipv4" };
    let bench = Bench {
        server: Server::up(HEAD),
        about: format!("{n_rules} {family} rules"),
    };
    let before = bench.kernel_bytes();

    bench.server.configure(&configuration(n_rules, "10mbit", address));
    bench.timed("check", &["check"]);
    bench.timed("apply", &["apply"]);
    let per_rule = (bench.kernel_bytes() - before) / u64::from(n_rules);
    bench.report("kernel memory for each", "bytes", per_rule.into());
    bench.timed("apply again, the same", &["apply"]);
    bench.median("set, another rate", |n| {
        vec!["set".into(), address(n_rules / 2 + n), "20mbit".into()]
    });
    bench.median("set, one more", |n| {
        vec!["set".into(), address(n_rules + n), "20mbit".into()]
    });
    bench.median("get", |n| vec!["get".into(), address(n_rules / 3 + n)]);
    bench.timed("list", &["list"]);
    bench.timed("list --stats", &["list", "--stats", "--interval", "1ms"]);
    bench.timed("unset", &["unset", &address(n_rules / 2)]);
    bench.server.configure(&configuration(n_rules, "20mbit", address));
    bench.timed("reload, every rate another", &["reload"]);
    bench.timed("down", &["down"]);
}

fn configuration(n_rules: u32, rate: &str, address: impl Fn(u32) -> String) -> String {
    let mut text = HEAD.to_owned();
    for n in 0..n_rules {
        let _ = write!(
            text,
            "[[rule]]\ndestination = \"{}\"\nrate = \"{rate}\"\n",
            address(n)
        );
    }
    text
}

struct Bench {
    server: Server,
    about: String,
}

impl Bench {
    /// Runs a command that must succeed; how long it took.
    fn millis(&self, args: &[&str]) -> u128 {
        let begun = Instant::now();
        self.server.ok(args);
        begun.elapsed().as_millis()
    }

    fn timed(&self, what: &str, args: &[&str]) {
        self.report(what, "milliseconds", self.millis(args));
    }

    fn median(&self, what: &str, args: impl Fn(u32) -> Vec<String>) {
        let run = |n| {
            let args = args(n);
            self.millis(&args.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let mut times: Vec<u128> = (0..N_CHANGES).map(run).collect();
        times.sort_unstable();
        self.report(what, "milliseconds", times[times.len() / 2]);
    }

    fn report(&self, what: &str, unit: &str, number: u128) {
        println!(
            r#"{{"kernel":"host","policy":"{}","command":"{what}","{unit}":{number}}}"#,
            self.about
        );
    }

    /// What the kernel says that the pinned maps take.
    fn kernel_bytes(&self) -> u64 {
        let mut maps = BTreeMap::new();
        add_maps(&self.server.pins(), &mut maps);
        maps.values().sum()
    }
}

/// Adds the maps pinned below `directory`, by their ids: the tables in force have two pins each.
fn add_maps(directory: &Path, maps: &mut BTreeMap<u64, u64>) {
    for entry in fs::read_dir(directory).expect("shaper is up") {
        let path = entry.expect("shaper is up").path();
        if path.is_dir() {
            add_maps(&path, maps);
        } else if let Ok(map) = MapData::from_pin(&path) {
            let info = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
            let info = fs::read_to_string(info).expect("the descriptor is open");
            let number = |key: &str| -> Option<u64> {
                let line = info.lines().find_map(|line| line.strip_prefix(key));
                line?.trim().parse().ok()
            };
            // A link or a program has no such number.
            if let Some(id) = number("map_id:") {
                maps.insert(id, number("memlock:").expect("the kernel tells"));
            }
        }
    }
}
