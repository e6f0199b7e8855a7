//! A server of the test's own, where commands change the policy: run, watched, killed or refused.
//!
//! Everything that a command touches belongs to the thread that made it: mounts, network, files. So a test has as many
//! of them as it likes; what makes a change slow is waiting for the kernel to be rid of old maps, and all can wait at once.

pub mod changes;
mod killing;
mod settled;
mod several;
pub mod trips;

use std::cell::OnceCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use shaper_user::dataplane::Dataplane;
use shaper_user::paths::Paths;
use shaper_user::policy::tables::Tables;

use crate::lab::host::run;
use crate::trace::{Ended, Traced};
use crate::visible::{Eye, mark_buckets};
use crate::world::World;

pub use killing::{is_same, kill_everywhere};
pub use settled::Settled;
pub use several::{Thoroughness, on_scenes};

/// A change of the policy by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the configuration says by then.
    pub config: &'static str,
    /// The command.
    pub command: &'static [&'static str],
}

const fn step(config: &'static str, command: &'static [&'static str]) -> Step {
    Step { config, command }
}

impl Step {
    /// How it ends: nobody confirms what is on trial here.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        Some(if self.for_good().is_some() { 7 } else { 0 })
    }

    /// What is done on trial, for good; `None` if nothing is.
    #[must_use]
    pub fn for_good(&self) -> Option<Self> {
        let words = self.command.iter().position(|word| *word == "--try")?;
        Some(Self {
            command: &self.command[..words],
            ..*self
        })
    }
}

/// A change and what takes it back.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Leads to the policy before, from that after it, and from itself.
    pub back: Step,
    /// Leads to the policy after.
    pub there: Step,
}

impl Change {
    /// The other way round.
    #[must_use]
    pub const fn reversed(self) -> Self {
        Self {
            back: self.there,
            there: self.back,
        }
    }
}

/// The interfaces of a server, as lines for `ip` and `tc`.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// What makes them.
    pub ip: &'static [&'static str],
    /// What somebody else has done with their queues.
    pub tc: &'static [&'static str],
}

/// Two interfaces that have no queues.
const VETHS: Ground = Ground {
    ip: &[
        "link add eth0 type veth peer name eth0-peer",
        "link add eth1 type veth peer name eth1-peer",
    ],
    tc: &[],
};

/// The server. Gone with all that it holds when dropped.
#[derive(Debug)]
pub struct Scene {
    world: World,
    directory: PathBuf,
    plane: OnceCell<Dataplane>,
    /// Sees what commands leave behind.
    pub eye: Eye,
}

impl Scene {
    /// With the policy that `change` starts from.
    #[must_use]
    pub fn before(change: &Change) -> Self {
        let scene = Self::on(&VETHS);
        let up = Step {
            config: change.back.config,
            command: &["up", "-i", "eth0"],
        };
        scene.take(&up);
        scene.prepare(change);
        scene
    }

    /// Goes to the policy that `change` starts from, and through the change once: what only grows has grown. Buckets that
    /// outlast it have been used.
    fn prepare(&self, change: &Change) {
        self.take(&change.back);
        mark_buckets(&self.paths().bpffs, 7);
        for step in change.there.for_good().iter().chain([&change.there]) {
            self.take(step);
            self.take(&change.back);
        }
    }

    /// With these interfaces, and nothing in force.
    #[must_use]
    pub fn on(ground: &Ground) -> Self {
        let world = World::new();
        // SAFETY: a system call without pointers.
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        for (program, lines) in [("ip", ground.ip), ("tc", ground.tc)] {
            for line in lines {
                run(Command::new(program).args(line.split(' ')));
            }
        }
        let directory = std::env::temp_dir().join(format!(
            "shaper-scene-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir_all(&directory).unwrap();
        // In memory, and seen by this thread alone.
        run(Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(&directory));
        let paths = Paths {
            bpffs: world.dir().join("shaper"),
            run: directory.join("run"),
            state: directory.join("state"),
            config: directory.join("shaper.toml"),
        };
        Self {
            plane: OnceCell::new(),
            eye: Eye::new(&paths),
            world,
            directory,
        }
    }

    /// The maps, as long as they are not made anew.
    pub fn plane(&self) -> &Dataplane {
        self.plane.get_or_init(|| {
            let plane = Dataplane::open(&self.paths()).unwrap();
            keep_maps_from_children();
            plane
        })
    }

    /// Takes a step, which must succeed.
    pub fn take(&self, step: &Step) {
        let ended = self.try_to_take(step);
        assert_eq!(ended.code, step.code(), "{:?}: {}", step.command, ended.stderr);
    }

    /// As [`take`](Self::take), but says how it ended.
    #[must_use]
    pub fn try_to_take(&self, step: &Step) -> Ended {
        self.start(step).finish()
    }

    /// Takes a step after one that was cut short. It should find nothing in its way and lead to what is `wanted`; what
    /// there is to complain of.
    #[must_use]
    pub fn go_on(&self, step: &Step, wanted: &Settled) -> Vec<String> {
        let mut complaints = Vec::new();
        let ended = self.try_to_take(step);
        // Nor is there anybody else.
        let is_misled = ["damaged", "somebody else"]
            .iter()
            .any(|words| ended.stderr.contains(words));
        if ended.code != step.code() || is_misled {
            complaints.push(format!("then {:?} ended with {ended:?}", step.command));
        }
        if let Some(difference) = self.settled().difference(wanted) {
            complaints.push(format!("then {:?} left {difference}", step.command));
        }
        complaints
    }

    /// Begins a step.
    #[must_use]
    pub fn start(&self, step: &Step) -> Traced {
        let paths = self.paths();
        fs::write(&paths.config, step.config).unwrap();
        Traced::start(command(&paths).args(step.command))
    }

    /// Where its things stand.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths {
            bpffs: self.world.dir().join("shaper"),
            run: self.directory.join("run"),
            state: self.directory.join("state"),
            config: self.directory.join("shaper.toml"),
        }
    }

    /// Whether `path` is one of its configuration, its files or its pins.
    #[must_use]
    pub fn is_one_of_its_files(&self, path: &str) -> bool {
        let directories = [&*self.directory, self.world.dir()];
        directories
            .iter()
            .any(|directory| Path::new(path).starts_with(directory))
    }

    /// The policy that packets meet; `None` if they meet none.
    ///
    /// # Panics
    ///
    /// If it cannot be read.
    #[must_use]
    pub fn in_force(&self) -> Option<Tables> {
        let is_attached = self.eye.sees_a_program();
        is_attached.then(|| Dataplane::open(&self.paths()).unwrap().entries().unwrap())
    }

    /// Lets the time be over within which a change on trial could be confirmed.
    pub fn end_time_for_trial(&self) {
        let path = self.paths().run.join("policy.try");
        let Ok(text) = fs::read_to_string(&path) else {
            return;
        };
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("deadline_unix_secs = "), "{first}");
        fs::write(&path, format!("deadline_unix_secs = 1\n{rest}")).unwrap();
    }

    /// What there is between two commands.
    #[must_use]
    pub fn settled(&self) -> Settled {
        Settled::of(self)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The network goes with the thread, and what is attached to it; the pins go with the world.
        let _ = Command::new("umount").arg("-l").arg(&self.directory).status();
        let _ = fs::remove_dir(&self.directory);
    }
}

/// What is mapped of maps would be copied for every child, page by page, and thrown away when it begins.
fn keep_maps_from_children() {
    let lines = fs::read_to_string("/proc/self/maps").unwrap();
    for line in lines.lines().filter(|line| line.contains("bpf-map")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|text| usize::from_str_radix(text, 16).unwrap());
        let memory = std::ptr::with_exposed_provenance_mut(start);
        // SAFETY: advice about mappings of this process; one that is gone by now is refused.
        unsafe { libc::madvise(memory, end - start, libc::MADV_DONTFORK) };
    }
}

/// `shaper`, with these places.
fn command(paths: &Paths) -> Command {
    let mut command = Command::new(std::env::var_os("SHAPER_BIN").unwrap_or_else(|| "shaper".into()));
    command
        .env("SHAPER_BPFFS_DIR", &paths.bpffs)
        .env("SHAPER_RUN_DIR", &paths.run)
        .env("SHAPER_STATE_DIR", &paths.state)
        .env("SHAPER_CONFIG", &paths.config)
        // Known, so that nobody looks for it in the processes above.
        .env("SSH_CONNECTION", "192.0.2.99 50000 192.0.2.1 22");
    command
}
