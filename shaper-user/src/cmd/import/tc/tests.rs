//! Scripts as they are found, and what becomes of them.

use super::*;
use crate::policy::Policy;
use crate::store::as_configuration;

/// Rules on a line each, and what was left out.
fn translated(script: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let draft = translate(script);
    let policy = Policy::try_from(&draft.config).unwrap();
    let rules = policy.rules().iter().map(|rule| {
        let group = rule
            .group
            .as_ref()
            .map(|group| format!(" in {} {}", group.name, group.limit.rate));
        let service = rule.service.as_ref().map(|service| format!(" {}", service.name));
        let (rate, burst) = rule.limit().map(|limit| (limit.rate, limit.burst_bytes)).unwrap();
        format!(
            "{}{} {rate} {burst}{}",
            rule.destination,
            service.unwrap_or_default(),
            group.unwrap_or_default()
        )
    });
    let notes = draft.notes.iter().map(|note| (note.line, note.what.clone()));
    (rules.collect(), notes.collect())
}

const SEED: &str = "#!/bin/sh
DEV=eth0
tc qdisc del dev $DEV root 2>/dev/null
tc qdisc add dev $DEV root handle 1: htb default 99
tc class add dev $DEV parent 1: classid 1:99 htb rate 100mbit ceil 100mbit burst 5k
for_one() { :; }
tc class add dev $DEV parent 1: classid 1:101 htb rate 128kbit ceil 128kbit burst 5k
iptables -t mangle -A PREROUTING -s 192.168.1.101 -j CONNMARK --set-mark 101
tc filter add dev $DEV parent 1: protocol ip handle 101 fw flowid 1:101
tc class add dev $DEV parent 1: classid 1:102 htb rate 512kbit ceil 512kbit burst 5k
iptables -t mangle -A PREROUTING -s 192.168.1.102 -p tcp -m multiport --dports 143,993 -j CONNMARK --set-mark 0x66
tc filter add dev $DEV parent 1: protocol ip handle 102 fw flowid 1:102
iptables -t mangle -A POSTROUTING -j CONNMARK --restore-mark
";

#[test]
fn the_usual_script_becomes_a_rule_for_each_client_and_one_for_the_rest() {
    let (rules, notes) = translated(SEED);
    assert_eq!(
        rules,
        [
            "192.168.1.101/32 128kbit 5120",
            "192.168.1.102/32 imap 512kbit 5120",
            "any 100mbit 5120"
        ]
    );
    let lines: Vec<usize> = notes.iter().map(|(line, _)| *line).collect();
    assert!(lines.iter().all(|line| *line == 6), "{notes:?}");
    assert!(!notes.is_empty());
}

#[test]
fn what_is_printed_reads_back_as_the_same_policy() {
    let draft = translate(SEED);
    let text = as_configuration(&draft.config).unwrap();
    let config = crate::config::Config::parse(std::path::Path::new("x"), text).unwrap();
    let (before, after) = (
        Policy::try_from(&draft.config).unwrap(),
        Policy::try_from(&config).unwrap(),
    );
    assert_eq!(before.rules(), after.rules());
}

#[test]
fn filters_of_every_kind_name_a_destination_and_ports() {
    let class = |n: u32| format!("tc class add dev eth0 parent 1: classid 1:{n} htb rate {n}mbit\n");
    let script = (1..=4).map(class).collect::<String>()
        + "tc filter add dev eth0 parent 1: protocol ip u32 match ip dst 10.0.0.1/32 match ip protocol 6 0xff match ip sport 22 0xffff flowid 1:1\n\
           tc filter add dev eth0 protocol ipv6 parent 1: flower dst_ip 2001:db8::/56 ip_proto udp src_port 443 classid 1:2\n\
           iptables -t mangle -A POSTROUTING -d 10.0.0.3 -p tcp --sport 8000:8099 -j CLASSIFY --set-class 1:3\n\
           nft add rule inet mangle post ip daddr 10.0.0.4 tcp sport { 80, 443 } meta priority set 1:4\n";
    let (rules, notes) = translated(&script);
    assert_eq!(notes, []);
    assert_eq!(
        rules,
        [
            "10.0.0.1/32 ssh 1mbit 3028",
            "10.0.0.3/32 tcp:8000-8099 3mbit 3750",
            "10.0.0.4/32 tcp-80-tcp-443 4mbit 5000",
            "2001:db8::/56 udp:443 2mbit 3028",
        ]
    );
}

#[test]
fn classes_of_classes_and_classes_of_several_destinations_are_groups() {
    let script = "tc class add dev eth0 parent 1: classid 1:1 htb rate 10mbit\n\
                  tc class add dev eth0 parent 1:1 classid 1:10 htb rate 2mbit\n\
                  tc class add dev eth0 parent 1: classid 1:20 htb rate 3mbit\n\
                  tc filter add dev eth0 parent 1: u32 match ip dst 10.0.0.1 flowid 1:10\n\
                  tc filter add dev eth0 parent 1: u32 match ip dst 10.0.0.2 flowid 1:20\n\
                  tc filter add dev eth0 parent 1: u32 match ip dst 10.0.0.3 flowid 1:20\n";
    let (rules, notes) = translated(script);
    assert_eq!(notes, []);
    assert_eq!(
        rules,
        [
            "10.0.0.1/32 2mbit 3028 in class-1-1 10mbit",
            "10.0.0.2/32 3mbit 3750 in class-1-20 3mbit",
            "10.0.0.3/32 3mbit 3750 in class-1-20 3mbit",
        ]
    );
}

#[test]
fn what_cannot_be_translated_is_named_with_its_line() {
    let script = "frobnicate eth0\n\
                  tc qdisc add dev eth0 root tbf rate 1mbit\n\
                  tc class add dev eth0 parent 1: classid 1:1 htb rate 1mbit ceil 2mbit\n\
                  tc filter add dev eth0 parent 1: bpf obj x.o flowid 1:1\n\
                  tc filter add dev eth0 parent 1: u32 match ip tos 0x10 0xff flowid 1:1\n\
                  tc filter add dev eth0 parent 1: u32 match ip dst 10.0.0.7/8 flowid 1:1\n\
                  iptables -t mangle -A POSTROUTING -d 10.0.0.1 -j MARK --set-mark 9\n\
                  tc class add dev eth0 parent 1: classid 1:2 htb rate 1bit\n\
                  tc class add dev eth0 parent 1: classid 1:3 htb rate 1mbit\n";
    let (rules, mut notes) = translated(script);
    assert_eq!(rules, Vec::<String>::new());
    notes.sort();
    let found: Vec<(usize, bool)> = notes
        .iter()
        .map(|(line, what)| {
            let expected = [
                "not a command of tc",
                "only HTB",
                "the ceiling is the limit",
                "only fw, u32 and flower",
                "is not understood",
                "has host bits set",
                "no class that is known",
                "is not a rate",
                "nothing is sent to it",
            ];
            (*line, what.contains(expected[line - 1]))
        })
        .collect();
    assert_eq!(
        found,
        (1..=9).map(|line| (line, true)).collect::<Vec<_>>(),
        "{notes:?}"
    );
}
