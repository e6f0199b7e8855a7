//! A shell script as commands of words: comments, continued lines, quotes and plain variables. Nothing is run.

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
        for words in split(&line) {
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
            (';' | '&' | '|', None) => end(&mut word, &mut has_word, &mut is_literal, true),
            (c, None) if c.is_whitespace() => end(&mut word, &mut has_word, &mut is_literal, false),
            (c, None) => {
                word.push(c);
                has_word = true;
            }
        }
    }
    end(&mut word, &mut has_word, &mut is_literal, false);
    commands.retain(|words| !words.is_empty());
    commands
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
    fn a_command_begins_on_its_first_line() {
        let lines: Vec<usize> = commands("a \\\n b\n\nc && d\n")
            .iter()
            .map(|command| command.line)
            .collect();
        assert_eq!(lines, [1, 4, 4]);
    }
}
