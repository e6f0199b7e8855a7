//! Another maximum of clients: a table of another size, which takes over from the one in force.

use std::collections::HashMap;

use shaper_common::bucket::Bucket;
use shaper_common::pacing::ticks;
use shaper_common::rule::ClientKey;

use super::batch;
use super::buckets::Chunks;
use super::clients::{Clients, Found, Table};
use super::error::DataplaneError;

/// A table of the size wanted, with what the one in force holds.
#[derive(Debug)]
pub(super) struct Successor {
    table: Table,
    copied: HashMap<ClientKey, Bucket>,
}

fn refused(error: std::io::Error) -> DataplaneError {
    DataplaneError::kernel("copy the clients' buckets", error)
}

/// Makes sure that there is a table; returns its successor if it has not room for `most` clients, no more and no less.
pub(super) fn prepare(
    clients: &Clients,
    most: u32,
    now_ns: u64,
) -> Result<Option<Successor>, DataplaneError> {
    let Some((present, name)) = clients.open()? else {
        clients.install(&clients.make(most)?, Clients::other(""))?;
        return Ok(None);
    };
    let other = Clients::other(name);
    if let Some(before) = clients.left_behind(other)? {
        // Cut short after the other took over, or before: no time may go back, and none goes ahead.
        let found = batch::read(&before).map_err(refused)?;
        for (key, bucket) in found {
            merge(&present, &key, &bucket, &bucket)?;
        }
        clients.take_pin_away(other)?;
    }
    if present.info().max_entries == most.max(1) {
        return Ok(None);
    }
    let found = choose(batch::read(&present).map_err(refused)?, most, now_ns)?;
    let table = clients.make(most)?;
    batch::fill(&table, &found, &mut |_| {}).map_err(refused)?;
    Ok(Some(Successor {
        table,
        copied: found.into_iter().collect(),
    }))
}

/// The latest `most` clients, if all whose time is still to come are among them.
fn choose(mut found: Found, most: u32, now_ns: u64) -> Result<Found, DataplaneError> {
    let most = most as usize;
    let time = |(_, bucket): &(ClientKey, Bucket)| bucket.last_departure_ticks;
    if found.len() > most {
        found.sort_unstable_by_key(|client| std::cmp::Reverse(time(client)));
        let n_limited = found.partition_point(|client| time(client) > ticks(now_ns));
        if n_limited > most {
            return Err(DataplaneError::TooManyClients {
                clients: n_limited,
                most,
            });
        }
        found.truncate(most);
    }
    Ok(found)
}

/// Puts a successor in force, and brings it up to date.
pub(super) fn take_over(
    clients: &Clients,
    mut next: Successor,
    chunks: &Chunks,
) -> Result<(), DataplaneError> {
    let Some((present, name)) = clients.open()? else {
        return Ok(());
    };
    // Once more, so that little is left to do while packets use the other.
    let changed: Found = batch::read(&present)
        .map_err(refused)?
        .into_iter()
        .filter(|(key, bucket)| next.copied.get(key).is_some_and(|copied| copied != bucket))
        .collect();
    batch::fill(&next.table, &changed, &mut |_| {}).map_err(refused)?;
    next.copied.extend(changed);
    clients.install(&next.table, Clients::other(name))?;
    // The kernel has waited for every packet that used the old table.
    for (key, bucket) in batch::read(&present).map_err(refused)? {
        match next.copied.get(&key) {
            Some(copied) if *copied == bucket => {}
            Some(copied) => merge(&next.table, &key, copied, &bucket)?,
            // There was no room for him; what he has sent is not forgotten.
            None => chunks.add_counters(key.rule, &bucket),
        }
    }
    clients.take_pin_away(name)
}

/// Adds to a client of `table` what happened to him elsewhere between `before` and `after`.
fn merge(table: &Table, key: &ClientKey, before: &Bucket, after: &Bucket) -> Result<(), DataplaneError> {
    let Some(present) = table.get(key).map_err(refused)? else {
        return Ok(());
    };
    let merged = merged(&present, before, after);
    if merged == present {
        return Ok(());
    }
    table.put(key, &merged).map_err(refused)
}

fn merged(present: &Bucket, before: &Bucket, after: &Bucket) -> Bucket {
    let sum = |count: fn(&Bucket) -> u64| count(present) + count(after).saturating_sub(count(before));
    Bucket {
        last_departure_ticks: present.last_departure_ticks.max(after.last_departure_ticks),
        sent_bytes: sum(|bucket| bucket.sent_bytes),
        sent_packets: sum(|bucket| bucket.sent_packets),
        paced_packets: sum(|bucket| bucket.paced_packets),
        marked_packets: sum(|bucket| bucket.marked_packets),
        dropped_packets: sum(|bucket| bucket.dropped_packets),
        shared_ticks: present.shared_ticks.max(after.shared_ticks),
        owner: present.owner,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(last_departure_ticks: u64, sent_packets: u64) -> Bucket {
        Bucket {
            last_departure_ticks,
            sent_packets,
            ..Bucket::default()
        }
    }

    #[test]
    fn what_was_counted_meanwhile_is_added_and_no_time_goes_back() {
        let merged = |present, before, after| merged(&present, &before, &after);
        assert_eq!(merged(bucket(5, 10), bucket(5, 10), bucket(9, 12)), bucket(9, 12));
        assert_eq!(
            merged(bucket(20, 13), bucket(5, 10), bucket(9, 12)),
            bucket(20, 15)
        );
        assert_eq!(merged(bucket(5, 10), bucket(9, 12), bucket(9, 12)), bucket(9, 10));
    }

    #[test]
    fn no_client_is_left_out_whose_time_is_still_to_come() {
        let clients = |times: &[u64]| {
            let clients = (0..).zip(times).map(|(rule, time)| {
                let key = ClientKey {
                    rule,
                    address: [0; 4],
                };
                (key, bucket(ticks(*time), 1))
            });
            clients.collect::<Found>()
        };
        let rules = |found: Found| found.iter().map(|(key, _)| key.rule).collect::<Vec<_>>();
        let all = clients(&[5, 40, 30]);
        assert_eq!(rules(choose(all.clone(), 3, 10).unwrap()), [0, 1, 2]);
        assert_eq!(rules(choose(all.clone(), 2, 10).unwrap()), [1, 2]);
        assert!(matches!(
            choose(all, 1, 10),
            Err(DataplaneError::TooManyClients { clients: 2, most: 1 })
        ));
    }
}
