//! What a command leaves behind, whatever ends it: pins, what stands in the maps behind them, files, and what the network
//! knows: programs, qdiscs and filters of the interfaces.
//!
//! Maps that are pinned nowhere, locks and what a process has in its memory are gone with the process.

mod maps;
mod network;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use maps::{Contents, read};
use network::Network;
pub use network::{Interface, Qdisc};
use shaper_user::paths::Paths;

/// Looks at the places of one server.
#[derive(Debug)]
pub struct Eye {
    bpffs: PathBuf,
    directories: [PathBuf; 2],
    /// Arrays that stay in this process's memory, by the map's number.
    mapped: RefCell<BTreeMap<u32, Contents>>,
    network: Network,
}

/// All that is to be seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// By path below where they stand: which object is pinned, and a digest of what it holds.
    pub pins: BTreeMap<PathBuf, (u32, u64)>,
    /// By path below where they stand: the bytes of the file.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// Every interface.
    pub interfaces: Vec<Interface>,
}

impl Eye {
    /// For what stands at these places, and the network of this thread.
    #[must_use]
    pub fn new(paths: &Paths) -> Self {
        Self {
            bpffs: paths.bpffs.clone(),
            directories: [paths.run.clone(), paths.state.clone()],
            mapped: RefCell::default(),
            network: Network::new(),
        }
    }

    /// What is there now.
    #[must_use]
    pub fn look(&self) -> Sight {
        let mut sight = Sight {
            interfaces: self.network.look(),
            ..Sight::default()
        };
        let mut mapped = self.mapped.borrow_mut();
        for path in files_below(&self.bpffs) {
            let seen = read(&path, &mut mapped);
            sight.pins.insert(below(&path, &self.bpffs), seen);
        }
        mapped.retain(|id, _| sight.pins.values().any(|(seen, _)| seen == id));
        for directory in &self.directories {
            for path in files_below(directory) {
                let bytes = fs::read(&path).unwrap();
                sight.files.insert(below(&path, directory), bytes);
            }
        }
        sight
    }

    /// Whether packets meet a program anywhere.
    #[must_use]
    pub fn sees_a_program(&self) -> bool {
        let interfaces = self.network.look();
        interfaces.iter().any(|interface| interface.n_programs() > 0)
    }
}

impl Sight {
    /// Whether nothing was changed since, down to the numbers of maps. The lock says who had it last.
    #[must_use]
    pub fn is_the_same(&self, before: &Self) -> bool {
        let files = |sight: &Self| {
            let mut files = sight.files.clone();
            files.remove(Path::new("lock"));
            files
        };
        self.pins == before.pins && files(self) == files(before) && self.interfaces == before.interfaces
    }
}

/// Whose buckets there are, and how many packets each has seen.
pub(crate) fn owned_buckets(bpffs: &Path) -> BTreeSet<(u64, u64)> {
    chunks(bpffs).flat_map(|chunk| maps::owned(&chunk)).collect()
}

/// Lets all buckets that are anybody's look as if they had seen so many packets.
pub(crate) fn mark_buckets(bpffs: &Path, n_packets: u64) {
    chunks(bpffs).for_each(|chunk| maps::mark(&chunk, n_packets));
}

fn chunks(bpffs: &Path) -> impl Iterator<Item = PathBuf> {
    let is_chunk = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("chunk_"))
    };
    files_below(bpffs).into_iter().filter(is_chunk)
}

/// How many tables stand in each map of maps, and how many of them are different ones.
pub(crate) fn places(bpffs: &Path) -> BTreeMap<PathBuf, (usize, usize)> {
    let numbers = files_below(bpffs).into_iter().filter_map(|path| {
        let numbers = maps::inner(&path)?;
        let different = numbers.iter().collect::<BTreeSet<_>>().len();
        Some((below(&path, bpffs), (numbers.len(), different)))
    });
    numbers.collect()
}

fn below(path: &Path, directory: &Path) -> PathBuf {
    path.strip_prefix(directory).unwrap().to_owned()
}

/// All that is no directory, in `directory` and below; nothing if it is not there.
pub(crate) fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return files;
    };
    for entry in entries {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
