//! Telling clients apart: the key of the bucket that one of them has to himself.

use crate::rule::{ClientKey, Rule};

/// What an IPv4 address stands behind in a key, as a word in memory: `::ffff:0:0`.
const MAPPED: u32 = 0xffff_u32.to_be();

/// Key of the client at an IPv4 address, if `rule` tells clients of this family apart. `word` is what the address's
/// bytes make in memory.
#[inline]
#[must_use]
pub const fn key4(rule: &Rule, word: u32) -> Option<ClientKey> {
    if rule.client_len4 == 0 {
        return None;
    }
    let address = [0, 0, MAPPED, word & mask(rule.client_len4 as u32)];
    Some(ClientKey {
        rule: rule.bucket,
        address,
    })
}

/// The same for IPv6; `words` are what the address's bytes make in memory.
#[inline]
#[must_use]
pub const fn key6(rule: &Rule, words: [u32; 4]) -> Option<ClientKey> {
    if rule.client_len6 == 0 {
        return None;
    }
    let len = rule.client_len6 as u32;
    let address = [
        words[0] & mask(len),
        words[1] & mask(len.saturating_sub(32)),
        words[2] & mask(len.saturating_sub(64)),
        words[3] & mask(len.saturating_sub(96)),
    ];
    Some(ClientKey {
        rule: rule.bucket,
        address,
    })
}

/// A word with its leading `len` bits set, as it stands in memory; all of them from 32 on.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is meant")]
const fn mask(len: u32) -> u32 {
    let len = if len > 32 { 32 } else { len };
    ((0xffff_ffff_0000_0000_u64 >> len) as u32).to_be()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::net::Ipv6Addr;

    use super::*;
    use crate::{header, pacing::Limit};

    fn rule(client_len4: u8, client_len6: u8) -> Rule {
        Rule {
            client_len4,
            client_len6,
            ..Rule::limited(Limit::new(1_000_000, 0, 0, None), 7)
        }
    }

    fn words(text: &str) -> [u32; 4] {
        header::words(text.parse::<Ipv6Addr>().unwrap().octets())
    }

    #[test]
    fn an_ipv4_client_is_what_the_leading_bits_say() {
        let key = |len, octets: [u8; 4]| key4(&rule(len, 0), u32::from_ne_bytes(octets));
        assert_eq!(key(0, [192, 0, 2, 255]), None);
        for (len, masked) in [
            (32, "::ffff:192.0.2.255"),
            (31, "::ffff:192.0.2.254"),
            (24, "::ffff:192.0.2.0"),
            (9, "::ffff:192.0.0.0"),
            (1, "::ffff:128.0.0.0"),
        ] {
            let expected = ClientKey {
                rule: 7,
                address: words(masked),
            };
            assert_eq!(key(len, [192, 0, 2, 255]), Some(expected), "{len}");
        }
    }

    #[test]
    fn an_ipv6_client_is_what_the_leading_bits_say_and_the_rest_is_zero() {
        assert_eq!(key6(&rule(32, 0), words("2001:db8::1")), None);
        let all = u128::MAX;
        for len in 1..=128_u8 {
            let expected = all << (128 - u32::from(len));
            let key = key6(&rule(0, len), header::words(all.to_be_bytes())).unwrap();
            assert_eq!(key.address, header::words(expected.to_be_bytes()), "{len}");
            assert_eq!(key.rule, 7);
        }
    }
}
