//! Services: sets of the server's own ports, by name or as written.

use super::ports::{PortSpan, Ports};

/// Most ports and ranges of ports that one service may list.
const MAX_SPANS: usize = 1_000;

/// What a rule is for, if not for everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    /// As the operator calls it.
    pub name: String,
    /// Ports of the server.
    pub ports: Ports,
}

/// Why a text is not a service.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ServiceError {
    /// Not a protocol with a port or a range.
    #[error("`{text}` is not a protocol and a port")]
    Port {
        /// As written.
        text: String,
    },
    /// The first port is behind the last.
    #[error("the range in `{text}` runs backwards")]
    Backwards {
        /// As written.
        text: String,
    },
    /// No such name.
    #[error("there is no service `{name}`")]
    Unknown {
        /// As written.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A name that means something else already.
    #[error("`{name}` is the name of a service already")]
    Taken {
        /// As written.
        name: String,
    },
    /// No ports at all.
    #[error("the service `{name}` has no ports")]
    Empty {
        /// Its name.
        name: String,
    },
    /// More ports than anybody means.
    #[error("the service `{name}` lists more than 1000 ports and ranges")]
    TooMany {
        /// Its name.
        name: String,
    },
}

impl ServiceError {
    /// How to write it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Port { .. } => "write for example `tcp:993`, `udp:443` or `tcp:8000-8099`".to_owned(),
            Self::Backwards { .. } => "write the lower port first".to_owned(),
            Self::Unknown { known, .. } => {
                format!(
                    "known are {known}; or write for example `tcp:993`, or define it under [service.NAME]"
                )
            }
            Self::Taken { .. } => "choose another".to_owned(),
            Self::Empty { .. } => "write for example ports = [\"tcp:993\"]".to_owned(),
            Self::TooMany { .. } => "write ranges, for example `tcp:8000-8099`".to_owned(),
        }
    }
}

/// Services that need no definition: name, TCP ports, UDP ports.
const BUILT_IN: [(&str, &[u16], &[u16]); 8] = [
    ("imap", &[143, 993], &[]),
    ("pop3", &[110, 995], &[]),
    ("smtp", &[25, 465, 587], &[]),
    ("http", &[80], &[]),
    ("https", &[443], &[443]),
    ("ssh", &[22], &[]),
    ("ftp", &[20, 21], &[]),
    ("dns", &[53], &[53]),
];

impl Service {
    /// A service that needs no definition.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (name, tcp, udp) = BUILT_IN.iter().find(|(known, ..)| *known == name)?;
        let span = |is_udp| {
            move |port: &u16| PortSpan {
                is_udp,
                first: *port,
                last: *port,
            }
        };
        let spans = tcp.iter().map(span(false)).chain(udp.iter().map(span(true)));
        Some(Self {
            name: (*name).to_owned(),
            ports: Ports::of(spans.collect()),
        })
    }

    /// Names of the services that need no definition.
    pub fn built_in_names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, ..)| *name)
    }

    /// The service `name` with ports as written.
    pub(super) fn defined(name: &str, n_written: usize, spans: Vec<PortSpan>) -> Result<Self, ServiceError> {
        let name = name.to_owned();
        if Self::built_in(&name).is_some() {
            return Err(ServiceError::Taken { name });
        }
        if n_written == 0 {
            return Err(ServiceError::Empty { name });
        }
        if n_written > MAX_SPANS {
            return Err(ServiceError::TooMany { name });
        }
        Ok(Self {
            name,
            ports: Ports::of(spans),
        })
    }
}

/// Whether `text` names ports itself instead of a service.
pub(super) fn is_ports(text: &str) -> bool {
    text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(texts: &[&str]) -> Ports {
        Ports::of(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_set_is_the_same_however_it_is_written() {
        assert_eq!(ports(&["tcp:1-4", "tcp:5", "tcp:3-9"]), ports(&["tcp:1-9"]));
        assert_eq!(ports(&["tcp:80", "udp:80"]).to_string(), "tcp:80,udp:80");
        assert_ne!(ports(&["tcp:1-3", "tcp:5"]), ports(&["tcp:1-5"]));
        assert_eq!(
            ports(&["tcp:65535", "tcp:65534-65535"]).to_string(),
            "tcp:65534-65535"
        );
    }

    #[test]
    fn what_is_no_port_is_refused_with_how_to_write_one() {
        for text in [
            "",
            "tcp",
            "tcp:",
            "tcp:0",
            "tcp:65536",
            "tcp:80-",
            "tcp:-80",
            "TCP:80",
            "sctp:80",
            "tcp:080",
            "tcp:+80",
            "tcp:80-90-100",
            "tcp: 80",
            "tcp:http",
        ] {
            let error = text.parse::<PortSpan>().unwrap_err();
            assert_eq!(
                error,
                ServiceError::Port {
                    text: text.to_owned()
                }
            );
        }
        let error = "tcp:90-80".parse::<PortSpan>().unwrap_err();
        assert_eq!(error.to_string(), "the range in `tcp:90-80` runs backwards");
    }

    #[test]
    fn common_ports_are_those_in_both() {
        let imap = Service::built_in("imap").unwrap().ports;
        assert_eq!(imap.common(&ports(&["tcp:993-995"])), ports(&["tcp:993"]));
        assert!(imap.common(&ports(&["udp:143"])).is_empty());
        assert_eq!(
            ports(&["tcp:1-9"]).without(&ports(&["tcp:3-4", "tcp:9"])),
            ports(&["tcp:1-2", "tcp:5-8"])
        );
        assert!(imap.contains(&ports(&["tcp:143"])) && !ports(&["tcp:143"]).contains(&imap));
    }

    #[test]
    fn https_is_quic_too() {
        assert_eq!(
            Service::built_in("https").unwrap().ports.to_string(),
            "tcp:443,udp:443"
        );
        assert!(Service::built_in_names().all(|name| Service::built_in(name).is_some()));
    }
}
