//! The power fails while a command is at work: whatever of it has reached the disk by then, the next boot has the policy
//! from before the command or the one from after it, and needs nobody's help. Needs root.
//!
//! The disk is looked at before and after each system call of the command. What fails while the kernel writes its own
//! journal is the kernel's affair.

mod disk;
mod stops;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use disk::{Disk, Files, Mounted};
use shaper_tests::alone::{Ran, Server, to_its_end};

const CONFIG: &str =
    "[interface.eth0]\nenforcement = \"police\"\n[[rule]]\ndestination = \"any\"\nrate = \"100mbit\"\n";
const OTHER: &str = "[interface.eth0]\nenforcement = \"police\"\n[[rule]]\ndestination = \"any\"\nrate = \"200mbit\"\n\
    [[rule]]\ndestination = \"10.1.0.9\"\nrate = \"9mbit\"\n";

/// What reaches the disk by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Writer {
    /// Only what the command asks for.
    Command,
    /// The journal too, at every moment: names and sizes, but not what is in the files.
    Somebody,
}

/// The rules in force, or what is wrong.
type Found = Result<String, String>;

/// What is tried.
struct Case {
    /// Commands before.
    before: &'static [&'static str],
    /// The command that the power fails in. `DISK` is where the disk is.
    command: &'static str,
    /// Whether the next boot knows that it was carried out.
    is_kept: bool,
}

const fn case(before: &'static [&'static str], command: &'static str, is_kept: bool) -> Case {
    Case {
        before,
        command,
        is_kept,
    }
}

const ONE: &[&str] = &["set 10.1.0.7 1mbit --comment TICKET-4711"];
const NAMED: &[&str] = &["set 10.1.0.7 1mbit --name seven"];
const TWO: &[&str] = &["set 10.1.0.7 1mbit", "exempt add 10.2.0.0/16"];

/// A machine with a disk.
struct Machine {
    server: Server,
    disk: Disk,
}

impl Machine {
    fn new() -> Self {
        let server = Server::new(CONFIG);
        let disk = Disk::new(server.dir());
        Self { server, disk }
    }

    /// A command of the machine whose disk is mounted at `disk`. Memory and kernel of one boot are not those of another.
    fn command(&self, boot: &str, disk: &Path, line: &str) -> Command {
        let words: Vec<_> = line
            .split(' ')
            .map(|word| word.replace("DISK", disk.to_str().unwrap()))
            .collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut command = self.server.command(&words);
        command
            .env("SHAPER_STATE_DIR", disk.join("state"))
            .env("SHAPER_CONFIG", disk.join("shaper.toml"))
            .env("SHAPER_RUN_DIR", self.server.dir().join(boot))
            .env("SHAPER_BPFFS_DIR", self.server.bpffs().join(boot));
        command
    }

    fn run(&self, boot: &str, disk: &Mounted, line: &str) -> Ran {
        to_its_end(&mut self.command(boot, disk.path(), line))
    }

    fn ok(&self, boot: &str, disk: &Mounted, line: &str) -> String {
        let ran = self.run(boot, disk, line);
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.out, ran.err);
        ran.out
    }

    /// The power fails at every moment of the command; all that the disk can hold then, in the order of time.
    fn cut(&self, case: &Case, writer: Writer) -> Vec<Vec<u8>> {
        let disk = self.disk.mount();
        fs::write(disk.path().join("shaper.toml"), CONFIG).unwrap();
        fs::write(disk.path().join("other.toml"), OTHER).unwrap();
        self.ok("first", &disk, "up");
        let mut trial = None;
        for line in case.before {
            if line.contains("--try") {
                trial = Some(self.command("first", disk.path(), line).spawn().unwrap());
                let began = Instant::now();
                while !self.ok("first", &disk, "-o plain list").contains("10.1.0.8") {
                    assert!(began.elapsed() < Duration::from_mins(1));
                }
            } else {
                self.ok("first", &disk, line);
            }
        }
        let mut bystander = disk.bystander();
        bystander.sync();
        run_sync(disk.path());
        let (mut seen, mut files) = (vec![self.disk.content()], disk.files());
        let mut look = || {
            let (mut content, found) = (self.disk.content(), disk.files());
            if seen.last() == Some(&content) && found == files {
                return;
            }
            files = found;
            if writer == Writer::Somebody {
                bystander.sync();
                content = self.disk.content();
            }
            seen.push(content);
        };
        let code = stops::at_each(&mut self.command("first", disk.path(), case.command), &mut look);
        // Nobody confirms what is on trial.
        let wanted = if case.command.contains("--try") { 7 } else { 0 };
        assert_eq!(code, wanted, "{}", case.command);
        seen.push(self.disk.content());
        if let Some(mut waiting) = trial {
            assert!(waiting.wait().unwrap().success());
        }
        self.run("first", &disk, "down");
        seen
    }

    /// The rules in force after a boot with a disk of this content. Two that differ only in what no file holds are tried
    /// once.
    fn boot(&self, content: &[u8], known: &mut BTreeMap<Files, Found>) -> Found {
        let disk = self.disk.boot(content);
        known
            .entry(disk.files())
            .or_insert_with(|| self.boots(&disk))
            .clone()
    }

    fn boots(&self, disk: &Mounted) -> Found {
        let up = self.run("next", disk, "up");
        let status = self.run("next", disk, "status");
        let rules = self.run("next", disk, "save");
        if disk.path().join("saved.toml").exists() {
            self.ok("next", disk, "check DISK/saved.toml");
        }
        // The first change takes away what a command had not finished.
        self.run("next", disk, "set 10.1.9.9 1mbit");
        self.ok("next", disk, "down");
        let _ = fs::remove_dir_all(self.server.dir().join("next"));
        let leftovers = fs::read_dir(disk.path().join("state"));
        let leftovers: Vec<_> = leftovers
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != "rules.toml")
            .collect();
        if up.code == 0 && status.code == 0 && up.err.is_empty() && leftovers.is_empty() {
            Ok(rules.out)
        } else {
            Err(format!("{}{}{leftovers:?}", up.err, status.out))
        }
    }

    /// How many contents of the disk there were, and how many of its files.
    fn try_case(&self, case: &Case, writer: Writer) -> (usize, usize) {
        let what = format!("{} ({writer:?} writes)", case.command);
        let seen = self.cut(case, writer);
        let mut known = BTreeMap::new();
        let rules: Vec<_> = seen
            .iter()
            .map(|content| self.boot(content, &mut known))
            .collect();
        let [Ok(before), .., Ok(after)] = &rules[..] else {
            panic!("{what}: {rules:?}");
        };
        assert_eq!(
            before != after,
            case.is_kept,
            "{what}: before\n{before}\nafter\n{after}"
        );
        for (moment, found) in rules.iter().enumerate() {
            let found = found
                .as_ref()
                .unwrap_or_else(|why| panic!("{what}, moment {moment}: {why}"));
            assert!(
                found == before || found == after,
                "{what}, moment {moment}: {found}"
            );
        }
        (seen.len(), known.len())
    }
}

fn run_sync(path: &Path) {
    assert!(
        Command::new("sync")
            .arg("-f")
            .arg(path)
            .status()
            .unwrap()
            .success()
    );
}

fn try_all(cases: &[Case]) {
    for case in cases {
        for writer in [Writer::Command, Writer::Somebody] {
            let (n, n_files) = Machine::new().try_case(case, writer);
            println!(
                "{}: {n} moments, {n_files} that differ in files ({writer:?} writes)",
                case.command
            );
        }
    }
}

#[test]
fn a_rule_is_kept_or_not_whenever_the_power_fails() {
    try_all(&[
        case(&[], "set 10.1.0.7 1mbit", true),
        case(ONE, "set 10.1.0.8 2mbit --for 2h", true),
        case(ONE, "set 10.1.0.7 3mbit", true),
        case(ONE, "set 10.1.0.8 2mbit --temporary", false),
        case(ONE, "unset 10.1.0.7", true),
        case(TWO, "unset --all", true),
        case(NAMED, "unset --name seven", true),
        case(ONE, "exempt add 10.2.0.0/16", true),
        case(TWO, "exempt del 10.2.0.0/16", true),
        case(&["set 10.1.0.8 2mbit --try 1h"], "confirm", true),
        case(ONE, "set 10.1.0.8 2mbit --try 1s", false),
    ]);
}

#[test]
fn a_configuration_is_in_force_or_not_whenever_the_power_fails() {
    try_all(&[
        case(ONE, "reload", false),
        case(ONE, "up", false),
        case(ONE, "down", false),
        case(TWO, "apply -f DISK/other.toml", false),
        case(TWO, "apply -f DISK/other.toml --prune", true),
        case(TWO, "apply -f DISK/other.toml --try 1s", false),
        case(TWO, "save -f DISK/saved.toml", false),
        case(
            &["apply -f DISK/other.toml"],
            "save --force -f DISK/shaper.toml",
            true,
        ),
    ]);
}

#[test]
fn a_file_that_is_replaced_keeps_its_permissions_and_the_link_to_it() {
    let machine = Machine::new();
    let disk = machine.disk.mount();
    fs::write(disk.path().join("shaper.toml"), CONFIG).unwrap();
    machine.ok("first", &disk, "up");
    let (path, link) = (disk.path().join("saved.toml"), disk.path().join("link.toml"));
    machine.ok("first", &disk, "save -f DISK/saved.toml");
    let saved = fs::read_to_string(&path).unwrap();
    let again = machine.run("first", &disk, "save -f DISK/saved.toml");
    assert!(again.code == 2 && again.err.contains("--force"), "{}", again.err);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("saved.toml", &link).unwrap();
    machine.ok("first", &disk, "set 10.1.0.7 1mbit");
    machine.ok("first", &disk, "save --force -f DISK/link.toml");
    let replaced = fs::read_to_string(&path).unwrap();
    assert!(
        !saved.contains("10.1.0.7") && replaced.contains("10.1.0.7"),
        "{replaced}"
    );
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(link.is_symlink());
    // Nothing else is left beside it, and what is no file is written as it comes.
    assert_eq!(
        disk.files()
            .keys()
            .filter(|name| name.to_string_lossy().contains("saved"))
            .count(),
        1
    );
    assert_eq!(
        machine.ok("first", &disk, "save --force -f /dev/stdout"),
        replaced
    );
    machine.ok("first", &disk, "down");
}
