//! Numbers as people read them: three digits and a unit.

use std::time::Duration;

/// Whether rates are read in bits or in bytes per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// `20.0 Mbit/s`.
    #[default]
    Bits,
    /// `2.50 MB/s`.
    Bytes,
}

/// A rate: `20.0 Mbit/s`.
#[must_use]
pub fn rate(bytes_per_sec: u64, unit: Unit) -> String {
    match unit {
        Unit::Bits => scaled(u128::from(bytes_per_sec) * 8, "bit/s", "k"),
        Unit::Bytes => scaled(bytes_per_sec.into(), "B/s", "k"),
    }
}

/// An amount of data: `25.0 kB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    scaled(bytes.into(), "B", "k")
}

/// A count: `1.20 M`, and small ones in full.
#[must_use]
pub fn count(n: u64) -> String {
    if n < 10_000 {
        n.to_string()
    } else {
        scaled(n.into(), "", "k")
    }
}

/// A time: `10 ms`.
#[must_use]
pub fn time(time: Duration) -> String {
    let ns = time.as_nanos();
    let (divisor, unit) = match ns {
        0..1_000 => (1, "ns"),
        1_000..1_000_000 => (1_000, "us"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    format!("{} {unit}", three_digits(ns, divisor))
}

/// A share as a percentage: `98 %`.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let percent = (u128::from(part) * 100 + u128::from(whole) / 2) / u128::from(whole);
    format!("{percent} %")
}

fn scaled(value: u128, unit: &str, kilo: &str) -> String {
    let mut divisor = 1;
    let mut prefix = "";
    for next in [kilo, "M", "G", "T", "P", "E"] {
        // 999.5 rounds to 1000, which has four digits.
        if value * 2 < divisor * 1999 {
            break;
        }
        divisor *= 1000;
        prefix = next;
    }
    format!("{} {prefix}{unit}", three_digits(value, divisor))
        .trim_end()
        .to_owned()
}

/// `value / divisor`, rounded to three digits; whole numbers below a thousand are written without a point if
/// nothing was divided.
fn three_digits(value: u128, divisor: u128) -> String {
    if divisor == 1 {
        return value.to_string();
    }
    for (decimals, factor) in [(2_usize, 100_u128), (1, 10), (0, 1)] {
        let rounded = (value * factor + divisor / 2) / divisor;
        if rounded < 1000 || decimals == 0 {
            let (whole, part) = (rounded / factor, rounded % factor);
            return if decimals == 0 {
                whole.to_string()
            } else {
                format!("{whole}.{part:0decimals$}")
            };
        }
    }
    unreachable!("the last turn has no decimals")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(rate(2_500_000, Unit::Bits), "20.0 Mbit/s");
        assert_eq!(rate(125_000_000, Unit::Bits), "1.00 Gbit/s");
        assert_eq!(rate(51_500_000, Unit::Bits), "412 Mbit/s");
        assert_eq!(rate(2_500_000, Unit::Bytes), "2.50 MB/s");
        assert_eq!(rate(0, Unit::Bits), "0 bit/s");
        assert_eq!(size(25_000), "25.0 kB");
        assert_eq!(size(84_100_000_000), "84.1 GB");
    }

    #[test]
    fn rounding_up_to_a_thousand_takes_the_next_unit() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(999_499), "999 kB");
        assert_eq!(size(999_500), "1.00 MB");
        assert_eq!(size(9_995), "10.0 kB");
        assert_eq!(size(9_994), "9.99 kB");
        assert_eq!(size(u64::MAX), "18.4 EB");
    }

    #[test]
    fn small_counts_are_exact() {
        assert_eq!(count(0), "0");
        assert_eq!(count(9_999), "9999");
        assert_eq!(count(1_200_345), "1.20 M");
    }

    #[test]
    fn shares_and_times() {
        assert_eq!(percent(98, 100), "98 %");
        assert_eq!(percent(0, 0), "-");
        assert_eq!(time(Duration::from_millis(10)), "10.0 ms");
        assert_eq!(time(Duration::from_secs(24)), "24.0 s");
    }
}
