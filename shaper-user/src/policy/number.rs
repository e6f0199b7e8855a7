//! Decimal numbers with a unit behind them, as operators write amounts.

/// A number with up to nine digits behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: u128,
    decimals: u32,
}

const MAX_WHOLE_DIGITS: usize = 18;
const MAX_DECIMALS: usize = 9;

impl Decimal {
    /// Reads `20` or `1.5`: digits, and digits around a point; nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, part) = match text.split_once('.') {
            Some((_, "")) => return None,
            Some((whole, part)) => (whole, part),
            None => (text, ""),
        };
        let are_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_sound = !whole.is_empty()
            && whole.len() <= MAX_WHOLE_DIGITS
            && part.len() <= MAX_DECIMALS
            && are_digits(whole)
            && are_digits(part);
        if !is_sound {
            return None;
        }
        let digits = format!("{whole}{part}").parse().ok()?;
        Some(Self {
            digits,
            decimals: u32::try_from(part.len()).ok()?,
        })
    }

    /// This number times `factor` over `divisor`, rounded to the nearest. Both are far below 2^60.
    pub(super) fn scale(self, factor: u64, divisor: u64) -> u128 {
        let divisor = u128::from(divisor) * 10_u128.pow(self.decimals);
        (self.digits * u128::from(factor) + divisor / 2) / divisor
    }
}

/// Splits `20mbit` into `20` and `mbit`.
pub(super) fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_one_point_are_a_number_and_nothing_else_is() {
        assert_eq!(Decimal::parse("20").unwrap().scale(1, 1), 20);
        assert_eq!(Decimal::parse("1.5").unwrap().scale(1000, 1), 1500);
        assert_eq!(Decimal::parse("0.000000001").unwrap().scale(1_000_000_000, 1), 1);
        for text in [
            "", ".", "1.", ".5", "1.2.3", "-1", "+1", "1e3", "0x1", "١", "1_000",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_too_long_to_be_meant_are_refused() {
        assert!(Decimal::parse("999999999999999999").is_some());
        assert_eq!(Decimal::parse("1000000000000000000"), None);
        assert_eq!(Decimal::parse("1.0000000001"), None);
    }

    #[test]
    fn halves_round_up() {
        assert_eq!(Decimal::parse("1.5").unwrap().scale(1, 1), 2);
        assert_eq!(Decimal::parse("1.4").unwrap().scale(1, 1), 1);
        assert_eq!(Decimal::parse("12").unwrap().scale(1, 8), 2);
    }
}
