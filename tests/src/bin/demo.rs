//! Shows that it works: the policy of a well-known script, between network namespaces, with real TCP.
//!
//! `cargo xtask demo` runs it, in a guest where this machine's kernel lacks `fq`. Exit code 0 only if all that the machine
//! is fast enough to show is what it should be.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use shaper_tests::lab::Release;
use shaper_tests::object::in_lab;
use shaper_tests::seed::{self, Outcome};

/// How long everyone is sent to.
const SECONDS: u32 = 20;

/// Longest time for which a machine may do something else and then deliver what was due; and one whose processors are
/// emulated.
const PROMPT: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_millis(200);

/// By how much a round trip may grow; and where emulated processors are busy.
const UNNOTICED: Duration = Duration::from_micros(200);
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
    let verdict = report(&outcome, capacity);
    println!();
    say("shaper down");
    drop(shaper);
    say("the end");
    match verdict {
        Verdict::Yes => println!("\nIt holds."),
        Verdict::No => println!("\nIt does not hold."),
        Verdict::CannotTell => println!(
            "\nWhat this machine can tell holds. For what says n/a its processors are emulated or too slow: they send {:.0} \
             Mbit/s when there is nothing else to do.",
            capacity / 1e6
        ),
    }
    if verdict == Verdict::No {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn indented(text: &str) -> String {
    text.lines()
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether something holds, as far as this machine can tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// The machine is too slow: it is not what it should be, but no worse than what its processors alone can make of it.
    CannotTell,
}

impl Verdict {
    fn new(is_as_it_should_be: bool, is_excused: bool) -> Self {
        match (is_as_it_should_be, is_excused) {
            (true, _) => Self::Yes,
            (false, true) => Self::CannotTell,
            (false, false) => Self::No,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "NO",
            Self::CannotTell => "n/a",
        }
    }
}

/// Prints wanted against measured, and what comes of it all.
fn report(outcome: &Outcome, capacity: f64) -> Verdict {
    // Emulated processors have to be shared by all of this, however much they can send when there is nothing else.
    let is_slow = in_lab() || capacity < 2.0 * seed::REST.1;
    let mut verdicts = Vec::new();
    println!("DESTINATION    WANTED kbit/s  ON THE WIRE    OFF  TCP PAYLOAD  HOLDS");
    for client in &outcome.clients {
        let is_excused = if client.destination == seed::REST.0 {
            client.fills(capacity, STALL)
        } else {
            client.holds(STALL)
        };
        let verdict = Verdict::new(client.holds(PROMPT), is_slow && is_excused);
        println!(
            "{:<13} {:>14.1} {:>12.1} {:>+5.1}% {:>12.1}  {}",
            client.destination.to_string(),
            client.wanted / 1e3,
            client.measured() / 1e3,
            (client.measured() / client.wanted - 1.0) * 100.0,
            client.goodput / 1e3,
            verdict.word()
        );
        verdicts.push(verdict);
    }
    println!("\nROUND TRIP to 192.168.1.200 (exempt)   MEDIAN     90 %     99 %   LOST  HOLDS");
    let (before, during) = (&outcome.before, &outcome.during);
    let is_alone = before.n_lost + during.n_lost == 0;
    let growth = during.median().saturating_sub(before.median());
    // In a queue with the others it would wait for a hundred milliseconds and more.
    let verdict = Verdict::new(
        is_alone && growth < UNNOTICED.max(before.median() / 10),
        is_slow && is_alone && growth < DISTURBED,
    );
    for (when, probe, word) in [("before", before, ""), ("during", during, verdict.word())] {
        let ms = |percent| probe.percentile(percent).as_secs_f64() * 1e3;
        println!(
            "{when:<36} {:>8.3} {:>8.3} {:>8.3} ms {:>4}  {word}",
            ms(50),
            ms(90),
            ms(99),
            probe.n_lost
        );
    }
    verdicts.push(verdict);
    if verdicts.contains(&Verdict::No) {
        Verdict::No
    } else if verdicts.contains(&Verdict::CannotTell) {
        Verdict::CannotTell
    } else {
        Verdict::Yes
    }
}
