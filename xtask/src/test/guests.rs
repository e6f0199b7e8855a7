//! The layers `native`, `lab`, `icount` and `systemd`: test programs on this machine, and in guests of each kernel.

use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};

use crate::setup::Kernel;

use super::layer::{Outcome, layer};
use super::{Built, Layer, Options, built, kernels, native, systemd};

/// One after the other what minds what else the machine does: this machine's own tests, guests with two processors, those
/// with systemd last. Beside them guests whose clock counts instructions, which have one processor and do not mind.
pub(super) fn all(options: &Options, programs: &Built<'_>, layers: &[Layer]) -> Result<Vec<Outcome>> {
    let all = kernels(&options.kernel);
    let of = |layer, kernels| -> &[Kernel] { if layers.contains(&layer) { kernels } else { &[] } };
    let run = |kernel: &Kernel, icount| guest(options, programs, *kernel, icount);
    let counted = Mutex::new(of(Layer::Icount, &all).iter());
    let count = || -> Vec<_> {
        let next = || counted.lock().ok()?.next();
        std::iter::from_fn(next).map(|kernel| run(kernel, true)).collect()
    };
    let n_others = thread::available_parallelism().map_or(1, NonZero::get).max(2) - 1;
    thread::scope(|scope| {
        let others: Vec<_> = (0..n_others).map(|_| scope.spawn(count)).collect();
        let mut results = Vec::new();
        if layers.contains(&Layer::Native) {
            results.push(native(options, programs));
        }
        results.extend(of(Layer::Lab, &all).iter().map(|kernel| run(kernel, false)));
        let with_systemd = of(Layer::Systemd, systemd::kernels(&options.kernel));
        results.extend(with_systemd.iter().map(|kernel| systemd::layer(options, *kernel)));
        // Then there is a processor more for what is left.
        results.extend(count());
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
