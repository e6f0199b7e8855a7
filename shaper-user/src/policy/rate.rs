//! Rates: bits outside, bytes inside.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use shaper_common::pacing::{MAX_RATE_BYTES_PER_SEC, MIN_RATE_BYTES_PER_SEC};

use super::number::{Decimal, split_unit};

mod error;

pub use error::RateError;

/// A rate that a limit can hold, in whole bytes per second.
///
/// What is written may have decimals and need not be a multiple of eight bits; it is rounded to the nearest
/// byte per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate {
    bytes_per_sec: NonZeroU64,
}

/// Bits in one unit, by its spelling in small letters.
const BIT_UNITS: [(&str, u64); 8] = [
    ("bit", 1),
    ("kbit", 1_000),
    ("mbit", 1_000_000),
    ("gbit", 1_000_000_000),
    ("tbit", 1_000_000_000_000),
    ("kibit", 1 << 10),
    ("mibit", 1 << 20),
    ("gibit", 1 << 30),
];

/// Bytes in one unit. Case counts: a small `b` is bits to some.
pub(super) const BYTE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

pub(super) fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| *factor)
}

impl Rate {
    /// A rate in bytes per second, if a limit can hold it.
    #[must_use]
    pub fn from_bytes_per_sec(bytes_per_sec: u64) -> Option<Self> {
        (MIN_RATE_BYTES_PER_SEC..=MAX_RATE_BYTES_PER_SEC)
            .contains(&bytes_per_sec)
            .then_some(bytes_per_sec)
            .and_then(NonZeroU64::new)
            .map(|bytes_per_sec| Self { bytes_per_sec })
    }

    /// Whole bytes per second.
    #[must_use]
    pub fn bytes_per_sec(self) -> u64 {
        self.bytes_per_sec.get()
    }

    /// Whole bits per second.
    #[must_use]
    pub fn bits_per_sec(self) -> u64 {
        self.bytes_per_sec() * 8
    }

    /// Time `bytes` take at this rate, in nanoseconds, rounded up.
    #[must_use]
    pub fn time_ns(self, bytes: u64) -> u64 {
        let ns = u128::from(bytes) * u128::from(shaper_common::NSEC_PER_SEC);
        u64::try_from(ns.div_ceil(u128::from(self.bytes_per_sec()))).unwrap_or(u64::MAX)
    }

    /// Bytes that fit into `ns` nanoseconds at this rate, rounded to the nearest.
    #[must_use]
    pub fn bytes_in(self, ns: u64) -> u64 {
        let per_sec = u128::from(shaper_common::NSEC_PER_SEC);
        let bytes = (u128::from(ns) * u128::from(self.bytes_per_sec()) + per_sec / 2) / per_sec;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let owned = || text.to_owned();
        if text.contains(char::is_whitespace) {
            return Err(RateError::Blank { text: owned() });
        }
        let (number, unit) = split_unit(text);
        let Some(number) = Decimal::parse(number) else {
            return Err(RateError::Number { text: owned() });
        };
        let small = unit.to_ascii_lowercase();
        let bits = factor(&BIT_UNITS, small.strip_suffix("/s").unwrap_or(&small));
        let bytes = unit.strip_suffix("/s").and_then(|unit| factor(&BYTE_UNITS, unit));
        let bits_per_unit = match (bits, bytes) {
            (Some(bits), _) => bits,
            (None, Some(bytes)) => bytes * 8,
            (None, None) => return Err(unit_error(text, unit)),
        };
        // The range is tested on bits, which are finer than what is kept: rounding never brings a rate into it.
        if number.scale(bits_per_unit, 1) < u128::from(MIN_RATE_BYTES_PER_SEC * 8) {
            return Err(RateError::TooLow { text: owned() });
        }
        if number.scale(bits_per_unit, 1) > u128::from(MAX_RATE_BYTES_PER_SEC * 8) {
            return Err(RateError::TooHigh { text: owned() });
        }
        u64::try_from(number.scale(bits_per_unit, 8))
            .ok()
            .and_then(Self::from_bytes_per_sec)
            .ok_or_else(|| RateError::TooHigh { text: owned() })
    }
}

fn unit_error(text: &str, unit: &str) -> RateError {
    let text = text.to_owned();
    if unit.is_empty() {
        return RateError::NoUnit { text };
    }
    if factor(&BYTE_UNITS, unit).is_some() {
        return RateError::Amount { text };
    }
    if unit.starts_with(['e', 'E', '-', '+', ',']) {
        return RateError::Number { text };
    }
    let small = unit.to_ascii_lowercase();
    let stem = small
        .strip_suffix("/s")
        .or_else(|| small.strip_suffix("ps"))
        .unwrap_or(&small);
    let ambiguous = [
        "", "k", "m", "g", "t", "b", "kb", "mb", "gb", "tb", "ki", "mi", "gi", "kib", "mib", "gib",
    ];
    let unit = unit.to_owned();
    if ambiguous.contains(&stem) {
        RateError::Ambiguous { text, unit }
    } else {
        RateError::Unit { text, unit }
    }
}

/// As in files: the largest decimal unit that leaves a whole number.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits_per_sec();
        let (unit, factor) = BIT_UNITS[..5]
            .iter()
            .rev()
            .find(|(_, factor)| bits.is_multiple_of(*factor))
            .unwrap_or(&BIT_UNITS[0]);
        write!(f, "{}{unit}", bits / factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> u64 {
        text.parse::<Rate>().unwrap().bytes_per_sec()
    }

    fn hint(text: &str) -> String {
        text.parse::<Rate>().unwrap_err().hint().unwrap()
    }

    #[test]
    fn reads_back_what_it_writes() {
        for text in [
            "8kbit", "64kbit", "20mbit", "2500mbit", "10gbit", "1600gbit", "8008bit",
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn every_unit_means_what_it_says() {
        assert_eq!(bytes("8000bit"), 1_000);
        assert_eq!(bytes("20mbit"), 2_500_000);
        assert_eq!(bytes("20Mbit/s"), 2_500_000);
        assert_eq!(bytes("1TBIT"), 125_000_000_000);
        assert_eq!(bytes("100kibit"), 12_800);
        assert_eq!(bytes("1Gibit"), 134_217_728);
        assert_eq!(bytes("1000B/s"), 1_000);
        assert_eq!(bytes("20MB/s"), 20_000_000);
        assert_eq!(bytes("1MiB/s"), 1 << 20);
        assert_eq!(bytes("1.5mbit"), 187_500);
    }

    #[test]
    fn what_is_no_whole_byte_rounds_to_the_nearest() {
        assert_eq!(bytes("8003bit"), 1_000);
        assert_eq!(bytes("8004bit"), 1_001);
    }

    #[test]
    fn the_ends_of_the_range_are_in_it_and_what_is_beyond_is_refused() {
        assert_eq!(bytes("8kbit"), MIN_RATE_BYTES_PER_SEC);
        assert_eq!(bytes("1600gbit"), MAX_RATE_BYTES_PER_SEC);
        assert!(matches!("7999bit".parse::<Rate>(), Err(RateError::TooLow { .. })));
        assert!(matches!("0mbit".parse::<Rate>(), Err(RateError::TooLow { .. })));
        assert!(matches!(
            "1600000000001bit".parse::<Rate>(),
            Err(RateError::TooHigh { .. })
        ));
        assert!(matches!(
            "999999999999999999GiB/s".parse::<Rate>(),
            Err(RateError::TooHigh { .. })
        ));
    }

    #[test]
    fn spellings_that_tools_disagree_about_are_refused_with_both_meanings() {
        for unit in [
            "bps", "Mbps", "Mb/s", "mb", "k", "M", "gps", "MBps", "b/s", "mb/s",
        ] {
            let error = format!("20{unit}").parse::<Rate>().unwrap_err();
            assert!(matches!(error, RateError::Ambiguous { .. }), "{unit}: {error}");
        }
        assert_eq!(hint("20Mbps"), "write `20mbit` for bits or `20MB/s` for bytes");
        assert_eq!(hint("20k"), "write `20kbit` for bits or `20kB/s` for bytes");
        assert_eq!(hint("20bps"), "write `20bit` for bits or `20B/s` for bytes");
        assert_eq!(hint("20"), "write `20mbit` for bits or `20MB/s` for bytes");
    }

    #[test]
    fn what_is_no_rate_says_why() {
        let message = |text: &str| text.parse::<Rate>().unwrap_err().to_string();
        assert_eq!(message("20MB"), "`20MB` is an amount, not a rate");
        assert_eq!(hint("20MB"), "write `20MB/s`");
        assert_eq!(hint("20 mbit"), "write `20mbit`");
        assert_eq!(
            message("20parsec"),
            "`parsec` in `20parsec` is not a unit of rates"
        );
        for text in [
            "", "mbit", "-1mbit", "+1mbit", "1e3mbit", "1E3mbit", ".5mbit", "1,5mbit", "1.mbit", "0x10mbit",
        ] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
        assert!(
            message("1e3mbit").contains("plain number"),
            "{}",
            message("1e3mbit")
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_rate_reads_back(magnitude in 10_u32..37, fraction in any::<u64>()) {
            let bytes = (1_u64 << magnitude) + fraction % (1 << magnitude);
            let rate = Rate::from_bytes_per_sec(bytes).unwrap();
            prop_assert_eq!(rate.to_string().parse::<Rate>(), Ok(rate));
        }

        #[test]
        fn any_text_is_a_rate_or_refused_with_a_hint(text in "[0-9.]{0,30}[a-zA-Z/ +-]{0,8}|.{0,20}") {
            match text.parse::<Rate>() {
                Ok(rate) => prop_assert!(Rate::from_bytes_per_sec(rate.bytes_per_sec()).is_some()),
                Err(error) => prop_assert!(error.hint().is_some()),
            }
        }

        #[test]
        fn case_and_the_second_change_nothing(number in 1_u64..1_000_000) {
            let rate = format!("{number}mbit").parse::<Rate>();
            prop_assert_eq!(format!("{number}Mbit/s").parse::<Rate>().ok(), rate.clone().ok());
            prop_assert_eq!(format!("{number}.000MBIT").parse::<Rate>().ok(), rate.ok());
        }
    }
}
