//! `shaper doctor`: can this machine do it?

mod fix;
mod surroundings;

use std::io::Write;

use self::surroundings::Surroundings;
use super::sources::{configuration_or_none, policy};
use super::{Context, Failure};
use crate::dataplane::{self, Fitness};
use crate::monitor::Wanted;
use crate::policy::Enforcement;
use crate::view::check::{self, Check, State};
use crate::view::json;

/// Say whether this machine can run shaper
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Mend what can be mended without harm: mount the BPF file system, load sch_fq, switch the JIT on.
    #[arg(long)]
    fix: bool,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let mut checks = examine(context);
    if args.fix {
        let mended = fix::mend(&checks);
        for line in &mended {
            context.note(line);
        }
        if mended.is_empty() {
            context.note("nothing that could be mended");
        } else {
            checks = examine(context);
        }
    }
    show(&checks, context, out)
}

/// Looks at everything.
fn examine(context: &Context) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    let mut interfaces = context.interfaces.clone();
    let mut needs_fq = true;
    let configured = configuration_or_none(context).and_then(|config| policy(&config));
    match configured {
        Ok(policy) => {
            if interfaces.is_empty() {
                let wanted = Wanted::of(&policy);
                let present = dataplane::interface_names().unwrap_or_default();
                interfaces = [wanted.present(&present), wanted.missing(&present)].concat();
            }
            let is_paced = |name: &String| policy.enforcement(name) == Enforcement::Pace;
            needs_fq = interfaces.is_empty() || interfaces.iter().any(is_paced);
        }
        Err(error) => checks.push(Check {
            what: "config",
            state: State::Fail,
            // What follows shows the place in the file.
            found: format!("{error:#}").lines().next().unwrap_or_default().to_owned(),
            remedy: "run `shaper check`".to_owned(),
        }),
    }
    let findings = dataplane::examine(&context.paths, &interfaces);
    checks.extend(findings.into_iter().map(|finding| Check {
        what: finding.what,
        state: match finding.fitness {
            Fitness::Good => State::Ok,
            Fitness::Poor => State::Warn,
            Fitness::Bad if finding.what == "fq" && !needs_fq => State::Warn,
            Fitness::Bad => State::Fail,
        },
        found: finding.found,
        remedy: finding.remedy,
    }));
    checks.extend(Surroundings::new("/").examine());
    checks
}

fn show(checks: &[Check], context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    if context.format.is_json() {
        writeln!(out, "{}", json::checks(&Context::head(), checks))?;
    } else {
        write!(out, "{}", check::text(checks))?;
    }
    let n_failed = checks.iter().filter(|check| check.state == State::Fail).count();
    if n_failed > 0 {
        let message = format!("{n_failed} of {} checks failed", checks.len());
        return Err(Failure::Differs { message }.into());
    }
    Ok(())
}
