//! Sizes and times, and the burst, which may be written as either.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::number::{Decimal, split_unit};
use super::rate::{BYTE_UNITS, Rate, factor};

/// Largest burst, in bytes: 10 ms at the fastest rate take a fifth of it.
pub const MAX_BURST_BYTES: u64 = 10_000_000_000;

/// What an idle destination may send at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// An amount of data.
    Bytes(u64),
    /// What the rate sends in this time.
    Time(Duration),
}

/// Why a text is not a size or a time.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AmountError {
    /// Not a time.
    #[error("`{text}` is not a time")]
    Time {
        /// As written.
        text: String,
    },
    /// Neither a size nor a time.
    #[error("`{text}` is neither a size nor a time")]
    Burst {
        /// As written.
        text: String,
    },
    /// More than can be kept.
    #[error("a burst of {bytes} bytes is more than 10 GB")]
    BurstTooLarge {
        /// How much it is, at the rule's rate.
        bytes: u64,
    },
}

impl AmountError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Time { .. } => Some("write for example `200ms`; units are ns us ms s".to_owned()),
            Self::Burst { .. } => {
                Some("write for example `25kB` or `10ms`; units are B kB MB KiB MiB and us ms s".to_owned())
            }
            Self::BurstTooLarge { .. } => Some("write for example `25kB` or `10ms`".to_owned()),
        }
    }
}

/// Nanoseconds in one unit, smallest first.
const TIME_UNITS: [(&str, u64); 4] = [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)];

/// Reads `10ms` or `1.5s`.
///
/// # Errors
///
/// If it is not a number with a unit of time, or longer than a day.
pub fn parse_time(text: &str) -> Result<Duration, AmountError> {
    time(text).ok_or_else(|| AmountError::Time {
        text: text.to_owned(),
    })
}

fn time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let ns = Decimal::parse(number)?.scale(factor(&TIME_UNITS, unit)?, 1);
    let ns = u64::try_from(ns).ok()?;
    (ns <= 86_400 * shaper_common::NSEC_PER_SEC).then_some(Duration::from_nanos(ns))
}

impl Burst {
    /// Bytes at `rate`.
    ///
    /// # Errors
    ///
    /// If they are too many to keep.
    pub fn bytes(self, rate: Rate) -> Result<u64, AmountError> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Time(time) => rate.bytes_in(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)),
        };
        if bytes > MAX_BURST_BYTES {
            Err(AmountError::BurstTooLarge { bytes })
        } else {
            Ok(bytes)
        }
    }
}

impl FromStr for Burst {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        if let Some(time) = time(text) {
            return Ok(Self::Time(time));
        }
        let (number, unit) = split_unit(text);
        Decimal::parse(number)
            .zip(factor(&BYTE_UNITS, unit))
            .and_then(|(number, factor)| u64::try_from(number.scale(factor, 1)).ok())
            .map(Self::Bytes)
            .ok_or_else(|| AmountError::Burst {
                text: text.to_owned(),
            })
    }
}

/// As in files: the largest unit that leaves a whole number.
impl fmt::Display for Burst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (amount, units) = match self {
            Self::Bytes(bytes) => (
                u128::from(*bytes),
                &[("B", 1), ("kB", 1_000), ("MB", 1_000_000)][..],
            ),
            Self::Time(time) => (time.as_nanos(), &TIME_UNITS[..]),
        };
        let (unit, factor) = units
            .iter()
            .rev()
            .find(|(_, factor)| amount.is_multiple_of(u128::from(*factor)))
            .unwrap_or(&units[0]);
        write!(f, "{}{unit}", amount / u128::from(*factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_a_size_or_a_time() {
        assert_eq!("25kB".parse(), Ok(Burst::Bytes(25_000)));
        assert_eq!("64KiB".parse(), Ok(Burst::Bytes(65_536)));
        assert_eq!("10ms".parse(), Ok(Burst::Time(Duration::from_millis(10))));
        assert_eq!("1.5s".parse(), Ok(Burst::Time(Duration::from_millis(1_500))));
        for text in ["", "10", "25kb", "25kbit", "10min", "-1ms", "kB", "10 ms"] {
            assert!(text.parse::<Burst>().is_err(), "{text}");
        }
    }

    #[test]
    fn reads_back_what_it_writes() {
        for text in ["25kB", "1MB", "1514B", "10ms", "1500us", "2s"] {
            assert_eq!(text.parse::<Burst>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_time_is_what_the_rate_sends_in_it() {
        let rate: Rate = "20mbit".parse().unwrap();
        assert_eq!("10ms".parse::<Burst>().unwrap().bytes(rate), Ok(25_000));
    }

    #[test]
    fn the_largest_burst_is_one_and_the_next_is_not() {
        let rate: Rate = "20mbit".parse().unwrap();
        assert_eq!(Burst::Bytes(MAX_BURST_BYTES).bytes(rate), Ok(MAX_BURST_BYTES));
        let bytes = MAX_BURST_BYTES + 1;
        assert_eq!(
            Burst::Bytes(bytes).bytes(rate),
            Err(AmountError::BurstTooLarge { bytes })
        );
    }

    #[test]
    fn a_time_longer_than_a_day_is_none() {
        assert!(parse_time("86400s").is_ok());
        assert!(parse_time("86401s").is_err());
        assert!(parse_time("999999999999999999s").is_err());
    }
}
