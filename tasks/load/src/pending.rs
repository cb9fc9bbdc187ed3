//! What is there to load: the raw files that the ledger does not hold, or those of a selection.

use std::collections::{BTreeSet, HashMap};

use chain::{
    Files, ListedFile, PackName, Raw, RawFileName, Selection, Stored, list_topic, raw_files,
};

use crate::ledger::Known;

/// A raw file that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Its place in the chain.
    pub name: RawFileName,
    /// Where it is.
    pub stored: Stored,
    /// It is loaded under this id, and is to be loaded anew.
    pub reload: Option<i64>,
}

/// Raw files of a topic that are not in the ledger, oldest first within each chain.
pub fn pending(
    files: &dyn Files,
    raw: &Raw,
    topic: &str,
    known: &BTreeSet<Known>,
) -> anyhow::Result<Vec<Pending>> {
    // a pack of which every file is known need not be opened
    let is_known = |pack: &PackName| {
        let place = |start| Known {
            epoch: pack.chain.epoch as i32,
            partition: pack.chain.partition,
            start,
        };
        known.range(place(pack.start)..place(pack.next)).count() == pack.files
    };
    Ok(raw_files(files, raw, topic, is_known)?
        .into_iter()
        .filter(|(name, _)| !known.contains(&Known::of(name)))
        .map(|(name, stored)| Pending {
            name,
            stored,
            reload: None,
        })
        .collect())
}

/// Raw files of a selection, in the same order: those that are not loaded, and with `reload` also
/// those that are. `loaded` tells the load ids.
pub fn selected(
    files: &dyn Files,
    raw: &Raw,
    topic: &str,
    selection: &Selection,
    loaded: &HashMap<Known, i64>,
    reload: bool,
) -> anyhow::Result<Vec<Pending>> {
    let mut selected = Vec::new();
    for file in list_topic(files, raw, topic)? {
        let load_id = loaded.get(&Known::of(&file.name)).copied();
        // the ledger is asked first: by time, a file has to be read
        if (load_id.is_some() && !reload) || !selection.takes(files, &file)? {
            continue;
        }
        let ListedFile { name, stored, .. } = file;
        selected.push(Pending {
            name,
            stored,
            reload: load_id,
        });
    }
    Ok(selected)
}
