//! TCP by real `iperf3`.

use std::fs;
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Host;

/// A TCP transfer.
#[derive(Clone, Copy, Debug)]
pub struct Iperf<'a> {
    /// Where to.
    pub destination: IpAddr,
    /// Port of the receiver; each transfer at the same time needs one of its own.
    pub port: u16,
    /// Port that data is sent from, as that of the service that sends it; zero is any.
    pub source_port: u16,
    /// Congestion control.
    pub congestion: &'a str,
    /// How long.
    pub seconds: u32,
    /// Bytes that the receiver reads at once: what it counts at a low rate.
    pub read_bytes: u32,
}

/// What became of it, as the receiver counted.
#[derive(Clone, Debug)]
pub struct Transfer {
    /// Bits of payload per second.
    pub bits_per_second: f64,
    /// Bits of payload per second in each second.
    pub by_second: Vec<f64>,
    /// Segments that were sent again, as the sender counted.
    pub n_retransmitted: u64,
}

impl Iperf<'_> {
    /// A transfer to `destination` with cubic.
    #[must_use]
    pub fn to(destination: IpAddr, port: u16, seconds: u32) -> Self {
        Self {
            destination,
            port,
            source_port: 0,
            congestion: "cubic",
            seconds,
            read_bytes: 16 << 10,
        }
    }

    /// Starts to send from `sender` to `receiver`.
    #[must_use]
    pub fn start(&self, sender: &Host, receiver: &Host) -> Running {
        let destination = self.destination.to_string();
        let port = self.port.to_string();
        let mut server = receiver.command("iperf3");
        server.args(["-s", "-1", "-J", "-i", "1", "-B", &destination, "-p", &port]);
        let server = server.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let server = server.expect("iperf3 is installed");
        assert!(listens(receiver, self.port), "iperf3 does not listen");
        let mut client = sender.command("iperf3");
        client.args(["-c", &destination, "-p", &port, "-J", "-C", self.congestion]);
        client.args([
            "-t",
            &self.seconds.to_string(),
            "-l",
            &self.read_bytes.to_string(),
        ]);
        if self.source_port != 0 {
            client.args(["--cport", &self.source_port.to_string()]);
        }
        let client = client.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Running {
            programs: Some((client.expect("iperf3 is installed"), server)),
        }
    }

    /// Sends from `sender` to `receiver` and waits for the end.
    #[must_use]
    pub fn run(&self, sender: &Host, receiver: &Host) -> Transfer {
        self.start(sender, receiver).finish()
    }
}

/// A transfer that goes on.
#[derive(Debug)]
pub struct Running {
    /// The sender and the receiver, until the end.
    programs: Option<(Child, Child)>,
}

impl Running {
    /// Waits for the end.
    #[must_use]
    pub fn finish(mut self) -> Transfer {
        let (client, server) = self.programs.take().expect("taken only here");
        let (client, server) = (report(client), report(server));
        let by_second = server["intervals"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        Transfer {
            bits_per_second: server["end"]["sum_received"]["bits_per_second"]
                .as_f64()
                .unwrap_or_else(|| panic!("no result in {server:#}")),
            by_second: by_second
                .iter()
                .filter_map(|interval| interval["sum"]["bits_per_second"].as_f64())
                .collect(),
            n_retransmitted: client["end"]["sum_sent"]["retransmits"]
                .as_u64()
                .unwrap_or_default(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((client, server)) = &mut self.programs {
            for program in [client, server] {
                let _ = program.kill();
                let _ = program.wait();
            }
        }
    }
}

/// How often TCP of `host` has found that a packet of its own was overtaken by a later one.
#[must_use]
pub fn n_found_reordered(host: &Host) -> u64 {
    let text = host
        .run(|| fs::read_to_string("/proc/thread-self/net/netstat"))
        .expect("every Linux has it");
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt: "));
    let [names, values] = [(); 2].map(|()| lines.next().expect("names, then values").split(' '));
    let counts = names
        .zip(values)
        .filter(|(name, _)| name.starts_with("TCP") && name.ends_with("Reorder"))
        .map(|(_, value)| value.parse::<u64>().expect("a count"));
    counts.sum()
}

fn report(program: Child) -> Value {
    let output = program.wait_with_output().expect("it was started");
    let text = String::from_utf8_lossy(&output.stdout);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("iperf3 wrote {text}"));
    assert!(report["error"].is_null(), "iperf3: {}", report["error"]);
    report
}

/// Waits until something accepts TCP connections at `port`. Connecting would use up a receiver that serves once.
fn listens(host: &Host, port: u16) -> bool {
    let port = format!(":{port:04X} ");
    let deadline = Instant::now() + Duration::from_secs(10);
    host.run(|| {
        loop {
            for table in ["tcp", "tcp6"] {
                let text = fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default();
                if text
                    .lines()
                    .any(|line| line.contains(&port) && line.contains(" 0A "))
                {
                    return true;
                }
            }
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
    })
}
