//! Debian packages of another suite: fetched and unpacked, never installed.
//!
//! The mirrors are those the machine itself is configured to use. Each suite has an
//! apt state of its own in the cache, so the machine's is left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{self, TempDir};

use super::step;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite, for example `trixie-backports`.
#[derive(Debug)]
pub(super) struct Suite {
    name: String,
    state: PathBuf,
}

impl Suite {
    /// Reads the suite's package lists, if that was not done already.
    pub(super) fn open(name: &str) -> Result<Self> {
        let suite = Self {
            name: name.to_owned(),
            state: process::cache()?.join("apt").join(name),
        };
        if !suite.state.join("complete").exists() {
            suite.update()?;
        }
        Ok(suite)
    }

    /// Reads the suite's package lists anew.
    pub(super) fn update(&self) -> Result<()> {
        step(&format!("reading the package lists of Debian's {}", self.name));
        for dir in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.state.join(dir))?;
        }
        let (uri, options) = mirror(self.name.ends_with("-security"))?;
        fs::write(
            self.state.join("sources.list"),
            format!("deb [{options}] {uri} {} main\n", self.name),
        )?;
        process::output(self.apt("apt-get").arg("update"))?;
        fs::write(self.state.join("complete"), "")?;
        Ok(())
    }

    /// What `apt-cache` says.
    pub(super) fn ask(&self, args: &[&str]) -> Result<String> {
        process::output(self.apt("apt-cache").args(args))
    }

    /// Unpacks a package (`name` or `name=version`) below `root`.
    pub(super) fn unpack(&self, package: &str, root: &Path) -> Result<()> {
        step(&format!("fetching {package} of Debian's {}", self.name));
        let dir = TempDir::new_in(&self.state, "download")?;
        let download = || {
            process::output(
                self.apt("apt-get")
                    .args(["download", package])
                    .current_dir(dir.path()),
            )
        };
        if download().is_err() {
            // The archive moves on: lists of last week name files that are gone.
            self.update()?;
            download()?;
        }
        for deb in fs::read_dir(dir.path())? {
            process::output(Command::new("dpkg-deb").arg("-x").arg(deb?.path()).arg(root))?;
        }
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, file: &str| format!("{name}={}", self.state.join(file).display());
        for option in [
            option("Dir::Etc::sourcelist", "sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            option("Dir::State::Lists", "lists"),
            option("Dir::Cache", "cache"),
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.env("LC_ALL", "C").current_dir(&self.state);
        command
    }
}

/// One line or paragraph of the machine's apt sources.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    uri: String,
    suites: Vec<String>,
    signed_by: Option<String>,
    trusted: bool,
}

/// The machine's mirror of Debian (or of its security archive), and options for its line.
pub(super) fn mirror(security: bool) -> Result<(String, String)> {
    let mut entries = Vec::new();
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(dir) = fs::read_dir("/etc/apt/sources.list.d") {
        files.extend(dir.flatten().map(|file| file.path()));
    }
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap_or_default();
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => entries.extend(paragraphs(&text)),
            Some("list") => entries.extend(lines(&text)),
            _ => {}
        }
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or("stable");
    let Some(entry) = choose(&entries, codename, security) else {
        bail!(
            "no apt source of this machine has Debian's suite `{codename}{}`; add one to /etc/apt/sources.list",
            if security { "-security" } else { "" }
        );
    };
    let signed_by = match &entry.signed_by {
        Some(key) if key.starts_with('/') => key,
        _ => KEYRING,
    };
    if !entry.trusted && !Path::new(signed_by).exists() {
        bail!("no keyring `{signed_by}`; run `apt-get install debian-archive-keyring`");
    }
    let trusted = if entry.trusted { " trusted=yes" } else { "" };
    Ok((entry.uri.clone(), format!("signed-by={signed_by}{trusted}")))
}

/// The entry that serves Debian itself, and not somebody's additions to it.
fn choose<'a>(entries: &'a [Entry], codename: &str, security: bool) -> Option<&'a Entry> {
    let names = [codename, "stable", "testing", "unstable", "sid"];
    let suffix = if security { "-security" } else { "" };
    entries.iter().find(|entry| {
        entry.suites.iter().any(|suite| {
            suite
                .strip_suffix(suffix)
                .is_some_and(|name| names.contains(&name))
        })
    })
}

/// Entries of the deb822 form, a paragraph each.
fn paragraphs(text: &str) -> Vec<Entry> {
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut entries = Vec::new();
    for paragraph in text.split(|line| line.trim().is_empty()) {
        let field = |name: &str| {
            paragraph.iter().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let is_binary = field("Types").is_some_and(|types| types.split(' ').any(|kind| kind == "deb"));
        let is_enabled = field("Enabled") != Some("no");
        if let (true, true, Some(uris), Some(suites)) =
            (is_binary, is_enabled, field("URIs"), field("Suites"))
        {
            entries.push(Entry {
                uri: uris.split_whitespace().next().unwrap_or_default().to_owned(),
                suites: suites.split_whitespace().map(str::to_owned).collect(),
                signed_by: field("Signed-By").map(str::to_owned),
                trusted: field("Trusted") == Some("yes"),
            });
        }
    }
    entries
}

/// Entries of the older form, a line each.
fn lines(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim().strip_prefix("deb ") else {
            continue;
        };
        let rest = rest.trim();
        let (options, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((options, rest)) => (options, rest),
            None => ("", rest),
        };
        let option = |name: &str| {
            options
                .split_whitespace()
                .find_map(|o| o.strip_prefix(name)?.strip_prefix('='))
        };
        let mut words = rest.split_whitespace();
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            entries.push(Entry {
                uri: uri.to_owned(),
                suites: vec![suite.to_owned()],
                signed_by: option("signed-by").map(str::to_owned),
                trusted: option("trusted") == Some("yes"),
            });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAGRAPHS: &str = "Types: deb\n# a note\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-updates\n\
        Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://mirror.example/debian-security\nSuites: bookworm-security\n";

    #[test]
    fn both_forms_of_sources_are_understood() {
        let old = "# deb http://no.example x main\ndeb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n";
        let expected = Entry {
            uri: "http://mirror.example/debian".to_owned(),
            suites: vec!["bookworm".to_owned()],
            signed_by: Some("/k.gpg".to_owned()),
            trusted: false,
        };
        assert_eq!(lines(old), [expected]);
        assert_eq!(paragraphs(PARAGRAPHS).len(), 2);
        assert_eq!(paragraphs(PARAGRAPHS)[0].suites, ["bookworm", "bookworm-updates"]);
    }

    #[test]
    fn the_security_archive_is_told_from_the_main_one_and_from_others() {
        let mut entries = lines("deb http://other.example cloud-sdk-bookworm main\n");
        entries.extend(paragraphs(PARAGRAPHS));
        assert_eq!(
            choose(&entries, "bookworm", false).map(|e| e.uri.as_str()),
            Some("http://mirror.example/debian")
        );
        assert_eq!(
            choose(&entries, "bookworm", true).map(|e| e.uri.as_str()),
            Some("http://mirror.example/debian-security")
        );
    }
}
