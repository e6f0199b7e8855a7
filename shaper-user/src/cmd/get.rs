//! `shaper get`: which rule wins for this destination, and why.

use std::io::Write;

use super::part::part_of_policy;
use super::{Context, Failure};
use crate::dataplane::Dataplane;
use crate::policy::prefix::PrefixError;
use crate::policy::{Destination, PolicyError};
use crate::view::{explanation, json};

/// Say which rule wins for a destination, and why
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `203.0.113.7`, `203.0.113.0/24`, `2001:db8::/56` or `any`.
    destination: String,
    /// Only what is sent from these ports of the server: `imap`, `tcp:993`, `udp:8000-8099`.
    #[arg(long)]
    service: Option<String>,
}

pub(crate) fn run(args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let destination: Destination = args
        .destination
        .parse()
        .map_err(|error: PrefixError| Failure::from(PolicyError::from(error)))?;
    Dataplane::open(&context.paths)?;
    let policy = part_of_policy(context, &|other| other.overlaps(destination))?;
    let service = args.service.as_deref().map(|text| policy.service(text));
    let service = service.transpose().map_err(Failure::from)?;
    let explained = policy.explain(destination, service.as_ref().map(|service| &service.ports));
    if context.format.is_json() {
        writeln!(out, "{}", json::explanations(&Context::head(), &explained))?;
        return Ok(());
    }
    for one in &explained {
        writeln!(
            out,
            "{}",
            explanation::text(one, service.as_deref(), context.unit)
        )?;
    }
    Ok(())
}
