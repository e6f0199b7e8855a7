//! What is wrong with a file is said in the operator's words.

use super::*;

fn error(text: &str) -> String {
    Config::parse(Path::new("x.toml"), text.to_owned())
        .unwrap_err()
        .to_string()
}

#[test]
fn an_empty_configuration_is_one() {
    let config = Config::parse(Path::new("x.toml"), String::new()).unwrap();
    assert!(config.rules.is_empty() && config.interfaces.is_empty());
}

#[test]
fn an_unknown_key_is_refused_with_the_one_that_was_meant() {
    assert_eq!(
        error("[[rule]]\ndestination = \"any\"\nrat = \"1mbit\"\n"),
        "x.toml:3:1: unknown key `rat`\n\
         3 | rat = \"1mbit\"\n  \
           | ^^^ did you mean `rate`?"
    );
}

#[test]
fn a_missing_key_is_named() {
    assert_eq!(
        error("[[rule]]\nrate = \"1mbit\"\n"),
        "x.toml:1:1: the key `destination` is missing\n1 | [[rule]]\n  | ^^^^^^^^"
    );
}

#[test]
fn a_number_for_a_rate_is_refused_with_an_example() {
    assert_eq!(
        error("[[rule]]\ndestination = \"any\"\nrate = 20\n"),
        "x.toml:3:8: invalid type: integer `20`, expected a string\n\
         3 | rate = 20\n  \
           |        ^^ write it as a text in quotes, for example \"20mbit\""
    );
}

#[test]
fn a_text_for_a_number_is_refused_with_an_example() {
    assert_eq!(
        error("[interface.eth0]\noverhead = \"24\"\n"),
        "x.toml:2:12: invalid type: string \"24\", expected a whole number\n\
         2 | overhead = \"24\"\n  \
           |            ^^^^ write it without quotes, for example 24"
    );
}

#[test]
fn a_section_of_a_later_version_says_so() {
    assert_eq!(
        error("[metrics]\nlisten = \"127.0.0.1:9797\"\n"),
        "x.toml:1:1: [metrics] is not supported yet by this version\n\
         1 | [metrics]\n  \
           | ^^^^^^^^^ take it out"
    );
}

#[test]
fn a_deadline_in_quotes_is_refused_with_how_to_write_it() {
    let error = error("[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\nexpires = \"tomorrow\"\n");
    assert!(error.starts_with("x.toml:4:11: "), "{error}");
    assert!(
        error.ends_with("write a date, a time and a zone, without quotes: 2026-12-31T23:00:00Z"),
        "{error}"
    );
}

#[test]
fn sections_of_the_main_file_are_refused_in_rules_d() {
    let mut config = Config::default();
    let text = "[defaults]\nburst = \"1ms\"\n".to_owned();
    let error = config
        .add_rules(Path::new("y.toml"), text)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("y.toml:1:1: [defaults] belongs into the main file"),
        "{error}"
    );
}

#[test]
fn words_that_are_far_apart_are_not_suggested() {
    assert_eq!(distance("rate", "rate"), 0);
    assert_eq!(distance("rat", "rate"), 1);
    assert_eq!(distance("", "rate"), 4);
    assert_eq!(suggestion("colour", &["rate", "name"]), "known here: rate, name");
}

/// Every key that may stand under `head`, as the parser lists them for one that may not.
fn known_keys(head: &str) -> Vec<String> {
    let error = toml::from_str::<Document>(&format!("{head}\nno-key = 1\n")).unwrap_err();
    let listed = error
        .message()
        .split_once("expected")
        .expect("others are named")
        .1;
    let names = listed.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

#[test]
fn every_key_is_in_the_manual_and_in_the_example() {
    let manual = include_str!("../../../packaging/man/shaper.toml.5");
    let example = include_str!("../../../packaging/shaper.toml");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (_, manual) = manual.split_once(".SH SECTIONS").unwrap();
    let mut n_keys = 0;
    for (head, title) in [
        ("", ""),
        ("[interface.x]", ".BI [interface."),
        ("[defaults]", ".B [defaults]"),
        ("[exempt]", ".B [exempt]"),
        ("[service.x]", ".BI [service."),
        ("[group.x]", ".BI [group."),
        ("[[rule]]", ".B [[rule]]"),
    ] {
        let begin = manual
            .find(title)
            .unwrap_or_else(|| panic!("{head} is not in the manual"));
        let section = &manual[begin + title.len()..];
        // One section is described behind the other; all of them are keys of the file itself.
        let next = ["\n.BI [", "\n.B ["]
            .iter()
            .filter_map(|next| section.find(next))
            .min();
        let section = if head.is_empty() {
            manual
        } else {
            &section[..next.unwrap_or(section.len())]
        };
        for key in known_keys(head).iter().filter(|key| *key != "metrics") {
            n_keys += 1;
            assert!(
                section.split(|c| !is_word(c)).any(|word| word == key),
                "{head} {key}: not in the manual"
            );
            assert!(
                example.split(|c| !is_word(c)).any(|word| word == key),
                "{head} {key}: not in the example"
            );
        }
    }
    assert_eq!(n_keys, 6 + 2 + 4 + 1 + 1 + 5 + 11);
}
