//! What is hostile about a configuration, kind by kind, made from a seed.

mod contradictions;
mod words;

use std::fmt::Write;

use contradictions::contradictory;
use words::{HEADERS, KEYS, VALUES};

/// A small generator of our own, so that the same seed makes the same configurations everywhere.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Xorshift64*, by Sebastiano Vigna.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())]
    }
}

/// Sections, keys and values that exist, mostly in places where they make no sense.
fn mixed(dice: &mut Dice) -> String {
    let mut text = String::new();
    for _ in 0..=dice.roll(6) {
        let _ = writeln!(text, "{}", dice.pick(&HEADERS));
        if dice.roll(3) > 0 {
            text += "destination = \"any\"\nrate = \"1mbit\"\n";
        }
        for _ in 0..dice.roll(5) {
            let _ = writeln!(text, "{} = {}", dice.pick(&KEYS), dice.pick(&VALUES));
        }
    }
    text
}

/// A valid configuration with everything that can be said.
pub(super) const SOUND: &str = "[interface.eth0]\noverhead = 24\n[defaults]\nburst = \"10ms\"\nmax_clients = 1000\n\
    [exempt]\nprefixes = [\"10.0.0.0/8\"]\n[service.x]\nports = [\"tcp:7-9\"]\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\nname = \"a\"\ndestination = \"203.0.113.0/24\"\nservice = \"x\"\nper = \"client\"\nrate = \"20mbit\"\n\
    group = \"g\"\nburst = \"5kB\"\nhorizon = \"1s\"\necn = \"off\"\nexpires = 2099-12-31T23:00:00Z\ncomment = \"ü\"\n\
    [[rule]]\ndestination = \"any\"\nrate = \"block\"\n";

/// The sound one with other rates and a few rules more.
fn sound(dice: &mut Dice) -> String {
    let mut text = SOUND.replace("20mbit", &format!("{}kbit", 8 + dice.roll(1_000_000)));
    for n in 0..dice.roll(4) {
        let (destination, rate) = (somebody(dice, n), 1 + dice.roll(1_000));
        let _ = write!(
            text,
            "[[rule]]\ndestination = \"{destination}\"\nrate = \"{rate}mbit\"\n"
        );
    }
    text
}

/// An address that is in no other rule, if `n` is not.
fn somebody(dice: &mut Dice, n: usize) -> String {
    format!("100.{}.{}.{n}", dice.roll(256), dice.roll(256))
}

/// What is hostile about a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Mixed,
    Truncated,
    Damaged,
    NotText,
    WrongType,
    Duplicate,
    Contradictory,
    Deep,
    Huge,
}

pub(super) const KINDS: [Kind; 9] = [
    Kind::Mixed,
    Kind::Truncated,
    Kind::Damaged,
    Kind::NotText,
    Kind::WrongType,
    Kind::Duplicate,
    Kind::Contradictory,
    Kind::Deep,
    Kind::Huge,
];

impl Kind {
    pub(super) fn make(self, dice: &mut Dice) -> Vec<u8> {
        match self {
            Self::Mixed => mixed(dice).into_bytes(),
            Self::Truncated => {
                let mut bytes = sound(dice).into_bytes();
                bytes.truncate(dice.roll(bytes.len()));
                bytes
            }
            Self::Damaged => damaged(dice),
            Self::NotText => not_text(dice),
            Self::WrongType => wrong_type(dice).into_bytes(),
            Self::Duplicate => duplicate(dice).into_bytes(),
            Self::Contradictory => contradictory(dice).into_bytes(),
            Self::Deep => deep(dice).into_bytes(),
            Self::Huge => huge(dice).into_bytes(),
        }
    }

    /// Whether nothing of the kind can be valid.
    pub(super) fn is_always_refused(self) -> bool {
        matches!(
            self,
            Self::NotText | Self::WrongType | Self::Duplicate | Self::Contradictory | Self::Deep
        )
    }
}

/// The sound one with bytes replaced, doubled or swapped.
fn damaged(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = sound(dice).into_bytes();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match dice.roll(5) {
            0 => bytes.truncate(at),
            1 if !bytes.is_empty() => bytes[at] = u8::try_from(dice.roll(256)).unwrap(),
            2 => {
                let part = bytes[at..].to_vec();
                bytes.extend(part);
            }
            3 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => {
                let junk = dice.pick(&["[", "]", "\"", "=", "\n", "#", "{", "'''", "\0", "\u{feff}"]);
                bytes.splice(at..at, junk.bytes()).for_each(drop);
            }
        }
    }
    bytes
}

/// The sound one with bytes in it that are no UTF-8.
fn not_text(dice: &mut Dice) -> Vec<u8> {
    let mut bytes = sound(dice).into_bytes();
    let at = dice.roll(bytes.len());
    let junk: &[u8] = dice.pick(&[&b"\xff\xfe"[..], b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf5"]);
    bytes.splice(at..at, junk.iter().copied()).for_each(drop);
    bytes
}

/// The sound one with the value of a key replaced by one of another type.
fn wrong_type(dice: &mut Dice) -> String {
    let sound = sound(dice);
    let n_values = sound.matches(" = ").count();
    let chosen = dice.roll(n_values);
    let mut seen = 0;
    let mut text = String::new();
    for line in sound.lines() {
        let Some((key, value)) = line.split_once(" = ") else {
            let _ = writeln!(text, "{line}");
            continue;
        };
        let value = if seen == chosen {
            dice.pick(&["true", "1.5", "{ a = 1 }", "[[]]", "23:59:59"])
        } else {
            value
        };
        seen += 1;
        let _ = writeln!(text, "{key} = {value}");
    }
    text
}

/// Something of the sound one a second time.
fn duplicate(dice: &mut Dice) -> String {
    let more = [
        "[interface.eth0]\n",
        "[defaults]\n",
        "[exempt]\n",
        "[service.x]\nports = [\"tcp:1\"]\n",
        "[group.g]\nrate = \"1gbit\"\n",
        "[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\n",
        "[[rule]]\nname = \"a\"\ndestination = \"10.1.1.1\"\nrate = \"1mbit\"\n",
        "[[rule]]\ndestination = \"203.0.113.0/24\"\nservice = \"x\"\nrate = \"1mbit\"\n",
        "[[rule]]\ndestination = \"1.2.3.4\"\ndestination = \"1.2.3.5\"\nrate = \"1mbit\"\n",
    ];
    // Other rules between the first and the second, so that it is not the last line that is always wrong.
    let n_between = dice.roll(50);
    let between =
        (0..n_between).map(|n| format!("[[rule]]\ndestination = \"10.0.0.{n}\"\nrate = \"1mbit\"\n"));
    format!(
        "{}{}{}",
        sound(dice),
        between.collect::<String>(),
        dice.pick(&more)
    )
}

const SIZES: [usize; 3] = [10, 1_000, 20_000];

fn deep(dice: &mut Dice) -> String {
    let n = dice.pick(&SIZES) + dice.roll(500);
    match dice.roll(3) {
        0 => format!("x = {}{}", "[".repeat(n), "]".repeat(n)),
        1 => format!("x = {}", "{a=".repeat(n)),
        _ => format!("[{}]", "a.".repeat(n) + "a"),
    }
}

fn huge(dice: &mut Dice) -> String {
    let n = dice.pick(&SIZES) + dice.roll(500);
    match dice.roll(6) {
        0 => format!(
            "[[rule]]\ndestination = \"{}\"\nrate = \"1mbit\"\n",
            "9".repeat(n)
        ),
        1 => format!(
            "[[rule]]\ndestination = \"any\"\nrate = \"{}mbit\"\n",
            "9".repeat(n)
        ),
        2 => format!("[exempt]\nprefixes = [{}]\n", "\"::/0\",".repeat(n)),
        3 => "[[rule]]\ndestination = \"any\"\nrate = \"1mbit\"\n".repeat(n / 10),
        4 => format!("[service.x]\nports = [{}]\n", "\"tcp:1-65535\",".repeat(n)),
        _ => format!(
            "[[rule]]\nname = \"{}\"\ndestination = \"any\"\nrate = \"1mbit\"\n",
            "ä".repeat(n)
        ),
    }
}
