//! fail2ban slows an address down instead of banning it: its own server reads a log, and the rule comes and goes.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use serde_json::Value;
use shaper_tests::machine::{must, within};

/// fail2ban is written in Python, and the processor is emulated.
const SOON: Duration = Duration::from_mins(5);
const LOG: &str = "/var/log/lab.log";
const FILTER: &str = "[Definition]\nfailregex = ^refused <HOST>$\ndatepattern = {NONE}\n";
const JAIL: &str = "[lab]\nenabled = true\nfilter = lab\nlogpath = /var/log/lab.log\nbackend = polling\nmaxretry = 1\n\
    findtime = 1h\nbantime = 2h\naction = shaper[name=lab, rate=64kbit]\n";

/// The rule for an address, as JSON.
fn rule_for(address: &str) -> Option<Value> {
    let listed: Value = serde_json::from_str(&must("shaper -o json list")).unwrap();
    let rules = listed["rules"].as_array().unwrap();
    let destination = format!("{address}/32");
    rules
        .iter()
        .find(|rule| rule["destination"] == *destination)
        .cloned()
}

fn log(line: &str) {
    let file = OpenOptions::new().append(true).create(true).open(LOG);
    writeln!(file.unwrap(), "{line}").unwrap();
}

#[test]
fn an_address_in_a_log_is_slowed_down_until_its_ban_ends() {
    must("sh /usr/lib/lab/well.sh");
    // Debian's own jail wants a log that only a syslog daemon writes.
    must("rm -f /etc/fail2ban/jail.d/defaults-debian.conf");
    fs::write("/etc/fail2ban/filter.d/lab.conf", FILTER).unwrap();
    fs::write("/etc/fail2ban/jail.d/lab.conf", JAIL).unwrap();
    log("accepted 10.0.0.77");
    // Where the package was installed before the first boot, it runs already.
    must("systemctl restart fail2ban.service");
    within(SOON, "fail2ban has its jail", || {
        shaper_tests::machine::sh("fail2ban-client status lab").code == 0
    });

    log("refused 10.0.0.78");
    within(SOON, "the address is slowed down", || {
        rule_for("10.0.0.78").is_some()
    });
    let rule = rule_for("10.0.0.78").unwrap();
    assert_eq!(rule["rate_bits_per_second"], 64_000, "{rule}");
    assert_eq!(rule["comment"], "fail2ban lab");
    assert!(rule["expires_at"].is_string(), "it ends with the ban: {rule}");
    assert_eq!(rule_for("10.0.0.77"), None);

    must("fail2ban-client set lab unbanip 10.0.0.78");
    within(SOON, "the address is let go", || rule_for("10.0.0.78").is_none());

    log("refused 10.0.0.79");
    within(SOON, "another address is slowed down", || {
        rule_for("10.0.0.79").is_some()
    });
    must("systemctl stop fail2ban.service");
    assert_eq!(
        rule_for("10.0.0.79"),
        None,
        "who no longer bans holds nobody back"
    );
}
