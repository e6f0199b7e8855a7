//! Rules of which one part excludes another.

use std::fmt::Write;

use super::{Dice, somebody, sound};

/// The sound one, and up to three rules of which one part excludes another.
pub(super) fn contradictory(dice: &mut Dice) -> String {
    let mut text = sound(dice);
    for n in 0..=dice.roll(3) {
        let _ = writeln!(text, "[[rule]]\n{}", contradiction(dice, 100 + n));
        if dice.roll(2) > 0 {
            let _ = writeln!(text, "comment = \"{}\"", dice.roll(1_000));
        }
    }
    text
}

/// The keys of a rule of which one part excludes another, or one of the sound configuration.
fn contradiction(dice: &mut Dice, n: usize) -> String {
    let of = |destination: &str, rest: &str| format!("destination = \"{destination}\"\n{rest}");
    let limited = |destination: &str, rest: &str| of(destination, &format!("rate = \"1mbit\"\n{rest}"));
    let somebody = somebody(dice, n);
    let number = dice.roll(1_000);
    match dice.roll(6) {
        0 => {
            let rate = dice.pick(&["block", "unlimited"]);
            let pointless = dice.pick(&[
                "burst = \"5kB\"",
                "horizon = \"1s\"",
                "ecn = \"off\"",
                "per = \"ip\"",
                "group = \"g\"",
            ]);
            of(&somebody, &format!("rate = \"{rate}\"\n{pointless}"))
        }
        1 => {
            let missing = dice.pick(&["group", "service"]);
            limited(&somebody, &format!("{missing} = \"nobody-{number}\""))
        }
        2 => {
            let beyond = dice.pick(&[
                "horizon = \"NNs\"",
                "burst = \"1NNTB\"",
                "burst = \"NNGB\"",
                "ecn = \"NNbit\"",
                "per = \"/9NN\"",
            ]);
            limited(&somebody, &beyond.replace("NN", &(31 + number).to_string()))
        }
        // Host bits, or wider than what is to be told apart in it.
        3 => {
            let len = 8 + dice.roll(16);
            let per = format!("per = \"/{}\"", 1 + dice.roll(7));
            if dice.roll(2) > 0 {
                limited(&format!("100.64.{}.1/{len}", number % 256), "")
            } else {
                limited(&format!("100.0.0.0/{len}"), &per)
            }
        }
        4 => {
            let never = dice.pick(&[
                "224.0.N.1",
                "127.0.N.1",
                "169.254.N.0/24",
                "0.0.N.1",
                "ff02::N",
                "fe80::N",
                "::ffff:10.0.0.N",
            ]);
            limited(&never.replace('N', &(number % 256).to_string()), "")
        }
        // Ports or a name of another rule.
        _ => match dice.roll(2) {
            0 => limited(
                "203.0.113.0/24",
                &format!("service = \"tcp:{}-{}\"", 1 + dice.roll(9), 9 + number),
            ),
            _ => limited(&somebody, "name = \"a\""),
        },
    }
}
