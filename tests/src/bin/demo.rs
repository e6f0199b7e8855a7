//! Shows that it works: the policy of a well-known script, between network namespaces, with real TCP.
//!
//! `cargo xtask demo` runs it, in a guest where this machine's kernel lacks `fq`. Exit code 0 only if what it shows is
//! what it should be.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use shaper_tests::lab::Release;
use shaper_tests::seed::{self, Outcome};

/// How long everyone is sent to.
const SECONDS: u32 = 20;

/// Longest time for which an emulated machine may stand still and then deliver what was due.
const STALL: Duration = Duration::from_millis(200);

/// By how much a round trip may grow because emulated processors are busy.
const DISTURBED: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let start = Instant::now();
    let say = |what: &str| println!("[{:5.1} s] {what}", start.elapsed().as_secs_f64());
    println!(
        "A server, a cable, and clients 192.168.1.101 to 104 and 200, on kernel {}.",
        Release::running()
    );
    println!(
        "The policy, as an operator writes it:\n{}",
        indented(seed::CONFIG.trim())
    );
    say("building the network");
    let lab = seed::lab();
    say("TCP by iperf3 to 192.168.1.104 while nothing is limited");
    let capacity = seed::capacity(&lab);
    println!("    {:.0} Mbit/s", capacity / 1e6);
    say("shaper up -i up0");
    let shaper = seed::shaper(&lab);
    println!("{}", indented(shaper.run(&["status"]).trim_end()));
    let outcome = seed::run(&lab, SECONDS, &say);
    say("shaper list --stats");
    println!("{}\n", indented(shaper.run(&["list", "--stats"]).trim_end()));
    let holds = report(&outcome, capacity);
    say("shaper down");
    drop(shaper);
    if holds {
        println!("\nIt holds.");
        ExitCode::SUCCESS
    } else {
        println!("\nIt does not hold.");
        ExitCode::FAILURE
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Prints wanted against measured; true if all of it holds.
fn report(outcome: &Outcome, capacity: f64) -> bool {
    let mut holds = true;
    println!("DESTINATION    WANTED kbit/s  ON THE WIRE    OFF  TCP PAYLOAD  HOLDS");
    for client in &outcome.clients {
        let measured = client.measured();
        // The rest may get more than an emulated processor can send.
        let is_rest = client.wanted > 1e7;
        let ok = if is_rest {
            client.fills(capacity, STALL)
        } else {
            client.holds(STALL)
        };
        holds &= ok;
        println!(
            "{:<13} {:>14.1} {:>12.1} {:>+5.1}% {:>12.1}  {}",
            client.destination.to_string(),
            client.wanted / 1e3,
            measured / 1e3,
            (measured / client.wanted - 1.0) * 100.0,
            client.goodput / 1e3,
            if ok { "yes" } else { "NO" }
        );
    }
    if outcome
        .clients
        .iter()
        .any(|client| client.measured() < client.wanted * 0.98)
    {
        println!("Less than wanted is what an emulated machine could send while it did all the rest.");
    }
    println!("\nROUND TRIP to 192.168.1.200 (exempt)   MEDIAN     90 %     99 %   LOST");
    for (when, probe) in [("before", &outcome.before), ("during", &outcome.during)] {
        let ms = |percent| probe.percentile(percent).as_secs_f64() * 1e3;
        println!(
            "{when:<36} {:>8.3} {:>8.3} {:>8.3} ms  {}",
            ms(50),
            ms(90),
            ms(99),
            probe.n_lost
        );
    }
    // In a queue with the others it would wait for a hundred milliseconds and more.
    let is_quick = outcome.during.median() < outcome.before.median() * 2 + DISTURBED;
    if outcome.during.n_lost > 0 || !is_quick {
        println!("The exempt address was disturbed.");
        holds = false;
    }
    holds
}
