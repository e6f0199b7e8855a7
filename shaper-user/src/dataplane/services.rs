//! The table of services of a policy slot: port by port, as ranges.

use std::os::fd::OwnedFd;

use shaper_common::names::SERVICES;
use shaper_common::rule::{N_PORTS, port_index};

use super::batch;
use super::bpf::{self, MapInfo};
use super::error::DataplaneError;
use super::maps::{Map, typed};
use crate::policy::tables::PortRange;

/// A new table for `ports`; `None` if there are none.
pub(super) fn build(ports: &[PortRange], definition: &MapInfo) -> Result<Option<OwnedFd>, DataplaneError> {
    if ports.is_empty() {
        return Ok(None);
    }
    let refused = |error| DataplaneError::kernel(format!("fill the table {SERVICES}"), error);
    let definition = MapInfo {
        max_entries: N_PORTS,
        ..*definition
    };
    let map: Map<u32, u32> = typed(
        bpf::create_map(&definition, SERVICES, None).map_err(refused)?,
        SERVICES,
    )?;
    let entries: Vec<(u32, u32)> = ports
        .iter()
        .flat_map(|range| {
            (range.first..=range.last).map(|port| (port_index(range.is_udp, port), range.service))
        })
        .collect();
    batch::fill(&map, &entries, &mut |_| {}).map_err(refused)?;
    Ok(Some(map.into_fd()))
}

/// What a table says.
pub(super) fn read(table: OwnedFd) -> Result<Vec<PortRange>, DataplaneError> {
    let map: Map<u32, u32> = typed(table, SERVICES)?;
    let mut entries = batch::read(&map)
        .map_err(|error| DataplaneError::kernel(format!("read the table {SERVICES}"), error))?;
    entries.sort_unstable();
    Ok(ranges(&entries))
}

/// Entries in ascending order as ranges.
fn ranges(entries: &[(u32, u32)]) -> Vec<PortRange> {
    let mut ranges: Vec<PortRange> = Vec::new();
    for (index, service) in entries.iter().filter(|(_, service)| *service != 0) {
        let is_udp = *index >= port_index(true, 0);
        let port = (index % port_index(true, 0)).try_into().unwrap_or(u16::MAX);
        match ranges.last_mut() {
            Some(last)
                if last.service == *service
                    && last.is_udp == is_udp
                    && last.last.checked_add(1) == Some(port) =>
            {
                last.last = port;
            }
            _ => ranges.push(PortRange {
                is_udp,
                first: port,
                last: port,
                service: *service,
            }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_where_another_service_or_the_other_protocol_begins() {
        let entries = [
            (21, 0),
            (22, 1),
            (23, 1),
            (24, 2),
            (65_535, 2),
            (65_536, 2),
            (65_589, 3),
        ];
        let range = |is_udp, first, last, service| PortRange {
            is_udp,
            first,
            last,
            service,
        };
        assert_eq!(
            ranges(&entries),
            [
                range(false, 22, 23, 1),
                range(false, 24, 24, 2),
                range(false, 65_535, 65_535, 2),
                range(true, 0, 0, 2),
                range(true, 53, 53, 3)
            ]
        );
    }
}
