//! Why a text is not a rate, and how to write one.

use crate::policy::number::split_unit;

/// Why a text is not a rate.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RateError {
    /// No number at the beginning, or one with a sign, an exponent or too many digits.
    #[error("`{text}` is not a rate: it does not start with a plain number")]
    Number {
        /// As written.
        text: String,
    },
    /// Nothing behind the number.
    #[error("`{text}` has no unit")]
    NoUnit {
        /// As written.
        text: String,
    },
    /// A blank between number and unit.
    #[error("`{text}` has a blank in it")]
    Blank {
        /// As written.
        text: String,
    },
    /// A unit that means bits to some tools and bytes to others.
    #[error("`{unit}` in `{text}` is bits to some tools and bytes to others")]
    Ambiguous {
        /// As written.
        text: String,
        /// The part that is.
        unit: String,
    },
    /// An amount of data without a time.
    #[error("`{text}` is an amount, not a rate")]
    Amount {
        /// As written.
        text: String,
    },
    /// A unit nobody knows.
    #[error("`{unit}` in `{text}` is not a unit of rates")]
    Unit {
        /// As written.
        text: String,
        /// The part that is not.
        unit: String,
    },
    /// Slower than the kernel can hold.
    #[error("`{text}` is below 8kbit, the slowest rate there is")]
    TooLow {
        /// As written.
        text: String,
    },
    /// Faster than the kernel can hold.
    #[error("`{text}` is above 1600gbit, the fastest rate there is")]
    TooHigh {
        /// As written.
        text: String,
    },
}

impl RateError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let in_both = |text: &str, prefix: Option<char>| {
            let (number, _) = split_unit(text);
            let (bit, byte) = match prefix.map(|prefix| prefix.to_ascii_lowercase()) {
                None => ("bit", "B/s"),
                Some('k') => ("kbit", "kB/s"),
                Some('m') => ("mbit", "MB/s"),
                Some('g') => ("gbit", "GB/s"),
                Some(_) => return format!("write `{number}tbit`"),
            };
            format!("write `{number}{bit}` for bits or `{number}{byte}` for bytes")
        };
        match self {
            Self::Number { .. } => Some("write for example `20mbit` or `1.5gbit`".to_owned()),
            Self::NoUnit { text } => Some(in_both(text, Some('m'))),
            Self::Blank { text } => {
                Some(format!("write `{}`", text.split_whitespace().collect::<String>()))
            }
            Self::Ambiguous { text, unit } => {
                let prefix = unit.chars().next().filter(|prefix| "kKmMgGtT".contains(*prefix));
                Some(in_both(text, prefix))
            }
            Self::Amount { text } => Some(format!("write `{text}/s`")),
            Self::Unit { .. } => {
                Some("units are bit kbit mbit gbit tbit kibit mibit gibit and B/s kB/s MB/s GB/s KiB/s MiB/s GiB/s"
                    .to_owned())
            }
            Self::TooLow { .. } => Some("write `8kbit` or more, or `block` to let nothing through".to_owned()),
            Self::TooHigh { .. } => Some("write `unlimited` for no limit".to_owned()),
        }
    }
}
