//! What is there to load: the raw files that the ledger does not hold.

use std::collections::HashSet;

use chain::{Files, Raw, RawFileName, Stored};

use crate::ledger::Known;

/// A raw file that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the chain.
    pub name: RawFileName,
    /// Where it is.
    pub stored: Stored,
}

/// Raw files of a topic that are not in the ledger, oldest first within each chain.
pub fn pending(
    files: &dyn Files,
    raw: &Raw,
    topic: &str,
    known: &HashSet<Known>,
) -> anyhow::Result<Vec<Pending>> {
    let mut pending: Vec<Pending> = files
        .list(&raw.topic_directory(topic), true)?
        .into_iter()
        .filter(|stored| !stored.is_directory)
        .filter_map(|stored| raw.parse(&stored.path).map(|name| Pending { name, stored }))
        .filter(|file| !known.contains(&Known::of(&file.name)))
        .collect();
    pending.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(pending)
}
