//! Which module may import what: the dependency rules of CONTRIBUTING.md.

/// The modules of `shaper-user`, and which of their siblings each may import.
const LAYERS: [(&str, &[&str]); 5] = [
    ("config", &[]),
    ("policy", &["config"]),
    ("dataplane", &["policy", "stats", "config", "store"]),
    ("stats", &["policy"]),
    ("view", &["stats", "policy"]),
];

/// Modules that do no I/O, and so can be tested with literals.
const PURE: [&str; 3] = ["policy", "stats", "view"];
/// Ways to the outside that a pure module must not name.
const OUTSIDE: [&str; 5] = [
    "std::fs",
    "std::net::Tcp",
    "std::process",
    "std::env",
    "std::thread",
];

/// The broken rules of a Rust file, with their lines.
pub(super) fn broken(path: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        // Tests may use what they like.
        if line.trim() == "#[cfg(test)]" {
            break;
        }
        if let Some(import) = imported(line) {
            found.extend(forbidden(path, import).map(|why| (index + 1, why)));
        }
        if path.starts_with("shaper-common/src/") && is_unsafe(line) {
            found.push((
                index + 1,
                "`shaper-common` has no `unsafe` but the `Pod` impls".to_owned(),
            ));
        }
    }
    found
}

/// What a `use` line imports.
fn imported(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub ")
        .or_else(|| line.strip_prefix("pub(crate) "))
        .unwrap_or(line);
    Some(line.strip_prefix("use ")?.trim_end_matches(';'))
}

fn is_unsafe(line: &str) -> bool {
    let line = line.trim_start();
    !line.starts_with("//") && line.split(' ').any(|word| word == "unsafe") && !line.contains("Pod for")
}

/// Why a file must not import this, if it must not.
fn forbidden(path: &str, import: &str) -> Option<String> {
    let first = import.split(':').next().unwrap_or_default();
    if path.starts_with("shaper-common/src/") {
        let allowed = ["core", "crate", "super", "self", "aya"].contains(&first);
        return (!allowed).then(|| format!("`shaper-common` has no dependency, and this imports `{first}`"));
    }
    if path.starts_with("xtask/") {
        return first
            .starts_with("shaper")
            .then(|| "`xtask` imports nothing of the workspace".to_owned());
    }
    if ["shaper_tests", "xtask"].contains(&first) && !path.starts_with("tests/") {
        return Some(format!("nobody imports `{first}`"));
    }
    let file = path.strip_prefix("shaper-user/src/")?;
    let module = file.split('/').next().unwrap_or_default().trim_end_matches(".rs");
    let kernel = ["aya", "aya_obj", "aya_log", "netlink_packet_route", "rtnetlink"].contains(&first);
    if kernel && module != "dataplane" {
        return Some(format!("only `dataplane` names `{first}`"));
    }
    if ["anyhow", "clap"].contains(&first) && !["main", "cmd"].contains(&module) {
        return Some(format!("only `main` and `cmd` name `{first}`"));
    }
    if ["serde", "serde_json", "toml"].contains(&first) && !may_serialize(file) {
        return Some(format!("only `config`, `store` and `view/json` name `{first}`"));
    }
    if PURE.contains(&module) && OUTSIDE.iter().any(|outside| import.starts_with(outside)) {
        return Some(format!("`{module}` does no I/O, and this imports `{import}`"));
    }
    let sibling = import.strip_prefix("crate::")?.split([':', ';', ' ']).next()?;
    let (_, allowed) = LAYERS.iter().find(|(name, _)| *name == module)?;
    let is_layer =
        LAYERS.iter().any(|(name, _)| *name == sibling) || ["cmd", "monitor", "store"].contains(&sibling);
    (is_layer && sibling != module && !allowed.contains(&sibling))
        .then(|| format!("`{module}` does not import `{sibling}`"))
}

/// Whether a file of `shaper-user` turns text into types or back.
fn may_serialize(file: &str) -> bool {
    ["config", "store", "view/json"]
        .iter()
        .any(|start| file.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        broken(path, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn shaper_common_imports_nothing_but_core() {
        let text = "use core::num::NonZeroU64;\nuse libc::c_int;\nuse crate::rule::Limit;\n";
        assert_eq!(lines("shaper-common/src/pacing.rs", text), [2]);
    }

    #[test]
    fn shaper_common_has_no_unsafe_but_for_pod() {
        let text = "unsafe impl aya::Pod for Limit {}\n// unsafe is a word\nunsafe { x }\n";
        assert_eq!(lines("shaper-common/src/rule.rs", text), [3]);
    }

    #[test]
    fn only_the_dataplane_names_aya() {
        assert_eq!(lines("shaper-user/src/stats.rs", "use aya::maps::Array;\n"), [1]);
        assert!(lines("shaper-user/src/dataplane/slots.rs", "use aya::maps::Array;\n").is_empty());
        assert!(lines("shaper-user/src/dataplane.rs", "use aya::maps::Array;\n").is_empty());
    }

    #[test]
    fn only_main_and_the_commands_name_anyhow_and_clap() {
        assert_eq!(
            lines("shaper-user/src/policy/rate.rs", "use anyhow::Result;\n"),
            [1]
        );
        assert!(
            lines(
                "shaper-user/src/cmd/up.rs",
                "use anyhow::Result;\nuse clap::Args;\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn no_module_imports_one_above_it() {
        assert!(lines("shaper-user/src/policy.rs", "use crate::config::Config;\n").is_empty());
        assert_eq!(
            lines("shaper-user/src/config.rs", "use crate::policy::Policy;\n"),
            [1]
        );
        assert_eq!(
            lines(
                "shaper-user/src/view/table.rs",
                "use crate::dataplane::Program;\n"
            ),
            [1]
        );
        assert_eq!(
            lines("shaper-user/src/dataplane/pins.rs", "use crate::cmd::Args;\n"),
            [1]
        );
    }

    #[test]
    fn a_pure_module_does_no_io() {
        assert_eq!(
            lines(
                "shaper-user/src/stats.rs",
                "use std::fs;\nuse std::time::Duration;\n"
            ),
            [1]
        );
    }

    #[test]
    fn tests_may_import_what_they_like() {
        assert!(
            lines(
                "shaper-user/src/stats.rs",
                "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"
            )
            .is_empty()
        );
    }
}
