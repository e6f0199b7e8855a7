//! Everything that can break while shaper is up: `shaper status` never says that all is well, names what is wrong, and
//! the remedy helps. Needs root.

mod files;
mod interfaces;
mod kind;
mod maps;
mod programs;

use std::collections::BTreeSet;
use std::fs;

use kind::{CLSACT, CONFIG, DEGRADED, Kind, NOT_UP, REFUSED, gone};
use shaper_tests::alone::Server;
use shaper_tests::plane::hooks;

/// Tries all kinds, each on what the remedy of the one before has left.
fn try_all(what: &str, up: &[&str], kinds: &[Kind]) {
    let server = Server::new(CONFIG);
    let prepare = || {
        server.configure(CONFIG);
        server.ok(up);
        server.ok(&["set", "203.0.113.7", "20mbit"]);
    };
    prepare();
    server.ok(&["status"]);
    let mut wrong = Vec::new();
    for kind in kinds {
        if let Err(why) = kind.try_on(&server) {
            wrong.push(format!("{}: {why}", kind.name));
            server.run(&["down"]);
            for name in ["eth0", "other0", "peer0", "br0"] {
                gone(name);
            }
            let _ = fs::remove_dir_all(server.dir().join("run"));
            let _ = fs::remove_dir_all(server.bpffs().join("shaper"));
            server.add_interface();
            prepare();
        }
    }
    println!(
        "{what}: {} kinds of degradation, {} not found out",
        kinds.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All kinds, by where the damage is.
fn all() -> [(&'static str, Vec<Kind>); 4] {
    let programs = [programs::on_tcx(), programs::on_clsact(), programs::on_both()].concat();
    [
        ("programs", programs),
        ("maps and tables", maps::all()),
        ("files", files::all()),
        ("interfaces", interfaces::all()),
    ]
}

#[test]
fn the_manual_names_every_kind_and_what_status_exits_with() {
    let manual = include_str!("../../../docs/operations.md");
    let mut names = BTreeSet::new();
    for (place, kinds) in all() {
        for code in [DEGRADED, REFUSED, NOT_UP] {
            let of_code = kinds.iter().filter(|kind| kind.exits == code);
            let list: Vec<_> = of_code.map(|kind| kind.name).collect();
            if !list.is_empty() {
                let line = format!("| {place} | {code} | {} |", list.join("; "));
                assert!(manual.contains(&line), "not in docs/operations.md: {line}");
            }
            names.extend(list);
        }
    }
    assert!(names.len() >= 40, "{}", names.len());
}

#[test]
fn a_program_that_is_not_where_it_should_be_is_found_out() {
    if hooks().contains(&"tcx") {
        try_all("programs on tcx", &["up"], &programs::on_tcx());
        try_all("tcx and clsact", CLSACT[0], &programs::on_both());
    }
    try_all("programs on clsact", CLSACT[0], &programs::on_clsact());
}

#[test]
fn maps_that_are_not_as_they_should_be_are_found_out() {
    try_all("maps", &["up"], &maps::all());
}

#[test]
fn files_that_are_not_as_they_should_be_are_found_out() {
    try_all("files", &["up"], &files::all());
}

#[test]
fn interfaces_that_are_not_as_they_should_be_are_found_out() {
    try_all("interfaces", &["up"], &interfaces::all());
}
