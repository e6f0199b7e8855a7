//! Changes by every command that changes the policy: of all tables at once, of one entry, of what few rules need.

use super::{Change, step};

/// One rule, on an interface where nothing has to hold packets.
const FEW: &str = r#"
[interface.eth0]
enforcement = "police"
[[rule]]
name = "one"
destination = "10.0.0.1"
rate = "8mbit"
"#;

/// All sorts of rules.
const MANY: &str = r#"
[interface.eth0]
enforcement = "police"
[defaults]
max_clients = 1000
[exempt]
prefixes = ["10.9.0.0/16", "2001:db8:9::/48"]
[service.ours]
ports = ["tcp:993", "udp:60000-65535"]
[group.g]
rate = "100mbit"
[group.h]
rate = "200mbit"
[[rule]]
name = "one"
destination = "10.0.0.1"
rate = "8mbit"
[[rule]]
name = "ours"
destination = "10.0.0.1"
service = "ours"
rate = "4mbit"
group = "g"
[[rule]]
name = "six"
destination = "2001:db8::1"
rate = "16mbit"
[[rule]]
name = "net"
destination = "10.1.0.0/16"
rate = "32mbit"
per = "ip"
group = "h"
[[rule]]
name = "net6"
destination = "2001:db8:1::/48"
rate = "32mbit"
[[rule]]
name = "rest"
destination = "any"
rate = "64mbit"
"#;

/// Rules for clients.
const CLIENTS: &str = r#"
[interface.eth0]
enforcement = "police"
[defaults]
max_clients = 1000
[[rule]]
name = "one"
destination = "10.0.0.1"
rate = "8mbit"
[[rule]]
name = "net"
destination = "10.1.0.0/16"
rate = "32mbit"
per = "ip"
"#;

/// As [`CLIENTS`], with room for more of them.
const MORE_CLIENTS: &str = r#"
[interface.eth0]
enforcement = "police"
[defaults]
max_clients = 2000
[[rule]]
name = "one"
destination = "10.0.0.1"
rate = "8mbit"
[[rule]]
name = "net"
destination = "10.1.0.0/16"
rate = "32mbit"
per = "ip"
"#;

/// As [`FEW`], and an interface more.
const TWO_INTERFACES: &str = r#"
[interface.eth0]
enforcement = "police"
[interface.eth1]
enforcement = "police"
[[rule]]
name = "one"
destination = "10.0.0.1"
rate = "8mbit"
[[rule]]
name = "two"
destination = "10.0.0.2"
rate = "8mbit"
"#;

/// All tables anew.
pub const APPLY: Change = Change {
    back: step(FEW, &["apply"]),
    there: step(MANY, &["apply"]),
};

/// Another size of the clients' table.
pub const RESIZE: Change = Change {
    back: step(CLIENTS, &["apply"]),
    there: step(MORE_CLIENTS, &["apply"]),
};

/// A rule that was not there.
pub const SET: Change = Change {
    back: step(FEW, &["unset", "10.0.0.7", "--ignore-missing"]),
    there: step(FEW, &["set", "10.0.0.7", "20mbit"]),
};

/// Another rate of a rule that is there.
pub const SET_AGAIN: Change = Change {
    back: step(FEW, &["set", "10.0.0.7", "20mbit"]),
    there: step(FEW, &["set", "10.0.0.7", "30mbit"]),
};

/// A rule that needs tables that were not there.
pub const SET_FOR_CLIENTS: Change = Change {
    back: step(FEW, &["unset", "10.7.0.0/16", "--ignore-missing"]),
    there: step(FEW, &["set", "10.7.0.0/16", "20mbit", "--per", "ip"]),
};

/// The configuration has come to name another interface.
pub const RELOAD: Change = Change {
    back: step(FEW, &["reload"]),
    there: step(TWO_INTERFACES, &["reload"]),
};

/// Another configuration, which needs more room in `fq` than was made.
pub const RELOAD_ALL: Change = Change {
    back: step(FEW, &["reload"]),
    there: step(MANY, &["reload"]),
};

/// Rules of the configuration take the place of those of `set`.
pub const PRUNE: Change = Change {
    back: step(FEW, &["set", "10.0.0.7", "20mbit", "--name", "seven"]),
    there: step(FEW, &["apply", "--prune"]),
};

/// All tables anew, and back again as nobody confirms it.
pub const TRY: Change = Change {
    back: step(FEW, &["apply"]),
    there: step(MANY, &["apply", "--try", "1s"]),
};

/// A rule that was not there, which goes again as nobody confirms it.
pub const TRY_SET: Change = Change {
    back: step(FEW, &["unset", "10.0.0.7", "--ignore-missing"]),
    there: step(FEW, &["set", "10.0.0.7", "20mbit", "--try", "1s"]),
};

/// A rule that goes with the next boot.
pub const SET_TEMPORARY: Change = Change {
    back: step(FEW, &["unset", "10.0.0.7", "--ignore-missing"]),
    there: step(FEW, &["set", "10.0.0.7", "20mbit", "--temporary"]),
};

/// A rule that is known by its name.
pub const SET_NAMED: Change = Change {
    back: step(FEW, &["unset", "--name", "seven", "--ignore-missing"]),
    there: step(FEW, &["set", "10.0.0.7", "20mbit", "--name", "seven"]),
};

/// What is never limited.
pub const EXEMPT: Change = Change {
    back: step(FEW, &["exempt", "del", "10.9.0.0/16", "--ignore-missing"]),
    there: step(FEW, &["exempt", "add", "10.9.0.0/16"]),
};

/// The program, all maps, and what the interface needs.
pub const UP: Change = Change {
    back: step(MANY, &["down"]),
    there: step(MANY, &["up"]),
};
