//! The tables, looked up as the kernel does, do what the explanation says, and what the one-line definition says.

use std::net::IpAddr;

use proptest::prelude::*;

use super::super::ports::PortSpan;
use super::super::tables::{Entry, TableKey, Tables};
use super::super::*;
use super::{Config, Path, Source, policy};

/// One rule as drawn; destinations and ports near each other, so that they cover one another.
#[derive(Clone, Debug)]
struct Drawn {
    destination: Destination,
    service: Option<&'static str>,
    is_unlimited: bool,
    source: Source,
}

fn any_prefix() -> impl Strategy<Value = Prefix> {
    (any::<bool>(), 0_u8..=5, 0_u32..16).prop_map(|(is_v4, len, bits)| {
        // Zero stands for the whole of the family.
        if is_v4 {
            let len = if len == 5 { 0 } else { 28 + len };
            Prefix::of(IpAddr::from((0x0a00_0000_u32 | bits).to_be_bytes()), len)
        } else {
            let len = if len == 5 { 0 } else { 124 + len };
            Prefix::of(
                IpAddr::from(((0x2001_0db8_u128 << 96) | u128::from(bits)).to_be_bytes()),
                len,
            )
        }
    })
}

fn any_drawn() -> impl Strategy<Value = Drawn> {
    let destination = prop_oneof![
        6 => any_prefix().prop_map(Destination::Prefix),
        1 => Just(Destination::Any),
    ];
    let services = vec!["tcp:1-3", "tcp:3-5", "tcp:2", "udp:1-4", "imap", "tcp:140-150"];
    let service = prop_oneof![Just(None), prop::sample::select(services).prop_map(Some)];
    let source = prop::sample::select(vec![Source::Config, Source::Kept, Source::Temporary]);
    (destination, service, prop::bool::weighted(0.2), source).prop_map(
        |(destination, service, is_unlimited, source)| Drawn {
            destination,
            service,
            is_unlimited,
            source,
        },
    )
}

/// A policy of those rules that contradict none before them.
fn build(drawn: &[Drawn], exempt: &[Prefix]) -> Policy {
    let quoted: Vec<String> = exempt.iter().map(|prefix| format!("\"{prefix}\"")).collect();
    let text = format!("[exempt]\nprefixes = [{}]\n", quoted.join(", "));
    let mut config = Config::parse(Path::new("x"), text).unwrap();
    for (index, rule) in drawn.iter().enumerate() {
        let rate = if rule.is_unlimited {
            "unlimited".to_owned()
        } else {
            format!("{}mbit", index + 1)
        };
        let mut written = crate::config::RuleConfig::new(rule.destination.to_string(), rate, rule.source);
        written.service = rule.service.map(crate::config::rare);
        config.rules.push(written);
        if Policy::try_from(&config).is_err() {
            config.rules.pop();
        }
    }
    Policy::try_from(&config).unwrap()
}

/// What the kernel does: an exact entry for the port's class, then for every service; of the longest prefix for the class
/// and for every service the longer, at equal length that for the class; the rest.
fn look_up(tables: &Tables, address: IpAddr, port: Option<PortSpan>) -> Option<&Entry> {
    let class = tables
        .ports
        .iter()
        .find(|range| {
            port.is_some_and(|port| {
                range.is_udp == port.is_udp && (range.first..=range.last).contains(&port.first)
            })
        })
        .map_or(0, |range| range.service);
    let max = Prefix::from(address).prefix_len();
    let longest = |service: u32, lens: std::ops::RangeInclusive<u8>| {
        lens.rev().find_map(|len| {
            let key = compile::key(Prefix::of(address, len), service);
            tables.get(&key).map(|entry| (len, entry))
        })
    };
    let exact = longest(class, max..=max).or_else(|| longest(0, max..=max));
    if let Some((_, entry)) = exact {
        return Some(entry);
    }
    let of_class = longest(class, 0..=max - 1);
    let of_all = longest(0, 0..=max - 1);
    match (of_class, of_all) {
        (Some((own, entry)), Some((other, _))) if own >= other => Some(entry),
        (_, Some((_, entry))) | (Some((_, entry)), None) => Some(entry),
        (None, None) => tables.get(&TableKey::Any),
    }
}

/// The definition: exempt wins over all; else the longest prefix; of one prefix, a rule with a service.
fn define<'a>(policy: &'a Policy, address: IpAddr, port: Option<&Ports>) -> Option<&'a Rule> {
    let whole = Prefix::from(address);
    let mut best: Option<(&Rule, u8, bool)> = None;
    for rule in policy.rules() {
        let is_for_port = rule
            .target()
            .ports
            .is_none_or(|ports| port.is_some_and(|port| ports.contains(port)));
        let len = match rule.destination {
            Destination::Prefix(prefix) if prefix.contains(whole) => prefix.prefix_len(),
            Destination::Any => 0,
            Destination::Prefix(_) => continue,
        };
        // Without a service, `any` is what is left over when nothing else covers a packet.
        let is_rest = rule.destination == Destination::Any && rule.service.is_none();
        let rank = |rule: &Rule, len: u8, is_rest: bool| {
            let is_explicit = rule.destination != Destination::Any;
            (!is_rest, len, rule.service.is_some(), is_explicit, rule.source)
        };
        if is_for_port && best.is_none_or(|(other, l, r)| rank(rule, len, is_rest) > rank(other, l, r)) {
            best = Some((rule, len, is_rest));
        }
    }
    best.map(|(rule, ..)| rule)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_do_what_the_explanation_and_the_definition_say(
        drawn in prop::collection::vec(any_drawn(), 0..12),
        exempt in prop::collection::vec(any_prefix(), 0..3),
        addresses in prop::collection::vec(any_prefix(), 1..6),
        port in prop::option::of((any::<bool>(), prop_oneof![1_u16..7, Just(143_u16)])),
    ) {
        let policy = build(&drawn, &exempt);
        let tables = Tables::from(&policy);
        let span = port.map(|(is_udp, port)| PortSpan { is_udp, first: port, last: port });
        let ports = span.map(|span| Ports::of(vec![span]));
        for address in addresses {
            let address = address.address();
            let whole = Prefix::from(address);
            let explained = policy.explain(Destination::Prefix(whole), ports.as_ref());
            prop_assert_eq!(explained.len(), 1);
            let winner = explained[0].winner;
            let defined = define(&policy, address, ports.as_ref());
            let entry = look_up(&tables, address, span);
            if whole.never_limited().is_some() {
                prop_assert!(matches!(winner, Winner::NeverLimited(_)));
            } else if policy.exempt().covering(whole).is_some() {
                prop_assert!(matches!(winner, Winner::Exempt(_)));
                prop_assert_eq!(entry, Some(&Entry::Exempt));
            } else {
                prop_assert_eq!(winner, defined.map_or(Winner::Nobody, Winner::Rule));
                prop_assert_eq!(entry.copied(), defined.map(|rule| compile::entry(rule, None)));
            }
        }
    }

    #[test]
    fn what_is_asked_of_many_ports_is_answered_for_each(
        drawn in prop::collection::vec(any_drawn(), 0..8),
        address in any_prefix(),
    ) {
        let policy = build(&drawn, &[]);
        let asked = Ports::of(vec!["tcp:1-8".parse().unwrap(), "udp:1-8".parse().unwrap()]);
        let destination = Destination::Prefix(Prefix::from(address.address()));
        let explained = policy.explain(destination, Some(&asked));
        for (is_udp, port) in [false, true].into_iter().flat_map(|udp| (1..=8).map(move |port| (udp, port))) {
            let one = Ports::of(vec![PortSpan { is_udp, first: port, last: port }]);
            let own = policy.explain(destination, Some(&one));
            let found: Vec<_> = explained
                .iter()
                .filter(|part| part.ports.as_ref().unwrap().contains(&one))
                .collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].winner, own[0].winner);
        }
    }

    #[test]
    fn any_text_is_a_configuration_or_refused(text in ".{0,200}|[\\[\\]a-z=\"\n0-9./:]{0,200}") {
        if let Ok(config) = Config::parse(Path::new("x"), text) {
            let _ = Policy::try_from(&config);
        }
    }
}

#[test]
fn a_longer_prefix_beats_a_service() {
    let text = "[[rule]]\ndestination = \"10.0.0.0/24\"\nservice = \"imap\"\nrate = \"1mbit\"\n\
                [[rule]]\ndestination = \"10.0.0.7\"\nrate = \"2mbit\"\n";
    let policy = policy(text);
    let imap = Service::built_in("imap").unwrap().ports;
    let winner = |destination: &str| match policy.explain(destination.parse().unwrap(), Some(&imap))[..] {
        [
            Explanation {
                winner: Winner::Rule(rule),
                ..
            },
        ] => rule.bytes_per_sec().unwrap() * 8,
        _ => 0,
    };
    assert_eq!((winner("10.0.0.7"), winner("10.0.0.8")), (2_000_000, 1_000_000));
}
