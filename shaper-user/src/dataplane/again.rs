//! The options of a qdisc as it reports them, made into options that give the same qdisc again. Pure.

use super::attribute::{append, attributes, u32_of};

/// Attributes that hold microseconds and are kept as multiples of 1024 ns, by kind.
const COARSE_TIMES: [(&str, [u16; 3]); 2] = [
    // TCA_FQ_CODEL_TARGET, _INTERVAL, _CE_THRESHOLD.
    ("fq_codel", [1, 3, 7]),
    // TCA_CODEL_TARGET, _INTERVAL, _CE_THRESHOLD.
    ("codel", [1, 3, 5]),
];

/// Options for a new qdisc of `kind` that will report `reported`.
///
/// CoDel rounds its times down when it takes them and again when it reports them: set as reported, each would be a
/// microsecond less every time.
pub(super) fn options(kind: &str, reported: &[u8]) -> Vec<u8> {
    let Some((_, times)) = COARSE_TIMES.iter().find(|(coarse, _)| *coarse == kind) else {
        return reported.to_vec();
    };
    let mut options = Vec::new();
    for (attribute, value) in attributes(reported) {
        match u32_of(value) {
            Some(us) if times.contains(&attribute) => {
                append(&mut options, attribute, &us.saturating_add(1).to_ne_bytes());
            }
            _ => append(&mut options, attribute, value),
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::super::attribute::attribute;
    use super::*;

    /// What CoDel reports of a time it was given.
    fn reported(us: u32) -> u32 {
        let kept = (u64::from(us) * 1000) >> 10;
        u32::try_from((kept << 10) / 1000).unwrap()
    }

    #[test]
    fn a_time_that_codel_rounds_down_is_reported_as_before() {
        for us in (1..20_000).chain([100_000, 1_000_000]) {
            let before = reported(us);
            assert_eq!(reported(before + 1), before, "{us}");
        }
    }

    #[test]
    fn only_times_of_codel_are_touched() {
        let mut options = Vec::new();
        append(&mut options, 1, &4999_u32.to_ne_bytes());
        append(&mut options, 2, &777_u32.to_ne_bytes());
        let again = super::options("fq_codel", &options);
        assert_eq!(attribute(&again, 1).and_then(u32_of), Some(5000));
        assert_eq!(attribute(&again, 2).and_then(u32_of), Some(777));
        assert_eq!(super::options("sfq", &options), options);
    }
}
