//! Scripts as they are found, and what becomes of them.

use super::*;
use crate::policy::Policy;
use crate::store::as_configuration;

/// Rules on a line each, and what was left out.
fn translated(script: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let (config, notes) = translate(script);
    let policy = Policy::try_from(&config).unwrap();
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
    let notes = notes.into_iter().map(|note| (note.line, note.what));
    (rules.collect(), notes.collect())
}

/// Two clients with all traffic, one with his mail only, and a class for all the rest.
const SEED: &str = "#!/bin/sh
# Limits for single clients.
set -e
DEV=eth0
IPT=\"iptables -t mangle\"
modprobe sch_htb
ip link show dev $DEV > /dev/null 2>&1 || exit 1
echo \"limits on $DEV\" >&2
tc qdisc del dev $DEV root 2>/dev/null
$IPT -F
$IPT -N CLIENTS
tc qdisc add dev $DEV root handle 1: htb default 99
tc class add dev $DEV parent 1: classid 1:99 htb rate 100mbit ceil 100mbit burst 5k
tc class add dev $DEV parent 1: classid 1:101 htb rate 128kbit ceil 128kbit burst 5k
$IPT -A PREROUTING -s 192.168.1.101 -j CONNMARK --set-mark 101
tc filter add dev $DEV parent 1: protocol ip handle 101 fw flowid 1:101
tc class add dev $DEV parent 1: classid 1:102 htb rate 512kbit ceil 512kbit burst 5k
$IPT -A PREROUTING -s 192.168.1.102 -p tcp -m multiport --dports 143,993 -j CONNMARK --set-mark 0x66
tc filter add dev $DEV parent 1: protocol ip handle 102 fw flowid 1:102
tc class add dev $DEV parent 1: classid 1:103 htb rate 32kbit ceil 32kbit burst 5k
$IPT -A PREROUTING -s 192.168.1.103 -j CONNMARK --set-mark 103
tc filter add dev $DEV parent 1: protocol ip handle 103 fw flowid 1:103
$IPT -A POSTROUTING -j CONNMARK --restore-mark
";

#[test]
fn the_usual_script_becomes_a_rule_for_each_client_and_one_for_the_rest() {
    let (rules, notes) = translated(SEED);
    assert_eq!(
        rules,
        [
            "192.168.1.101/32 128kbit 5120",
            "192.168.1.102/32 imap 512kbit 5120",
            "192.168.1.103/32 32kbit 5120",
            "any 100mbit 5120"
        ]
    );
    assert_eq!(notes, []);
}

#[test]
fn what_the_usual_script_does_besides_is_named_where_it_changes_something() {
    let script = SEED.replace("burst 5k", "burst 5k cburst 5k prio 3 quantum 1514")
        + "for_one() { :; }\n\
           ip link set dev $DEV txqueuelen 1000\n\
           echo 1 > /proc/sys/net/ipv4/ip_forward\n\
           tc filter add dev $DEV parent 1: protocol ip handle 104 fw flowid 1:104\n\
           tc filter add dev $DEV parent 1: protocol ip handle 105 fw flowid 1:103\n\
           tc filter add dev $DEV parent 1: protocol ipv6 handle 103 fw flowid 1:103\n\
           tc filter add dev $DEV parent 1: protocol ip handle 103 fw flowid 1:102\n";
    let (rules, notes) = translated(&script);
    assert_eq!(rules, translated(SEED).0);
    let expected = [
        (
            13,
            "`prio`, here and on any other line: no client is served before another",
        ),
        (
            13,
            "`quantum`, here and on any other line: no client borrows what others leave",
        ),
        (
            13,
            "`cburst`, here and on any other line: the burst is the only one",
        ),
        (24, "`for_one() { :`: not a command of tc, iptables or nft"),
        (24, "`}`: not a command of tc, iptables or nft"),
        (
            25,
            "`ip link set dev eth0 txqueuelen 1000`: shaper changes no interfaces, addresses and routes",
        ),
        (
            26,
            "`echo 1 > /proc/sys/net/ipv4/ip_forward`: what it writes is not looked at",
        ),
        (27, "there is no class 1:104 that mark 104 could go to"),
        (28, "nothing sets mark 105"),
        (
            30,
            "`tc filter add dev eth0 parent 1: protocol ip handle 103 fw flowid 1:102`: an earlier line sends this mark to another class",
        ),
    ];
    assert_eq!(notes, expected.map(|(line, what)| (line, what.to_owned())));
}

#[test]
fn what_is_printed_reads_back_as_the_same_policy() {
    let (config, _) = translate(SEED);
    let text = as_configuration(&config).unwrap();
    let read = Config::parse(std::path::Path::new("x"), text).unwrap();
    let (before, after) = (
        Policy::try_from(&config).unwrap(),
        Policy::try_from(&read).unwrap(),
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
    let (rules, notes) = translated(script);
    assert_eq!(rules, Vec::<String>::new());
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
