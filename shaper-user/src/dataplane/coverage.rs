//! Whether `fq` holds packets on every queue of a device. Pure.

use super::device::Device;
use super::fq::FqOptions;
use super::holding::root;
use super::qdisc::Qdisc;

/// On how many of how many queues `fq` holds packets, with at least `needed`, and why not on the rest.
pub(super) fn coverage(device: &Device, qdiscs: &[Qdisc], needed: &FqOptions) -> Coverage {
    let mut coverage = Coverage {
        n_queues: device.n_tx_queues,
        ..Coverage::default()
    };
    let Some(root) = root(qdiscs) else {
        coverage.problem = Some(format!("`{}` has no qdisc", device.name));
        return coverage;
    };
    let leaves: Vec<(Option<u32>, Option<&Qdisc>)> = if root.kind == "mq" {
        let of_queue = |queue| {
            qdiscs
                .iter()
                .find(|qdisc| qdisc.parent == (root.handle & 0xffff_0000 | queue))
        };
        (1..=device.n_tx_queues)
            .map(|queue| (Some(queue), of_queue(queue)))
            .collect()
    } else {
        coverage.n_queues = 1;
        vec![(None, Some(root))]
    };
    for (queue, leaf) in leaves {
        let place = queue.map_or_else(
            || format!("`{}`", device.name),
            |queue| format!("queue {queue} of `{}`", device.name),
        );
        let problem = match leaf {
            Some(leaf) if leaf.kind == "fq" => {
                let shortfall = FqOptions::decode(&leaf.options).shortfall(needed);
                if shortfall.is_none() {
                    coverage.n_fq += 1;
                }
                shortfall.map(|shortfall| format!("fq on {place}: {shortfall}"))
            }
            Some(leaf) => Some(format!("{place} has {} instead of fq", leaf.kind)),
            None => Some(format!("{place} has no qdisc")),
        };
        coverage.problem = coverage.problem.or(problem);
    }
    coverage
}

/// What [`coverage`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coverage {
    pub(super) n_fq: u32,
    pub(super) n_queues: u32,
    pub(super) problem: Option<String>,
}
