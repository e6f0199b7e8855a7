//! Words of tc, iptables and ip: what they say, and which of them say nothing that shaper does.

/// Options of HTB classes that shaper has nothing for, and what becomes of what they were for.
pub(super) const WITHOUT_COUNTERPART: [(&str, &str); 7] = [
    ("prio", "no client is served before another"),
    ("quantum", "no client borrows what others leave"),
    ("cburst", "the burst is the only one"),
    ("mtu", "packets of any size are counted"),
    ("mpu", "no packet counts for more than it has"),
    ("overhead", "write it into [interface.NAME], once for all"),
    (
        "linklayer",
        "cells are not counted; an `overhead` in [interface.NAME] comes near",
    ),
];

/// Words of `iptables` on lines that change nothing of what is sent how fast.
pub(super) const NEEDLESS: [&str; 12] = [
    "--restore-mark",
    "--save-mark",
    "-F",
    "--flush",
    "-X",
    "--delete-chain",
    "-N",
    "--new-chain",
    "-D",
    "--delete",
    "-Z",
    "--zero",
];

/// Whether `ip` with these words only shows something.
pub(super) fn shows(words: &[String]) -> bool {
    let mut words = words.iter().filter(|word| !word.starts_with('-'));
    let verb = words.nth(1).map(String::as_str);
    matches!(verb, None | Some("show" | "list" | "ls" | "get"))
}

pub(super) fn value<'a>(words: &[&'a str], key: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == key)?;
    words.get(at + 1).copied()
}

/// tc's numbers of classes are hexadecimal, and `:10` is short for `1:10`.
pub(super) fn class_id(text: &str) -> String {
    let (major, minor) = text.split_once(':').unwrap_or(("1", text));
    let major = if major.is_empty() { "1" } else { major };
    let part = |text: &str| text.trim_start_matches('0').to_ascii_lowercase();
    format!("{}:{}", part(major), part(minor))
}

pub(super) fn number(text: &str) -> Option<u32> {
    let text = text.split('/').next().unwrap_or(text);
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
