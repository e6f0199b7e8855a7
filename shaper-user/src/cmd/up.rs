//! `shaper up`: puts the policy in force, fq in place, and the program on the interfaces.

use std::collections::BTreeMap;
use std::io::Write;

use super::sources::{policy, warnings};
use super::{Change, Context, Failure};
use crate::dataplane::{self, Attached, Dataplane, Done, Hook, Request};
use crate::policy::Policy;

/// Start enforcing: on the interfaces of the configuration, or on those named by `-i`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The only way to attach; by default tcx where the kernel has it, else clsact.
    #[arg(long, value_enum, value_name = "HOOK", hide = true)]
    attach: Option<HookArg>,
    /// What the kernel program logs, for `shaper kernel-log`: 0 is nothing, 5 is everything.
    #[arg(long, value_name = "LEVEL", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=5), hide_short_help = true)]
    kernel_log: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum HookArg {
    Tcx,
    Clsact,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let change = Change::begin(context)?;
    let before = change.running(context)?;
    let next = change.configured(context)?;
    let wanted = policy(&next)?;
    for warning in warnings(&next, &wanted) {
        context.note(format_args!("warning: {warning}"));
    }
    let request = Request {
        interfaces: interfaces(context, &wanted)?,
        needs: wanted.fq_needs(),
        log_level: args.kernel_log,
        hook: args.attach.map(|hook| match hook {
            HookArg::Tcx => Hook::Tcx,
            HookArg::Clsact => Hook::Clsact,
        }),
    };
    let (dataplane, is_made) = Dataplane::create_or_open(&context.paths)?;
    // The rules are in force before the first packet meets the program.
    let attached = change
        .commit(&dataplane, &next)
        .and_then(|_| Ok(dataplane.attach(&request)?));
    let attached = match attached {
        Ok(attached) => attached,
        Err(error) => {
            // The error that stopped us is the one to report.
            let _ = if is_made {
                give_up(dataplane, &change)
            } else {
                change.commit(&dataplane, &before).map(drop)
            };
            return Err(error);
        }
    };
    for attached in &attached {
        describe(attached, context, out)?;
    }
    Ok(())
}

/// Nothing was up before, or another layout was, whose policy is then what runs.
fn give_up(dataplane: Dataplane, change: &Change) -> anyhow::Result<()> {
    if dataplane.give_up()? {
        change.forget()?;
    }
    Ok(())
}

/// The interfaces to attach to, each with its overhead.
fn interfaces(context: &Context, policy: &Policy) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut names = context.interfaces.clone();
    if names.is_empty() {
        names.extend(
            policy
                .interfaces()
                .iter()
                .filter_map(|interface| interface.name())
                .map(str::to_owned),
        );
        let present = dataplane::interface_names()?;
        let is_meant = |name: &&String| {
            policy
                .interfaces()
                .iter()
                .any(|interface| interface.matches(name))
        };
        names.extend(present.iter().filter(is_meant).cloned());
    }
    if names.is_empty() && !is_attached(context)? {
        return Err(Failure::Usage {
            message: "no interface is named, and the configuration has none".to_owned(),
            hint: Some(format!(
                "name one: `shaper up -i eth0`; or write `[interface.eth0]` into `{}`",
                context.paths.config.display()
            )),
        }
        .into());
    }
    Ok(names
        .into_iter()
        .map(|name| (name.clone(), policy.overhead(&name)))
        .collect())
}

/// Whether there is an interface that is attached already.
fn is_attached(context: &Context) -> anyhow::Result<bool> {
    match Dataplane::open(&context.paths) {
        Ok(dataplane) => Ok(!dataplane.interfaces()?.is_empty()),
        Err(dataplane::DataplaneError::NotUp) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn describe(attached: &Attached, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let name = &attached.interface;
    let hook = attached.hook.name();
    let on = match &attached.holders[..] {
        [holder] if holder == name => String::new(),
        holders => format!(", fq on {}", holders.join(", ")),
    };
    let line = match attached.done {
        Done::Attached => format!("{name}: attached by {hook}{on}"),
        Done::Replaced => format!("{name}: program replaced in place"),
        Done::Nothing => {
            context.detail(format_args!("{name}: it was so already"));
            return Ok(());
        }
    };
    if !context.format.is_json() {
        writeln!(out, "{line}")?;
    }
    Ok(())
}
