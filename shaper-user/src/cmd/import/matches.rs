//! What a filter of tc, iptables or nft matches, as far as a rule can say it.

use crate::policy::{PortSpan, Ports};

/// Whom and what a filter matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) destination: Option<String>,
    pub(super) is_tcp: bool,
    pub(super) is_udp: bool,
    /// Ports of the server, as numbers or ranges.
    pub(super) ports: Vec<String>,
    pub(super) mark: Option<String>,
    pub(super) class: Option<String>,
    /// Words that were not understood.
    pub(super) unknown: Vec<String>,
}

impl Match {
    /// The ports of the server; `None` is all of them.
    pub(super) fn service(&self) -> Result<Option<Ports>, String> {
        if self.ports.is_empty() {
            return if self.is_tcp || self.is_udp {
                Err("a protocol without ports cannot be told apart".to_owned())
            } else {
                Ok(None)
            };
        }
        let mut spans: Vec<PortSpan> = Vec::new();
        for protocol in ["tcp", "udp"] {
            let is_meant = match (self.is_tcp, self.is_udp) {
                (true, false) => protocol == "tcp",
                (false, true) => protocol == "udp",
                _ => true,
            };
            for port in self.ports.iter().filter(|_| is_meant) {
                let port = port.replace(':', "-");
                spans.push(
                    format!("{protocol}:{port}")
                        .parse()
                        .map_err(|error| format!("{error}"))?,
                );
            }
        }
        Ok(Some(Ports::of(spans)))
    }

    fn protocol(&mut self, text: &str) {
        match text {
            "tcp" | "6" | "0x6" | "0x06" => self.is_tcp = true,
            "udp" | "17" | "0x11" => self.is_udp = true,
            _ => self.unknown.push(format!("protocol {text}")),
        }
    }

    /// The words behind `iptables` or `ip6tables`. A client's own packets, marked for the whole connection, stand for
    /// what is sent to him.
    pub(super) fn iptables(words: &[String]) -> Self {
        let mut found = Self::default();
        let is_restore = words
            .iter()
            .any(|word| matches!(word.as_str(), "--restore-mark" | "--save-mark"));
        let is_connection = words.iter().any(|word| word == "CONNMARK") && !is_restore;
        let is_inbound = words
            .iter()
            .any(|word| matches!(word.as_str(), "PREROUTING" | "INPUT"));
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let mut next = || rest.next().cloned().unwrap_or_default();
            match word.as_str() {
                "-t" | "-A" | "-I" | "-m" | "-o" | "--table" | "--append" | "--insert" | "--match" => {
                    drop(next());
                }
                "-j" | "--jump" => {
                    let target = next();
                    if !matches!(target.as_str(), "MARK" | "CONNMARK" | "CLASSIFY") {
                        found.unknown.push(format!("-j {target}"));
                    }
                }
                "-p" | "--protocol" => {
                    let protocol = next();
                    found.protocol(&protocol);
                }
                "-d" | "--destination" | "--dst" if !is_inbound => found.destination = Some(next()),
                "-s" | "--source" | "--src" if is_inbound && is_connection => {
                    found.destination = Some(next());
                }
                "--sport" | "--source-port" | "--sports" | "--source-ports" if !is_inbound => {
                    found.ports.extend(next().split(',').map(str::to_owned));
                }
                "--dport" | "--destination-port" | "--dports" | "--destination-ports" if is_inbound => {
                    found.ports.extend(next().split(',').map(str::to_owned));
                }
                "--set-mark" | "--set-xmark" => found.mark = Some(next()),
                "--set-class" => found.class = Some(next()),
                _ => found.unknown.push(word.clone()),
            }
        }
        found
    }

    /// The words of a rule behind `nft add rule`.
    pub(super) fn nft(words: &[String]) -> Self {
        let joined = words.join(" ").replace(['{', '}', ','], " ");
        let words: Vec<&str> = joined.split_whitespace().collect();
        let mut found = Self::default();
        let mut rest = words.as_slice();
        while let [first, tail @ ..] = rest {
            rest = match (*first, tail) {
                ("ip" | "ip6", ["daddr", address, tail @ ..]) => {
                    found.destination = Some((*address).to_owned());
                    tail
                }
                ("tcp" | "udp", ["sport", tail @ ..]) => {
                    found.protocol(first);
                    let is_port = |word: &&&str| word.starts_with(|c: char| c.is_ascii_digit());
                    let n_ports = tail.iter().take_while(is_port).count();
                    found
                        .ports
                        .extend(tail[..n_ports].iter().map(|port| (*port).to_owned()));
                    &tail[n_ports..]
                }
                ("meta" | "ct", ["mark", "set", mark, tail @ ..]) => {
                    found.mark = Some((*mark).to_owned());
                    tail
                }
                ("meta", ["priority", "set", class, tail @ ..]) => {
                    found.class = Some(class.trim_matches('"').to_owned());
                    tail
                }
                ("counter", tail) => tail,
                (word, tail) => {
                    found.unknown.push(word.to_owned());
                    tail
                }
            };
        }
        found
    }

    /// The words of a `tc filter` behind its kind.
    pub(super) fn filter(kind: &str, words: &[String]) -> Self {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut found = Self::default();
        let mut rest = words.as_slice();
        while let [first, tail @ ..] = rest {
            rest = match (*first, tail) {
                ("flowid" | "classid", [class, tail @ ..]) => {
                    found.class = Some((*class).to_owned());
                    tail
                }
                ("match", ["ip" | "ip6", "dst", address, tail @ ..]) if kind == "u32" => {
                    found.destination = Some((*address).to_owned());
                    tail
                }
                ("match", ["ip" | "ip6", "sport", port, "0xffff", tail @ ..]) if kind == "u32" => {
                    found.ports.push((*port).to_owned());
                    tail
                }
                ("match", ["ip" | "ip6", "protocol", protocol, "0xff", tail @ ..]) if kind == "u32" => {
                    found.protocol(protocol);
                    tail
                }
                ("dst_ip", [address, tail @ ..]) if kind == "flower" => {
                    found.destination = Some((*address).to_owned());
                    tail
                }
                ("src_port", [port, tail @ ..]) if kind == "flower" => {
                    found.ports.push((*port).to_owned());
                    tail
                }
                ("ip_proto", [protocol, tail @ ..]) if kind == "flower" => {
                    found.protocol(protocol);
                    tail
                }
                (word, tail) => {
                    found.unknown.push(word.to_owned());
                    tail
                }
            };
        }
        found
    }
}
