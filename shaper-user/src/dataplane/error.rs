//! What can go wrong between us and the kernel, each with its remedy.

use std::io;
use std::path::PathBuf;

use crate::store::StoreError;

/// What is wrong with a pin that is not there.
pub(super) const MISSING: &str = "it is missing";
/// What is wrong with what stands where a directory should.
pub(super) const NOT_A_DIRECTORY: &str = "it is not a directory";

/// Why the kernel's state could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// Nothing is pinned.
    #[error("shaper is not up")]
    NotUp,
    /// Only pins of another layout are there.
    #[error("what stands in `{path}` is of another version of shaper, and not known to this one")]
    OtherLayout {
        /// The directory of the other layout.
        path: PathBuf,
    },
    /// The caller may not do this.
    #[error("not permitted to {action}")]
    Privilege {
        /// What was attempted.
        action: String,
    },
    /// Pins need a BPF file system.
    #[error("`{path}` is not on a BPF file system")]
    NoBpffs {
        /// Where pins should go.
        path: PathBuf,
    },
    /// Somebody else could change what stands there.
    #[error("`{path}` is not safe for pins: {problem}")]
    UnsafeDirectory {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A pin is not what this version of shaper makes.
    #[error("the pin `{path}` is foreign or damaged: {problem}")]
    ForeignPin {
        /// Which pin.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no such device.
    #[error("there is no interface `{name}`")]
    NoSuchInterface {
        /// The name given.
        name: String,
        /// Existing names that resemble it.
        similar: Vec<String>,
    },
    /// The kernel has no fq, or may not load it.
    #[error("sch_fq is not available, so nothing could hold a packet on `{device}` until its departure")]
    NoFq {
        /// Where fq was wanted.
        device: String,
    },
    /// A qdisc that could not be put back.
    #[error("`{device}` has a qdisc of its own, {kind} {handle}, that shaper could not put back as it is")]
    ForeignQdisc {
        /// On which device.
        device: String,
        /// Where, as tc writes it.
        place: String,
        /// Its kind.
        kind: String,
        /// Its handle as tc writes it.
        handle: String,
    },
    /// The kernel took the options but did not keep them.
    #[error("fq on `{device}` does not have the options it was given: {problem}")]
    FqOptions {
        /// On which device.
        device: String,
        /// Which option differs.
        problem: String,
    },
    /// The program would see each packet twice.
    #[error("packets of `{interface}` also pass `{other}`: with shaper on both, each would be charged twice")]
    SamePath {
        /// The interface asked for.
        interface: String,
        /// The one above or below it.
        other: String,
    },
    /// No place for our program.
    #[error("the hook of `{interface}` is full: the kernel takes no more programs there")]
    FullHook {
        /// On which interface.
        interface: String,
    },
    /// No place for our filter.
    #[error("the clsact filter of priority {priority} on `{interface}` is not shaper's: {problem}")]
    ForeignFilter {
        /// On which interface.
        interface: String,
        /// The priority.
        priority: u16,
        /// What stands there.
        problem: String,
    },
    /// More rules than the kernel's tables take.
    #[error("{rules} rules need more than the {most} buckets there can be")]
    TooManyRules {
        /// How many rules.
        rules: usize,
        /// Most buckets.
        most: usize,
    },
    /// A new maximum that would let go of clients who are being limited.
    #[error(
        "{clients} clients are being limited at this moment, more than the {most} there would be room for"
    )]
    TooManyClients {
        /// How many clients.
        clients: usize,
        /// The new maximum.
        most: usize,
    },
    /// The kernel lacks something.
    #[error("this kernel is too old: it cannot {what}")]
    KernelTooOld {
        /// What is missing.
        what: String,
    },
    /// The verifier refused the program.
    #[error("the kernel refused the program: {reason}")]
    Verifier {
        /// The last lines of the verifier.
        reason: String,
    },
    /// The embedded object cannot be loaded.
    #[error("cannot load the kernel program")]
    Object {
        /// Why.
        source: Box<aya::EbpfError>,
    },
    /// The kernel refused.
    #[error("cannot {doing}")]
    Kernel {
        /// What was refused.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused, and may have said why in words.
    #[error("cannot {doing}{}{text}", if text.is_empty() { "" } else { ": " })]
    Netlink {
        /// What was refused.
        doing: String,
        /// The kernel's own words.
        text: String,
        /// The error number.
        source: io::Error,
    },
    /// The file that remembers what was there before.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy changed again and again while it was read.
    #[error("the policy kept changing while it was read")]
    Busy,
}

impl DataplaneError {
    /// The kernel's refusal of `doing`: missing privilege, or its own error number.
    pub(super) fn kernel(doing: impl Into<String>, source: io::Error) -> Self {
        let doing = doing.into();
        match source.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Privilege { action: doing },
            _ => Self::Kernel { doing, source },
        }
    }

    /// Its name in JSON.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotUp | Self::OtherLayout { .. } => "not_up",
            Self::Privilege { .. } => "privilege",
            Self::NoBpffs { .. } => "no_bpffs",
            Self::UnsafeDirectory { .. } => "unsafe_directory",
            Self::ForeignPin { .. } => "foreign_pin",
            Self::NoSuchInterface { .. } => "no_such_interface",
            Self::NoFq { .. } => "no_fq",
            Self::ForeignQdisc { .. } => "foreign_qdisc",
            Self::FqOptions { .. } => "fq_options",
            Self::SamePath { .. } => "same_path",
            Self::FullHook { .. } => "full_hook",
            Self::ForeignFilter { .. } => "foreign_filter",
            Self::TooManyRules { .. } => "too_many_rules",
            Self::TooManyClients { .. } => "too_many_clients",
            Self::KernelTooOld { .. } => "kernel_too_old",
            Self::Verifier { .. } => "verifier",
            Self::Object { .. } => "object",
            Self::Kernel { .. } | Self::Netlink { .. } => "kernel_refused",
            Self::Store(error) => error.code(),
            Self::Busy => "busy",
        }
    }

    /// What the operator can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::OtherLayout { .. } => "`shaper up` takes over what it has attached, and replaces the rest".into(),
            Self::NotUp => "start it with `shaper up -i IFACE`".into(),
            Self::Privilege { .. } => "run as root, or with CAP_BPF and CAP_NET_ADMIN".into(),
            Self::NoBpffs { .. } => {
                "mount one with `mount -t bpf bpf /sys/fs/bpf` (`ip netns exec` hides it: use `nsenter --net=` there)"
                    .into()
            }
            Self::UnsafeDirectory { path, problem } if problem == NOT_A_DIRECTORY => {
                format!("look at it, then remove it: `rm {}`", path.display())
            }
            Self::UnsafeDirectory { path, .. } => format!("make it yours alone: `chmod 700 {0}`, `chown root {0}`", path.display()),
            Self::ForeignPin { problem, .. } if problem == MISSING => {
                "`shaper down`, then `shaper up`: nothing is limited in between, and buckets begin anew".into()
            }
            Self::ForeignPin { path, .. } => format!(
                "`shaper down` removes what shaper knows; if the pin is not shaper's, remove it with `rm {}`",
                path.display()
            ),
            Self::NoSuchInterface { similar, .. } => match &similar[..] {
                [] => "`ip link` lists them".into(),
                names => format!("did you mean {}?", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")),
            },
            Self::NoFq { .. } => {
                "run `modprobe sch_fq`; if there is no such module, install the kernel's full package of modules, or have \
                 the interface drop instead of delay: enforcement = \"police\" in its section of the configuration"
                    .into()
            }
            Self::ForeignQdisc { device, place, .. } => format!("take it away first: `tc qdisc del dev {device} {place}`"),
            Self::SamePath { other, .. } => format!("attach to one of the two only; `shaper down` lets go of `{other}`"),
            Self::FullHook { interface } => format!(
                "`bpftool net show dev {interface}` lists them; whose they are must take one away"
            ),
            Self::ForeignFilter { interface, priority, .. } => format!(
                "see `tc filter show dev {interface} egress`; shaper needs priority {priority} for itself"
            ),
            Self::KernelTooOld { .. } => "Linux 6.1 is the oldest that will do".into(),
            Self::TooManyRules { .. } => "use prefixes instead of single addresses".into(),
            Self::TooManyClients { .. } => "choose a higher maximum, or try again when fewer are busy".into(),
            Self::Busy => "try again".into(),
            // What the loader tries out first may have been refused for a moment only.
            Self::Verifier { .. } | Self::Object { .. } => {
                "`shaper doctor` says what this kernel lacks; if nothing, try again".into()
            }
            Self::FqOptions { .. } | Self::Kernel { .. } | Self::Netlink { .. } => return None,
            Self::Store(error) => return error.hint(),
        })
    }
}
