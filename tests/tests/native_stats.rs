//! What `list --stats` says of a rule whose clients have buckets of their own. Needs root.

use std::net::UdpSocket;
use std::process::Command;

use shaper_tests::server::Server;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n\
    [[rule]]\nname = \"each\"\ndestination = \"10.0.42.0/24\"\nper = \"ip\"\nrate = \"100mbit\"\n\
    [[rule]]\nname = \"one\"\ndestination = \"10.0.42.9\"\nrate = \"100mbit\"\n";

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split(' ')).status();
    assert!(done.unwrap().success(), "ip {args}");
}

#[test]
fn a_rule_with_clients_has_counted_what_all_of_them_were_sent() {
    let server = Server::up(CONFIG);
    for args in [
        "link set lo up",
        "link set peer0 up",
        "link set eth0 up",
        "address add 10.0.42.1/24 dev eth0",
    ] {
        ip(args);
    }
    let socket = UdpSocket::bind("10.0.42.1:0").unwrap();
    for (client, n_packets) in [(2, 1), (3, 2), (4, 3), (9, 4)] {
        ip(&format!(
            "neighbour replace 10.0.42.{client} lladdr 02:00:00:00:00:01 dev eth0"
        ));
        for _ in 0..n_packets {
            socket.send_to(&[0; 58], format!("10.0.42.{client}:9")).unwrap();
        }
    }
    let listed = server.ok(&["-o", "jsonl", "list", "--stats", "--interval", "1ms"]);
    let sent = |name: &str| {
        let line = listed.lines().find(|line| line.contains(name));
        let rule: serde_json::Value = serde_json::from_str(line.unwrap()).unwrap();
        (
            rule["stats"]["sent_packets"].as_u64(),
            rule["stats"]["sent_bytes"].as_u64(),
        )
    };
    assert_eq!(sent("\"each\""), (Some(6), Some(600)), "{listed}");
    assert_eq!(sent("\"one\""), (Some(4), Some(400)), "{listed}");
}
