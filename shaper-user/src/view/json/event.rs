//! An event as one line of JSON.

use serde::Serialize;

use super::{Head, to_line};
use crate::view::event::Event;

#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    head: &'a Head,
    event: &'static str,
    interface: Option<&'a str>,
    rule: Option<&'a str>,
    destination: Option<&'a str>,
    message: &'a str,
    remedy: Option<&'a str>,
}

/// `event` on one line.
#[must_use]
pub fn event(head: &Head, event: &Event) -> String {
    to_line(&Line {
        head,
        event: event.kind.name(),
        interface: event.interface.as_deref(),
        rule: event.rule.as_deref(),
        destination: event.destination.as_deref(),
        message: &event.what,
        remedy: Some(event.remedy.as_str()).filter(|remedy| !remedy.is_empty()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::event::Kind;

    #[test]
    fn every_key_is_there_whatever_happened() {
        let line = event(&Head::new(0), &Event::new(Kind::Lost, "a \"b\"", "").on("eth0"));
        let end = r#""event":"lost","interface":"eth0","rule":null,"destination":null,"message":"a \"b\"","remedy":null}"#;
        assert!(line.ends_with(end), "{line}");
    }
}
