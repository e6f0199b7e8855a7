//! Rates and sizes as tc understands them, which is not as we do: `mbps` are bytes, and sizes are in powers of two.

use crate::policy::Rate;

/// `10mbit`, `1mbps` (bytes), `512000` (bits).
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (number, unit) = split(text)?;
    let bits = match unit.as_str() {
        "" | "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        "tbit" => 1e12,
        "kibit" => 1024.0,
        "mibit" => 1024.0 * 1024.0,
        "gibit" => 1024.0 * 1024.0 * 1024.0,
        "bps" => 8.0,
        "kbps" => 8e3,
        "mbps" => 8e6,
        "gbps" => 8e9,
        _ => return None,
    };
    bytes(number * bits / 8.0).and_then(Rate::from_bytes_per_sec)
}

/// `5k`, `15kb`, `1600` (bytes).
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let factor = match unit.as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1024.0,
        "m" | "mb" => 1024.0 * 1024.0,
        "kbit" => 128.0,
        "mbit" => 128.0 * 1024.0,
        _ => return None,
    };
    bytes(number * factor)
}

/// Megabits per second, as lists of clients have them.
pub(super) fn megabits(text: &str) -> Option<Rate> {
    let number: f64 = text.trim().parse().ok()?;
    bytes(number * 1e6 / 8.0).and_then(Rate::from_bytes_per_sec)
}

fn split(text: &str) -> Option<(f64, String)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.to_ascii_lowercase()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before"
)]
fn bytes(number: f64) -> Option<u64> {
    (0.0..1e15).contains(&number).then(|| number.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_mean_what_they_mean_to_tc() {
        let written = |text: &str| rate(text).map(|rate| rate.to_string());
        assert_eq!(written("128kbit").unwrap(), "128kbit");
        assert_eq!(written("1mbps").unwrap(), "8mbit");
        assert_eq!(written("512000").unwrap(), "512kbit");
        assert_eq!(written("1.5Mbit").unwrap(), "1500kbit");
        for text in ["", "mbit", "10parsec", "1bit", "-1mbit"] {
            assert_eq!(written(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(
            (size("5k"), size("15kb"), size("1600"), size("1m")),
            (Some(5120), Some(15360), Some(1600), Some(1 << 20))
        );
        assert_eq!(size("5x"), None);
    }

    #[test]
    fn megabits_may_have_decimals() {
        assert_eq!(megabits(" 2.5 ").unwrap().to_string(), "2500kbit");
        assert!(megabits("0").is_none() && megabits("fast").is_none() && megabits("NaN").is_none());
    }
}
