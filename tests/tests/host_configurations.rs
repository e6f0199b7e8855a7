//! Hostile configurations, given to the program while a policy runs: whatever it refuses has changed nothing, in the kernel
//! or in its files. The same are made by the same seed for the unit tests of the policy. Needs root.

#[path = "../../shaper-user/src/policy/tests/hostile/make/mod.rs"]
mod make;

use make::{Dice, KINDS};
use shaper_tests::server::Server;
use shaper_tests::visible::Eye;
use shaper_user::paths::Paths;

const CONFIG: &str = "[interface.eth0]\nenforcement = \"police\"\n[group.g]\nrate = \"1gbit\"\n\
    [[rule]]\ndestination = \"any\"\nper = \"client\"\nrate = \"100mbit\"\ngroup = \"g\"\n\
    [[rule]]\ndestination = \"203.0.113.7\"\nservice = \"imap\"\nrate = \"20mbit\"\n";

/// Of each kind.
const N_EACH: usize = 12;

#[test]
fn what_is_refused_has_changed_nothing() {
    let seed: u64 = std::env::var("SHAPER_SEED").map_or(0x5eed_cafe, |seed| seed.parse().unwrap());
    let server = Server::up(CONFIG);
    server.ok(&["set", "203.0.113.8", "1mbit"]);
    let eye = Eye::new(&Paths {
        bpffs: server.pins(),
        run: server.dir.join("run"),
        state: server.dir.join("state"),
        config: server.dir.join("shaper.toml"),
    });
    let file = server.dir.join("hostile.toml");
    let mut dice = Dice(seed.max(1));
    let mut before = eye.look();
    for kind in KINDS {
        let mut n_refused = 0;
        for turn in 0..N_EACH {
            let bytes = kind.make(&mut dice);
            std::fs::write(&file, &bytes).unwrap();
            let ran = server.run(&["apply", "-f", file.to_str().unwrap()]);
            let what = format!("SHAPER_SEED={seed}, {kind:?} {turn}");
            let after = eye.look();
            match ran.code {
                // It was valid, and the next one meets what it says.
                0 => assert!(!kind.is_always_refused(), "{what} is valid"),
                3 => {
                    n_refused += 1;
                    assert!(ran.stderr.contains("hostile.toml"), "{what}: {}", ran.stderr);
                    assert_eq!(ran.stdout, "", "{what}");
                    assert!(after.is_the_same(&before), "{what}\n{before:?}\n{after:?}");
                }
                code => panic!("{what}: {code}: {}", ran.stderr),
            }
            before = after;
        }
        println!("{kind:?}: {n_refused} of {N_EACH} refused (SHAPER_SEED={seed})");
        assert!(n_refused > N_EACH / 4, "{kind:?}: {n_refused} refused");
    }
    assert_eq!(server.run(&["status"]).code, 0);
    server.configure(CONFIG);
    server.ok(&["apply"]);
    assert!(!eye.look().is_the_same(&before), "no change would be seen");
}
