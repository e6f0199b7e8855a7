//! Looks at the kernel: which interfaces are wanted or attached, and what is wrong with each.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::SystemTime;

use super::Context;
use super::change::{has_ended, is_due, now, running};
use super::sources::policy;
use crate::config::{RuleConfig, Source};
use crate::dataplane::{self, Attached, Dataplane, DataplaneError, Done, InterfaceStatus, Problem};
use crate::monitor::{Observation, Seen, Standing, Wanted};
use crate::store::{Policies, Running};

/// What tells one version of the running policy's file from another.
type Version = (u64, u64, Option<SystemTime>);

/// Looks again and again; reads the policy only when it was written since.
#[derive(Debug)]
pub(super) struct Observer<'a> {
    context: &'a Context,
    version: Option<Version>,
    /// When the change on trial is taken back, if there is one: in seconds after 1970.
    trial: Option<u64>,
    wanted: Wanted,
    /// Rules with a deadline.
    ending: Vec<RuleConfig>,
    /// Those of the configuration, and the name of all its rules.
    configured: Option<(String, Vec<RuleConfig>)>,
}

impl<'a> Observer<'a> {
    /// One that has not looked yet.
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            version: None,
            trial: None,
            wanted: Wanted::default(),
            ending: Vec::new(),
            configured: None,
        }
    }

    /// Rules whose deadline has passed since the policy was read.
    pub(super) fn ended(&self) -> Vec<&RuleConfig> {
        let now = now();
        self.ending.iter().filter(|rule| has_ended(rule, now)).collect()
    }

    /// One look; that shaper is not up is no error.
    pub(super) fn look(&mut self) -> anyhow::Result<Observation> {
        let paths = &self.context.paths;
        let opened = Dataplane::open(paths).map_err(|error| dataplane::of_another_layout(error, paths));
        let dataplane = match opened {
            Err(DataplaneError::NotUp) => return Ok(Observation::default()),
            Err(error @ DataplaneError::OtherLayout { .. }) => {
                return Ok(Observation {
                    standing: Standing::Other {
                        what: error.to_string(),
                        remedy: error.hint().unwrap_or_default(),
                    },
                    ..Observation::default()
                });
            }
            opened => opened?,
        };
        self.read_policy()?;
        let attached = dataplane.interfaces()?;
        let present = dataplane::interface_names()?;
        Ok(observation(&self.wanted, &present, attached))
    }

    fn read_policy(&mut self) -> anyhow::Result<()> {
        let metadata = fs::metadata(self.context.paths.run.join("policy.toml")).ok();
        let version = metadata.map(|metadata| (metadata.ino(), metadata.len(), metadata.modified().ok()));
        let policies = Policies::new(&self.context.paths);
        let is_on_trial = policies.has_trial();
        // A policy on trial is taken back by whoever reads it too late.
        let is_as_known = version.is_some()
            && version == self.version
            && is_on_trial == self.trial.is_some()
            && !self.trial.is_some_and(is_due);
        if !is_as_known {
            let (wanted, ending) = self.read_running(is_on_trial)?;
            let trial = policies.trial()?.map(|trial| trial.deadline_unix_secs);
            (self.wanted, self.ending, self.version, self.trial) = (wanted, ending, version, trial);
        }
        Ok(())
    }

    /// What runs, in short. The rules of the configuration, of which there may be a million, are only read if one of them
    /// ends, and once for each configuration.
    fn read_running(&mut self, is_on_trial: bool) -> anyhow::Result<(Wanted, Vec<RuleConfig>)> {
        let policies = Policies::new(&self.context.paths);
        let brief = if is_on_trial || policies.has_next() {
            None
        } else {
            policies.brief()?
        };
        let Some(brief) = brief else {
            let running = running(self.context)?;
            return Ok((Wanted::of(&policy(&running)?), ending(running)));
        };
        let wanted = Wanted::of(&policy(&brief.running)?);
        let name = brief.configured().to_owned();
        let may_end = brief.facts.first_end_unix_secs.is_some();
        let mut rules = ending(brief.running);
        if may_end {
            if self.configured.as_ref().is_none_or(|(known, _)| *known != name) {
                let mut configured = ending(running(self.context)?);
                configured.retain(|rule| rule.source == Source::Config);
                self.configured = Some((name, configured));
            }
            rules.extend(
                self.configured
                    .iter()
                    .flat_map(|(_, rules)| rules.iter().cloned()),
            );
        }
        Ok((wanted, rules))
    }
}

/// Rules with a deadline.
fn ending(running: Running) -> Vec<RuleConfig> {
    let rules = running.rules.into_iter();
    rules.filter(|rule| rule.expires.is_some()).collect()
}

/// What `attached` interfaces and those of the policy are like.
fn observation(wanted: &Wanted, present: &[String], attached: Vec<InterfaceStatus>) -> Observation {
    let is_outdated =
        |interface: &InterfaceStatus| interface.renamed_to.is_some() || is_forgotten(wanted, interface);
    let mut observation = Observation {
        standing: Standing::Up,
        is_outdated: attached.iter().any(is_outdated),
        ..Observation::default()
    };
    for (name, what, remedy) in lacking(wanted, present, &attached) {
        observation.interfaces.push(Seen {
            is_repairable: present.contains(&name),
            name,
            problems: vec![(what.to_owned(), remedy.to_owned())],
        });
    }
    let kept = attached
        .into_iter()
        .filter(|interface| !is_forgotten(wanted, interface));
    observation.interfaces.extend(kept.map(seen));
    observation
}

/// Whether it came by a pattern and is gone: nobody waits for one of many.
pub(super) fn is_forgotten(wanted: &Wanted, interface: &InterfaceStatus) -> bool {
    interface.ifindex == 0 && interface.renamed_to.is_none() && wanted.is_by_pattern(&interface.name)
}

/// Interfaces that the policy wants and that are not among the `attached`: name, what is wrong, what to do.
pub(super) fn lacking(
    wanted: &Wanted,
    present: &[String],
    attached: &[InterfaceStatus],
) -> Vec<(String, &'static str, &'static str)> {
    let is_attached = |name: &String| attached.iter().any(|interface| interface.name == *name);
    let unattached = wanted.present(present).into_iter().map(|name| {
        (
            name,
            "the program is not attached: nothing is limited",
            "run `shaper up`",
        )
    });
    let missing = wanted.missing(present).into_iter().map(|name| {
        let what = "the configuration names this interface, and it is not there";
        (
            name,
            what,
            "`shaper monitor` attaches it when it comes, or the next `shaper up`",
        )
    });
    unattached
        .chain(missing)
        .filter(|(name, ..)| !is_attached(name))
        .collect()
}

/// How `interface` is attached otherwise than the policy says.
pub(super) fn otherwise(wanted: &Wanted, interface: &InterfaceStatus) -> Option<Problem> {
    let name = &interface.name;
    let differs = wanted.policed([name]).contains(name) != interface.is_policed
        || wanted.overhead(name) != interface.overhead;
    (wanted.is_wanted(name) && differs).then(|| Problem {
        what: "it is attached with another enforcement or overhead than the policy says".to_owned(),
        remedy: "run `shaper reload`".to_owned(),
    })
}

fn seen(interface: InterfaceStatus) -> Seen {
    let is_missing = interface.position.is_none() || interface.n_fq < interface.n_queues;
    // A program before ours stays there whatever we attach, and only its owner knows why.
    Seen {
        is_repairable: interface.ifindex != 0 && is_missing,
        name: interface.name,
        problems: interface
            .problems
            .into_iter()
            .map(|problem| (problem.what, problem.remedy))
            .collect(),
    }
}

/// What was done to an interface, in words; `None` if there was nothing to do.
pub(super) fn describe(attached: &Attached) -> Option<String> {
    let on = match &attached.holders[..] {
        [] => String::new(),
        holders => format!(", fq on {}", holders.join(", ")),
    };
    match attached.done {
        Done::Nothing if !attached.is_fq_put => None,
        Done::Detached | Done::Released => None,
        Done::Nothing => Some(format!("fq put in place on {}", attached.holders.join(", "))),
        Done::Attached | Done::Replaced => Some(format!("attached by {}{on}", attached.hook.name())),
    }
}

#[cfg(test)]
mod tests;
