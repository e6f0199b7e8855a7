//! Where each rule of a file of rules stands, so that some of a million are read without the others.
//!
//! The index only ever saves time: it says which file of rules it was made for, and where it is missing, damaged or made
//! for another one, the whole file is read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::policy::{Destination, Prefix};
use crate::store::StoreError;
use crate::store::directory::open_file;
use crate::store::file::write_bytes;

/// Fewer rules than these are read in less time than it takes to open one file more.
const MIN_RULES: usize = 1000;

/// The first bytes: what it is, and in which form.
const MAGIC: [u8; 8] = *b"shaperi1";
/// Magic, then which file of rules and how many rules as words of eight bytes.
const HEAD_BYTES: usize = 8 + 8 * N_WORDS;
const N_WORDS: usize = 5;
/// Address (16), prefix length, family, zero (2), bytes of the rule's text (4), where it begins (8).
const RECORD_BYTES: usize = 32;

/// Values of a record's family.
mod family {
    pub(super) const ANY: u8 = 0;
    pub(super) const V4: u8 = 4;
    pub(super) const V6: u8 = 6;
}

/// An index in the making.
#[derive(Debug, Default)]
pub(super) struct Index {
    records: Vec<u8>,
    /// A rule could not be put into it.
    is_incomplete: bool,
}

impl Index {
    /// Adds the next rule, which covers `destination` and stands at `place` of the text.
    pub(super) fn add(&mut self, destination: Option<Destination>, place: &Range<usize>) {
        let (Some(destination), Ok(len), Ok(begin)) = (
            destination,
            u32::try_from(place.len()),
            u64::try_from(place.start),
        ) else {
            self.is_incomplete = true;
            return;
        };
        let (address, prefix_len, family) = match destination {
            Destination::Any => (0, 0, family::ANY),
            Destination::Prefix(prefix) => match prefix.address() {
                IpAddr::V4(address) => (address.to_bits().into(), prefix.prefix_len(), family::V4),
                IpAddr::V6(address) => (address.to_bits(), prefix.prefix_len(), family::V6),
            },
        };
        self.records.extend(address.to_le_bytes());
        self.records.extend([prefix_len, family, 0, 0]);
        self.records.extend(len.to_le_bytes());
        self.records.extend(begin.to_le_bytes());
    }

    /// Writes it to `path`, if it is of use. The text stands in the file `rules` already.
    pub(super) fn write(self, path: &Path, rules: &Path) -> Result<(), StoreError> {
        let n_rules = self.records.len() / RECORD_BYTES;
        if self.is_incomplete || n_rules < MIN_RULES {
            return Ok(());
        }
        let rules = std::fs::metadata(rules).map_err(StoreError::io("look at", rules))?;
        let mut bytes = head(&rules, n_rules as u64);
        bytes.extend(self.records);
        write_bytes(path, &bytes)
    }
}

/// How an index of the file of rules begins.
fn head(rules: &Metadata, n_rules: u64) -> Vec<u8> {
    let words: [u64; N_WORDS] = [
        rules.ino(),
        rules.len(),
        rules.mtime().cast_unsigned(),
        rules.mtime_nsec().cast_unsigned(),
        n_rules,
    ];
    let mut head = MAGIC.to_vec();
    head.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    head
}

/// By the index at `path`, where in the file `rules` those stand whose destination `is_meant`, neighbours joined, and how
/// many they are; `None` if there is no index of that file.
pub(super) fn find(
    path: &Path,
    rules: &File,
    is_meant: &dyn Fn(Destination) -> bool,
) -> Option<(Vec<Range<u64>>, usize)> {
    let file = open_file(path, OpenOptions::new().read(true)).ok()??;
    let rules = rules.metadata().ok()?;
    let n_bytes = usize::try_from(file.metadata().ok()?.len()).ok()?;
    let n_rules = n_bytes.checked_sub(HEAD_BYTES)? / RECORD_BYTES;
    let mut reader = BufReader::with_capacity(1 << 18, file);
    let mut found = [0; HEAD_BYTES];
    reader.read_exact(&mut found).ok()?;
    if found != head(&rules, n_rules as u64)[..] || n_bytes != HEAD_BYTES + n_rules * RECORD_BYTES {
        return None;
    }
    let (mut places, mut n_meant): (Vec<Range<u64>>, usize) = (Vec::new(), 0);
    let mut record = [0; RECORD_BYTES];
    for _ in 0..n_rules {
        reader.read_exact(&mut record).ok()?;
        let (destination, place) = read(&record)?;
        if !is_meant(destination) {
            continue;
        }
        n_meant += 1;
        match places.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            _ => places.push(place),
        }
    }
    Some((places, n_meant))
}

/// What a record says; `None` if it makes no sense.
fn read(record: &[u8; RECORD_BYTES]) -> Option<(Destination, Range<u64>)> {
    let address = u128::from_le_bytes(*record.first_chunk()?);
    let begin = u64::from_le_bytes(*record.last_chunk()?);
    let len = u32::from_le_bytes(*record[20..24].first_chunk()?);
    let prefix_of = |address: IpAddr| Destination::Prefix(Prefix::of(address, record[16]));
    let destination = match record[17] {
        family::ANY => Destination::Any,
        family::V4 => prefix_of(Ipv4Addr::from_bits(u32::try_from(address).ok()?).into()),
        family::V6 => prefix_of(Ipv6Addr::from_bits(address).into()),
        _ => return None,
    };
    Some((destination, begin..begin.checked_add(len.into())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_was_put_into_it() {
        for text in [
            "any",
            "0.0.0.0/0",
            "203.0.113.7",
            "203.0.113.0/24",
            "::/0",
            "2001:db8::/56",
            "2001:db8::7",
        ] {
            let destination: Destination = text.parse().unwrap();
            let mut index = Index::default();
            index.add(Some(destination), &(7..60));
            let record = index.records.first_chunk().unwrap();
            assert_eq!(read(record), Some((destination, 7..60)), "{text}");
            assert!(!index.is_incomplete && index.records.len() == RECORD_BYTES);
        }
        let mut index = Index::default();
        index.add(None, &(0..1));
        assert!(index.is_incomplete);
    }
}
