//! `shaper monitor`: keeps limits in place while interfaces come and go. No limit depends on it.

use std::io::Write;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking};

use super::chores::{self, Chore, Done};
use super::observe::Observer;
use super::patrol::{self, Call, Patrol};
use super::repair::{self, Outcome};
use super::{Context, Failure};
use crate::config::RuleConfig;
use crate::monitor::journal::Journal;
use crate::monitor::notify::Notify;
use crate::monitor::{Repair, Retry, Standing, State};
use crate::view::event::{Event, Kind};

/// What its manual page says besides the options.
const DETAILS: &str = "\
No limit depends on this command: it may be killed, starved or restarted, and limits hold. It does what an operator would do who \
looks three times a second: attaches the program to an interface of the configuration that appears, comes back or was renamed; puts fq \
back where something replaced it; says what it cannot repair, and who is in the way.

Repairs that fail are tried again, after half a second at first and after a minute at most. Five repairs of one interface within half a \
minute mean that another tool undoes them; then it waits for half a minute.

Under systemd, each event is an entry of the journal with the fields SHAPER_EVENT (up, down, degraded, repaired, restored, \
repair_failed, contested, expired, lost, unreadable), SHAPER_INTERFACE, SHAPER_RULE, SHAPER_DESTINATION and SHAPER_REMEDY, for example \
`journalctl SHAPER_EVENT=degraded`. Elsewhere it is a line on standard error. It is ready after the first look, whatever that found; \
the watchdog is fed only after the kernel was asked and answered. SIGHUP makes it look at once; SIGTERM ends it.";

/// Keep limits in place: attach interfaces that come back, put fq back, report the rest
#[derive(Debug, clap::Args)]
#[command(after_long_help = DETAILS)]
pub(crate) struct Args {
    /// Look, repair and look once more; exit with 7 if something is still wrong.
    #[arg(long)]
    once: bool,
}

pub(crate) fn run(args: &Args, context: &Context, _out: &mut impl Write) -> anyhow::Result<()> {
    let mut monitor = Monitor::new(context)?;
    if args.once {
        return monitor.once();
    }
    let runtime = patrol::runtime()?;
    let ended = runtime.block_on(monitor.keep());
    // A repair that waits for the lock has changed nothing.
    runtime.shutdown_background();
    ended
}

/// How often the buckets of clients that are gone are looked for.
const AGEING: Duration = Duration::from_mins(1);

/// The monitor at work.
struct Monitor<'a> {
    context: &'a Context,
    observer: Observer<'a>,
    state: State,
    journal: Journal,
    notify: Notify,
    started: Instant,
    /// Whether systemd knows that we have looked.
    is_ready: bool,
    /// When systemd last heard that the kernel answers.
    fed: Option<Instant>,
    /// Whether it was said that systemd cannot be told.
    is_unheard: bool,
    /// When expiry may be tried again.
    expiry: Retry,
    /// When clients that are gone were looked for.
    aged: Instant,
    /// Looks in a row that failed.
    n_failed: u32,
    /// Why, as far as it was said.
    unreadable: Option<String>,
}

impl<'a> Monitor<'a> {
    fn new(context: &'a Context) -> anyhow::Result<Self> {
        Ok(Self {
            context,
            observer: Observer::new(context),
            state: State::default(),
            journal: Journal::open(),
            notify: Notify::from_environment()?,
            started: Instant::now(),
            is_ready: false,
            fed: None,
            is_unheard: false,
            expiry: Retry::default(),
            aged: Instant::now(),
            n_failed: 0,
            unreadable: None,
        })
    }

    /// Once, for scripts and tests.
    fn once(&mut self) -> anyhow::Result<()> {
        // Whatever stands in the way of a look is the answer.
        let found = self.observer.look()?;
        if let Standing::Other { what, .. } = found.standing {
            return Err(Failure::Differs { message: what }.into());
        }
        let is_seen = self.look();
        if let Some(repair) = self.state.repair(self.started.elapsed()) {
            let outcome = repair::carry_out(self.context, &repair);
            self.take(&repair, outcome);
            self.look();
        }
        match self.state.counts() {
            (_, 0) if is_seen => Ok(()),
            (n_interfaces, n_bad) => Err(Failure::Differs {
                message: format!("degraded: {n_bad} of {n_interfaces} interfaces"),
            }
            .into()),
        }
    }

    /// Until told to end.
    async fn keep(&mut self) -> anyhow::Result<()> {
        let mut patrol = Patrol::begin(self.notify.interval())?;
        let mut working: Option<(Chore, JoinHandle<Done>)> = None;
        loop {
            let began = Instant::now();
            let is_seen = self.look();
            self.tell_systemd(is_seen);
            patrol.looked(began.elapsed());
            if working.is_none()
                && let Some(chore) = self.next_chore()
            {
                working = Some((chore.clone(), start(self.context, chore)));
            }
            let call = match &mut working {
                None => patrol.wait().await?,
                Some((chore, task)) => tokio::select! {
                    call = patrol.wait() => call?,
                    done = task => {
                        let chore = chore.clone();
                        working = None;
                        self.done(&chore, done?);
                        Call::Change
                    }
                },
            };
            match call {
                Call::End => return Ok(self.notify.send("STOPPING=1\n")?),
                Call::Overflow => self.say(&Event::new(
                    Kind::Lost,
                    "more changed at once than the kernel could tell; everything was read anew",
                    "",
                )),
                Call::Time | Call::Change => {}
            }
        }
    }

    /// One look; what there is to say is said. `false` if the kernel could not be asked.
    fn look(&mut self) -> bool {
        match self.observer.look() {
            Ok(seen) => {
                (self.n_failed, self.unreadable) = (0, None);
                for event in self.state.look(&seen) {
                    self.say(&event);
                }
                true
            }
            Err(error) => {
                let why = format!("{error:#}");
                self.n_failed += 1;
                // Once may be in the middle of somebody's `up` or `down`.
                if self.n_failed > 1 && self.unreadable.as_deref() != Some(&why) {
                    let remedy = super::failure::hint(&error).unwrap_or_default();
                    self.say(&Event::new(Kind::Unreadable, &why, remedy));
                    self.unreadable = Some(why);
                }
                false
            }
        }
    }

    /// After the first look there is nothing more to wait for, whatever it found: what the network is waiting for must not
    /// depend on it. The watchdog hears of us only if the kernel has answered.
    fn tell_systemd(&mut self, is_seen: bool) {
        let interval = self.notify.interval().unwrap_or(Duration::MAX);
        let feeds = is_seen && self.fed.is_none_or(|fed| fed.elapsed() >= interval);
        if self.is_ready && !feeds {
            return;
        }
        let mut lines = String::new();
        if !self.is_ready {
            lines.push_str("READY=1\n");
        }
        if feeds {
            lines.push_str(&format!("WATCHDOG=1\nSTATUS={}\n", self.state.summary()));
        }
        match self.notify.send(&lines) {
            Ok(()) => {
                (self.is_ready, self.is_unheard) = (true, false);
                if feeds {
                    self.fed = Some(Instant::now());
                }
            }
            Err(_) if self.is_unheard => {}
            Err(error) => {
                self.is_unheard = true;
                self.context
                    .note(format_args!("cannot tell systemd, and goes on trying: {error}"));
            }
        }
    }

    /// What is most urgent, if anything is due.
    fn next_chore(&mut self) -> Option<Chore> {
        if let Some(repair) = self.state.repair(self.started.elapsed()) {
            return Some(Chore::Repair(repair));
        }
        if !self.state.is_up() {
            return None;
        }
        if !self.observer.ended().is_empty() && self.expiry.is_due(self.started.elapsed()) {
            return Some(Chore::Expire);
        }
        if self.aged.elapsed() >= AGEING {
            self.aged = Instant::now();
            return Some(Chore::Age);
        }
        None
    }

    /// Takes in what a chore has brought.
    fn done(&mut self, chore: &Chore, done: Done) {
        match (chore, done) {
            (Chore::Repair(repair), Done::Repaired(outcome)) => self.take(repair, outcome),
            // On trial: what ends then is put off.
            (_, Done::Expired(Ok(ended))) if ended.is_empty() => self.expiry.failed(self.started.elapsed()),
            (_, Done::Expired(Ok(ended))) => {
                self.expiry = Retry::default();
                for rule in &ended {
                    self.say(&expired(rule));
                }
            }
            (_, Done::Expired(Err(error)) | Done::Aged(Err(error))) => {
                self.expiry.failed(self.started.elapsed());
                let remedy = super::failure::hint(&error).unwrap_or_default();
                self.say(&Event::new(Kind::RepairFailed, format!("{error:#}"), remedy));
            }
            (_, Done::Repaired(_) | Done::Aged(Ok(()))) => {}
        }
    }

    /// Takes in what a repair has brought.
    fn take(&mut self, repair: &Repair, outcome: anyhow::Result<Vec<Outcome>>) {
        let now = self.started.elapsed();
        self.state.updated(outcome.is_ok(), now);
        let outcomes = match outcome {
            Ok(outcomes) => outcomes,
            Err(error) => {
                let remedy = super::failure::hint(&error).unwrap_or_default();
                let failed = |name: &String| (name.clone(), Err((format!("{error:#}"), remedy.clone())));
                repair.interfaces.iter().map(failed).collect()
            }
        };
        for (interface, result) in outcomes {
            let events = match result {
                Ok(Some(how)) => self.state.repaired(&interface, &how, now),
                Ok(None) => {
                    self.state.needless(&interface, now);
                    Vec::new()
                }
                Err((why, remedy)) => self
                    .state
                    .failed(&interface, &why, &remedy, now)
                    .into_iter()
                    .collect(),
            };
            for event in &events {
                self.say(event);
            }
        }
    }

    fn say(&self, event: &Event) {
        self.journal.write(event);
    }
}

/// Works on a thread of its own: it may have to wait for the lock, and the kernel is looked at meanwhile.
fn start(context: &Context, chore: Chore) -> JoinHandle<Done> {
    let context = context.clone();
    spawn_blocking(move || {
        let done = chore.carry_out(&context);
        chores::give_back();
        done
    })
}

/// What is said of a rule whose deadline has come.
fn expired(rule: &RuleConfig) -> Event {
    let destination = rule.destination.get_ref().clone();
    let mut event = Event::new(Kind::Expired, format!("the rule for {destination} has ended"), "");
    event.rule = rule.name.as_ref().map(|name| name.get_ref().clone());
    event.destination = Some(destination);
    event
}
