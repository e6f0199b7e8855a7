//! What `shaper status` shows.

use std::fmt::Write;

use shaper_common::outcome::{N_EXCLUSIVE, N_OUTCOMES, Outcome};

use super::units;

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InterfaceRow {
    /// Its name.
    pub name: String,
    /// How the program is attached.
    pub hook: &'static str,
    /// The program's place on the hook, and how many programs there are; `None` if it is not attached.
    pub position: Option<(usize, usize)>,
    /// What would have to wait is dropped: fq need not be there.
    pub is_policed: bool,
    /// Queues on which fq holds packets.
    pub n_fq: u32,
    /// Queues there are.
    pub n_queues: u32,
    /// Packets that fq dropped.
    pub fq_drops: u64,
    /// What is wrong, and what to do about it.
    pub problems: Vec<(String, String)>,
}

/// Everything that should be in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The interfaces that should have the program.
    pub interfaces: Vec<InterfaceRow>,
    /// Entries in force.
    pub n_rules: usize,
    /// Most buckets there can be.
    pub max_rules: usize,
    /// Entries that make packets wait at this moment.
    pub n_limiting: usize,
    /// Packets that are dropped each second because they would have to wait too long.
    pub drops_per_sec: u64,
    /// Packets since `up`, by [`Outcome`].
    pub totals: [u64; N_OUTCOMES as usize],
    /// All rules together could fill `fq` with more of the smallest packets than it is told to hold.
    pub is_fq_capped: bool,
    /// What is wrong besides.
    pub problems: Vec<(String, String)>,
}

impl Status {
    /// Everything that is wrong.
    pub fn problems(&self) -> impl Iterator<Item = (Option<&str>, &(String, String))> {
        let of_interfaces = self.interfaces.iter().flat_map(|row| {
            row.problems
                .iter()
                .map(|problem| (Some(row.name.as_str()), problem))
        });
        of_interfaces.chain(self.problems.iter().map(|problem| (None, problem)))
    }

    /// Whether something is wrong.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        self.problems().next().is_some()
    }

    /// Packets that the program has seen since `up`.
    #[must_use]
    pub fn seen_packets(&self) -> u64 {
        self.totals[..N_EXCLUSIVE as usize].iter().sum()
    }

    /// What became of them: `unlimited 1204, paced 17`.
    #[must_use]
    pub fn outcomes(&self) -> String {
        let counted = self.totals.iter().zip(Outcome::ALL).filter(|(n, _)| **n > 0);
        let words: Vec<String> = counted
            .map(|(n, outcome)| format!("{} {n}", outcome.name()))
            .collect();
        words.join(", ")
    }

    /// A line for each interface, and two for each problem.
    #[must_use]
    pub fn table(&self) -> String {
        let mut text = String::new();
        for row in &self.interfaces {
            let _ = writeln!(
                text,
                "{}  {}  {}  rules {} of {}  limiting {}  drops {}/s",
                row.name,
                row.attachment(),
                row.holding(),
                self.n_rules,
                self.max_rules,
                self.n_limiting,
                units::count(self.drops_per_sec)
            );
        }
        if self.is_fq_capped {
            text.push_str(
                "  note: fq is given less room than all rules together could fill with the smallest of packets\n    \
                 a shorter `horizon` needs less\n",
            );
        }
        let n_shared = self.totals[Outcome::ClientsFull as usize];
        if n_shared > 0 {
            let _ = writeln!(
                text,
                "  note: the client table was full: {} packets shared the bucket of their rule\n    raise `max_clients`",
                units::count(n_shared)
            );
        }
        for (interface, (what, remedy)) in self.problems() {
            let place = interface.map(|name| format!("{name}: ")).unwrap_or_default();
            let _ = writeln!(text, "  degraded: {place}{what}\n    {remedy}");
        }
        text
    }

    /// One word for each interface.
    #[must_use]
    pub fn brief(&self) -> String {
        let word = |row: &InterfaceRow| {
            row.problems
                .first()
                .map_or("ok", |(what, _)| what.as_str())
                .to_owned()
        };
        let lines = self
            .interfaces
            .iter()
            .map(|row| format!("{}\t{}\n", row.name, word(row)));
        lines
            .chain(self.problems.iter().map(|(what, _)| format!("-\t{what}\n")))
            .collect()
    }

    /// A line for each interface, a tab between cells: name, hook, place, programs, queues with fq, queues, rules,
    /// limiting, drops per second, and `ok` or `degraded`.
    #[must_use]
    pub fn plain(&self) -> String {
        let line = |row: &InterfaceRow| {
            let (place, n_programs) = row.position.unwrap_or_default();
            let state = if row.problems.is_empty() { "ok" } else { "degraded" };
            format!(
                "{}\t{}\t{place}\t{n_programs}\t{}\t{}\t{}\t{}\t{}\t{state}\n",
                row.name, row.hook, row.n_fq, row.n_queues, self.n_rules, self.n_limiting, self.drops_per_sec
            )
        };
        self.interfaces.iter().map(line).collect()
    }
}

impl InterfaceRow {
    fn attachment(&self) -> String {
        match self.position {
            None => "not attached".to_owned(),
            Some((place, n_programs)) => {
                format!(
                    "attached {} egress, {} of {n_programs}, verified in the kernel",
                    self.hook,
                    ordinal(place)
                )
            }
        }
    }

    /// What holds packets; where they are policed, nothing needs to.
    fn holding(&self) -> String {
        if self.is_policed {
            return "polices, needs no fq".to_owned();
        }
        format!("fq on {} of {} queues", self.n_fq, self.n_queues)
    }
}

fn ordinal(place: usize) -> String {
    match place {
        1 => "first".to_owned(),
        2 => "second".to_owned(),
        3 => "third".to_owned(),
        _ => format!("number {place}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        let row = InterfaceRow {
            name: "eth0".to_owned(),
            hook: "tcx",
            position: Some((1, 2)),
            n_fq: 8,
            n_queues: 8,
            ..InterfaceRow::default()
        };
        Status {
            interfaces: vec![row],
            n_rules: 214,
            max_rules: 65_536,
            n_limiting: 37,
            ..Status::default()
        }
    }

    #[test]
    fn the_line_reads_as_promised() {
        assert_eq!(
            status().table(),
            "eth0  attached tcx egress, first of 2, verified in the kernel  fq on 8 of 8 queues  rules 214 of 65536  \
             limiting 37  drops 0/s\n"
        );
        assert_eq!(status().brief(), "eth0\tok\n");
        assert!(!status().is_degraded());
    }

    #[test]
    fn a_policed_interface_needs_no_fq() {
        let mut status = status();
        status.interfaces[0].is_policed = true;
        assert!(status.table().contains("kernel  polices, needs no fq  rules"));
    }

    #[test]
    fn that_fq_has_less_room_than_it_may_need_is_said_and_is_no_defect() {
        let mut status = status();
        status.is_fq_capped = true;
        assert!(
            status.table().contains("  note: fq is given less room"),
            "{}",
            status.table()
        );
        assert!(!status.is_degraded());
    }

    #[test]
    fn that_clients_had_to_share_a_bucket_is_said_and_is_no_defect() {
        let mut status = status();
        status.totals[Outcome::ClientsFull as usize] = 12;
        let said = "  note: the client table was full: 12 packets shared the bucket of their rule\n    raise `max_clients`\n";
        assert!(status.table().ends_with(said), "{}", status.table());
        assert!(!status.is_degraded());
    }

    #[test]
    fn packets_that_are_counted_twice_were_seen_once() {
        let mut status = status();
        status.totals[Outcome::NotIp as usize] = 2;
        status.totals[Outcome::Paced as usize] = 3;
        status.totals[Outcome::Marked as usize] = 1;
        assert_eq!(status.seen_packets(), 5);
        assert_eq!(status.outcomes(), "not_ip 2, paced 3, marked 1");
    }

    #[test]
    fn what_is_wrong_comes_with_a_remedy() {
        let mut status = status();
        status.interfaces[0]
            .problems
            .push(("queue 3 has pfifo_fast".to_owned(), "run `shaper up`".to_owned()));
        assert!(status.is_degraded());
        assert!(
            status
                .table()
                .ends_with("  degraded: eth0: queue 3 has pfifo_fast\n    run `shaper up`\n")
        );
        assert_eq!(status.brief(), "eth0\tqueue 3 has pfifo_fast\n");
        assert!(status.plain().ends_with("\tdegraded\n"));
    }
}
