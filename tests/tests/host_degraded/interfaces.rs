//! Interfaces that come and go, and what the configuration says of them.

use std::any::Any;

use shaper_tests::alone::{Server, ip};
use shaper_tests::lab::Host;

use super::kind::{ANEW, CONFIG, Kind, RELOAD, UP, gone, kind};

/// All of them.
#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn all() -> Vec<Kind> {
    vec![
        kind(
            "the interface is gone",
            |_| {
                ip("link del eth0");
                None
            },
            "there is no interface `eth0`",
            UP,
        )
        .undone(Server::add_interface),
        kind(
            "the interface was made anew",
            |server| {
                ip("link del eth0");
                server.add_interface();
                None
            },
            "the program is not attached",
            UP,
        ),
        kind(
            "the interface has another name",
            |_| {
                ip("link set eth0 down");
                ip("link set eth0 name other0");
                None
            },
            "it is called `other0` now",
            UP,
        )
        .undone(|_| {
            ip("link set other0 name eth0");
            ip("link set eth0 up");
        }),
        kind(
            "the interface is in another network",
            |_| Some(elsewhere()),
            "there is no interface `eth0`",
            UP,
        )
        .undone(|server| {
            gone("peer0");
            server.add_interface();
        }),
        kind(
            "the interface is in another network, and another one has its name",
            |_| {
                let host = elsewhere();
                ip("link add eth0 type veth peer name peer1");
                ip("link set eth0 up");
                Some(host)
            },
            "the program is not attached",
            UP,
        )
        .undone(|server| {
            gone("peer1");
            gone("peer0");
            server.add_interface();
        }),
        kind(
            "the configuration names an interface that is not there",
            |server| {
                server.configure(&format!("{CONFIG}[interface.eth9]\nenforcement = \"police\"\n"));
                server.ok(&["apply"]);
                None
            },
            "eth9",
            RELOAD,
        )
        .undone(|server| server.configure(CONFIG)),
        kind(
            "the configuration names an interface that is not attached",
            |server| {
                apply_rules(
                    server,
                    &format!("{CONFIG}[interface.peer0]\nenforcement = \"police\"\n"),
                );
                None
            },
            "peer0: the program is not attached",
            ANEW,
        )
        .undone(|server| server.configure(CONFIG)),
        kind(
            "the configuration says to pace, and the program drops",
            |server| {
                apply_rules(server, &CONFIG.replace("enforcement = \"police\"", ""));
                None
            },
            "another enforcement or overhead",
            RELOAD,
        )
        .undone(|server| server.configure(CONFIG)),
        kind(
            "the configuration says another overhead",
            |server| {
                apply_rules(server, &CONFIG.replace("\"police\"", "\"police\"\noverhead = 24"));
                None
            },
            "another enforcement or overhead",
            RELOAD,
        ),
        kind(
            "two interfaces have come to be on one packet's way",
            |server| {
                ip("link add br0 type bridge");
                server.configure(&format!("{CONFIG}[interface.br0]\nenforcement = \"police\"\n"));
                server.ok(&["reload"]);
                ip("link set eth0 master br0");
                None
            },
            "limited twice",
            ANEW,
        )
        .undone(|server| {
            ip("link del br0");
            server.configure(CONFIG);
        }),
    ]
}

/// Applies this configuration, but for what it says of interfaces.
fn apply_rules(server: &Server, config: &str) {
    server.configure(config);
    let file = server.dir().join("same.toml");
    std::fs::write(&file, config).unwrap();
    server.ok(&["apply", "-f", file.to_str().unwrap()]);
}

/// Moves the interface to another network.
fn elsewhere() -> Box<dyn Any> {
    let host = Host::new("elsewhere");
    ip(&format!("link set eth0 netns {}", host.name()));
    Box::new(host)
}
