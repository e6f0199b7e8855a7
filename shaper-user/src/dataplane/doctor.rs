//! Can this machine do it? Nothing is changed but in a network namespace of a moment's life.

use std::fs;
use std::path::Path;

use shaper_common::names::PROGRAM;

use super::capability;
use super::directory;
use super::error::DataplaneError;
use super::holding;
use super::load::Program;
use super::netlink::Netlink;
use super::pins;
use super::program::{self, ProgramOptions};
use super::qdisc::{self, Place, ROOT};
use super::survey;
use super::tcx;
use crate::paths::Paths;

/// How a thing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitness {
    /// As it should be.
    Good,
    /// It will do.
    Poor,
    /// It will not do.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it was found.
    pub fitness: Fitness,
    /// What was found.
    pub found: String,
    /// What to do; empty if nothing needs to be done.
    pub remedy: String,
}

pub(super) fn good(what: &'static str, found: impl Into<String>) -> Finding {
    Finding {
        what,
        fitness: Fitness::Good,
        found: found.into(),
        remedy: String::new(),
    }
}

pub(super) fn poor(what: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding {
        what,
        fitness: Fitness::Poor,
        found: found.into(),
        remedy: remedy.into(),
    }
}

pub(super) fn bad(what: &'static str, error: &DataplaneError) -> Finding {
    let found = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Finding {
        what,
        fitness: Fitness::Bad,
        found,
        remedy: error.hint().unwrap_or_default(),
    }
}

/// Looks at everything that shaper needs, and at these interfaces.
#[must_use]
pub fn examine(paths: &Paths, interfaces: &[String]) -> Vec<Finding> {
    let mut findings = vec![
        kernel(release()),
        privilege(),
        bpffs(paths),
        fq(),
        program(),
        hook(),
        jit(),
    ];
    findings.extend(default_qdisc());
    findings.push(memory());
    match Netlink::open().and_then(|mut netlink| survey::interfaces(&mut netlink, interfaces)) {
        Ok(of_interfaces) => findings.extend(of_interfaces),
        Err(error) => findings.push(bad("interfaces", &error)),
    }
    findings
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// The oldest kernel that was tried.
pub(super) const OLDEST: (u32, u32) = (6, 1);

fn release() -> String {
    read("/proc/sys/kernel/osrelease").unwrap_or_default()
}

/// The first two numbers of the kernel's release. Distributions put newer features into older kernels: it explains a
/// refusal, and decides nothing.
pub(super) fn kernel_version() -> (u32, u32) {
    version(&release())
}

fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

fn kernel(release: String) -> Finding {
    if version(&release) >= OLDEST {
        good("kernel", release)
    } else {
        poor("kernel", release, "Linux 6.1 is the oldest that was tried")
    }
}

fn privilege() -> Finding {
    let needed = [
        ("CAP_BPF", capability::BPF),
        ("CAP_NET_ADMIN", capability::NET_ADMIN),
    ];
    let missing: Vec<&str> = needed
        .into_iter()
        .filter(|(_, capability)| !capability::has(*capability))
        .map(|(name, _)| name)
        .collect();
    if missing.is_empty() {
        good("privilege", "CAP_BPF and CAP_NET_ADMIN")
    } else {
        let action = format!("attach programs without {}", missing.join(" and "));
        bad("privilege", &DataplaneError::Privilege { action })
    }
}

fn bpffs(paths: &Paths) -> Finding {
    match pins::Root::open(&paths.bpffs) {
        Ok(Some(_)) => good("bpffs", format!("{} is there, and ours", paths.bpffs.display())),
        Ok(None) => {
            let parent = paths.bpffs.parent().unwrap_or(Path::new("/"));
            match directory::is_bpffs(parent) {
                Ok(true) => good("bpffs", format!("mounted at {}", parent.display())),
                Ok(false) => bad(
                    "bpffs",
                    &DataplaneError::NoBpffs {
                        path: paths.bpffs.clone(),
                    },
                ),
                Err(error) => bad("bpffs", &error),
            }
        }
        Err(error) => bad("bpffs", &error),
    }
}

/// Puts fq on the loopback of a network namespace of its own, so that the kernel itself tells, and loads the module
/// if it may.
fn fq() -> Finding {
    let tried = std::thread::spawn(|| {
        // SAFETY: changes the network namespace of this thread only, which ends with this closure.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return None;
        }
        let mut netlink = Netlink::open().ok()?;
        let place = Place {
            ifindex: 1,
            parent: ROOT,
            handle: holding::OUR_HANDLE,
        };
        Some(qdisc::graft(&mut netlink, place, "fq", &[]))
    });
    let missing = || Finding {
        found: "sch_fq is not available: no interface can hold packets".into(),
        ..bad(
            "fq",
            &DataplaneError::NoFq {
                device: String::new(),
            },
        )
    };
    match tried.join() {
        Ok(Some(Ok(()))) => good("fq", "available"),
        Ok(Some(Err(refusal))) if refusal.number() == Some(libc::ENOENT) => missing(),
        Ok(Some(Err(refusal))) => bad("fq", &refusal.into_error("try fq")),
        Ok(None) | Err(_) if Path::new("/sys/module/sch_fq").exists() => good("fq", "loaded"),
        Ok(None) | Err(_) => poor(
            "fq",
            "could not be tried without CAP_SYS_ADMIN",
            "run this as root",
        ),
    }
}

fn program() -> Finding {
    let options = ProgramOptions {
        link_header_len: 14,
        ..ProgramOptions::default()
    };
    match Program::load(None, &options, PROGRAM) {
        Ok(_) => good(
            "program",
            format!("accepted by the kernel, build {:016x}", program::build_id()),
        ),
        Err(error) => bad("program", &error),
    }
}

fn hook() -> Finding {
    // The loopback is always there.
    match tcx::query(1) {
        Ok(_) => good("hook", "tcx"),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            good("hook", "clsact (this kernel has no tcx)")
        }
        Err(error) => bad(
            "hook",
            &DataplaneError::kernel("list the programs on a hook", error),
        ),
    }
}

fn jit() -> Finding {
    match read("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => poor(
            "jit",
            "off: each packet costs several times more",
            "`sysctl net.core.bpf_jit_enable=1`",
        ),
        _ => good("jit", "on"),
    }
}

fn default_qdisc() -> Option<Finding> {
    let kind = read("/proc/sys/net/core/default_qdisc")?;
    let remark = if kind == "fq" {
        ""
    } else {
        " (shaper puts fq where it is needed)"
    };
    Some(good("qdisc", format!("{kind} by default{remark}")))
}

fn memory() -> Finding {
    let group = read("/proc/self/cgroup").unwrap_or_default();
    let group = group
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap_or("/");
    let limit = read(&format!(
        "/sys/fs/cgroup{}/memory.max",
        group.trim_end_matches('/')
    ));
    match limit.as_deref().and_then(|limit| limit.parse::<u64>().ok()) {
        // A million rules with their buckets, twice while they change.
        Some(bytes) if bytes < 512 << 20 => poor(
            "memory",
            format!("this control group may use {} MiB, and maps count", bytes >> 20),
            "large policies need more: raise MemoryMax",
        ),
        _ => good("memory", "no limit on maps (RLIMIT_MEMLOCK does not matter)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_two_numbers_and_whatever_follows() {
        assert_eq!(version("6.12.107+deb13-cloud-amd64"), (6, 12));
        assert_eq!(version("7.3-rc1"), (7, 3));
        assert!(version("5.15.0-91-generic") < OLDEST && version("6.1.0-56-cloud") >= OLDEST);
        assert_eq!(version(""), (0, 0));
    }

    #[test]
    fn a_kernel_that_nobody_tried_is_named_with_the_oldest_that_was() {
        assert_eq!(kernel("6.1.0-56-cloud".into()), good("kernel", "6.1.0-56-cloud"));
        let finding = kernel("5.15.0-91-generic".into());
        assert_eq!(
            (finding.fitness, &*finding.found),
            (Fitness::Poor, "5.15.0-91-generic")
        );
        assert!(finding.remedy.contains("6.1"), "{}", finding.remedy);
    }
}
