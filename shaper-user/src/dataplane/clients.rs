//! The clients that have buckets of their own: one table for all policies, made by the first rule that needs it.
//!
//! The kernel program inserts clients, only shaper takes them away. The table is pinned under one of two names: that of
//! the table in force, and that of its successor or its predecessor.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};

use shaper_common::bucket::Bucket;
use shaper_common::names::CLIENTS;
use shaper_common::rule::ClientKey;
use shaper_common::transfer::{Transfer, Transferred};

use super::batch;
use super::bpf::{self, MapInfo};
use super::buckets::Chunks;
use super::content::{Content, has_clients};
use super::error::DataplaneError;
use super::maps::{Map, typed};
use super::pins::Pins;
use super::transfer::Transfers;

/// The only entry of the map of maps.
const PLACE: u32 = 0;

/// The two names.
const PINS: [&str; 2] = ["CLIENTS_0", "CLIENTS_1"];

/// A table of clients.
pub(super) type Table = Map<ClientKey, Bucket>;

/// Clients and their buckets.
pub(super) type Found = Vec<(ClientKey, Bucket)>;

/// The map of maps.
#[derive(Debug)]
pub(super) struct Clients {
    outer: Map<u32, u32>,
    definition: MapInfo,
    pins: Pins,
}

/// Which clients may go.
pub(super) struct Idle<'a> {
    /// The moment, in ticks of the monotonic clock.
    pub(super) now_ticks: u64,
    /// How long at least nothing was sent, in ticks.
    pub(super) least_ticks: u64,
    /// The burst of the rule of this bucket, in ticks; `None` if there is no such rule.
    pub(super) burst_of: &'a dyn Fn(u32) -> Option<u64>,
}

impl Idle<'_> {
    /// The time of an idle bucket of this rule, in ticks.
    pub(super) fn time_ticks(&self, rule: u32) -> u64 {
        let burst_ticks = (self.burst_of)(rule).unwrap_or(0);
        self.now_ticks.saturating_sub(burst_ticks)
    }

    /// Whether a client's bucket is like one that was just made.
    fn holds_for(&self, key: &ClientKey, bucket: &Bucket) -> bool {
        // One that has counted nothing was made for a packet that is about to be charged.
        let is_in_the_making = *bucket == Bucket::default();
        let least = (self.burst_of)(key.rule).unwrap_or(0).max(self.least_ticks);
        !is_in_the_making && self.now_ticks.saturating_sub(bucket.last_departure_ticks) > least
    }
}

fn refused(doing: &str) -> impl Fn(io::Error) -> DataplaneError {
    move |error| DataplaneError::kernel(format!("{doing} {CLIENTS}"), error)
}

impl Clients {
    pub(super) fn new(outer: Map<u32, u32>, definition: MapInfo, pins: Pins) -> Self {
        Self {
            outer,
            definition,
            pins,
        }
    }

    /// The table in force, and the name it is pinned under.
    pub(super) fn open(&self) -> Result<Option<(Table, &'static str)>, DataplaneError> {
        let Some(id) = self.outer.get(&PLACE).map_err(refused("read the map"))? else {
            return Ok(None);
        };
        for name in PINS {
            if let Some(fd) = self.pins.open(name)? {
                let info = bpf::map_info(fd.as_fd()).map_err(refused("read the map"))?;
                if info.id == id {
                    return Ok(Some((typed(fd, name)?, name)));
                }
            }
        }
        Err(DataplaneError::ForeignPin {
            path: self.pins.path(PINS[0]),
            problem: "it is not the table in force".into(),
        })
    }

    /// All clients of the table in force, and how many there may be; `None` if there is no table.
    pub(super) fn read(&self) -> Result<Option<(Found, u32)>, DataplaneError> {
        let Some((table, _)) = self.open()? else {
            return Ok(None);
        };
        let found = batch::read(&table).map_err(refused("read the map"))?;
        Ok(Some((found, table.info().max_entries)))
    }

    /// An empty table for `most` clients.
    pub(super) fn make(&self, most: u32) -> Result<Table, DataplaneError> {
        let definition = MapInfo {
            max_entries: most.max(1),
            ..self.definition
        };
        typed(
            bpf::create_map(&definition, CLIENTS, None).map_err(refused("make the map"))?,
            CLIENTS,
        )
    }

    /// Pins `table` under `name` and puts it in force.
    pub(super) fn install(&self, table: &Table, name: &str) -> Result<(), DataplaneError> {
        self.pins.put(name, table.as_fd())?;
        #[expect(
            clippy::cast_sign_loss,
            reason = "a descriptor is not negative; the kernel's field is unsigned"
        )]
        self.outer
            .put(&PLACE, &(table.as_fd().as_raw_fd() as u32))
            .map_err(refused("change the map"))
    }

    /// The pin that is not `name`.
    pub(super) fn other(name: &str) -> &'static str {
        PINS[usize::from(name == PINS[0])]
    }

    /// What is pinned beside the table in force, under `name`: left behind by a change that was cut short.
    pub(super) fn left_behind(&self, name: &str) -> Result<Option<Table>, DataplaneError> {
        self.pins.open(name)?.map(|fd| typed(fd, name)).transpose()
    }

    /// Charges clients of the table in force.
    pub(super) fn transfers(&self) -> Transfers<'_> {
        Transfers::new(&self.pins)
    }

    pub(super) fn take_pin_away(&self, name: &str) -> Result<(), DataplaneError> {
        self.pins.take_away(name)
    }

    /// Takes the table away: no rule tells clients apart.
    pub(super) fn remove(&self) -> Result<(), DataplaneError> {
        // The pin comes first and goes last.
        if self.pins.open(PINS[0])?.is_none() && self.pins.open(PINS[1])?.is_none() {
            return Ok(());
        }
        if self.outer.get(&PLACE).map_err(refused("read the map"))?.is_some() {
            self.outer.delete(&PLACE).map_err(refused("change the map"))?;
        }
        PINS.iter().try_for_each(|name| self.pins.take_away(name))
    }

    /// Takes the clients of these rules away; `rules` are bucket numbers in ascending order. No packet may be on its way
    /// to them.
    pub(super) fn forget(&self, rules: &[u32]) -> Result<(), DataplaneError> {
        let Some((table, _)) = self.open()? else {
            return Ok(());
        };
        let mut gone = Vec::new();
        for (key, _) in batch::read(&table).map_err(refused("read the map"))? {
            if rules.binary_search(&key.rule).is_ok() {
                gone.push(key);
            }
        }
        batch::delete(&table, &gone).map_err(refused("change the map"))
    }

    /// Takes idle clients away; what they have counted goes to their rules' buckets. Returns how many there were and
    /// how many were taken away.
    pub(super) fn age(&self, idle: &Idle<'_>, chunks: &Chunks) -> Result<(usize, usize), DataplaneError> {
        let Some((table, _)) = self.open()? else {
            return Ok((0, 0));
        };
        let mut transfers = self.transfers();
        let (mut n_before, mut n_gone) = (0, 0);
        // Batch by batch: between reading a client and taking him away he should not come back.
        let aged = batch::for_each(&table, |clients| {
            n_before += clients.len();
            for (key, bucket) in clients.iter().filter(|(key, bucket)| idle.holds_for(key, bucket)) {
                let Some(taken) = table.take(key)? else {
                    continue;
                };
                let has_come_back = !idle.holds_for(key, &taken);
                if has_come_back
                    && bring_back(&table, &mut transfers, key, (bucket, &taken), idle)
                        .map_err(io::Error::other)?
                {
                    continue;
                }
                n_gone += 1;
                if (idle.burst_of)(key.rule).is_some() {
                    chunks.add_counters(key.rule, &taken);
                }
            }
            Ok(())
        });
        aged.map_err(refused("change the map"))?;
        Ok((n_before, n_gone))
    }
}

/// The bursts of all rules that tell clients apart, in ticks, by their buckets' numbers.
pub(super) fn bursts(content: &Content) -> HashMap<u32, u64> {
    let rules = content.rules.iter().filter(|(_, rule)| has_clients(rule));
    rules
        .map(|(_, rule)| (rule.bucket, rule.limit.burst_ticks))
        .collect()
}

/// Puts a client in the table in force who is not there, or was not: a packet of his may have made him a bucket by now,
/// which is then charged with what happened to the other one, from the first state to the second. `false` if there is no
/// room for him.
///
/// A packet that had found the bucket taken away, and had not charged it yet when it was, charges nobody: at most one per
/// processor, and the first of a client's after his burst was whole.
pub(super) fn bring_back(
    table: &Table,
    transfers: &mut Transfers<'_>,
    client: &ClientKey,
    (before, after): (&Bucket, &Bucket),
    idle: &Idle<'_>,
) -> Result<bool, DataplaneError> {
    loop {
        match table.insert(client, after) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) if is_full(&error) => return Ok(false),
            Err(error) => return Err(refused("change the map")(error)),
        }
        let since = Transfer::between(*client, before, after, idle.time_ticks(client.rule));
        let transfer = Transfer {
            // Of one that was made for a packet that is about to be charged.
            expected_ticks: 0,
            // It has counted nothing of his yet.
            more: Bucket {
                last_departure_ticks: since.more.last_departure_ticks,
                shared_ticks: since.more.shared_ticks,
                ..*after
            },
            ..since
        };
        if transfers.apply(&transfer)? != Transferred::Nobody {
            return Ok(true);
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::E2BIG) || error.kind() == ErrorKind::OutOfMemory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_goes_only_when_nothing_of_him_would_be_missed() {
        let burst_ticks = |rule: u32| (rule == 1).then_some(1_000);
        let idle = Idle {
            now_ticks: 10_000,
            least_ticks: 100,
            burst_of: &burst_ticks,
        };
        let holds = |rule, last_departure_ticks, sent_packets| {
            let key = ClientKey {
                rule,
                address: [0; 4],
            };
            let bucket = Bucket {
                last_departure_ticks,
                sent_packets,
                ..Bucket::default()
            };
            idle.holds_for(&key, &bucket)
        };
        assert!(holds(1, 8_999, 1));
        assert!(!holds(1, 9_000, 1), "its burst is not whole again");
        assert!(!holds(1, 20_000, 1), "its time is in the future");
        assert!(!holds(1, 0, 0), "it is in the making");
        assert!(holds(1, 0, 1));
        assert!(holds(2, 9_899, 1), "its rule is gone");
        assert!(!holds(2, 9_900, 1));
    }
}
