//! The few things that the chain asks of a file system, so that its logic runs on HDFS and in a
//! simulation alike.

use std::ops::Range;

use bytes::Bytes;

/// A file as a listing shows it, or one that lies in a pack as it was before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Absolute path; that of the pack, if it lies in one.
    pub path: String,
    /// Where in the pack it begins. `None`: it is a file of its own.
    pub in_pack: Option<u64>,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Last change, in milliseconds since 1970.
    pub modified_millis: u64,
}

impl Stored {
    /// The whole content.
    pub fn read(&self, files: &dyn Files) -> anyhow::Result<Bytes> {
        self.read_from(files, 0)
    }

    /// The content from an offset to its end.
    pub fn read_from(&self, files: &dyn Files, offset: u64) -> anyhow::Result<Bytes> {
        match self.in_pack {
            None => files.read_from(&self.path, offset),
            Some(_) => self.read_range(files, offset..self.bytes),
        }
    }

    /// The content in a range, which ends where the file does or before.
    pub fn read_range(&self, files: &dyn Files, range: Range<u64>) -> anyhow::Result<Bytes> {
        let begin = self.in_pack.unwrap_or(0);
        files.read_range(&self.path, begin + range.start..begin + range.end)
    }
}

/// What became of a rename, as far as the reply tells.
#[derive(Debug)]
pub enum RenameReply {
    /// The file has its new name.
    Done,
    /// Refused, or no reply came: only a look at both names tells.
    Unclear(anyhow::Error),
}

/// A file system with a rename that never overwrites.
pub trait Files: Sync {
    /// What a directory holds; nothing when it is not there. `recursive`: the files below it.
    fn list(&self, directory: &str, recursive: bool) -> anyhow::Result<Vec<Stored>>;
    /// Whether a path is there.
    fn exists(&self, path: &str) -> anyhow::Result<bool>;
    /// The bytes of a file in a range; those that it has, if it ends before.
    fn read_range(&self, path: &str, range: Range<u64>) -> anyhow::Result<Bytes>;
    /// The bytes of a file from an offset to its end.
    fn read_from(&self, path: &str, offset: u64) -> anyhow::Result<Bytes> {
        self.read_range(path, offset..u64::MAX)
    }
    /// Writes a new file, durable when this returns.
    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()>;
    /// Renames a file to a name that must be free.
    fn rename_new(&self, source: &str, target: &str) -> anyhow::Result<RenameReply>;
    /// Makes a directory and those above it.
    fn make_directory(&self, path: &str) -> anyhow::Result<()>;
    /// Deletes a file, if it is there.
    fn delete(&self, path: &str) -> anyhow::Result<()>;
}
