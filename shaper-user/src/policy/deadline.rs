//! Deadlines: points in time on the wall clock, and spans of time as operators write them.

use std::fmt;
use std::time::Duration;

use super::number::{Decimal, split_unit};
use crate::config::{Moment, RuleConfig};

/// A point in time, in whole seconds after 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(pub u64);

/// Why a text or a moment is not a deadline.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DeadlineError {
    /// A part is missing: the date, the time or the zone.
    #[error("`{text}` has no {missing}")]
    Incomplete {
        /// As written.
        text: String,
        /// What is missing.
        missing: &'static str,
    },
    /// Before 1970.
    #[error("`{text}` is before 1970")]
    TooEarly {
        /// As written.
        text: String,
    },
    /// Not a span of time.
    #[error("`{text}` is not a time from 1s to 36500d")]
    Span {
        /// As written.
        text: String,
    },
}

impl DeadlineError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Incomplete { .. } | Self::TooEarly { .. } => {
                "write a date, a time and a zone: 2026-12-31T23:00:00Z or 2026-12-31T23:00:00+01:00"
                    .to_owned()
            }
            Self::Span { .. } => "write for example `90s`, `30m`, `2h`, `7d` or `4w`".to_owned(),
        })
    }
}

/// Seconds in one unit.
const UNITS: [(&str, u64); 5] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];

const MAX_SPAN_SECS: u64 = 36_500 * 86_400;

/// Reads `90s`, `30m`, `2h`, `7d`, `4w`.
///
/// # Errors
///
/// If it is not a number with one of these units, less than a second, or more than a hundred years.
pub fn parse_span(text: &str) -> Result<Duration, DeadlineError> {
    let span = || {
        let (number, unit) = split_unit(text);
        let (_, secs) = UNITS.iter().find(|(name, _)| *name == unit)?;
        u64::try_from(Decimal::parse(number)?.scale(*secs, 1)).ok()
    };
    span()
        .filter(|secs| (1..=MAX_SPAN_SECS).contains(secs))
        .map(Duration::from_secs)
        .ok_or_else(|| DeadlineError::Span {
            text: text.to_owned(),
        })
}

impl TryFrom<&Moment> for Deadline {
    type Error = DeadlineError;

    fn try_from(moment: &Moment) -> Result<Self, DeadlineError> {
        let moment = moment.get_ref();
        let text = moment.to_string();
        let lacks = |missing| DeadlineError::Incomplete {
            text: text.clone(),
            missing,
        };
        let date = moment.date.ok_or_else(|| lacks("date"))?;
        let time = moment.time.ok_or_else(|| lacks("time"))?;
        let zone = moment.offset.ok_or_else(|| lacks("zone"))?;
        let minutes_east = match zone.to_string().as_str() {
            "Z" => 0,
            text => minutes(text).ok_or_else(|| lacks("zone"))?,
        };
        let days = days_since_1970(date.year.into(), date.month.into(), date.day.into());
        let secs = i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second);
        u64::try_from(days * 86_400 + secs - minutes_east * 60)
            .map(Self)
            .map_err(|_| DeadlineError::TooEarly { text })
    }
}

/// `+01:30` as minutes.
fn minutes(zone: &str) -> Option<i64> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?))
}

/// Howard Hinnant's days_from_civil: years begin in March, so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `2026-11-20T10:04:11Z`.
impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, secs) = (self.0 / 86_400, self.0 % 86_400);
        // Howard Hinnant's civil_from_days, the inverse of the above.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"
        )
    }
}

impl Deadline {
    /// When `span` is over that begins `now`, a time after 1970: in the first whole second in which it is, so that nothing ends before
    /// its time, or before it has begun.
    #[must_use]
    pub fn after(now: Duration, span: Duration) -> Self {
        let end = now.saturating_add(span);
        Self(end.as_secs().saturating_add(u64::from(end.subsec_nanos() > 0)))
    }

    /// Whether it is over at `now`. A rule ends at its deadline, not a second later.
    #[must_use]
    pub fn is_over(self, now: Self) -> bool {
        self <= now
    }

    /// The deadline of a rule as written, if it has one that is sound.
    #[must_use]
    pub fn of(rule: &RuleConfig) -> Option<Self> {
        Self::try_from(rule.expires.as_deref()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::moment;

    fn deadline(text: &str) -> Result<u64, String> {
        Deadline::try_from(&moment(text).unwrap())
            .map(|deadline| deadline.0)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_ends_before_its_time() {
        let after = |millis| Deadline::after(Duration::from_millis(millis), Duration::from_secs(1)).0;
        assert_eq!(
            (after(7_000), after(7_001), after(7_999), after(8_000)),
            (8, 9, 9, 9)
        );
        assert_eq!(Deadline::after(Duration::MAX, Duration::MAX).0, u64::MAX);
    }

    #[test]
    fn a_moment_with_a_zone_is_a_deadline() {
        assert_eq!(deadline("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(deadline("2000-02-29T00:00:00Z"), Ok(951_782_400));
        assert_eq!(deadline("2026-11-20T11:04:11+01:00"), Ok(1_795_169_051));
        assert_eq!(deadline("2026-11-20T04:34:11-05:30"), Ok(1_795_169_051));
        assert_eq!(deadline("2100-03-01T00:00:00.999Z"), Ok(4_107_542_400));
    }

    #[test]
    fn a_moment_that_leaves_something_open_is_refused() {
        assert_eq!(
            deadline("2026-12-31T23:00:00").unwrap_err(),
            "`2026-12-31T23:00:00` has no zone"
        );
        assert_eq!(deadline("2026-12-31").unwrap_err(), "`2026-12-31` has no time");
        assert_eq!(deadline("23:00:00").unwrap_err(), "`23:00:00` has no date");
        assert_eq!(
            deadline("1969-12-31T23:59:59Z").unwrap_err(),
            "`1969-12-31T23:59:59Z` is before 1970"
        );
    }

    #[test]
    fn a_span_is_a_number_with_a_unit() {
        let secs = |text: &str| parse_span(text).map(|span| span.as_secs());
        assert_eq!(secs("90s"), Ok(90));
        assert_eq!(secs("1.5h"), Ok(5_400));
        assert_eq!(secs("36500d"), Ok(MAX_SPAN_SECS));
        for text in [
            "",
            "2",
            "0s",
            "36501d",
            "2hours",
            "-2h",
            "2 h",
            "1h30m",
            "99999999999999999w",
        ] {
            assert!(secs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_ends_at_its_deadline() {
        assert!(Deadline(7).is_over(Deadline(7)) && !Deadline(8).is_over(Deadline(7)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn reads_back_what_it_writes(secs in 0_u64..253_402_300_800) {
            prop_assert_eq!(deadline(&Deadline(secs).to_string()), Ok(secs));
        }
    }
}
