//! The kernel modules of a guest: which there are, and which are loaded before its command runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process::{self, with_suffix};
use crate::setup::KernelFiles;

/// Modules that every guest has, below the kernel's folder; a name covers the module or the folder.
const MODULES: [&str; 26] = [
    "net",
    "lib",
    "crypto",
    "arch/x86/crypto",
    "drivers/net/bonding",
    "drivers/net/dummy",
    "drivers/net/geneve",
    "drivers/net/ifb",
    "drivers/net/ipvlan",
    "drivers/net/macvlan",
    "drivers/net/macvtap",
    "drivers/net/net_failover",
    "drivers/net/netdevsim",
    "drivers/net/nlmon",
    "drivers/net/tap",
    "drivers/net/team",
    "drivers/net/tun",
    "drivers/net/veth",
    "drivers/net/virtio_net",
    "drivers/net/vrf",
    "drivers/net/vxlan",
    "drivers/net/wireguard",
    "net/core/failover",
    "drivers/net/macsec",
    "drivers/net/eql",
    "drivers/net/amt",
];
/// Modules that are loaded before the command runs; those a kernel lacks are left out.
pub(super) const PRELOADED: &str = "veth sch_fq sch_fq_codel sch_htb sch_prio sch_tbf sch_sfq sch_netem sch_mqprio sch_multiq \
    sch_ingress cls_bpf cls_fw cls_u32 cls_matchall cls_flower act_gact act_mirred act_bpf act_skbedit act_police dummy \
    ifb tun 8021q bonding bridge vxlan geneve wireguard ip_gre ip6_gre ipip sit ip6_tunnel macvlan ipvlan vrf tcp_bbr \
    nf_tables nft_compat";

/// Unpacks the modules and indexes them; returns the folder that stands for `/lib/modules`.
pub(super) fn unpack(kernel: &KernelFiles, temporary: &Path) -> Result<PathBuf> {
    let root = temporary.join("root");
    let version = kernel
        .modules
        .file_name()
        .context("the kernel's modules have no folder")?;
    let target = root.join("lib/modules").join(version);
    for name in MODULES {
        let plain = kernel.modules.join("kernel").join(name);
        let to = target.join("kernel").join(name);
        for suffix in ["", ".ko", ".ko.xz", ".ko.zst"] {
            let (from, to) = (with_suffix(&plain, suffix), with_suffix(&to, suffix));
            if from.exists() && !to.exists() {
                fs::create_dir_all(to.parent().context("a module has a folder")?)?;
                process::output(Command::new("cp").arg("-r").arg(from).arg(to))?;
            }
        }
    }
    // Emulated, unpacking is slow: do it here, once.
    process::output(Command::new("find").arg(&target).args([
        "-name",
        "*.ko.xz",
        "-exec",
        "xz",
        "--decompress",
        "{}",
        "+",
    ]))?;
    for name in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        if kernel.modules.join(name).exists() {
            fs::copy(kernel.modules.join(name), target.join(name))?;
        }
    }
    let depmod = process::which("depmod").context("no depmod; run `cargo xtask setup packages`")?;
    process::output(Command::new(depmod).arg("-b").arg(&root).arg(version))?;
    Ok(root.join("lib/modules"))
}
