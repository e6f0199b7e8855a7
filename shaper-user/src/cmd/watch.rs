//! `shaper watch`: prints what happens to the limits as it happens, and changes nothing.

use std::io::Write;
use std::time::Instant;

use super::Context;
use super::observe::Observer;
use super::patrol::{self, Call, Patrol};
use crate::monitor::State;
use crate::view::event::{Event, Kind};
use crate::view::json;

/// Print what happens to the limits as it happens: `-o jsonl` for programs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let runtime = patrol::runtime()?;
    runtime.block_on(watch(context, out))
}

async fn watch(context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    let mut patrol = Patrol::begin(None)?;
    let mut observer = Observer::new(context);
    let mut state = State::default();
    loop {
        let began = Instant::now();
        let seen = observer.look()?;
        for event in state.look(&seen) {
            print(&event, context, out)?;
        }
        patrol.looked(began.elapsed());
        match patrol.wait().await? {
            Call::End => return Ok(()),
            Call::Overflow => {
                let what = "more changed at once than the kernel could tell; everything was read anew";
                print(&Event::new(Kind::Lost, what, ""), context, out)?;
            }
            Call::Time | Call::Change => {}
        }
    }
}

fn print(event: &Event, context: &Context, out: &mut impl Write) -> anyhow::Result<()> {
    if context.format.is_json() {
        writeln!(out, "{}", json::event(&Context::head(), event))?;
    } else {
        writeln!(out, "{event}")?;
    }
    // Whoever reads a pipe wants it now.
    Ok(out.flush()?)
}
