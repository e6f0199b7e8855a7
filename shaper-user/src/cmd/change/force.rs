//! Putting a policy in force, and what is noted of it for the changes to come.

use std::collections::BTreeSet;

use super::super::Context;
use super::super::progress::Progress;
use crate::config::Source;
use crate::dataplane::{Applied, Dataplane, DataplaneError};
use crate::policy::tables::Tables;
use crate::policy::{Deadline, FqNeeds};
use crate::store::{Facts, Running};

/// Room first: fq must not drop what a faster rule lets through.
pub(super) fn put_in_force(
    dataplane: &Dataplane,
    tables: &Tables,
    needs: &FqNeeds,
    context: &Context,
) -> Result<Applied, DataplaneError> {
    dataplane.make_room(needs)?;
    let mut progress = Progress::new(context);
    dataplane.apply_with(tables, &mut |done, total| progress.show(done, total))
}

/// What a change of a single rule needs to know of all.
pub(super) fn facts(next: &Running, needs: &FqNeeds) -> Facts {
    let configured = || next.rules_of(Source::Config);
    let services: BTreeSet<&str> = configured()
        .filter_map(|rule| Some(rule.service.as_ref()?.get_ref().as_str()))
        .collect();
    Facts {
        services: services.into_iter().map(str::to_owned).collect(),
        first_end_unix_secs: configured().filter_map(Deadline::of).map(|end| end.0).min(),
        limit_packets: needs.limit_packets,
        flow_limit_packets: needs.flow_limit_packets,
    }
}
