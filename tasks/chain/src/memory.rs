//! A file system in memory with the faults of HDFS: for tests and simulations of the chain.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::files::{Files, RenameReply, Stored};

/// What happens to a rename instead of its being done and answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameFault {
    /// It is done, and the reply is lost.
    ReplyLost,
    /// It is not done, and no reply comes.
    RequestLost,
}

/// Files by path. Like HDFS it refuses to rename to a name that is taken.
#[derive(Debug, Default)]
pub struct Memory {
    files: Mutex<BTreeMap<String, Bytes>>,
    faults: Mutex<VecDeque<RenameFault>>,
}

impl Memory {
    /// The next renames meet these faults, one each.
    pub fn inject(&self, faults: impl IntoIterator<Item = RenameFault>) {
        let mut queue = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(faults);
    }

    /// Every path, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.held().keys().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rename(&self, source: &str, target: &str) -> anyhow::Result<()> {
        let mut files = self.held();
        anyhow::ensure!(!files.contains_key(target), "{target} exists");
        let data = files
            .remove(source)
            .ok_or_else(|| anyhow::anyhow!("{source} is not there"))?;
        files.insert(target.to_owned(), data);
        Ok(())
    }
}

impl Files for Memory {
    fn list(&self, directory: &str, recursive: bool) -> anyhow::Result<Vec<Stored>> {
        let prefix = format!("{directory}/");
        let mut found = BTreeMap::new();
        for (path, data) in self.held().iter() {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let (path, is_directory) = match rest.split_once('/') {
                Some((first, _)) if !recursive => (format!("{prefix}{first}"), true),
                _ => (path.clone(), false),
            };
            found.entry(path.clone()).or_insert(Stored {
                path,
                bytes: if is_directory { 0 } else { data.len() as u64 },
                is_directory,
                modified_millis: 0,
            });
        }
        Ok(found.into_values().collect())
    }

    fn exists(&self, path: &str) -> anyhow::Result<bool> {
        Ok(self.held().contains_key(path))
    }

    fn read_from(&self, path: &str, offset: u64) -> anyhow::Result<Bytes> {
        let files = self.held();
        let data = files
            .get(path)
            .ok_or_else(|| anyhow::anyhow!("{path} is not there"))?;
        Ok(data.slice((offset as usize).min(data.len())..))
    }

    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()> {
        self.held().insert(path.to_owned(), data);
        Ok(())
    }

    fn rename_new(&self, source: &str, target: &str) -> anyhow::Result<RenameReply> {
        let fault = self
            .faults
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let unclear = |text: &str| Ok(RenameReply::Unclear(anyhow::anyhow!("{text}")));
        match fault {
            Some(RenameFault::RequestLost) => unclear("the request was lost"),
            Some(RenameFault::ReplyLost) => {
                // whether it was done or refused, nobody hears of it
                let _ = self.rename(source, target);
                unclear("the reply was lost")
            }
            None => match self.rename(source, target) {
                Ok(()) => Ok(RenameReply::Done),
                Err(refusal) => Ok(RenameReply::Unclear(refusal)),
            },
        }
    }

    fn make_directory(&self, _path: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.held().remove(path);
        Ok(())
    }
}
