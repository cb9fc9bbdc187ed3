//! The chain's file system on HDFS.
//!
//! hdfs-native does not try an RPC again on a single NameNode, so every operation here is tried
//! until it succeeds, fails for good, or has been tried for `--hdfs-patience-seconds`. The rename
//! is tried again here only when the NameNode itself says that it has not done it: whether one with a
//! lost reply was done, only [`crate::append`] can find out.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use frame::{Stop, failpoint};
use hdfs_native::HdfsError;
use hdfs_native::client::{FileStatus, WriteOptions};
use hdfs_native::sync::{Client, ClientBuilder};

use crate::files::{Files, RenameReply, Stored};
use crate::path::Raw;

/// Enough to find the active one of two NameNodes; how long to wait for one is said by
/// `--hdfs-patience-seconds`, where hdfs-native alone would take minutes.
const FAILOVER: [(&str, &str); 3] = [
    ("dfs.client.failover.max.attempts", "2"),
    ("dfs.client.failover.sleep.base.millis", "100"),
    ("dfs.client.failover.sleep.max.millis", "500"),
];

/// Where HDFS is.
#[derive(Args, Debug, Clone)]
pub struct HdfsOptions {
    /// HDFS to use, as hdfs://NAMENODE:PORT
    #[arg(long, env = "HDFS_URL", default_value = "hdfs://namenode:8020")]
    pub hdfs_url: String,

    /// Directory on HDFS that holds the raw files
    #[arg(long, env = "RAW_ROOT", default_value = "/raw")]
    pub raw_root: String,

    /// User name towards HDFS
    #[arg(long, env = "HADOOP_USER_NAME", default_value = "pipeline")]
    pub hdfs_user: String,

    /// How long to try again while HDFS does not answer or is in safe mode, in seconds
    #[arg(long, env = "HDFS_PATIENCE_SECONDS", default_value_t = 60)]
    pub hdfs_patience_seconds: u64,
}

impl HdfsOptions {
    /// The raw files of a topic as lineage names them.
    pub fn dataset(&self, topic: &str) -> frame::Dataset {
        let directory = Raw::new(&self.raw_root).topic_directory(topic);
        frame::Dataset::new(self.hdfs_url.trim_end_matches('/'), directory)
    }
}

/// HDFS, blocking.
pub struct Hdfs {
    client: Client,
    place: String,
    patience: Duration,
    stop: Stop,
}

impl Hdfs {
    /// A client. Whether HDFS answers shows at its first use.
    pub fn connect(options: &HdfsOptions, stop: &Stop) -> anyhow::Result<Hdfs> {
        let client = ClientBuilder::new()
            .with_url(&options.hdfs_url)
            .with_user(&options.hdfs_user)
            .with_config(FAILOVER)
            .build()
            .with_context(|| {
                frame::PersonNeeded(format!(
                    "{} is no HDFS: HDFS_URL must be of the form hdfs://NAMENODE:PORT",
                    options.hdfs_url
                ))
            })?;
        Ok(Hdfs {
            client,
            place: options.hdfs_url.clone(),
            patience: Duration::from_secs(options.hdfs_patience_seconds),
            stop: stop.clone(),
        })
    }

    /// Tries until it succeeds, fails for good, or patience ends.
    fn patiently<T>(
        &self,
        what: &str,
        operation: impl Fn(&Client) -> Result<T, HdfsError>,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + self.patience;
        let mut pause = Duration::from_millis(100);
        loop {
            let failure = match operation(&self.client) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            if !worth_a_retry(&failure) {
                return Err(shortened(failure).context(format!("HDFS: cannot {what}")));
            }
            if self.stop.is_set() || Instant::now() + pause > deadline {
                return Err(shortened(failure).context(format!(
                    "no use of {}: cannot {what}; is the NameNode up, out of safe mode and at \
                     that address, and is a DataNode up, with room on its disk?",
                    self.place
                )));
            }
            log::warn!("HDFS: cannot {what} yet, trying again: {}", brief(&failure));
            self.stop.sleep(pause);
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

/// The first line of an error: a NameNode sends its whole stack trace.
fn brief(failure: &HdfsError) -> String {
    let text = failure.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// An error that fits into one line, of the same type where that tells something.
fn shortened(failure: HdfsError) -> anyhow::Error {
    match failure {
        HdfsError::RPCError(..) | HdfsError::FatalRPCError(..) => anyhow::anyhow!(brief(&failure)),
        _ => anyhow::Error::new(failure),
    }
}

fn worth_a_retry(failure: &HdfsError) -> bool {
    let transfer = matches!(
        failure,
        HdfsError::IOError(_) | HdfsError::DataTransferError(_)
    );
    transfer
        || says_not_now(failure)
        || is_of(
            failure,
            &[
                "RetryStartFileException",
                "NotReplicatedYetException",
                "java.io.IOException",
            ],
        )
}

/// Whether the NameNode has refused a request for now, without doing anything.
fn says_not_now(failure: &HdfsError) -> bool {
    let classes = [
        "SafeModeException",
        "RetriableException",
        "StandbyException",
        "ServerTooBusy",
    ];
    is_of(failure, &classes)
}

/// Whether the NameNode has thrown an exception of one of these classes.
fn is_of(failure: &HdfsError, classes: &[&str]) -> bool {
    match failure {
        HdfsError::RPCError(class, _) | HdfsError::FatalRPCError(class, _) => {
            classes.iter().any(|name| class.ends_with(name))
        }
        _ => false,
    }
}

fn is_missing(failure: &HdfsError) -> bool {
    match failure {
        HdfsError::FileNotFound(_) => true,
        HdfsError::RPCError(class, _) => class.ends_with("FileNotFoundException"),
        _ => false,
    }
}

fn stored(status: FileStatus) -> Stored {
    Stored {
        path: status.path,
        in_pack: None,
        bytes: status.length as u64,
        is_directory: status.isdir,
        modified_millis: status.modification_time,
    }
}

impl Files for Hdfs {
    fn list(&self, directory: &str, recursive: bool) -> anyhow::Result<Vec<Stored>> {
        self.patiently(&format!("list {directory}"), |client| {
            match client.list_status(directory, recursive) {
                Err(failure) if is_missing(&failure) => Ok(Vec::new()),
                listing => listing,
            }
        })
        .map(|statuses| statuses.into_iter().map(stored).collect())
    }

    fn exists(&self, path: &str) -> anyhow::Result<bool> {
        self.patiently(&format!("look at {path}"), |client| {
            match client.get_file_info(path) {
                Ok(_) => Ok(true),
                Err(failure) if is_missing(&failure) => Ok(false),
                Err(failure) => Err(failure),
            }
        })
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> anyhow::Result<Bytes> {
        self.patiently(&format!("read {path}"), |client| {
            let reader = client.read(path)?;
            let within = |offset: u64| (offset as usize).min(reader.file_length());
            let (start, end) = (within(range.start), within(range.end));
            reader.read_range(start, end.saturating_sub(start))
        })
    }

    fn write_new(&self, path: &str, data: Bytes) -> anyhow::Result<()> {
        let options = WriteOptions::default();
        self.patiently(&format!("write {path}"), |client| {
            let mut writer = match client.create(path, &options) {
                // what an earlier try left: the name is this writer's alone
                Err(HdfsError::AlreadyExists(_)) => {
                    client.delete(path, false)?;
                    client.create(path, &options)?
                }
                created => created?,
            };
            failpoint("archive.tmp_created");
            let half = data.len() / 2;
            writer.write_bytes(data.slice(..half))?;
            failpoint("archive.mid_write");
            writer.write_bytes(data.slice(half..))?;
            failpoint("archive.before_close");
            writer.close()
        })
    }

    fn rename_new(&self, source: &str, target: &str) -> anyhow::Result<RenameReply> {
        // a NameNode that says "not now" has not done it; after any other failure nobody knows
        self.patiently(&format!("rename {source}"), |client| {
            match client.rename(source, target, false) {
                Ok(()) => Ok(RenameReply::Done),
                Err(failure) if says_not_now(&failure) => Err(failure),
                Err(failure) => Ok(RenameReply::Unclear(anyhow::Error::new(failure))),
            }
        })
    }

    fn make_directory(&self, path: &str) -> anyhow::Result<()> {
        self.patiently(&format!("make {path}"), |client| {
            client.mkdirs(path, 0o755, true)
        })
    }

    fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.patiently(&format!("delete {path}"), |client| {
            client.delete(path, false).map(|_| ())
        })
    }
}
