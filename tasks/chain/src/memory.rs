//! A file system in memory with the faults of HDFS: for tests and simulations of the chain.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
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
    files: Mutex<BTreeMap<String, File>>,
    now_millis: AtomicU64,
    faults: Mutex<VecDeque<RenameFault>>,
}

#[derive(Debug)]
struct File {
    data: Bytes,
    modified_millis: u64,
}

impl Memory {
    /// Lets time pass for files that are written from here on.
    pub fn set_time(&self, now_millis: u64) {
        self.now_millis.store(now_millis, Ordering::Relaxed);
    }

    /// The next renames meet these faults, one each.
    pub fn inject(&self, faults: impl IntoIterator<Item = RenameFault>) {
        let mut queue = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        queue.extend(faults);
    }

    /// Every path, sorted.
    pub fn paths(&self) -> Vec<String> {
        self.held().keys().cloned().collect()
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
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
        for (path, file) in self.held().iter() {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let (path, is_directory) = match rest.split_once('/') {
                Some((first, _)) if !recursive => (format!("{prefix}{first}"), true),
                _ => (path.clone(), false),
            };
            found.entry(path.clone()).or_insert(Stored {
                path,
                in_pack: None,
                bytes: match is_directory {
                    true => 0,
                    false => file.data.len() as u64,
                },
                is_directory,
                modified_millis: file.modified_millis,
            });
        }
        Ok(found.into_values().collect())
    }

    fn exists(&self, path: &str) -> anyhow::Result<bool> {
        Ok(self.held().contains_key(path))
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> anyhow::Result<Bytes> {
        let files = self.held();
        let data = files
            .get(path)
            .map(|file| &file.data)
            .ok_or_else(|| anyhow::anyhow!("{path} is not there"))?;
        let within = |offset: u64| (offset as usize).min(data.len());
        let (start, end) = (within(range.start), within(range.end));
        Ok(data.slice(start..end.max(start)))
    }

    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()> {
        let modified_millis = self.now_millis.load(Ordering::Relaxed);
        let file = File {
            data,
            modified_millis,
        };
        self.held().insert(path.to_owned(), file);
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
