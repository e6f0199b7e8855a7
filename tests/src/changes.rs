//! Changes of the policy and of the program while packets flow: what must hold, whoever changes what and how often.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use shaper_common::names::{CLSACT_HANDLE, CLSACT_PRIORITY};
use shaper_common::pacing::Limit;
use shaper_common::rule::Key4;
use shaper_user::policy::tables::{BucketId, Entry, TableKey, Tables};

use crate::lab::{Lab, Release, UPLINK, bpf, client};
use crate::shaper::Shaper;
use crate::traffic::{Arrival, Arrivals, Clock, Load, Receiver, Sent};

/// Until the burst is over, and the queue as it will be.
const SETTLING: Duration = Duration::from_millis(300);
/// For some packets, before a change and after it.
const UNDISTURBED: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
/// Of every limit that is put in place here.
const HORIZON_NS: u64 = 200_000_000;

/// Everything that a change must not disturb: a destination under load.
#[derive(Debug)]
pub struct Disturbed {
    /// What was sent while things changed.
    pub sent: Sent,
    /// What arrived of it.
    pub arrivals: Arrivals,
}

impl Disturbed {
    /// Lets `change` happen while `load` goes to [`client`] number 1, and panics if a packet of it was not seen by the
    /// limit, overtook another, or was lost without being counted. Packets arrive undisturbed before it and after it, so
    /// that how long both take together shows what rate there was in between.
    #[must_use]
    pub fn by(lab: &Lab, shaper: &Shaper<'_>, load: &Load, change: impl FnOnce()) -> Self {
        let receiver = Receiver::start(&lab.clients);
        let before = shaper.stats(client(1));
        let running = load.start(&lab.server);
        let wait_for = |more: Duration| {
            let n_before = receiver.n_arrived();
            let lasts = |arrivals: &[Arrival]| {
                let later = arrivals.get(n_before..).unwrap_or_default();
                let span = later
                    .first()
                    .zip(later.last())
                    .map(|(first, last)| last.ns - first.ns);
                span.is_some_and(|ns| u128::from(ns) > more.as_nanos())
            };
            assert!(receiver.wait_for(PATIENCE, lasts), "nothing arrives");
        };
        wait_for(SETTLING + UNDISTURBED);
        change();
        wait_for(UNDISTURBED);
        let sent = running.stop();
        let arrivals = receiver.drain(Duration::from_millis(500));
        let stats = shaper.stats(client(1));
        let n_sent = stats.sent_packets - before.sent_packets;
        let n_dropped = stats.dropped_packets - before.dropped_packets;
        println!(
            "{sent:?}: {n_sent} limited, {n_dropped} dropped, {} arrived",
            arrivals.len()
        );
        assert_eq!(n_sent + n_dropped, sent.n_packets, "packets passed unlimited");
        assert_eq!(arrivals.len() as u64, n_sent, "packets were lost on the way");
        assert_eq!(arrivals.n_reordered(), 0);
        Self { sent, arrivals }
    }

    /// What arrived once the burst was over.
    #[must_use]
    pub fn settled(&self) -> Arrivals {
        self.arrivals.settled(SETTLING)
    }
}

/// Changes the limit of [`client`] number 1 `n` times, from one of `megabits` to the next, by writing the tables as
/// `shaper set` does: its entry alone, and then the whole policy, because that of another client comes or goes, by turns.
pub fn change_rate(shaper: &Shaper<'_>, n: usize, megabits: &[u32]) {
    let dataplane = shaper.dataplane();
    let [key, other] = [1, 2].map(|n| key(client(n)));
    let in_force = dataplane.entries().expect("the kernel shows the tables");
    let Some(Entry::Limited { bucket, .. }) = in_force.get(&key).copied() else {
        panic!("the client has no limit to change");
    };
    let mut has_other = in_force.get(&other).is_some();
    for (n, megabits) in (0..n).zip(megabits.iter().cycle()) {
        let rate_bytes_per_sec = u64::from(*megabits) * 125_000;
        let limit = Limit::new(rate_bytes_per_sec, 10_000_000, HORIZON_NS, None);
        has_other ^= n % 2 == 1;
        let mut entries = vec![(key, Entry::limited(limit, bucket))];
        if has_other {
            entries.push((other, Entry::limited(limit, BucketId::of("another client"))));
        }
        dataplane
            .apply(&Tables::new(entries))
            .expect("the kernel takes the tables");
    }
}

/// A time in which one rate was in force, and nothing waited any more that was to leave at another.
#[derive(Clone, Copy, Debug)]
pub struct Undisturbed {
    /// Of [`client`] number 1.
    pub megabits: u32,
    /// By the wall clock.
    pub ns: (u64, u64),
}

/// Keeps the rate that was set last, of so many Mbit/s, for `duration` and a horizon.
#[must_use]
pub fn keep_rate(megabits: u32, duration: Duration) -> Undisturbed {
    thread::sleep(Duration::from_nanos(HORIZON_NS));
    let from_ns = Clock::Realtime.now_ns();
    thread::sleep(duration);
    Undisturbed {
        megabits,
        ns: (from_ns, Clock::Realtime.now_ns()),
    }
}

fn key(destination: IpAddr) -> TableKey {
    let address = match destination {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    TableKey::Exact4(Key4 {
        service: 0,
        address: address.octets(),
    })
}

/// Replaces the program on [`UPLINK`] by another build of itself and back, `n` times, in place.
pub fn replace_program(lab: &Lab, shaper: &Shaper<'_>, n: usize) {
    let pin = shaper.pin(&format!("prog_{UPLINK}"));
    let one = bpf::open(&pin).expect("the program is pinned");
    shaper.run(&["up", "-i", UPLINK, "--kernel-log", "1"]);
    let other = bpf::open(&pin).expect("the program is pinned");
    if Release::running() >= Release::V6_12 {
        let link = bpf::open(&shaper.pin(&format!("link_{UPLINK}"))).expect("the link is pinned");
        for program in [&one, &other].into_iter().cycle().take(n) {
            bpf::update_link(&link, program).expect("the link stands");
        }
        return;
    }
    let pins = ["one", "other"].map(|name| shaper.pin("").join(format!("test_{name}")));
    for (program, pin) in [one, other].iter().zip(&pins) {
        bpf::pin(program, pin).expect("the BPF file system is there");
    }
    let mut batch = String::new();
    for pin in pins.iter().cycle().take(n) {
        let _ = writeln!(
            batch,
            "filter replace dev {UPLINK} egress protocol all pref {CLSACT_PRIORITY} handle {CLSACT_HANDLE:#x} bpf da \
             object-pinned {}",
            pin.display()
        );
    }
    let file = std::env::temp_dir().join(format!("replace-{}", std::process::id()));
    std::fs::write(&file, batch).expect("there is a place for temporary files");
    lab.server
        .output("tc", &["-batch", file.to_str().expect("ASCII")]);
    for file in pins.iter().chain([&file]) {
        let _ = std::fs::remove_file(file);
    }
}

/// Runs one of `commands` after the other, `n` in all, and kills each at a moment that differs each time, from the
/// first to the last of what the quicker of the first two takes to end by itself.
pub fn kill_at_random(shaper: &Shaper<'_>, commands: &[&[&str]], n: u32) {
    let start = |args: &[&str]| {
        let mut command = shaper.command(args);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    };
    let time = |args: &&[&str]| {
        let started = Instant::now();
        let status = start(args).wait().expect("it is ours");
        assert!(status.success(), "{args:?}: {status}");
        started.elapsed()
    };
    // A machine with other things to do may be late once.
    let longest = commands[..2].iter().map(time).min().expect("two of two");
    // A linear congruential generator: the same moments in every run.
    let mut state = 1_u32;
    let mut n_killed = 0;
    for (args, _) in commands.iter().cycle().zip(0..n) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut child = start(args);
        thread::sleep(longest.mul_f64(f64::from(state >> 8) / f64::from(1 << 24)));
        n_killed += u32::from(child.try_wait().expect("it is ours").is_none());
        let _ = child.kill();
        let _ = child.wait();
    }
    println!(
        "{:?} takes {longest:?}; {n_killed} of {n} were killed before they had ended",
        commands[0]
    );
    assert!(n_killed * 3 > n, "too few were killed to tell");
}
