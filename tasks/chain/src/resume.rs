//! Where a chain ends: the only source of truth for where to resume.

use anyhow::Context;

use crate::files::{Files, Stored};
use crate::footer::Footer;
use crate::path::{ChainPath, Raw};
use crate::read::{RawFile, ask_if_corrupt};

/// The end of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Footer of the newest file.
    pub newest: Footer,
    /// Footer of the newest file that holds a record: what the tail handshake compares.
    pub newest_with_records: Option<Footer>,
}

/// Lists a chain and reads the footer of its newest file; `None` for an empty chain.
///
/// # Errors
/// [`frame::PersonNeeded`] when the newest file cannot be a raw file, is not what its name says, or is gone.
pub fn tail(files: &dyn Files, raw: &Raw, chain: &ChainPath) -> anyhow::Result<Option<Tail>> {
    let listing = files.list(&chain.directory, false)?;
    let packs = listing
        .iter()
        .filter_map(|stored| raw.parse_pack(&stored.path));
    let packed = packs.map(|pack| pack.next).max().unwrap_or(0);
    let mut names: Vec<_> = listing
        .into_iter()
        .filter_map(|stored| raw.parse(&stored.path).map(|name| (name.start, stored)))
        .collect();
    // names of equal length: by start is by age
    names.sort_by_key(|(start, _)| *start);
    // the newest files of a chain are never packed
    if packed > 0 && names.last().is_none_or(|(start, _)| *start < packed) {
        return Err(frame::person_needed(format!(
            "the raw files of {} from offset {packed} on are gone: restore them",
            chain.directory
        )));
    }
    let mut newest = None;
    for (start, stored) in names.iter().rev() {
        let footer = read_footer(files, stored)?;
        if footer.start != *start || footer.partition != chain.partition {
            return Err(frame::person_needed(format!(
                "{} says in its footer that it starts at {} of partition {}: move it away, \
                 and see who wrote it",
                stored.path, footer.start, footer.partition
            )));
        }
        let has_records = footer.last_offset.is_some();
        let newest = newest.get_or_insert_with(|| footer.clone());
        if has_records {
            return Ok(Some(Tail {
                newest: newest.clone(),
                newest_with_records: Some(footer),
            }));
        }
    }
    Ok(newest.map(|newest| Tail {
        newest,
        newest_with_records: None,
    }))
}

fn read_footer(files: &dyn Files, stored: &Stored) -> anyhow::Result<Footer> {
    RawFile::footer(files, stored).map_err(|failure| {
        let what = "the newest raw file, so nobody knows where to resume: restore it, or move it away \
                    to read its records from Kafka again";
        ask_if_corrupt(failure, &stored.path, what)
    })
}

/// The newest epoch of a topic on HDFS; 0 before the first.
pub fn newest_epoch(files: &dyn Files, raw: &Raw, topic: &str) -> anyhow::Result<u32> {
    let directory = raw.topic_directory(topic);
    let stored = files
        .list(&directory, false)
        .with_context(|| format!("cannot list {directory}"))?;
    let epochs = stored.iter().filter(|entry| entry.is_directory);
    Ok(epochs
        .filter_map(|entry| entry.path.rsplit('/').next()?.parse().ok())
        .max()
        .unwrap_or(0))
}
