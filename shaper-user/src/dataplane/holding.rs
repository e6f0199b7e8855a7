//! Who holds the packets of a device: what has to be done so that it is `fq` on every queue, and how to put back what
//! was there. Pure.
//!
//! Replacing a qdisc loses the packets that wait in it, and on 6.1 and 6.12 those of all the device's queues.
//! So whatever is `fq` already is only changed, and what is right already is left alone.

use super::again;
use super::device::Device;
use super::error::DataplaneError;
use super::fq::FqOptions;
use super::qdisc::{Place, Qdisc, ROOT, handle_text, place_text};
use crate::store::{Deserialize, Serialize};

/// Handle of a root qdisc of ours.
pub(super) const OUR_HANDLE: u32 = 0x5a9e_0000;

/// Kinds without classes that can be made again from the options they report.
const RESTORABLE: [&str; 13] = [
    "fq_codel",
    "pfifo_fast",
    "pfifo",
    "bfifo",
    "pfifo_head_drop",
    "fq",
    "codel",
    "sfq",
    "cake",
    "pie",
    "fq_pie",
    "hhf",
    "noqueue",
];

/// Handle of the qdisc that we put on transmit queue `queue`, which counts from one.
fn leaf_handle(queue: u32) -> u32 {
    // Beyond what fits, the kernel chooses.
    if queue < 0x1000 { (0x5b00 + queue) << 16 } else { 0 }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Put a new qdisc of this kind there.
    Graft {
        place: Place,
        kind: String,
        options: Vec<u8>,
    },
    /// Give the qdisc that is there these options.
    Change {
        place: Place,
        kind: String,
        options: Vec<u8>,
    },
    /// Take our root away; the kernel puts its default there.
    Delete { place: Place },
}

/// A qdisc as it was before us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Before {
    pub(super) parent: u32,
    /// Zero: the kernel had put it there by default.
    pub(super) handle: u32,
    pub(super) kind: String,
    pub(super) options: Vec<u8>,
}

impl From<&Qdisc> for Before {
    fn from(qdisc: &Qdisc) -> Self {
        Self {
            parent: qdisc.parent,
            handle: qdisc.handle,
            kind: qdisc.kind.clone(),
            options: qdisc.options.clone(),
        }
    }
}

impl Before {
    /// Whether `present` is what was there, put back by a run that was cut short. The kernel numbers what it puts
    /// somewhere by default anew.
    fn is_back(&self, present: &Qdisc) -> bool {
        let is_number = self.handle == 0 || self.handle == present.handle;
        is_number && self.kind == present.kind && self.options == present.options
    }
}

/// What to do on a device, and what is to be remembered first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) before: Vec<Before>,
}

/// Whether this is a root qdisc of ours.
pub(super) fn is_our_root(qdisc: &Qdisc) -> bool {
    qdisc.handle == OUR_HANDLE && matches!(qdisc.kind.as_str(), "fq" | "mq")
}

pub(super) fn root(qdiscs: &[Qdisc]) -> Option<&Qdisc> {
    qdiscs.iter().find(|qdisc| qdisc.parent == ROOT)
}

/// Plans the way to `fq` with at least `needed` on every queue of `device`, whose qdiscs are `qdiscs`.
pub(super) fn plan(device: &Device, qdiscs: &[Qdisc], needed: &FqOptions) -> Result<Plan, DataplaneError> {
    let mut plan = Plan::default();
    let Some(root) = root(qdiscs) else {
        plan.take_over(device, needed);
        return Ok(plan);
    };
    if root.kind == "fq" && root.handle != 0 {
        plan.change(root, needed, !is_our_root(root));
    } else if root.kind == "mq" && root.handle != 0 {
        for queue in 1..=device.n_tx_queues {
            plan.leaf(device, qdiscs, root, queue, needed)?;
        }
    } else {
        refuse_to_lose(device, root, qdiscs)?;
        plan.before.push(root.into());
        plan.take_over(device, needed);
    }
    Ok(plan)
}

/// Whether a plan for these qdiscs replaces `qdisc`.
pub(super) fn is_replaced(qdisc: &Qdisc, qdiscs: &[Qdisc]) -> bool {
    let is_root_kept = root(qdiscs).is_some_and(|root| root.kind == "mq" && root.handle != 0);
    let is_kept = qdisc.handle != 0 && (qdisc.kind == "fq" || qdisc.kind == "mq");
    (qdisc.parent == ROOT || is_root_kept) && !is_kept
}

/// Refuses to replace what would not come back as it is. What has no handle the kernel has made, and makes again.
fn refuse_to_lose(device: &Device, qdisc: &Qdisc, qdiscs: &[Qdisc]) -> Result<(), DataplaneError> {
    let is_child = |other: &Qdisc| other.parent != ROOT && other.parent >> 16 == qdisc.handle >> 16;
    let is_made_again = RESTORABLE.contains(&qdisc.kind.as_str()) && !qdiscs.iter().any(is_child);
    if !qdisc.has_filters && !qdisc.has_size_table && (qdisc.handle == 0 || is_made_again) {
        return Ok(());
    }
    Err(DataplaneError::ForeignQdisc {
        device: device.name.clone(),
        place: place_text(qdisc.parent),
        kind: qdisc.kind.clone(),
        handle: handle_text(qdisc.handle),
    })
}

impl Plan {
    fn graft(&mut self, place: Place, kind: &str, options: Vec<u8>) {
        self.steps.push(Step::Graft {
            place,
            kind: kind.into(),
            options,
        });
    }

    /// A root of our own.
    fn take_over(&mut self, device: &Device, needed: &FqOptions) {
        let place = Place {
            ifindex: device.ifindex,
            parent: ROOT,
            handle: OUR_HANDLE,
        };
        if device.n_tx_queues <= 1 {
            return self.graft(place, "fq", needed.encode());
        }
        self.graft(place, "mq", Vec::new());
        // Queues that are not in use yet would get something else when they are.
        for queue in 1..=device.n_tx_queues {
            let place = Place {
                parent: OUR_HANDLE | queue,
                handle: leaf_handle(queue),
                ..place
            };
            self.graft(place, "fq", needed.encode());
        }
    }

    /// `fq` on one queue of an `mq` that is there.
    fn leaf(
        &mut self,
        device: &Device,
        qdiscs: &[Qdisc],
        root: &Qdisc,
        queue: u32,
        needed: &FqOptions,
    ) -> Result<(), DataplaneError> {
        let parent = root.handle & 0xffff_0000 | queue;
        let leaf = qdiscs.iter().find(|qdisc| qdisc.parent == parent);
        let is_foreign = !is_our_root(root);
        match leaf {
            Some(leaf) if leaf.kind == "fq" && leaf.handle != 0 => {
                self.change(leaf, needed, is_foreign && leaf.handle != leaf_handle(queue));
            }
            _ => {
                if let Some(leaf) = leaf.filter(|_| is_foreign) {
                    refuse_to_lose(device, leaf, qdiscs)?;
                    self.before.push(leaf.into());
                }
                let place = Place {
                    ifindex: device.ifindex,
                    parent,
                    handle: leaf_handle(queue),
                };
                self.graft(place, "fq", needed.encode());
            }
        }
        Ok(())
    }

    fn change(&mut self, fq: &Qdisc, needed: &FqOptions, is_remembered: bool) {
        let present = FqOptions::decode(&fq.options);
        let wanted = needed.at_least(present);
        if wanted == present {
            return;
        }
        if is_remembered {
            self.before.push(fq.into());
        }
        // Handle zero: whatever is there is to be changed, not to be put somewhere else.
        let place = Place {
            ifindex: fq.ifindex,
            parent: fq.parent,
            handle: 0,
        };
        self.steps.push(Step::Change {
            place,
            kind: "fq".into(),
            options: wanted.encode(),
        });
    }
}

/// Plans the way back to `before`. What somebody else has replaced since is left alone, and named.
pub(super) fn restore(ifindex: u32, before: &[Before], qdiscs: &[Qdisc]) -> (Vec<Step>, Vec<String>) {
    let mut steps = Vec::new();
    let mut left_alone = Vec::new();
    let root = root(qdiscs);
    if root.is_some_and(is_our_root) && !before.iter().any(|before| before.parent == ROOT) {
        // Nothing is known of what was there.
        steps.push(Step::Delete {
            place: Place {
                ifindex,
                parent: ROOT,
                handle: OUR_HANDLE,
            },
        });
    }
    for before in before {
        let present = qdiscs.iter().find(|qdisc| qdisc.parent == before.parent);
        let is_ours = present.is_some_and(|qdisc| {
            if before.parent == ROOT {
                is_our_root(qdisc)
            } else {
                qdisc.kind == "fq" && qdisc.handle == leaf_handle(before.parent & 0xffff)
            }
        });
        if !is_ours && present.is_some_and(|present| before.is_back(present)) {
            continue;
        }
        let is_changed = present.is_some_and(|qdisc| {
            qdisc.kind == "fq" && before.kind == "fq" && qdisc.handle == before.handle && before.handle != 0
        });
        let place = Place {
            ifindex,
            parent: before.parent,
            handle: before.handle,
        };
        if is_ours && before.parent == ROOT && before.handle == 0 {
            steps.push(Step::Delete {
                place: Place {
                    handle: OUR_HANDLE,
                    ..place
                },
            });
        } else if is_ours {
            steps.push(Step::Graft {
                place,
                kind: before.kind.clone(),
                options: again::options(&before.kind, &before.options),
            });
        } else if is_changed {
            let (kind, options) = (before.kind.clone(), again::options(&before.kind, &before.options));
            steps.push(Step::Change {
                place: Place { handle: 0, ..place },
                kind,
                options,
            });
        } else if let Some(present) = present {
            left_alone.push(format!("{} {}", present.kind, handle_text(present.handle)));
        }
    }
    (steps, left_alone)
}

#[cfg(test)]
#[path = "holding_tests.rs"]
mod tests;
