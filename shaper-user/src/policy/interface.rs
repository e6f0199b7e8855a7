//! Interfaces of the configuration, by name or pattern.

/// One `[interface.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// A name, or a pattern with `*` and `?`.
    pub pattern: String,
    /// Bytes each packet takes on the wire beyond what the kernel counts.
    pub overhead: u32,
    /// What happens to a packet that is too early.
    pub enforcement: Enforcement,
}

/// What happens to a packet that is too early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Enforcement {
    /// `fq` holds it.
    #[default]
    Pace,
    /// It is dropped, where `fq` cannot be had.
    Police,
}

impl Enforcement {
    /// As in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pace => "pace",
            Self::Police => "police",
        }
    }
}

/// Longest name the kernel takes.
const MAX_NAME_LEN: usize = 15;

impl Interface {
    /// Whether `text` can be a name or a pattern.
    pub(super) fn is_pattern(text: &str) -> bool {
        let is_name_char = |c: char| !c.is_whitespace() && !c.is_control() && c != '/' && c != ':';
        !text.is_empty()
            && text.len() <= MAX_NAME_LEN
            && text.chars().all(is_name_char)
            && !matches!(text, "." | "..")
    }

    /// Its name, if it is not a pattern.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        (!self.pattern.contains(['*', '?'])).then_some(&self.pattern)
    }

    /// Whether it is meant for the interface `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(self.pattern.as_bytes(), name.as_bytes())
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|taken| matches(rest, &name[taken..])),
        ([b'?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        ([wanted, rest @ ..], [byte, name @ ..]) => wanted == byte && matches(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(pattern: &str, name: &str) -> bool {
        Interface {
            pattern: pattern.to_owned(),
            overhead: 0,
            enforcement: Enforcement::Pace,
        }
        .matches(name)
    }

    #[test]
    fn a_pattern_stands_for_names() {
        assert!(is_match("eth0", "eth0") && !is_match("eth0", "eth01") && !is_match("eth0", "eth"));
        assert!(is_match("bond*", "bond") && is_match("bond*", "bond0.12") && !is_match("bond*", "xbond0"));
        assert!(is_match("eth?", "eth9") && !is_match("eth?", "eth") && is_match("*", "lo"));
    }

    #[test]
    fn a_name_the_kernel_refuses_is_no_pattern() {
        for text in ["", "a b", "a/b", "..", "sixteen-letters-", "a:1", "a\n"] {
            assert!(!Interface::is_pattern(text), "{text:?}");
        }
        assert!(Interface::is_pattern("fifteen-letters"));
    }
}
