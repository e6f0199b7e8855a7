//! What the plain reader reads is what the general parser reads.

use proptest::prelude::*;

use super::super::document::Document;
use super::*;

/// What is read, with every place; `None` if it is left to the general parser.
fn plain(text: &str) -> Option<String> {
    let (head, rules) = rules(text)?;
    toml::from_str::<Document>(head)
        .ok()
        .filter(|head| head.rule.is_none())?;
    Some(format!("{rules:?}"))
}

fn general(text: &str) -> Option<String> {
    let document: Document = toml::from_str(text).ok()?;
    Some(format!("{:?}", document.rule.unwrap_or_default()))
}

#[test]
fn what_nearly_every_file_says_is_read_with_its_places() {
    let text = "# limits\n[interface.eth0]\n\n[[rule]]\nname = \"heavy\"\n  destination=\"203.0.113.7\"\t\nrate = '20mbit'\n\
         # for a while\nexpires = 2026-12-31T23:00:00Z\n\n[[rule]]\ndestination = \"any\"\nrate = \"1gbit\"\n\
         comment = \"# ü = 'x'\"";
    let read = plain(text);
    assert!(read.is_some());
    assert_eq!(read, general(text));
}

#[test]
fn what_is_written_in_another_way_is_left_to_the_general_parser() {
    let rule = "[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\n";
    assert!(plain(rule).is_some());
    for more in [
        "comment = \"a \\\"b\\\"\"\n",
        "comment = \"\"\"\n\"\"\"\n",
        "comment = \"a\" # b\n",
        "comment = \"a\u{7f}\"\n",
        "\"comment\" = \"a\"\n",
        "rate = \"2mbit\"\n",
        "rule.x = 1\n",
        "expires = \"tomorrow\"\n",
        "[defaults]\nburst = \"1ms\"\n",
        "[[rule]]\nrate = \"1mbit\"\n",
        "# \u{1}\n",
        "\r\n",
        "rate\n",
    ] {
        assert_eq!(plain(&format!("{rule}{more}")), None, "{more}");
    }
    for head in ["rule = []\n", "comment = '''\n", "x = 1\n"] {
        assert_eq!(plain(&format!("{head}{rule}")), None, "{head}");
    }
}

/// A line that is nearly right, or is.
fn any_line() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec!["destination", "rate", "name", "comment", "expires", "rat"]);
    let value = prop::sample::select(vec![
        "\"any\"",
        "'any'",
        "\"\"",
        "\"a\\tb\"",
        "'a\\b'",
        "\"\"\"a\"\"\"",
        "\"a\"b\"",
        "1",
        "2026-12-31",
        "2026-12-31T23:00:00Z",
        "\"ü\"",
        "\"a\" # b",
        "'\"'",
        "\"'\"",
        "\"\t\"",
        "",
    ]);
    let blank = prop::sample::select(vec!["", " ", "\t", "  "]);
    let pair = (blank.clone(), key, blank.clone(), value, blank)
        .prop_map(|(a, key, b, value, c)| format!("{a}{key}{b}={b}{value}{c}\n"));
    let whole = "[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\n".to_owned();
    prop_oneof![
        4 => Just(whole),
        4 => pair,
        1 => prop::sample::select(vec!["\n", "# x\n", "[[rule]]\n", " [[rule]]\n", "[group.g]\nrate = \"1mbit\"\n", "'''\n"])
            .prop_map(str::to_owned),
    ]
}

#[test]
fn what_is_written_is_read_again_whatever_it_holds() {
    use super::super::{moment, rare, text};
    for comment in [
        "",
        "ü # x",
        "a \"b\"",
        "a\\b",
        "two\nlines",
        "\u{1}\u{7f}\t'\"\"\"",
    ] {
        let mut rule = RuleConfig::read(text("any"), text("1mbit"), Source::Config);
        rule.comment = Some(comment.to_owned());
        rule.expires = Some(Box::new(moment("2026-12-31T23:00:00Z").unwrap()));
        rule.group = Some(rare("g"));
        let text = text_of([&rule, &rule]);
        let document: Document = toml::from_str(&text).unwrap();
        let read = document.rule.unwrap();
        assert_eq!(
            (read.len(), read[1].comment.as_deref()),
            (2, Some(comment)),
            "{text}"
        );
        assert_eq!(text_of(&read), text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_the_general_parser_reads(lines in prop::collection::vec(any_line(), 0..8)) {
        let text = lines.concat();
        if let Some(read) = plain(&text) {
            prop_assert_eq!(Some(read), general(&text), "{}", text);
        }
    }
}
