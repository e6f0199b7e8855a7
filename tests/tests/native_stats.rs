//! What `list --stats` and `status` have counted. Needs root.

use std::net::UdpSocket;
use std::process::Command;

use serde_json::Value;
use shaper_tests::server::Server;
use shaper_tests::traffic::frames::{FrameSocket, tagged};

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n\
    [[rule]]\nname = \"each\"\ndestination = \"10.0.42.0/24\"\nper = \"ip\"\nrate = \"100mbit\"\n\
    [[rule]]\nname = \"one\"\ndestination = \"10.0.42.9\"\nrate = \"100mbit\"\n";

fn ip(args: &str) {
    let done = Command::new("ip").args(args.split(' ')).status();
    assert!(done.unwrap().success(), "ip {args}");
}

/// A server with an address, whose interface is up.
fn server(config: &str) -> Server {
    let server = Server::up(config);
    for args in [
        "link set lo up",
        "link set peer0 up",
        "link set eth0 up",
        "address add 10.0.42.1/24 dev eth0",
    ] {
        ip(args);
    }
    server
}

fn neighbour(client: u8) {
    ip(&format!(
        "neighbour replace 10.0.42.{client} lladdr 02:00:00:00:00:01 dev eth0"
    ));
}

/// Packets that the interface has sent, by its own count.
fn sent_packets() -> u64 {
    let args = ["-s", "-j", "link", "show", "dev", "eth0"];
    let output = Command::new("ip").args(args).output().unwrap();
    let links: Value = serde_json::from_slice(&output.stdout).unwrap();
    links[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
}

fn status(server: &Server) -> Value {
    serde_json::from_str(&server.ok(&["-o", "json", "status"])).unwrap()
}

#[test]
fn a_rule_with_clients_has_counted_what_all_of_them_were_sent() {
    let server = server(CONFIG);
    let socket = UdpSocket::bind("10.0.42.1:0").unwrap();
    for (client, n_packets) in [(2, 1), (3, 2), (4, 3), (9, 4)] {
        neighbour(client);
        for _ in 0..n_packets {
            socket.send_to(&[0; 58], format!("10.0.42.{client}:9")).unwrap();
        }
    }
    let listed = server.ok(&["-o", "jsonl", "list", "--stats", "--interval", "1ms"]);
    let sent = |name: &str| {
        let line = listed.lines().find(|line| line.contains(name));
        let rule: Value = serde_json::from_str(line.unwrap()).unwrap();
        (
            rule["stats"]["sent_packets"].as_u64(),
            rule["stats"]["sent_bytes"].as_u64(),
        )
    };
    assert_eq!(sent("\"each\""), (Some(6), Some(600)), "{listed}");
    assert_eq!(sent("\"one\""), (Some(4), Some(400)), "{listed}");
}

#[test]
fn clients_that_find_no_room_are_counted_and_told_of() {
    let server = server(&format!("{CONFIG}[defaults]\nmax_clients = 1\n"));
    assert_eq!(status(&server)["totals"]["clients_full"], 0);
    assert!(!server.ok(&["status"]).contains("client table"));
    let socket = UdpSocket::bind("10.0.42.1:0").unwrap();
    for client in [2, 3, 4] {
        neighbour(client);
        socket.send_to(&[0; 58], format!("10.0.42.{client}:9")).unwrap();
    }
    let n_full = status(&server)["totals"]["clients_full"].as_u64().unwrap();
    assert!(n_full > 0);
    let said = server.ok(&["status"]);
    let note = format!(
        "  note: the client table was full: {n_full} packets shared the bucket of their rule\n    raise `max_clients`\n"
    );
    assert!(said.ends_with(&note), "{said}");
}

#[test]
fn what_passes_the_egress_hook_is_seen_and_what_goes_around_it_is_not() {
    const N_FRAMES: u64 = 3;
    let server = server(
        "[interface.eth0]\nenforcement = \"police\"\n[[rule]]\ndestination = \"10.9.1.5\"\nrate = \"block\"\n",
    );
    let frame = tagged(&[], "10.9.1.5".parse().unwrap());
    let socket = FrameSocket::open_here("eth0");
    let seen = || {
        let totals = &status(&server)["totals"];
        totals["blocked"].as_u64().unwrap()
    };
    for _ in 0..N_FRAMES {
        // A frame that is dropped on the way is an error to some kernels.
        let _ = socket.send(&frame);
    }
    assert_eq!(seen(), N_FRAMES);
    let sent = sent_packets();
    socket.bypass_qdisc().unwrap();
    for _ in 0..N_FRAMES {
        socket.send(&frame).unwrap();
    }
    assert_eq!(seen(), N_FRAMES);
    // The host itself may send something, too.
    assert!(sent_packets() >= sent + N_FRAMES);
}
