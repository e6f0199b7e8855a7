//! What `shaper up` makes, what it refuses, and that `shaper down` takes everything away, a hundred times over: in a network
//! and with directories of its own, on an interface that is policed, so that no fq is needed. Needs root.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use aya::programs::ProgramInfo;
use serde_json::Value;
use shaper_common::names::LAYOUT_VERSION;
use shaper_tests::lab::{Release, bpf};
use shaper_tests::object;
use shaper_tests::world::World;

/// Something in each kind of table.
const CONFIG: &str = r#"
[interface.eth0]
enforcement = "police"

[service.web]
ports = ["tcp:8000-8099"]

[group.g]
rate = "1gbit"

[[rule]]
destination = "203.0.113.7"
rate = "20mbit"
group = "g"

[[rule]]
destination = "2001:db8::7"
service = "web"
rate = "20mbit"

[[rule]]
destination = "198.51.100.0/24"
rate = "20mbit"

[[rule]]
destination = "2001:db8:1::/56"
rate = "20mbit"

[[rule]]
destination = "any"
per = "client"
rate = "100mbit"
"#;

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A network with one interface, and directories, for `shaper`; gone when dropped.
struct Server {
    world: World,
    dir: PathBuf,
}

impl Server {
    fn new(name: &str) -> Self {
        let world = World::new();
        // SAFETY: a system call without pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        output(Command::new("ip").args(["link", "add", "eth0", "type", "veth", "peer", "name", "peer0"]));
        let dir = std::env::temp_dir().join(format!("shaper-up-{name}-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("shaper.toml"), CONFIG).unwrap();
        Self { world, dir }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(std::env::var_os("SHAPER_BIN").unwrap_or_else(|| "shaper".into()));
        command
            .args(args)
            .env("SHAPER_BPFFS_DIR", self.world.paths().bpffs)
            .env("SHAPER_RUN_DIR", self.dir.join("run"))
            .env("SHAPER_STATE_DIR", self.dir.join("state"))
            .env("SHAPER_CONFIG", self.dir.join("shaper.toml"));
        command
    }

    /// Runs a command that must succeed; what it printed.
    fn shaper(&self, args: &[&str]) -> String {
        output(&mut self.command(args))
    }

    /// Runs a command that must fail with exit code 1; the error it printed.
    fn refused(&self, args: &[&str]) -> Value {
        let output = self.command(&[&["-o", "json"], args].concat()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        let error: Value = serde_json::from_slice(&output.stderr).unwrap();
        error["error"].clone()
    }

    fn is_up(&self) -> bool {
        let status = self.command(&["status"]).output().unwrap().status.code();
        assert!(matches!(status, Some(0 | 6)), "{status:?}");
        status == Some(0)
    }

    /// Where the pins stand.
    fn pins(&self) -> PathBuf {
        self.world.paths().bpffs.join(format!("v{LAYOUT_VERSION}"))
    }

    /// Everything that is pinned.
    fn pinned(&self) -> BTreeSet<bpf::Id> {
        let files = std::fs::read_dir(self.pins())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        files.flat_map(|pin| bpf::ids_at(&pin).unwrap()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// All qdiscs, without who refers to them.
fn qdiscs() -> String {
    let text = output(Command::new("tc").args(["qdisc", "show"]));
    let lines = text
        .lines()
        .map(|line| line.split(" refcnt ").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// Waits until the kernel has freed what nobody holds any more. Others may make and free things of their own meanwhile.
fn assert_gone(made: &BTreeSet<bpf::Id>, when: &str) {
    let begun = Instant::now();
    while let Some(left) = bpf::ids().intersection(made).next() {
        assert!(
            begun.elapsed() < Duration::from_mins(1),
            "{left:?} is left {when}"
        );
        std::thread::yield_now();
    }
}

fn n_of(made: &BTreeSet<bpf::Id>, kind: &str) -> usize {
    made.iter().filter(|(of, _)| *of == kind).count()
}

fn hooks() -> &'static [&'static str] {
    if Release::running() >= Release::V6_12 {
        &["tcx", "clsact"]
    } else {
        &["clsact"]
    }
}

#[test]
fn a_hundred_times_up_and_down_leave_no_program_map_link_pin_or_qdisc() {
    let n_rounds = if object::in_lab() { 4 } else { 100 };
    let server = Server::new("rounds");
    let as_found = qdiscs();
    for (n_round, hook) in (1..=n_rounds).zip(hooks().iter().cycle()) {
        server.shaper(&["up", "--attach", hook]);
        let made = server.pinned();
        assert!(
            n_of(&made, "prog_id") == 1 && n_of(&made, "map_id") > 20,
            "{made:?}"
        );
        assert_eq!(n_of(&made, "link_id"), usize::from(*hook == "tcx"));
        assert!(made.is_subset(&bpf::ids()), "what is pinned is there");
        server.shaper(&["down"]);
        let when = format!("after round {n_round}");
        assert!(!server.world.paths().bpffs.exists(), "pins are left {when}");
        assert_eq!(qdiscs(), as_found, "{when}");
        assert_gone(&made, &when);
    }
}

#[test]
fn from_one_hook_to_the_other_there_is_one_program_at_any_end() {
    let server = Server::new("hooks");
    let filters = || output(Command::new("tc").args(["filter", "show", "dev", "eth0", "egress"]));
    let mut before = BTreeSet::new();
    for hook in hooks().iter().cycle().take(5) {
        // Where there is but one hook, it is the same again.
        let is_same = hooks().len() == 1 && !before.is_empty();
        let done = if is_same { "already attached" } else { "attached" };
        let said = server.shaper(&["up", "--attach", hook]);
        assert_eq!(said, format!("eth0: {done} by {hook}, policing\n"));
        let status = server.shaper(&["status"]);
        assert!(
            status.contains(&format!("attached {hook} egress, first of 1, ")),
            "{status}"
        );
        assert!(status.contains("  polices, needs no fq  "), "{status}");
        let made = server.pinned();
        assert_eq!(n_of(&made, "prog_id"), 1, "{hook}");
        assert_eq!(n_of(&made, "link_id"), usize::from(*hook == "tcx"), "{hook}");
        let n_filters = filters().matches("shaper_egress direct-action").count();
        assert_eq!(n_filters, usize::from(*hook == "clsact"), "{}", filters());
        // The maps are the same; program and link are others, and those before them are gone.
        let gone = before.difference(&made).copied().collect();
        assert_gone(&gone, "on the other hook");
        before = made;
    }
    server.shaper(&["down"]);
    assert_gone(&before, "at the end");
}

/// Both ends of one promise: this machine's kernel has fq, or it has not.
#[test]
fn up_puts_fq_in_place_or_says_that_there_is_none_and_leaves_nothing() {
    let server = Server::new("fq");
    let paced = CONFIG.replace("police", "pace");
    std::fs::write(server.dir.join("shaper.toml"), paced).unwrap();
    let as_found = qdiscs();
    if server.command(&["up"]).output().unwrap().status.success() {
        assert!(qdiscs().contains("qdisc fq "), "{}", qdiscs());
        server.shaper(&["down"]);
    } else {
        let error = server.refused(&["up"]);
        assert_eq!(error["code"], "no_fq");
        let hint = error["hint"].as_str().unwrap();
        assert!(
            hint.contains("modprobe sch_fq") && hint.contains("police"),
            "{hint}"
        );
        assert!(!server.is_up());
    }
    assert!(!server.world.paths().bpffs.exists());
    assert_eq!(qdiscs(), as_found);
}

/// As long as the verifier knows their types, it checks functions one by one; else 6.1 wants `CAP_PERFMON`, and takes longer.
#[test]
fn the_program_is_loaded_with_its_types() {
    let server = Server::new("types");
    server.shaper(&["up"]);
    let info = ProgramInfo::from_pin(server.pins().join("prog_eth0")).unwrap();
    assert!(info.btf_id().is_some(), "{info:?}");
}

#[test]
fn a_filter_whose_pins_are_lost_goes_with_down() {
    let server = Server::new("lost");
    let as_found = qdiscs();
    server.shaper(&["up", "--attach", "clsact"]);
    std::fs::remove_dir_all(server.world.paths().bpffs).unwrap();
    let filters = || output(Command::new("tc").args(["filter", "show", "dev", "eth0", "egress"]));
    assert!(filters().contains("shaper_egress"), "{}", filters());
    server.shaper(&["down"]);
    assert_eq!(filters(), "");
    assert_eq!(qdiscs(), as_found);
}

#[test]
fn an_interface_that_is_not_there_is_named_and_nothing_is_made() {
    let server = Server::new("missing");
    let error = server.refused(&["up", "-i", "eth0,eth1"]);
    assert_eq!(error["code"], "no_such_interface");
    assert_eq!(error["message"], "there is no interface `eth1`");
    assert_eq!(error["hint"], "did you mean `eth0`?");
    assert!(!server.is_up());
    assert!(!server.world.paths().bpffs.exists());
}

#[test]
fn a_damaged_pin_is_refused_by_every_command_but_down_which_mends_it() {
    let server = Server::new("damaged");
    server.shaper(&["up"]);
    let made = server.pinned();
    let pin = server
        .world
        .paths()
        .bpffs
        .join(format!("v{LAYOUT_VERSION}/TOTALS"));
    std::fs::remove_file(&pin).unwrap();
    let commands: [&[&str]; 5] = [
        &["up"],
        &["status"],
        &["list"],
        &["set", "203.0.113.9", "1mbit"],
        &["reload"],
    ];
    for args in commands {
        let error = server.refused(args);
        assert_eq!(error["code"], "foreign_pin", "{args:?}");
        assert!(error["message"].as_str().unwrap().contains("TOTALS"), "{error}");
        assert!(
            error["hint"].as_str().unwrap().contains("`shaper down`"),
            "{error}"
        );
    }
    assert!(
        !server.dir.join("state/rules.toml").exists(),
        "a refused rule is not kept"
    );
    server.shaper(&["down"]);
    assert_gone(&made, "of what was damaged");
    server.shaper(&["up"]);
    assert!(server.is_up());
    server.shaper(&["down"]);
}

#[test]
fn a_machine_that_only_polices_needs_no_fq() {
    let server = Server::new("doctor");
    let said = server.shaper(&["doctor"]);
    println!("{said}");
    assert!(said.contains("eth0: "), "{said}");
    assert!(!said.contains("FAIL"), "{said}");
}
