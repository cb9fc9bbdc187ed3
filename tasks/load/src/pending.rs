//! What is there to load: the raw files that the ledger does not hold, or those of a selection.

use std::collections::{HashMap, HashSet};

use chain::{Files, ListedFile, Raw, RawFileName, Selection, Stored, list_topic};

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
    known: &HashSet<Known>,
) -> anyhow::Result<Vec<Pending>> {
    let mut pending: Vec<Pending> = files
        .list(&raw.topic_directory(topic), true)?
        .into_iter()
        .filter(|stored| !stored.is_directory)
        .filter_map(|stored| {
            raw.parse(&stored.path).map(|name| Pending {
                name,
                stored,
                reload: None,
            })
        })
        .filter(|file| !known.contains(&Known::of(&file.name)))
        .collect();
    pending.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(pending)
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
