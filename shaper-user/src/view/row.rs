//! One rule as a row of `shaper list`.

use std::cmp::Reverse;

use super::rule::rate;
use super::table::Table;
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
        SortBy::Service => rows.sort_by_key(|row| (row.rule.service.is_none(), service(row.rule))),
        SortBy::Rate => rows.sort_by_key(|row| Reverse(row.rule.bytes_per_sec().unwrap_or(u64::MAX))),
        SortBy::Group => rows.sort_by_key(|row| (row.rule.group.is_none(), group(row.rule))),
        SortBy::Expires => rows.sort_by_key(|row| (row.rule.expires.is_none(), row.rule.expires)),
        SortBy::Now => rows.sort_by_key(|row| Reverse(now(row))),
        SortBy::Dropped => rows.sort_by_key(|row| Reverse(dropped(row))),
    }
}

const NONE: &str = "-";

/// The table for people.
#[must_use]
pub fn table(rows: &[Row<'_>], has_stats: bool, unit: Unit) -> Table {
    let heading = if has_stats {
        vec![
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
        ]
    } else {
        vec![
            "NAME",
            "DESTINATION",
            "SERVICE",
            "PER",
            "RATE",
            "BURST",
            "GROUP",
            "EXPIRES",
            "SOURCE",
        ]
    };
    let cells = |row: &Row<'_>| {
        let rule = row.rule;
        let mut cells = first_cells(rule);
        if has_stats {
            cells.push(rate(rule, unit));
            cells.extend(activity_cells(row, unit));
        } else {
            let burst = rule.limit().map(|limit| units::size(limit.burst_bytes));
            cells.extend([
                rule.per.to_string(),
                rate(rule, unit),
                burst.unwrap_or_else(none),
                group(rule),
            ]);
        }
        cells.extend(last_cells(rule));
        cells
    };
    Table {
        heading,
        rows: rows.iter().map(cells).collect(),
    }
}

fn none() -> String {
    NONE.to_owned()
}

fn first_cells(rule: &Rule) -> Vec<String> {
    vec![
        rule.name.clone().unwrap_or_else(none),
        rule.destination.to_string(),
        service(rule),
    ]
}

fn last_cells(rule: &Rule) -> [String; 2] {
    let expires = rule.expires.map(|expires| expires.to_string());
    [expires.unwrap_or_else(none), rule.source.name().to_owned()]
}

fn service(rule: &Rule) -> String {
    rule.service
        .as_ref()
        .map_or_else(none, |service| service.name.clone())
}

fn group(rule: &Rule) -> String {
    rule.group.as_ref().map_or_else(none, |group| group.name.clone())
}

/// What the kernel counts for a rule: nothing, if it limits nothing.
fn counted<'a>(row: &Row<'a>) -> Option<&'a Activity> {
    row.activity.filter(|_| row.rule.action != Action::Unlimited)
}

fn activity_cells(row: &Row<'_>, unit: Unit) -> [String; 4] {
    match counted(row) {
        Some(activity) => [
            units::rate(activity.sent_bytes_per_sec, unit),
            units::percent(activity.n_limited, activity.n_packets),
            units::count(activity.bucket.paced_packets),
            units::count(activity.bucket.dropped_packets),
        ],
        None if row.is_exempt => ["exempt".to_owned(), none(), none(), none()],
        None => [none(), none(), none(), none()],
    }
}

/// The table for awk: bits per second, bytes and packets, without units.
#[must_use]
pub fn plain(rows: &[Row<'_>], has_stats: bool) -> Table {
    let cells = |row: &Row<'_>| {
        let rule = row.rule;
        let number = |number: Option<u64>| number.map_or_else(none, |number| number.to_string());
        let rate = match &rule.action {
            Action::Unlimited => "unlimited".to_owned(),
            Action::Block => "block".to_owned(),
            Action::Limit(limit) => limit.rate.bits_per_sec().to_string(),
        };
        let mut cells = first_cells(rule);
        if has_stats {
            cells.push(rate);
            let activity = counted(row);
            let bucket = activity.map(|activity| activity.bucket);
            cells.extend([
                number(activity.map(|activity| activity.sent_bytes_per_sec.saturating_mul(8))),
                number(bucket.map(|bucket| bucket.sent_bytes)),
                number(bucket.map(|bucket| bucket.paced_packets)),
                number(bucket.map(|bucket| bucket.dropped_packets)),
            ]);
        } else {
            let burst = number(rule.limit().map(|limit| limit.burst_bytes));
            cells.extend([rule.per.to_string(), rate, burst, group(rule)]);
        }
        cells.extend(last_cells(rule));
        cells
    };
    Table {
        heading: Vec::new(),
        rows: rows.iter().map(cells).collect(),
    }
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
