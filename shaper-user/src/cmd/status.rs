//! `shaper status`: is everything in place?

use std::io::Write;
use std::thread::sleep;
use std::time::Duration;

use shaper_common::bucket::{CHUNK_BUCKETS, MAX_CHUNKS};
use shaper_common::outcome::Outcome;
use shaper_common::pacing;

use super::change::running;
use super::observe::{is_forgotten, lacking, otherwise};
use super::sources::{unset_command, written_target};
use super::{Context, Failure, Format};
use crate::dataplane::{self, Dataplane, InterfaceStatus, Problem};
use crate::monitor::Wanted;
use crate::policy::tables::{Entry, Tables};
use crate::policy::{FqNeeds, Policy};
use crate::stats::Snapshot;
use crate::store::Policies;
use crate::view::json;
use crate::view::status::{InterfaceRow, Status};

/// Say whether everything is in place
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One word for each interface.
    #[arg(long)]
    brief: bool,
}

/// How long drops are counted.
const INTERVAL: Duration = Duration::from_millis(200);

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let dataplane = Dataplane::open(&context.paths)
        .map_err(|error| dataplane::of_another_layout(error, &context.paths))?;
    let running = running(context)?;
    let policy = Policy::try_from(&running)?;
    let wanted = Wanted::of(&policy);
    let mut interfaces = dataplane.interfaces()?;
    interfaces.retain(|interface| !is_forgotten(&wanted, interface));
    for interface in &mut interfaces {
        interface.problems.extend(otherwise(&wanted, interface));
    }
    let lacking = lacking(&wanted, &dataplane::interface_names()?, &interfaces);
    let is_wanted =
        |row: &InterfaceRow| context.interfaces.is_empty() || context.interfaces.contains(&row.name);
    let mut status = Status {
        interfaces: interfaces.into_iter().map(row).filter(is_wanted).collect(),
        ..Status::default()
    };
    let before = dataplane.snapshot()?;
    if !args.brief {
        sleep(INTERVAL);
    }
    let after = dataplane.snapshot()?;
    fill(&mut status, &before, &after);
    if status.interfaces.is_empty() {
        status.problems.push((
            "the program is attached to no interface: nothing is limited".to_owned(),
            "attach it with `shaper up -i IFACE`".to_owned(),
        ));
    }
    let is_asked_for = |name: &String| context.interfaces.is_empty() || context.interfaces.contains(name);
    for (name, what, remedy) in lacking.into_iter().filter(|(name, ..)| is_asked_for(name)) {
        status
            .problems
            .push((format!("{name}: {what}"), remedy.to_owned()));
    }
    for rule in &running.aside {
        status.problems.push((
            format!(
                "the rule of `shaper set` for {} is not in force: it does not fit the configuration",
                written_target(rule)
            ),
            format!(
                "mend the configuration and run `shaper reload`, or run `{}`",
                unset_command(rule)
            ),
        ));
    }
    let tables = Tables::from(&policy);
    let is_paced = status.interfaces.iter().any(|row| !row.is_policed);
    status.is_fq_capped = is_paced && FqNeeds::from(&tables).is_capped;
    let (in_force, flaws) = dataplane.inspect()?;
    status.problems.extend(flaws.into_iter().map(told));
    status.problems.extend(not_kept(context)?);
    if !tables.means_the_same_as(&in_force) {
        status.problems.push((
            "the kernel holds other rules than those that `shaper list` shows".to_owned(),
            "run `shaper reload`".to_owned(),
        ));
    }
    context.detail(format_args!(
        "packets seen since `up`: {}; of these: {}",
        status.seen_packets(),
        status.outcomes()
    ));
    match context.format {
        Format::Json | Format::Jsonl => writeln!(out, "{}", json::status(&Context::head(), &status))?,
        _ if args.brief => write!(out, "{}", status.brief())?,
        Format::Table => write!(out, "{}", status.table())?,
        Format::Plain => write!(out, "{}", status.plain())?,
    }
    let n_problems = status.problems().count();
    if n_problems > 0 {
        let message = format!(
            "degraded: {n_problems} problem{}",
            if n_problems == 1 { "" } else { "s" }
        );
        return Err(Failure::Differs { message }.into());
    }
    Ok(())
}

fn told(problem: Problem) -> (String, String) {
    (problem.what, problem.remedy)
}

fn row(interface: InterfaceStatus) -> InterfaceRow {
    InterfaceRow {
        name: interface.name,
        hook: interface.hook.name(),
        position: interface.position,
        is_policed: interface.is_policed,
        n_fq: interface.n_fq,
        n_queues: interface.n_queues,
        fq_drops: interface.fq_drops,
        problems: interface.problems.into_iter().map(told).collect(),
    }
}

/// Whether the next boot finds what `shaper set` made.
fn not_kept(context: &Context) -> anyhow::Result<Option<(String, String)>> {
    let policies = Policies::new(&context.paths);
    // What is on trial is not kept yet.
    let (Some(brief), false) = (policies.brief()?, policies.has_trial()) else {
        return Ok(None);
    };
    let why = match policies.keeps(&brief.running) {
        Ok(true) => return Ok(None),
        Ok(false) => "differs from what runs".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    Ok(Some((
        format!(
            "`{}` {why}: a reboot would not bring the same rules back",
            policies.kept_path().display()
        ),
        "look into it and move it away; the next `shaper set` writes it anew".to_owned(),
    )))
}

/// What the counters say.
fn fill(status: &mut Status, before: &Snapshot, after: &Snapshot) {
    // A bucket that is ahead of the clock makes the next packet wait.
    let now_ticks = pacing::ticks(after.taken_ns);
    let is_limiting = |bucket: &shaper_common::bucket::Bucket| bucket.last_departure_ticks > now_ticks;
    status.n_rules = after.entries.len();
    status.totals = after.totals;
    status.max_rules = (CHUNK_BUCKETS * MAX_CHUNKS) as usize;
    status.n_limiting = after
        .entries
        .iter()
        .filter(|entry| matches!(entry.entry, Entry::Limited { .. }) && is_limiting(&entry.bucket))
        .count();
    let drops =
        |snapshot: &Snapshot| snapshot.total(Outcome::BeyondHorizon) + snapshot.total(Outcome::SharedFull);
    let elapsed_ns = after.taken_ns.saturating_sub(before.taken_ns).max(1);
    let per_sec = u128::from(drops(after).saturating_sub(drops(before)))
        * u128::from(shaper_common::NSEC_PER_SEC)
        / u128::from(elapsed_ns);
    status.drops_per_sec = u64::try_from(per_sec).unwrap_or(u64::MAX);
}
