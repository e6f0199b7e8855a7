//! A shell script as commands of words: comments, continued lines, quotes and plain variables. Nothing is run. Where a
//! command writes to is left out if it is to another descriptor or to nowhere, and is words of it otherwise.

use std::collections::HashMap;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    /// Line that it begins on, from one.
    pub(super) line: usize,
    /// Its words.
    pub(super) words: Vec<String>,
}

/// Takes a script apart.
pub(super) fn commands(text: &str) -> Vec<Command> {
    let mut variables: HashMap<String, String> = HashMap::new();
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let mut line = first.trim_end().to_owned();
        while line.ends_with('\\') {
            line.pop();
            let Some((_, next)) = lines.next() else { break };
            line.push(' ');
            line.push_str(next.trim_end());
        }
        for words in split(&line).into_iter().map(without_silence) {
            let words: Vec<String> = words
                .into_iter()
                .map(|(word, is_literal)| {
                    if is_literal {
                        word
                    } else {
                        expand(&word, &variables)
                    }
                })
                .collect();
            if let [assignment] = words.as_slice()
                && let Some((name, value)) = assigned(assignment)
            {
                variables.insert(name.to_owned(), value.to_owned());
                continue;
            }
            // A variable that holds a command and its options is several words.
            let words: Vec<String> = match words.split_first() {
                Some((first, rest)) => first
                    .split_whitespace()
                    .map(str::to_owned)
                    .chain(rest.iter().cloned())
                    .collect(),
                None => continue,
            };
            found.push(Command {
                line: index + 1,
                words,
            });
        }
    }
    found
}

fn assigned(word: &str) -> Option<(&str, &str)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some((name, value))
}

/// The commands of a line: words, each with whether it stood in single quotes.
fn split(line: &str) -> Vec<Vec<(String, bool)>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut has_word, mut is_literal) = (String::new(), false, false);
    let mut quote = None;
    let mut end = |word: &mut String, has_word: &mut bool, is_literal: &mut bool, is_command: bool| {
        if std::mem::take(has_word)
            && let Some(command) = commands.last_mut()
        {
            command.push((std::mem::take(word), std::mem::take(is_literal)));
        }
        if is_command {
            commands.push(Vec::new());
        }
    };
    let mut before = ' ';
    for c in line.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            (c, Some(_)) => word.push(c),
            ('\'' | '"', None) => {
                quote = Some(c);
                has_word = true;
                is_literal |= c == '\'';
            }
            ('#', None) if !has_word => break,
            ('&', None) if before == '>' => word.push(c),
            (';' | '&' | '|', None) => end(&mut word, &mut has_word, &mut is_literal, true),
            (c, None) if c.is_whitespace() => end(&mut word, &mut has_word, &mut is_literal, false),
            (c, None) => {
                word.push(c);
                has_word = true;
            }
        }
        before = c;
    }
    end(&mut word, &mut has_word, &mut is_literal, false);
    commands.retain(|words| !words.is_empty());
    commands
}

/// Without `2>/dev/null`, `>&2` and the like.
fn without_silence(words: Vec<(String, bool)>) -> Vec<(String, bool)> {
    let mut kept = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some((word, is_literal)) = words.next() {
        let target = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix('>');
        match target.map(|target| target.trim_start_matches('>')) {
            Some("") if words.next_if(|(next, _)| next == "/dev/null").is_some() => {}
            Some(target) if target == "/dev/null" || target.starts_with('&') => {}
            _ => kept.push((word, is_literal)),
        }
    }
    kept
}

/// `$NAME` and `${NAME}` replaced; what is not known stays as it is, and is named later by whoever reads the word.
fn expand(word: &str, variables: &HashMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        text.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, next) = braced.unwrap_or_else(|| {
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            after.split_at(end)
        });
        match variables.get(name) {
            Some(value) => text.push_str(value),
            None => text.push_str(&rest[at..rest.len() - next.len()]),
        }
        rest = next;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        commands(text).into_iter().map(|command| command.words).collect()
    }

    #[test]
    fn a_script_is_commands_of_words() {
        assert_eq!(
            words(
                "#!/bin/sh\nTC=\"/sbin/tc -s\"\nDEV=eth0 # the uplink\n$TC qdisc add \\\n  dev ${DEV} root; ip link\n"
            ),
            [
                vec!["/sbin/tc", "-s", "qdisc", "add", "dev", "eth0", "root"],
                vec!["ip", "link"]
            ]
        );
    }

    #[test]
    fn quotes_keep_blanks_and_single_ones_keep_dollars() {
        assert_eq!(words("A=1\necho \"$A b\" '$A' $B"), [["echo", "1 b", "$A", "$B"]]);
    }

    #[test]
    fn what_goes_nowhere_is_left_out_and_what_is_written_stays() {
        assert_eq!(
            words("tc a 2>/dev/null >&2\ntc b > /dev/null 2>&1 || exit 1\necho 1 > /proc/x & tc c\n"),
            [
                vec!["tc", "a"],
                vec!["tc", "b"],
                vec!["exit", "1"],
                vec!["echo", "1", ">", "/proc/x"],
                vec!["tc", "c"]
            ]
        );
    }

    #[test]
    fn a_command_begins_on_its_first_line() {
        let lines: Vec<usize> = commands("a \\\n b\n\nc && d\n")
            .iter()
            .map(|command| command.line)
            .collect();
        assert_eq!(lines, [1, 4, 4]);
    }
}
