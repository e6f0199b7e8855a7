//! The play that the package brings, as Ansible plays it: a policy arrives if it is one, and is then in force.

use std::fs;
use std::time::Duration;

use shaper_tests::machine::{Said, must, sh, status, within};

const SOON: Duration = Duration::from_mins(1);
const CONFIG: &str = "/etc/shaper/shaper.toml";
const PLAY: &str = "/usr/share/doc/shaper/examples/ansible/shaper.yml";
const TEMPLATE: &str =
    "[interface.up0]\n[[rule]]\nname = \"played\"\ndestination = \"{{ client }}\"\nrate = \"1mbit\"\n";

/// Ansible on the machine that it changes, without `sudo`: it is root already.
fn play(client: &str) -> Said {
    let said = sh(&format!(
        "cd /lab/play && HOME=/lab/play LC_ALL=C.UTF-8 ansible-playbook -c local -i localhost, \
         -e ansible_python_interpreter=/usr/bin/python3 -e ansible_become=false -e client={client} shaper.yml"
    ));
    println!("{}{}", said.out, said.err);
    said
}

#[test]
fn a_policy_arrives_and_one_with_a_mistake_does_not() {
    must("dpkg --force-confold -i /lab/shaper.deb && mkdir -p /lab/play");
    must(&format!("cp {PLAY} /lab/play/"));
    fs::write("/lab/play/shaper.toml.j2", TEMPLATE).unwrap();

    assert_eq!(play("10.0.0.2").code, 0);
    within(SOON, "the policy is in force", || {
        status().0 == 0 && must("shaper -o plain list").contains("played")
    });
    let arrived = fs::read_to_string(CONFIG).unwrap();
    assert!(arrived.contains("10.0.0.2"), "{arrived}");

    let refused = play("10.0.0.7/8");
    assert_ne!(refused.code, 0);
    for said in ["failed to validate", "host bits", "write `10.0.0.0/8`"] {
        assert!(refused.out.contains(said), "{said}: {}", refused.out);
    }
    assert_eq!(fs::read_to_string(CONFIG).unwrap(), arrived);
    assert!(must("shaper -o plain list").contains("10.0.0.2"));
}
