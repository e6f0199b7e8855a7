//! Waiting for `shaper confirm`: a change is taken back unless somebody keeps it.
//!
//! The command that made the change waits in the foreground and takes it back itself, also when it is interrupted or its
//! terminal goes away. If it is killed outright, the deadline stays in the run directory: the next command that
//! reads or changes the policy takes the change back, and so does the monitor. What survives a reboot is only written
//! by `confirm`.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use super::change::Change;
use super::{Context, Failure};
use crate::policy::PolicyError;
use crate::policy::deadline::parse_span;
use crate::store::Policies;

/// Longest time that a change may wait to be confirmed.
pub(super) const LONGEST_TRIAL: Duration = Duration::from_hours(24);
/// How often it is looked for a confirmation.
const STEP: Duration = Duration::from_millis(100);

/// Reads the value of `--try`.
pub(super) fn span(text: &str) -> Result<Duration, Failure> {
    let span = parse_span(text).map_err(PolicyError::from)?;
    if span <= LONGEST_TRIAL {
        return Ok(span);
    }
    Err(Failure::Usage {
        message: format!("`{text}` is longer than 24h"),
        hint: Some("write for example `60s`".to_owned()),
    })
}

/// How the waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Confirmed,
    TimedOut,
    Interrupted,
}

/// Waits for a confirmation, and takes the change back if none comes.
pub(super) fn wait(time: Duration, context: &Context) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let end = runtime.block_on(ending(time, context))?;
    if end == End::Confirmed {
        context.note("confirmed");
        return Ok(());
    }
    let change = Change::begin_in_trial(context)?;
    if change.trial()?.is_some() {
        change.take_back(context)?;
    }
    let why = if end == End::Interrupted {
        "interrupted before anybody confirmed"
    } else {
        "nobody confirmed in time"
    };
    Err(Failure::Differs {
        message: format!("{why}: what ran before runs again"),
    }
    .into())
}

async fn ending(time: Duration, context: &Context) -> std::io::Result<End> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut step = tokio::time::interval(STEP);
    let policies = Policies::new(&context.paths);
    let began = Instant::now();
    let mut countdown = Countdown::default();
    loop {
        tokio::select! {
            _ = hangup.recv() => return Ok(End::Interrupted),
            _ = terminate.recv() => return Ok(End::Interrupted),
            _ = interrupt.recv() => return Ok(End::Interrupted),
            _ = step.tick() => {}
        }
        if !policies.has_trial() {
            countdown.clear();
            return Ok(End::Confirmed);
        }
        let Some(left) = time.checked_sub(began.elapsed()).filter(|left| !left.is_zero()) else {
            countdown.clear();
            return Ok(End::TimedOut);
        };
        countdown.show(left, context);
    }
}

/// The seconds that are left, on a terminal; once, elsewhere.
#[derive(Debug, Default)]
struct Countdown {
    shown_secs: Option<u64>,
}

impl Countdown {
    fn show(&mut self, left: Duration, context: &Context) {
        let secs = left.as_millis().div_ceil(1000);
        let secs = u64::try_from(secs).unwrap_or(u64::MAX);
        let is_first = self.shown_secs.is_none();
        if self.shown_secs.replace(secs) == Some(secs) {
            return;
        }
        if is_first {
            context.note(format_args!(
                "on trial: `shaper confirm` within {secs} s keeps it, else it is taken back"
            ));
        }
        if context.is_talking_to_people() {
            // Nothing can be done about a terminal that is gone.
            let _ = write!(std::io::stderr(), "\r{secs:>5} s left ");
            let _ = std::io::stderr().flush();
        }
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() && self.shown_secs.is_some() {
            let _ = write!(std::io::stderr(), "\r{:13}\r", "");
        }
    }
}
