//! From an error to what the operator sees: a message, a remedy, an exit code.

use std::ffi::OsString;
use std::io::Write;

use super::Context;
use crate::config::ConfigError;
use crate::dataplane::DataplaneError;
use crate::policy::{PolicyError, Problems};
use crate::store::StoreError;
use crate::view::json;

/// Why a command cannot do what was asked, where no other module says so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Failure {
    /// What was typed makes no sense.
    #[error("{message}")]
    Usage {
        /// What is wrong with it.
        message: String,
        /// How to write it.
        hint: Option<String>,
    },
    /// There is nothing to take away or to show.
    #[error("{what} {selector}")]
    NoSuchRule {
        /// What there is not.
        what: &'static str,
        /// Which rule was asked for.
        selector: String,
        /// Where one is.
        hint: Option<String>,
    },
    /// Another change waits to be confirmed.
    #[error("a change on trial waits for another {secs} s to be confirmed")]
    OnTrial {
        /// Until it is taken back.
        secs: u64,
    },
    /// What was found differs from what was asked for, or is degraded.
    #[error("{message}")]
    Differs {
        /// What differs.
        message: String,
    },
}

impl From<PolicyError> for Failure {
    /// For what was typed, and stands in no file.
    fn from(error: PolicyError) -> Self {
        Self::Usage {
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

/// Exit codes, as the manual lists them.
mod exit {
    pub(super) const REFUSED: u8 = 1;
    pub(super) const USAGE: u8 = 2;
    pub(super) const CONFIG: u8 = 3;
    pub(super) const NO_SUCH_RULE: u8 = 4;
    pub(super) const PRIVILEGE: u8 = 5;
    pub(super) const NOT_UP: u8 = 6;
    pub(super) const DIFFERS: u8 = 7;
}

/// What is known of an error besides its message.
struct Diagnosis {
    exit: u8,
    code: &'static str,
    hint: Option<String>,
}

impl Diagnosis {
    fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self {
            exit: exit::REFUSED,
            code: "failed",
            hint: None,
        })
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(Self::of_failure(failure));
        }
        if let Some(error) = cause.downcast_ref::<DataplaneError>() {
            let exit = match error.code() {
                "not_up" => exit::NOT_UP,
                "privilege" => exit::PRIVILEGE,
                _ => exit::REFUSED,
            };
            return Some(Self {
                exit,
                code: error.code(),
                hint: error.hint(),
            });
        }
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            let exit = match error.code() {
                "privilege" => exit::PRIVILEGE,
                _ => exit::REFUSED,
            };
            return Some(Self {
                exit,
                code: error.code(),
                hint: error.hint(),
            });
        }
        if let Some(error) = cause.downcast_ref::<ConfigError>() {
            let exit = if error.code() == "privilege" {
                exit::PRIVILEGE
            } else {
                exit::CONFIG
            };
            return Some(Self {
                exit,
                code: error.code(),
                hint: error.hint(),
            });
        }
        let problems = cause.downcast_ref::<Problems>()?;
        let hint = problems.0.iter().find_map(|problem| problem.error.hint());
        Some(Self {
            exit: exit::USAGE,
            code: "usage",
            hint,
        })
    }

    fn of_failure(failure: &Failure) -> Self {
        match failure {
            Failure::Usage { hint, .. } => Self {
                exit: exit::USAGE,
                code: "usage",
                hint: hint.clone(),
            },
            Failure::NoSuchRule { hint, .. } => Self {
                exit: exit::NO_SUCH_RULE,
                code: "no_such_rule",
                hint: hint.clone(),
            },
            Failure::OnTrial { .. } => Self {
                exit: exit::REFUSED,
                code: "on_trial",
                hint: Some("`shaper confirm` keeps it; else wait".to_owned()),
            },
            Failure::Differs { .. } => Self {
                exit: exit::DIFFERS,
                code: "differs",
                hint: None,
            },
        }
    }
}

/// What to do about `error`, if anything is known.
pub(super) fn hint(error: &anyhow::Error) -> Option<String> {
    Diagnosis::of(error).hint
}

/// Writes `error` to standard error; the exit code.
pub(super) fn report(error: &anyhow::Error, context: &Context) -> u8 {
    if is_closed_pipe(error) {
        return 0;
    }
    let diagnosis = Diagnosis::of(error);
    let mut stderr = std::io::stderr().lock();
    // Nothing can be done about a standard error that is closed.
    let _ = if context.format.is_json() {
        let text = json::error(diagnosis.code, &format!("{error:#}"), diagnosis.hint.as_deref());
        writeln!(stderr, "{text}")
    } else {
        // What was typed may hold escape sequences.
        let message = format!("{error:#}").replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
        let hint = diagnosis.hint.as_ref().map(|hint| format!("\n  {hint}"));
        writeln!(stderr, "shaper: {message}{}", hint.unwrap_or_default())
    };
    diagnosis.exit
}

/// Whether whoever read our output went away: `shaper list | head` is no failure.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}

/// Writes what clap says of a command line; the exit code.
pub(super) fn usage(error: &clap::Error, args: &[OsString]) -> u8 {
    if !error.use_stderr() {
        let _ = error.print();
        return 0;
    }
    if wants_json(args) {
        let text = error.to_string();
        let message = text
            .trim_start_matches("error: ")
            .lines()
            .next()
            .unwrap_or_default();
        let line = json::error("usage", message, Some("see `shaper --help`"));
        let _ = writeln!(std::io::stderr(), "{line}");
    } else {
        let _ = error.print();
    }
    exit::USAGE
}

/// Whether a command line that cannot be parsed asks for JSON.
fn wants_json(args: &[OsString]) -> bool {
    let args: Vec<_> = args.iter().filter_map(|arg| arg.to_str()).collect();
    let is_json = |value: &str| matches!(value, "json" | "jsonl");
    args.windows(2)
        .any(|pair| matches!(pair[0], "-o" | "--output") && is_json(pair[1]))
        || args.iter().any(|arg| {
            arg.strip_prefix("--output=")
                .or_else(|| arg.strip_prefix("-o"))
                .is_some_and(is_json)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn json_is_asked_for_in_every_way_clap_takes() {
        for text in [
            "shaper -o json x",
            "shaper -ojson x",
            "shaper --output json",
            "shaper --output=jsonl",
        ] {
            assert!(wants_json(&args(text)), "{text}");
        }
        for text in ["shaper -o table", "shaper json", "shaper -c json"] {
            assert!(!wants_json(&args(text)), "{text}");
        }
    }

    #[test]
    fn what_is_not_up_or_not_permitted_has_an_exit_code_of_its_own() {
        let not_up = anyhow::Error::from(DataplaneError::NotUp).context("while setting");
        assert_eq!(Diagnosis::of(&not_up).exit, exit::NOT_UP);
        let action = "list the pins".to_owned();
        let refused = anyhow::Error::from(DataplaneError::Privilege { action });
        assert_eq!(Diagnosis::of(&refused).exit, exit::PRIVILEGE);
        let no_rule = anyhow::Error::from(Failure::NoSuchRule {
            what: "no rule",
            selector: "x".to_owned(),
            hint: None,
        });
        assert_eq!(Diagnosis::of(&no_rule).exit, exit::NO_SUCH_RULE);
    }
}
