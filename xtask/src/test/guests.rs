//! The layers `native`, `lab`, `icount` and `systemd`: test programs on this machine, and in guests of each kernel.

use std::collections::VecDeque;
use std::iter;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::setup::Kernel;

use super::layer::{Outcome, layer};
use super::{Built, Layer, Options, built, kernels, native, systemd};

/// What is run at a time.
#[derive(Clone, Copy, Debug)]
enum Job {
    Native,
    Lab(Kernel),
    Systemd(Kernel),
    Icount(Kernel),
}

/// All jobs of these layers, those that mind what else the machine does first.
fn jobs(options: &Options, layers: &[Layer]) -> VecDeque<Job> {
    let has = |layer| layers.contains(&layer);
    let kernels = kernels(&options.kernel);
    let of = |layer, kernels: &[Kernel], job: fn(Kernel) -> Job| -> Vec<Job> {
        let kernels = if has(layer) { kernels } else { &[] };
        kernels.iter().copied().map(job).collect()
    };
    let mut jobs: VecDeque<Job> = has(Layer::Native).then_some(Job::Native).into_iter().collect();
    jobs.extend(of(Layer::Lab, &kernels, Job::Lab));
    jobs.extend(of(
        Layer::Systemd,
        systemd::kernels(&options.kernel),
        Job::Systemd,
    ));
    jobs.extend(of(Layer::Icount, &kernels, Job::Icount));
    jobs
}

/// From one end what minds what else the machine does: this machine's own tests, guests with two processors, those with
/// systemd. From the other end, for each further processor, guests whose clock counts instructions: they have one and do
/// not mind. Whoever comes to the end of his own takes of the others'.
pub(super) fn all(options: &Options, programs: &Built<'_>, layers: &[Layer]) -> Result<Vec<Outcome>> {
    let jobs = Mutex::new(jobs(options, layers));
    let run = |job| match job {
        Job::Native => native(options, programs),
        Job::Lab(kernel) => guest(options, programs, kernel, false),
        Job::Systemd(kernel) => systemd::layer(options, kernel),
        Job::Icount(kernel) => guest(options, programs, kernel, true),
    };
    let work = |next: fn(&mut VecDeque<Job>) -> Option<Job>| -> Vec<_> {
        let next = || next(&mut *jobs.lock().ok()?);
        iter::from_fn(next).map(run).collect()
    };
    let n_others = thread::available_parallelism().map_or(1, NonZero::get).max(2) - 1;
    thread::scope(|scope| {
        let others: Vec<_> = (0..n_others)
            .map(|_| scope.spawn(|| work(VecDeque::pop_back)))
            .collect();
        let mut results = work(VecDeque::pop_front);
        for other in others {
            results.extend(other.join().map_err(|_| anyhow!("a thread of xtask panicked"))?);
        }
        results.into_iter().collect()
    })
}

fn guest(options: &Options, programs: &Built<'_>, kernel: Kernel, icount: bool) -> Result<Outcome> {
    let name = format!("{} {}", if icount { "icount" } else { "lab" }, kernel.name());
    layer(&name, |tests| {
        let programs = built(programs).map_err(anyhow::Error::msg)?;
        let prefixes: &[&str] = if icount { &["exact_"] } else { &["lab_", "native_"] };
        let guest = |again: Option<&str>| {
            let mut guest = programs.guest(kernel, prefixes, options.filter.as_deref(), again)?;
            guest.icount = icount;
            guest.timeout = Duration::from_secs(options.timeout);
            Some(guest)
        };
        let Some(first) = guest(None) else {
            return Ok(());
        };
        let mut ended = first.run(&mut |bytes| tests.take(bytes));
        // As at boot: several emulated processors can fall over code that the kernel is rewriting. One does not.
        if let (Err(error), false) = (&ended, icount)
            && let Some(program) = tests.interrupted()
            && let Some(rest) = guest(Some(&program))
        {
            eprintln!("{name}: {program} is run once more, in another guest: {error:#}");
            ended = rest.run(&mut |bytes| tests.take(bytes));
        }
        match ended {
            Ok(outcome) => {
                if outcome.n_boots > 1 {
                    tests.again("the boot");
                }
                if outcome.code == 124 {
                    tests.fail("the guest took too long");
                }
            }
            Err(error) => tests.fail(&format!("{error:#}")),
        }
        Ok(())
    })
}
