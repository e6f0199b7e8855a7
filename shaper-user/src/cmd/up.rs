//! `shaper up`: puts the policy in force, fq in place, and the program on the interfaces.

use std::collections::BTreeMap;
use std::io::Write;

use super::change::in_time;
use super::sources::{is_aside, policy, set_aside, warnings};
use super::{Change, Context, Failure};
use crate::dataplane::{self, Attached, Dataplane, Done, Hook, Request, Stopped};
use crate::monitor::Wanted;
use crate::policy::Policy;
use crate::view::json::{self, AttachedInterface};

/// Start enforcing: on the interfaces of the configuration, or on those named by `-i`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The only way to attach; by default tcx where the kernel has it, else clsact.
    #[arg(long, value_enum, value_name = "HOOK", hide = true)]
    attach: Option<HookArg>,
    /// What the kernel program logs, for `shaper kernel-log`: 0 is nothing, 5 is everything.
    #[arg(long, value_name = "LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=5), hide_short_help = true)]
    kernel_log: u8,
    /// Do nothing, and call it done, where no interface is named at all: for the boot.
    #[arg(long, hide_short_help = true)]
    if_any: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HookArg {
    Tcx,
    Clsact,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let change = Change::begin(context)?;
    let running = is_in_force(&change, context)?.then(|| change.running(context));
    let running = running.transpose()?;
    let mut next = in_time(change.configured(context)?);
    // One rule that does not fit must not keep all others from being in force after a boot. One that is in force is not lost
    // in silence.
    set_aside(&mut next, context, |rule| {
        running.as_ref().is_none_or(|running| is_aside(running, rule))
    });
    let wanted = policy(&next)?;
    for warning in warnings(&next, &wanted) {
        context.note(format_args!("warning: {warning}"));
    }
    let Some(request) = request(&wanted, is_attached(context)?, context)? else {
        return nothing_to_do(args, context, out);
    };
    let request = Request {
        log_level: Some(args.kernel_log),
        hook: args.attach.map(|hook| match hook {
            HookArg::Tcx => Hook::Tcx,
            HookArg::Clsact => Hook::Clsact,
        }),
        ..request
    };
    let (dataplane, is_made) = Dataplane::create_or_open(&context.paths)?;
    let commit = || change.commit(&dataplane, &next, context).map(drop);
    let attached = match dataplane.attach_and(&request, commit) {
        Ok(attached) => attached,
        Err(stopped) => {
            // What could not be undone is known by its pins and books.
            if is_made && stopped.left.is_empty() {
                // The error that stopped us is the one to report.
                let _ = give_up(dataplane, &change);
            }
            return Err(reported(stopped));
        }
    };
    for attached in &attached {
        describe(attached, context, out)?;
    }
    if context.format.is_json() {
        let attached: Vec<AttachedInterface> = attached.into_iter().map(as_json).collect();
        writeln!(out, "{}", json::attached(&Context::head(), &attached))?;
    }
    Ok(())
}

/// The error that stopped a run, and what could not be undone.
pub(super) fn reported(stopped: Stopped<anyhow::Error>) -> anyhow::Error {
    let Some(first) = stopped.left.into_iter().next() else {
        return stopped.error;
    };
    let first = anyhow::Error::from(first);
    stopped.error.context(format!(
        "what was done by then could not be taken back ({first:#}): once that can be, run `shaper up` or `shaper down`"
    ))
}

/// Whether rules are in force, which a boot would find gone.
fn is_in_force(change: &Change, context: &Context) -> anyhow::Result<bool> {
    let opened = Dataplane::open(&context.paths);
    let is_pinned = match opened.map_err(|error| dataplane::of_another_layout(error, &context.paths)) {
        Ok(_) | Err(dataplane::DataplaneError::OtherLayout { .. }) => true,
        Err(dataplane::DataplaneError::NotUp) => false,
        Err(error) => return Err(error.into()),
    };
    Ok(is_pinned && change.brief()?.is_some())
}

fn as_json(attached: Attached) -> AttachedInterface {
    AttachedInterface {
        name: attached.interface,
        hook: attached.hook.name(),
        done: match attached.done {
            Done::Attached => "attached",
            Done::Replaced => "replaced",
            Done::Nothing => "nothing",
            Done::Detached => "detached",
            Done::Released => "released",
        },
        fq_devices: attached.holders,
    }
}

/// Nothing was up before, or another layout was, whose policy is then what runs.
fn give_up(dataplane: Dataplane, change: &Change) -> anyhow::Result<()> {
    if dataplane.give_up()? {
        change.forget()?;
    }
    Ok(())
}

/// What to ask for so that the interfaces are as `policy` says; `None` if it names none and none `is_attached`.
pub(super) fn request(
    policy: &Policy,
    is_attached: bool,
    context: &Context,
) -> anyhow::Result<Option<Request>> {
    let wanted = Wanted::of(policy);
    let interfaces = interfaces(context, &wanted)?;
    if interfaces.is_none() && !is_attached {
        return Ok(None);
    }
    let interfaces = interfaces.unwrap_or_default();
    Ok(Some(Request {
        policed: Some(wanted.policed(interfaces.keys())),
        configured: wanted.configured(interfaces.keys()),
        // Whoever names one by hand means that one.
        lets_go: context.interfaces.is_empty(),
        interfaces,
        needs: policy.fq_needs(),
        ..Request::default()
    }))
}

/// The interfaces to attach to that are there, each with its overhead; `None` if none is named anywhere. One that is
/// asked for by `-i` has to be there; one of the configuration may come later.
fn interfaces(context: &Context, wanted: &Wanted) -> anyhow::Result<Option<BTreeMap<String, u32>>> {
    let with_overhead = |name: &String| (name.clone(), wanted.overhead(name));
    if !context.interfaces.is_empty() {
        return Ok(Some(context.interfaces.iter().map(with_overhead).collect()));
    }
    if wanted.is_empty() {
        return Ok(None);
    }
    let present = dataplane::interface_names()?;
    for missing in wanted.missing(&present) {
        context.note(format_args!(
            "there is no interface `{missing}` yet: `shaper monitor` attaches it when it comes, or the next `shaper up`"
        ));
    }
    Ok(Some(wanted.present(&present).iter().map(with_overhead).collect()))
}

/// No interface is named, and none was attached before.
fn nothing_to_do(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let message = "no interface is named, and the configuration has none".to_owned();
    if args.if_any {
        context.note(format_args!("{message}: nothing is limited"));
        if context.format.is_json() {
            writeln!(out, "{}", json::attached(&Context::head(), &[]))?;
        }
        return Ok(());
    }
    Err(Failure::Usage {
        message,
        hint: Some(format!(
            "name one: `shaper up -i eth0`; or write `[interface.eth0]` into `{}`",
            context.paths.config.display()
        )),
    }
    .into())
}

/// Whether there is an interface that is attached already.
fn is_attached(context: &Context) -> anyhow::Result<bool> {
    match Dataplane::open(&context.paths) {
        Ok(dataplane) => Ok(!dataplane.interfaces()?.is_empty()),
        Err(dataplane::DataplaneError::NotUp) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn describe(attached: &Attached, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let name = &attached.interface;
    let hook = attached.hook.name();
    let on = match &attached.holders[..] {
        [] => ", policing".to_owned(),
        [holder] if holder == name => String::new(),
        holders => format!(", fq on {}", holders.join(", ")),
    };
    let line = match attached.done {
        Done::Attached => format!("{name}: attached by {hook}{on}"),
        Done::Replaced => format!("{name}: program replaced in place"),
        Done::Nothing => format!("{name}: already attached by {hook}{on}"),
        Done::Detached => format!("{name}: detached, the configuration names it no more"),
        Done::Released => format!("{name}: its qdiscs are put back, no interface needs fq there any more"),
    };
    for note in &attached.notes {
        context.note(note);
    }
    if !context.format.is_json() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
