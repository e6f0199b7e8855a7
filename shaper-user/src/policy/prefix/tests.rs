//! Prefixes as they are written, and which holds which.

use proptest::prelude::*;

use super::*;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn an_address_is_a_prefix_of_all_its_bits() {
    assert_eq!(prefix("203.0.113.7").to_string(), "203.0.113.7/32");
    assert_eq!(prefix("2001:DB8:0::7").to_string(), "2001:db8::7/128");
    assert!(prefix("203.0.113.7").is_exact() && !prefix("203.0.113.0/24").is_exact());
}

#[test]
fn host_bits_are_refused_with_the_prefix_that_was_meant() {
    let error = "10.0.0.7/8".parse::<Prefix>().unwrap_err();
    assert_eq!(error.to_string(), "`10.0.0.7/8` has host bits set");
    assert_eq!(error.hint().unwrap(), "write `10.0.0.0/8`");
    assert!(
        "2001:db8::1/64"
            .parse::<Prefix>()
            .unwrap_err()
            .hint()
            .unwrap()
            .contains("2001:db8::/64")
    );
}

#[test]
fn what_is_no_prefix_is_refused() {
    for text in [
        "",
        "1.2.3",
        "01.2.3.4",
        "1.2.3.4/33",
        "::/129",
        "1.2.3.4/",
        "1.2.3.4/+8",
        "1.2.3.4/08",
        "fe80::1%eth0",
        "all",
        "ANY",
    ] {
        assert!(text.parse::<Destination>().is_err(), "{text}");
    }
}

#[test]
fn an_ipv4_address_in_the_guise_of_ipv6_is_refused() {
    let error = "::ffff:203.0.113.7".parse::<Prefix>().unwrap_err();
    assert_eq!(error.hint().unwrap(), "write `203.0.113.7/32`");
}

#[test]
fn a_prefix_contains_itself_and_what_is_inside_but_no_other_family() {
    let net = prefix("203.0.113.0/24");
    assert!(net.contains(net) && net.contains(prefix("203.0.113.255")));
    assert!(!net.contains(prefix("203.0.114.0")) && !net.contains(prefix("203.0.0.0/16")));
    assert!(!prefix("0.0.0.0/0").contains(prefix("::/0")) && prefix("::/0").contains(prefix("2001:db8::1")));
}

#[test]
fn a_prefix_inside_a_range_that_is_never_limited_is_known() {
    assert_eq!(
        prefix("224.0.0.5").never_limited(),
        Some("multicast, broadcast or reserved")
    );
    assert_eq!(prefix("fe80::/64").never_limited(), Some("link-local"));
    assert_eq!(prefix("::1").never_limited(), Some("loopback"));
    for text in [
        "0.0.0.0/0",
        "::/0",
        "192.0.0.0/2",
        "203.0.113.0/24",
        "2001:db8::/32",
    ] {
        assert_eq!(prefix(text).never_limited(), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_back_what_it_writes(address in any::<IpAddr>(), len in 0_u8..=128) {
        let prefix = Prefix::of(address, len);
        match prefix.to_string().parse::<Prefix>() {
            Ok(parsed) => prop_assert_eq!(parsed, prefix),
            Err(PrefixError::Mapped { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn the_kernel_program_and_the_list_of_ranges_agree(address in any::<IpAddr>(), near in 0_usize..8) {
        let exact = Prefix::from(address);
        prop_assert_eq!(exact.never_limited().is_some(), exact.starts_never_limited());
        // Most addresses are far from every range: try one inside, too.
        let (range, _) = NEVER_LIMITED[near];
        let first = Prefix::from(range.address());
        prop_assert!(first.never_limited().is_some() && first.starts_never_limited());
    }
}
