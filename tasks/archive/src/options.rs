//! The command line of `archive`.

use std::time::Duration;

use broker::KafkaOptions;
use chain::HdfsOptions;
use clap::Parser;

/// Archives Kafka records to HDFS as raw Parquet files, each record exactly once.
///
/// Runs until it has archived every record that was in the topic when it started, or, with
/// --follow, until it is told to end (SIGTERM). The last line on stdout is a JSON summary.
/// Exit codes: 0 done; 1 failed, try again; 2 a person is needed, the last line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    #[command(flatten)]
    pub kafka: KafkaOptions,

    #[command(flatten)]
    pub hdfs: HdfsOptions,

    /// Go on as records arrive, sharing the partitions with other followers of the same group
    #[arg(long, env = "ARCHIVE_FOLLOW")]
    pub follow: bool,

    /// Consumer group: shares partitions under --follow, and shows the lag to monitoring tools.
    /// Where to resume is never read from it
    #[arg(long, env = "ARCHIVE_GROUP", default_value = "archive")]
    pub group: String,

    /// Close a raw file when it holds this much of keys and payloads, in MiB; it may come to twice as
    /// much while the file before it is still being written
    #[arg(long, env = "ARCHIVE_FLUSH_MIB", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub flush_mib: u32,

    /// Close a raw file this long after its first record, in seconds, whether or not more arrive
    #[arg(long, env = "ARCHIVE_FLUSH_AGE_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub flush_age_seconds: u32,

    /// Memory for records on their way, in MiB: half for files being filled, a quarter for what
    /// Kafka sends ahead. When it is full a file is closed before --flush-mib: a topic of many
    /// partitions (16, say) needs twice as much
    #[arg(long, env = "ARCHIVE_MEMORY_MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub memory_mib: u32,

    /// List the chain of every partition instead, check that it has no hole, and write nothing
    #[arg(long, env = "ARCHIVE_INSPECT")]
    pub inspect: bool,

    /// Accept that Kafka no longer holds the records which come next: the chain goes on behind
    /// them, and the gap stays on record
    #[arg(long, env = "ARCHIVE_ACCEPT_GAP")]
    pub accept_gap: bool,

    /// Begin this epoch, the one after the newest: the topic was made anew, and its offsets start
    /// over. Goes on in it when it has begun already, so the same command may be repeated
    #[arg(
        long,
        env = "ARCHIVE_NEW_EPOCH",
        value_name = "EPOCH",
        conflicts_with = "inspect"
    )]
    pub new_epoch: Option<u32>,
}

impl Options {
    /// Payload bytes at which a raw file is closed.
    pub fn flush_bytes(&self) -> usize {
        (self.flush_mib as usize) << 20
    }

    /// Age at which a raw file is closed.
    pub fn flush_age(&self) -> Duration {
        Duration::from_secs(u64::from(self.flush_age_seconds))
    }

    /// Memory for files being filled.
    pub fn batch_bytes(&self) -> usize {
        (self.memory_mib as usize) << 19
    }

    /// Memory for what Kafka sends ahead, in KiB: what librdkafka counts in.
    pub fn prefetch_kib(&self) -> u32 {
        self.memory_mib * 1024 / 4
    }
}
