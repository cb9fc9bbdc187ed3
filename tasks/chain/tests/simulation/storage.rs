//! HDFS as the writers see it: operations that are done, refused, lost, late or never ended.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chain::{ChainPath, Files, Memory, RawFile, RenameReply};

use crate::invariants::{Link, check_unchanged};
use crate::kafka::Content;
use crate::stepping::{Reply, Request};

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Answered,
    /// Not done, and the writer is told so.
    Refused,
    /// A rename that is done, and nobody hears of it.
    ReplyLost,
    /// A rename that is never done, and nobody hears of it.
    RequestLost,
    /// A rename that is done later, and nobody hears of it.
    RequestLate,
    /// The writer dies in the middle of a write.
    CutShort,
}

#[derive(Default)]
pub struct Storage {
    files: Memory,
    /// Renames still on their way.
    late: Vec<(String, String)>,
    /// Every temporary name that was ever used.
    used: BTreeSet<String>,
    /// The chain when it was last looked at.
    chain: BTreeMap<String, Bytes>,
    /// And what its files hold.
    links: BTreeMap<String, Link<Content>>,
    /// A mistake: a rename replaces what is there.
    overwrites: bool,
}

impl Storage {
    pub fn new(overwrites: bool) -> Storage {
        Storage {
            overwrites,
            ..Storage::default()
        }
    }

    /// Carries out an operation, or what its fate leaves of it.
    pub fn carry_out(&mut self, request: &Request, fate: Fate) -> anyhow::Result<Reply> {
        if fate == Fate::Refused {
            return Ok(Reply::Failed);
        }
        Ok(match request {
            Request::List(directory) => Reply::Listing(self.files.list(directory, false)?),
            Request::Exists(path) => Reply::Exists(self.files.exists(path)?),
            Request::Read { path, offset } => Reply::Data(self.files.read_from(path, *offset)?),
            Request::Write { path, data } => {
                let fresh = self.used.insert(path.clone());
                anyhow::ensure!(fresh, "I1: the temporary name {path} is used again");
                let length = match fate {
                    Fate::CutShort => data.len() / 2,
                    _ => data.len(),
                };
                self.files.write_new(path, data.slice(..length))?;
                Reply::Done
            }
            Request::Rename { source, target } => match fate {
                Fate::Answered if self.rename(source, target)? => Reply::Done,
                Fate::ReplyLost => {
                    self.rename(source, target)?;
                    Reply::Unclear
                }
                Fate::RequestLate => {
                    self.late.push((source.clone(), target.clone()));
                    Reply::Unclear
                }
                _ => Reply::Unclear,
            },
            Request::Delete(path) => {
                self.files.delete(path)?;
                Reply::Done
            }
        })
    }

    /// A late rename is done after all; false when there is none, or HDFS refuses it.
    pub fn land(&mut self) -> anyhow::Result<bool> {
        match self.late.pop() {
            Some((source, target)) => self.rename(&source, &target),
            None => Ok(false),
        }
    }

    /// Deletes every temporary file.
    pub fn sweep(&self) -> anyhow::Result<()> {
        let mut temporary = self.used.iter();
        temporary.try_for_each(|path| self.files.delete(path))
    }

    fn rename(&self, source: &str, target: &str) -> anyhow::Result<bool> {
        if self.overwrites && self.files.exists(source)? {
            self.files.delete(target)?;
        }
        let reply = self.files.rename_new(source, target)?;
        Ok(matches!(reply, RenameReply::Done))
    }

    /// Reads what is new in the chain, and checks that nothing else has changed. Whether there was
    /// anything new.
    pub fn look(&mut self, chain: &ChainPath) -> Result<bool, String> {
        let seen = self
            .read_chain(chain)
            .map_err(|failure| format!("{failure:#}"))?;
        check_unchanged(&self.chain, &seen)?;
        for (path, data) in &seen {
            if !self.links.contains_key(path) {
                let link = decode(chain, path, data)
                    .map_err(|failure| format!("I4: {path}: {failure:#}"))?;
                self.links.insert(path.clone(), link);
            }
        }
        let grown = seen.len() > self.chain.len();
        self.chain = seen;
        Ok(grown)
    }

    fn read_chain(&self, chain: &ChainPath) -> anyhow::Result<BTreeMap<String, Bytes>> {
        let listing = self.files.list(&chain.directory, false)?;
        let stored = listing.into_iter();
        stored
            .map(|stored| Ok((stored.path.clone(), self.files.read_from(&stored.path, 0)?)))
            .collect()
    }

    /// The chain when it was last looked at.
    pub fn links(&self) -> Vec<Link<Content>> {
        self.links.values().cloned().collect()
    }
}

fn decode(chain: &ChainPath, path: &str, data: &Bytes) -> anyhow::Result<Link<Content>> {
    let file = RawFile::new(data.clone())?;
    anyhow::ensure!(path == chain.file(file.footer.start), "the name lies");
    let mut records = Vec::new();
    file.for_each(|record| {
        let bytes = |part: Option<&[u8]>| part.map(<[u8]>::to_vec);
        let content = (
            record.timestamp_millis,
            bytes(record.key),
            bytes(record.value),
        );
        records.push((record.offset, content));
        Ok(())
    })?;
    Ok(Link {
        start: file.footer.start,
        next: file.footer.next,
        gap: file.footer.gap.is_some(),
        records,
    })
}
