//! Random configurations, as an operator writes them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use shaper_user::{config::Config, policy::Policy};

use super::{
    Random,
    policy::{near4, near6, prefix4, prefix6},
};

/// What rules may refer to, at rates that nothing reaches.
const SECTIONS: &str = "[service.odd]\nports = [\"tcp:1-143\", \"udp:443\"]\n\
    [group.a]\nrate = \"1500gbit\"\n[group.b]\nrate = \"1600gbit\"\n";

/// Services that overlap, at the ports that frames come from.
const SERVICES: [&str; 9] = [
    "imap",
    "https",
    "dns",
    "odd",
    "tcp:143",
    "tcp:100-1000",
    "udp:1-65535",
    "tcp:65535",
    "udp:53",
];

/// A configuration that is changed rule by rule.
#[derive(Clone, Debug)]
pub struct Written {
    exempt: Vec<String>,
    rules: Vec<String>,
    /// The next rule's rate: no two rules have the same, so a rate tells which rule it is.
    next_gbit: u32,
}

impl Written {
    /// A new one.
    #[must_use]
    pub fn new(random: &mut Random) -> Self {
        let exempt = (0..random.below(3)).map(|_| format!("\"{}\"", prefix(random)));
        let mut written = Self {
            exempt: exempt.collect(),
            rules: Vec::new(),
            next_gbit: 100,
        };
        written.drop_exempt_if_refused();
        for _ in 0..random.below(20) {
            written.add_rule(random);
        }
        written
    }

    /// Takes one of its rules away, or adds one.
    pub fn change(&mut self, random: &mut Random) {
        if self.rules.is_empty() || random.one_in(2) {
            self.add_rule(random);
        } else {
            let index = random.below(self.rules.len() as u64);
            self.rules.remove(usize::try_from(index).unwrap());
        }
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> String {
        let exempt = self.exempt.join(", ");
        format!(
            "[exempt]\nprefixes = [{exempt}]\n{SECTIONS}{}",
            self.rules.concat()
        )
    }

    /// What it means, if it is valid.
    #[must_use]
    pub fn policy(&self) -> Option<Policy> {
        let config = Config::parse(Path::new("random.toml"), self.text()).expect("it is TOML");
        Policy::try_from(&config).ok()
    }

    /// Adds a rule, unless it contradicts one that is there.
    fn add_rule(&mut self, random: &mut Random) {
        self.rules.push(rule(random, self.next_gbit));
        self.next_gbit += 1;
        if self.policy().is_none() {
            self.rules.pop();
        }
    }

    fn drop_exempt_if_refused(&mut self) {
        if self.policy().is_none() {
            self.exempt.clear();
        }
    }
}

fn rule(random: &mut Random, gbit: u32) -> String {
    let destination = if random.one_in(5) {
        "any".to_owned()
    } else {
        prefix(random)
    };
    let mut text = format!("[[rule]]\ndestination = \"{destination}\"\n");
    if random.one_in(2) {
        text += &format!("service = \"{}\"\n", random.pick(&SERVICES));
    }
    match random.below(8) {
        0..2 => text += "rate = \"unlimited\"\n",
        2 => text += "rate = \"block\"\n",
        _ => {
            text += &format!("rate = \"{gbit}gbit\"\n");
            if random.one_in(3) {
                text += &format!("per = \"{}\"\n", random.pick(&["ip", "client", "/30", "/64"]));
            }
            if random.one_in(3) {
                text += &format!("group = \"{}\"\n", random.pick(&["a", "b"]));
            }
        }
    }
    text
}

/// A destination of either family; the same few lengths again and again, so that rules for one prefix meet.
fn prefix(random: &mut Random) -> String {
    let (address, len): (IpAddr, u32) = match random.below(6) {
        0 => (Ipv4Addr::UNSPECIFIED.into(), 0),
        1 => (Ipv6Addr::UNSPECIFIED.into(), 0),
        2 => (near4(random).into(), 32),
        3 => (near6(random).into(), 128),
        4 => {
            let len = random.pick(&[8, 15, 16, 24, 30]);
            (prefix4(near4(random), len).into(), len)
        }
        _ => {
            let len = random.pick(&[32, 48, 63, 64, 112, 126]);
            (prefix6(near6(random), len).into(), len)
        }
    };
    format!("{address}/{len}")
}
