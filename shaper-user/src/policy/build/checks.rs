//! What single values must be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use shaper_common::stamp::MAX_HORIZON_NS;

use crate::config::Text;
use crate::policy::amount::parse_time;
use crate::policy::error::PolicyError;
use crate::policy::ports::Ports;
use crate::policy::prefix::Destination;
use crate::policy::service::{self, Service, ServiceError};

pub(super) fn destination(text: &str) -> Result<Destination, PolicyError> {
    let destination = text.parse()?;
    if let Destination::Prefix(prefix) = destination
        && let Some(what) = prefix.never_limited()
    {
        return Err(PolicyError::NeverLimited {
            destination: prefix,
            what,
        });
    }
    Ok(destination)
}

pub(super) fn horizon(text: &Text) -> Result<Duration, PolicyError> {
    let horizon = parse_time(text.get_ref())?;
    let range = Duration::from_millis(1)..=Duration::from_nanos(MAX_HORIZON_NS);
    if range.contains(&horizon) {
        Ok(horizon)
    } else {
        Err(PolicyError::Horizon {
            text: text.get_ref().clone(),
        })
    }
}

/// A marking threshold; `None` is `off`.
pub(super) fn ecn(text: &Text) -> Result<Option<Duration>, PolicyError> {
    match text.get_ref().as_str() {
        "off" => Ok(None),
        written => Ok(Some(parse_time(written)?)),
    }
}

pub(super) fn name(text: &str) -> Result<(), PolicyError> {
    let is_name = text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'_' | b'-'));
    if is_name {
        Ok(())
    } else {
        Err(PolicyError::Name {
            name: text.to_owned(),
        })
    }
}

/// The service that `text` names, or the one of the ports it lists.
pub(in crate::policy) fn find_service(
    known: &HashMap<String, Arc<Service>>,
    text: &str,
) -> Result<Arc<Service>, PolicyError> {
    if let Some(service) = known.get(text) {
        return Ok(Arc::clone(service));
    }
    if service::is_ports(text) {
        let ports = Ports::of(vec![text.parse()?]);
        return Ok(Arc::new(Service {
            name: text.to_owned(),
            ports,
        }));
    }
    Service::built_in(text).map(Arc::new).ok_or_else(|| {
        let mut names: Vec<&str> = Service::built_in_names().collect();
        let defined = known.keys().map(String::as_str);
        names.extend(defined.filter(|name| !service::is_ports(name) && Service::built_in(name).is_none()));
        names.sort_unstable();
        names.truncate(20);
        ServiceError::Unknown {
            name: text.to_owned(),
            known: names.join(", "),
        }
        .into()
    })
}
