//! How far a long change is, on a terminal; nothing, elsewhere.

use std::io::Write;

use super::Context;

/// Fewer rules are there before anybody has read the first line.
const MIN_RULES: usize = 20_000;
const WIDTH: usize = 40;

/// A bar on standard error, gone when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    shown_percent: Option<usize>,
}

impl Progress {
    /// A bar that shows nothing yet.
    pub(super) fn new(context: &Context) -> Self {
        Self {
            is_shown: context.is_talking_to_people(),
            shown_percent: None,
        }
    }

    /// `done` of `total` rules stand in their tables.
    pub(super) fn show(&mut self, done: usize, total: usize) {
        let percent = percent(done, total);
        if !self.is_shown || total < MIN_RULES || self.shown_percent == Some(percent) {
            return;
        }
        self.shown_percent = Some(percent);
        // Nothing can be done about a terminal that is gone.
        let _ = write!(std::io::stderr(), "\r{}", bar(percent, total));
        let _ = std::io::stderr().flush();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown_percent.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn percent(done: usize, total: usize) -> usize {
    done.min(total)
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or(100)
}

fn bar(percent: usize, total: usize) -> String {
    let n_full = percent * WIDTH / 100;
    let (full, empty) = ("#".repeat(n_full), " ".repeat(WIDTH - n_full));
    format!("[{full}{empty}] {percent:>3} % of {total} rules ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_what_is_done() {
        assert_eq!(percent(0, 0), 100);
        assert_eq!((percent(1, 3), percent(7, 3), percent(999, 1_000)), (33, 100, 99));
        assert_eq!(
            bar(50, 30_000),
            format!("[{}{}]  50 % of 30000 rules ", "#".repeat(20), " ".repeat(20))
        );
    }
}
