//! Groups: a limit that rules share, on top of each one's own.

use super::rule::RuleLimit;

/// One `[group.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What rules refer to.
    pub name: String,
    /// How fast all its rules together.
    pub limit: RuleLimit,
}
