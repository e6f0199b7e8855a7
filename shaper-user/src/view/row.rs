//! One rule as a row of `shaper list`.

use std::cmp::Reverse;

use super::rule::rate;
use super::table::{NONE, Table};
use super::units::{self, Unit};
use crate::policy::{Action, Rule};
use crate::stats::Activity;

/// One rule, and what it did.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// An exempt prefix makes it void.
    pub is_exempt: bool,
    /// What it did; `None` if nobody asked, or if it is void.
    pub activity: Option<&'a Activity>,
}

/// What rows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SortBy {
    /// Destination, ascending.
    #[default]
    Destination,
    /// Name, ascending; without a name last.
    Name,
    /// Service, ascending; without one last.
    Service,
    /// Rate, fastest first.
    Rate,
    /// Group, ascending; without one last.
    Group,
    /// Deadline, the next first.
    Expires,
    /// What is sent at the moment, most first.
    Now,
    /// Dropped packets, most first.
    Dropped,
}

/// Sorts `rows`, which are in the order of their destinations.
pub fn sort(rows: &mut [Row<'_>], by: SortBy) {
    let now = |row: &Row<'_>| row.activity.map(|activity| activity.sent_bytes_per_sec);
    let dropped = |row: &Row<'_>| row.activity.map(|activity| activity.bucket.dropped_packets);
    match by {
        SortBy::Destination => {}
        SortBy::Name => rows.sort_by_key(|row| (row.rule.name.is_none(), row.rule.name.clone())),
        SortBy::Service => rows.sort_by_key(|row| (row.rule.service.is_none(), service(row.rule).cloned())),
        SortBy::Rate => rows.sort_by_key(|row| Reverse(row.rule.bytes_per_sec().unwrap_or(u64::MAX))),
        SortBy::Group => rows.sort_by_key(|row| (row.rule.group.is_none(), group(row.rule).cloned())),
        SortBy::Expires => rows.sort_by_key(|row| (row.rule.expires.is_none(), row.rule.expires)),
        SortBy::Now => rows.sort_by_key(|row| Reverse(now(row))),
        SortBy::Dropped => rows.sort_by_key(|row| Reverse(dropped(row))),
    }
}

const WITH_STATS: [&str; 10] = [
    "NAME",
    "DESTINATION",
    "SERVICE",
    "RATE",
    "NOW",
    "LIMITED",
    "DELAYED",
    "DROPPED",
    "EXPIRES",
    "SOURCE",
];

const WITHOUT_STATS: [&str; 9] = [
    "NAME",
    "DESTINATION",
    "SERVICE",
    "PER",
    "RATE",
    "BURST",
    "GROUP",
    "EXPIRES",
    "SOURCE",
];

/// The table for people.
#[must_use]
pub fn table(rows: &[Row<'_>], has_stats: bool, unit: Unit) -> Table {
    let mut table = Table::new(if has_stats {
        WITH_STATS.to_vec()
    } else {
        WITHOUT_STATS.to_vec()
    });
    let mut amounts = Amounts::default();
    for row in rows {
        let rule = row.rule;
        add_first(&mut table, rule);
        if has_stats {
            table.add(amounts.of(rule, unit).0);
            add_activity(&mut table, row, unit);
        } else {
            table.add(rule.per);
            let (rate, burst) = amounts.of(rule, unit);
            table.add(rate);
            table.add(burst);
            table.add_if(group(rule));
        }
        add_last(&mut table, rule);
    }
    table
}

/// Rate and burst in words, made once for neighbours that have the same.
#[derive(Default)]
struct Amounts {
    of: Option<Action>,
    rate: String,
    burst: String,
}

impl Amounts {
    fn of(&mut self, rule: &Rule, unit: Unit) -> (&str, &str) {
        if self.of != Some(rule.action) {
            self.of = Some(rule.action);
            self.rate = rate(rule, unit);
            let burst = rule.limit().map(|limit| units::size(limit.burst_bytes));
            self.burst = burst.unwrap_or_else(|| NONE.to_owned());
        }
        (&self.rate, &self.burst)
    }
}

fn add_first(table: &mut Table, rule: &Rule) {
    table.add_if(rule.name.as_ref());
    table.add(rule.destination);
    table.add_if(service(rule));
}

fn add_last(table: &mut Table, rule: &Rule) {
    table.add_if(rule.expires);
    table.add(rule.source.name());
    table.end_row();
}

fn service(rule: &Rule) -> Option<&String> {
    rule.service.as_ref().map(|service| &service.name)
}

fn group(rule: &Rule) -> Option<&String> {
    rule.group.as_ref().map(|group| &group.name)
}

/// What the kernel counts for a rule: nothing, if it limits nothing.
fn counted<'a>(row: &Row<'a>) -> Option<&'a Activity> {
    row.activity.filter(|_| row.rule.action != Action::Unlimited)
}

fn add_activity(table: &mut Table, row: &Row<'_>, unit: Unit) {
    let Some(activity) = counted(row) else {
        table.add(if row.is_exempt { "exempt" } else { NONE });
        for _ in 0..3 {
            table.add(NONE);
        }
        return;
    };
    table.add(units::rate(activity.sent_bytes_per_sec, unit));
    table.add(units::percent(activity.n_limited, activity.n_packets));
    table.add(units::count(activity.bucket.paced_packets));
    table.add(units::count(activity.bucket.dropped_packets));
}

/// The table for awk: bits per second, bytes and packets, without units.
#[must_use]
pub fn plain(rows: &[Row<'_>], has_stats: bool) -> Table {
    let mut table = Table::default();
    for row in rows {
        let rule = row.rule;
        add_first(&mut table, rule);
        if !has_stats {
            table.add(rule.per);
        }
        match &rule.action {
            Action::Unlimited => table.add("unlimited"),
            Action::Block => table.add("block"),
            Action::Limit(limit) => table.add(limit.rate.bits_per_sec()),
        }
        if has_stats {
            let activity = counted(row);
            let bucket = activity.map(|activity| activity.bucket);
            table.add_if(activity.map(|activity| activity.sent_bytes_per_sec.saturating_mul(8)));
            table.add_if(bucket.map(|bucket| bucket.sent_bytes));
            table.add_if(bucket.map(|bucket| bucket.paced_packets));
            table.add_if(bucket.map(|bucket| bucket.dropped_packets));
        } else {
            table.add_if(rule.limit().map(|limit| limit.burst_bytes));
            table.add_if(group(rule));
        }
        add_last(&mut table, rule);
    }
    table
}

#[cfg(test)]
mod tests {
    use shaper_common::bucket::Bucket;

    use super::*;
    use crate::config::Config;
    use crate::policy::Policy;
    use crate::view::table::{aligned, plain as tabbed};

    fn policy() -> Policy {
        let text = "[[rule]]\nname = \"heavy\"\ndestination = \"203.0.113.7\"\nrate = \"20mbit\"\n\
                    [[rule]]\ndestination = \"any\"\nrate = \"unlimited\"\n";
        let config = Config::parse(std::path::Path::new("x"), text.to_owned()).unwrap();
        Policy::try_from(&config).unwrap()
    }

    fn activity() -> Activity {
        let bucket = Bucket {
            sent_bytes: 5_000_000,
            paced_packets: 1_200_345,
            ..Bucket::default()
        };
        Activity {
            bucket,
            sent_bytes_per_sec: 2_475_000,
            n_packets: 100,
            n_limited: 98,
        }
    }

    fn rows<'a>(policy: &'a Policy, activity: Option<&'a Activity>) -> Vec<Row<'a>> {
        policy
            .rules()
            .iter()
            .map(|rule| Row {
                rule,
                is_exempt: false,
                activity,
            })
            .collect()
    }

    #[test]
    fn the_table_reads_as_promised_in_the_manual() {
        let (policy, activity) = (policy(), activity());
        assert_eq!(
            aligned(&table(&rows(&policy, Some(&activity)), true, Unit::Bits), false),
            "NAME   DESTINATION     SERVICE  RATE         NOW          LIMITED  DELAYED  DROPPED  EXPIRES  SOURCE\n\
             heavy  203.0.113.7/32  -        20.0 Mbit/s  19.8 Mbit/s  98 %     1.20 M   0        -        config\n\
             -      any             -        unlimited    -            -        -        -        -        config\n"
        );
        assert_eq!(
            aligned(&table(&rows(&policy, None), false, Unit::Bytes), false),
            "NAME   DESTINATION     SERVICE  PER   RATE       BURST    GROUP  EXPIRES  SOURCE\n\
             heavy  203.0.113.7/32  -        rule  2.50 MB/s  25.0 kB  -      -        config\n\
             -      any             -        rule  unlimited  -        -      -        config\n"
        );
    }

    #[test]
    fn plain_rows_are_in_base_units() {
        let (policy, activity) = (policy(), activity());
        assert_eq!(
            tabbed(&plain(&rows(&policy, Some(&activity))[..1], true)),
            "heavy\t203.0.113.7/32\t-\t20000000\t19800000\t5000000\t1200345\t0\t-\tconfig\n"
        );
    }

    #[test]
    fn unlimited_is_faster_than_any_rate_and_no_name_comes_last() {
        let policy = policy();
        let mut rows = rows(&policy, None);
        sort(&mut rows, SortBy::Rate);
        assert!(rows[0].rule.limit().is_none());
        sort(&mut rows, SortBy::Name);
        assert!(rows[1].rule.name.is_none());
    }
}
