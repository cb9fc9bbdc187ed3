//! The few things that the chain asks of a file system, so that its logic runs on HDFS and in a
//! simulation alike.

use bytes::Bytes;

/// A file as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Absolute path.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Last change, in milliseconds since 1970.
    pub modified_millis: u64,
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
    /// The bytes of a file from an offset to its end.
    fn read_from(&self, path: &str, offset: u64) -> anyhow::Result<Bytes>;
    /// Writes a new file, durable when this returns.
    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()>;
    /// Renames a file to a name that must be free.
    fn rename_new(&self, source: &str, target: &str) -> anyhow::Result<RenameReply>;
    /// Makes a directory and those above it.
    fn make_directory(&self, path: &str) -> anyhow::Result<()>;
    /// Deletes a file, if it is there.
    fn delete(&self, path: &str) -> anyhow::Result<()>;
}
