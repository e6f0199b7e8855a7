//! What `shaper doctor` shows.

/// How a thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// As it should be.
    Ok,
    /// It will do, but not as well as it could.
    Warn,
    /// shaper cannot work.
    Fail,
}

impl State {
    /// As it stands at the beginning of a line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub what: &'static str,
    /// How it was found.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it; empty if there is nothing to do.
    pub remedy: String,
}

/// A line for each check; a second one says what to do.
#[must_use]
pub fn text(checks: &[Check]) -> String {
    let widest = checks
        .iter()
        .map(|check| check.what.len())
        .max()
        .unwrap_or_default();
    let line = |check: &Check| {
        let remedy = if check.remedy.is_empty() {
            String::new()
        } else {
            format!("{:6}{:widest$}  {}\n", "", "", check.remedy)
        };
        format!(
            "{:<6}{:<widest$}  {}\n{remedy}",
            check.state.name(),
            check.what,
            check.found
        )
    };
    checks.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_check_and_another_for_its_remedy() {
        let check = |what, state, found: &str, remedy: &str| Check {
            what,
            state,
            found: found.to_owned(),
            remedy: remedy.to_owned(),
        };
        let checks = [
            check("kernel", State::Ok, "6.12.1", ""),
            check("fq", State::Fail, "not available", "modprobe sch_fq"),
        ];
        assert_eq!(
            text(&checks),
            "ok    kernel  6.12.1\nFAIL  fq      not available\n              modprobe sch_fq\n"
        );
    }
}
