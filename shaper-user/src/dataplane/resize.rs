//! Another maximum of clients: a table of another size, which takes over from the one in force.

use std::collections::HashMap;
use std::io;

use shaper_common::bucket::Bucket;
use shaper_common::pacing::ticks;
use shaper_common::rule::ClientKey;
use shaper_common::transfer::{Transfer, Transferred};

use super::batch;
use super::buckets::Chunks;
use super::clients::{Clients, Found, Idle, Table, bring_back};
use super::error::DataplaneError;
use super::transfer::Transfers;

/// A table of the size wanted, with what the one in force holds.
#[derive(Debug)]
pub(super) struct Successor {
    table: Table,
    /// Who is in it, and how he was in the table in force.
    copied: HashMap<ClientKey, Bucket>,
    /// Who is not, because there was no room for him.
    left_out: HashMap<ClientKey, Bucket>,
}

fn refused(error: io::Error) -> DataplaneError {
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
        let mut transfers = clients.transfers();
        for (client, bucket) in batch::read(&before).map_err(refused)? {
            advance(&present, &mut transfers, client, bucket.last_departure_ticks)?;
        }
        clients.take_pin_away(other)?;
    }
    if present.info().max_entries == most.max(1) {
        return Ok(None);
    }
    let found = batch::read(&present).map_err(refused)?;
    let (copied, left_out) = choose(found, most, now_ns)?;
    let table = clients.make(most)?;
    batch::fill(&table, &copied, &mut |_| {}).map_err(refused)?;
    Ok(Some(Successor {
        table,
        copied: copied.into_iter().collect(),
        left_out: left_out.into_iter().collect(),
    }))
}

/// The latest `most` clients, if all whose time is still to come are among them; and the others.
fn choose(mut found: Found, most: u32, now_ns: u64) -> Result<(Found, Found), DataplaneError> {
    let most = most as usize;
    let time = |(_, bucket): &(ClientKey, Bucket)| bucket.last_departure_ticks;
    if found.len() <= most {
        return Ok((found, Found::new()));
    }
    found.sort_unstable_by_key(|client| std::cmp::Reverse(time(client)));
    let n_limited = found.partition_point(|client| time(client) > ticks(now_ns));
    if n_limited > most {
        return Err(DataplaneError::TooManyClients {
            clients: n_limited,
            most,
        });
    }
    let left_out = found.split_off(most);
    Ok((found, left_out))
}

/// Puts a successor in force, and brings it up to date. `idle` says since when: the moment before this.
pub(super) fn take_over(
    clients: &Clients,
    mut next: Successor,
    chunks: &Chunks,
    idle: &Idle<'_>,
) -> Result<(), DataplaneError> {
    let Some((present, name)) = clients.open()? else {
        return Ok(());
    };
    // Once more, so that little is left to do while packets use the other.
    next.catch_up(&batch::read(&present).map_err(refused)?)
        .map_err(refused)?;
    let mut transfers = clients.transfers().ready()?;
    clients.install(&next.table, Clients::other(name))?;
    // The kernel has waited for every packet that used the old table.
    let last = batch::read(&present).map_err(refused)?;
    next.settle(&last, &mut transfers, chunks, idle)?;
    clients.take_pin_away(name)
}

impl Successor {
    /// Takes over what has changed since it was copied, and who has come since. No packet uses the table yet.
    fn catch_up(&mut self, found: &Found) -> io::Result<()> {
        let most = self.table.info().max_entries as usize;
        let mut changed = Found::new();
        let mut n_room = most.saturating_sub(self.copied.len());
        for (key, bucket) in found {
            let is_here = match self.copied.get(key) {
                Some(copied) if copied == bucket => continue,
                Some(_) => true,
                None if self.left_out.get(key) == Some(bucket) => continue,
                None => n_room > 0,
            };
            if is_here {
                n_room -= usize::from(!self.copied.contains_key(key));
                self.left_out.remove(key);
                changed.push((*key, *bucket));
            }
        }
        batch::fill(&self.table, &changed, &mut |_| {})?;
        self.copied.extend(changed);
        Ok(())
    }

    /// The same when packets have begun to use it, and no other any more.
    fn settle(
        &self,
        found: &Found,
        transfers: &mut Transfers<'_>,
        chunks: &Chunks,
        idle: &Idle<'_>,
    ) -> Result<(), DataplaneError> {
        for (key, bucket) in found {
            let copied = self.copied.get(key);
            if copied == Some(bucket) {
                continue;
            }
            if let Some(copied) = copied {
                let transfer = Transfer::between(*key, copied, bucket, idle.time_ticks(key.rule));
                if transfers.apply(&transfer)? != Transferred::Nobody {
                    continue;
                }
            }
            let before = self.left_out.get(key);
            let is_unchanged = before == Some(bucket);
            let before = copied.or(before).copied().unwrap_or_default();
            if is_unchanged || !bring_back(&self.table, transfers, key, (&before, bucket), idle)? {
                // There is no room for him; what he has sent is not forgotten.
                chunks.add_counters(key.rule, bucket);
            }
        }
        Ok(())
    }
}

/// How often packets may come first.
const MAX_TRIES: u32 = 16;

/// Makes sure that the time of a client in the table in force is not earlier than this, if he is there.
fn advance(
    present: &Table,
    transfers: &mut Transfers<'_>,
    client: ClientKey,
    next_ticks: u64,
) -> Result<(), DataplaneError> {
    for _ in 0..MAX_TRIES {
        let Some(bucket) = present.get(&client).map_err(refused)? else {
            break;
        };
        let expected_ticks = bucket.last_departure_ticks;
        if expected_ticks >= next_ticks {
            break;
        }
        let transfer = Transfer {
            client,
            expected_ticks,
            next_ticks,
            ..Transfer::default()
        };
        if transfers.apply(&transfer)? == Transferred::Exchanged {
            break;
        }
    }
    Ok(())
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
        let rules = |(found, _): (Found, Found)| found.iter().map(|(key, _)| key.rule).collect::<Vec<_>>();
        let all = clients(&[5, 40, 30]);
        assert_eq!(rules(choose(all.clone(), 3, 10).unwrap()), [0, 1, 2]);
        assert_eq!(rules(choose(all.clone(), 2, 10).unwrap()), [1, 2]);
        assert!(matches!(
            choose(all, 1, 10),
            Err(DataplaneError::TooManyClients { clients: 2, most: 1 })
        ));
    }
}
