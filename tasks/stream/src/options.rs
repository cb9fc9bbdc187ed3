//! The command line of `stream`.

use std::time::Duration;

use broker::KafkaOptions;
use chain::{HdfsOptions, Selection};
use clap::Parser;
use frame::person_needed;

/// Writes Kafka records to Cassandra as they come: events to ecomm_log, their counts to
/// ecomm_by_minute, and what is no event to rejected_log.
///
/// Runs until it has written every record that was in the topic when it started, or, with
/// --follow, until it is told to end (SIGTERM). Instances of one group share the partitions. With
/// --from-chain it writes what the raw files hold instead, or with --partition, --from-offset,
/// --to-offset, --since and --until a part of it. The last line on stdout is a JSON summary.
/// Exit codes: 0 done; 1 failed, try again; 2 a person is needed, the last line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    #[command(flatten)]
    pub kafka: KafkaOptions,

    #[command(flatten)]
    pub cassandra: cassandra::Options,

    /// Go on as records arrive
    #[arg(long, env = "STREAM_FOLLOW")]
    pub follow: bool,

    /// Consumer group: its members share the partitions, and its offsets say what is written
    #[arg(long, env = "STREAM_GROUP", default_value = "stream")]
    pub group: String,

    /// Rows in one write at most; a write holds rows of one Cassandra partition
    #[arg(long, env = "STREAM_BATCH_ROWS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub batch_rows: u32,

    /// How long a row may wait for others to be written with, in milliseconds
    #[arg(long, env = "STREAM_LINGER_MS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub linger_ms: u32,

    /// Writes under way at once, at most
    #[arg(long, env = "STREAM_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub concurrency: u32,

    /// Rows of all writes under way at once, at most; a write alone may have more. Cassandra must be
    /// done with them, and with those of other instances, within its write_request_timeout
    #[arg(long, env = "STREAM_ROWS_IN_FLIGHT", default_value_t = 2400, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rows_in_flight: u32,

    /// Memory for records on their way, in MiB: half for rows, a quarter for what Kafka sends
    /// ahead. When the rows fill it, partitions are paused
    #[arg(long, env = "STREAM_MEMORY_MIB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(16..=65536))]
    pub memory_mib: u32,

    /// Epoch of the topic, as in the raw chain: raise it with `archive --new-epoch N`. It is part of
    /// the identity of events that bring no event_id
    #[arg(long, env = "STREAM_EPOCH", default_value_t = 0)]
    pub epoch: u32,

    /// Accept that Kafka no longer holds the records which come next: go on with the first that it
    /// holds, and note the gap in rejected_log
    #[arg(long, env = "STREAM_ACCEPT_GAP")]
    pub accept_gap: bool,

    /// Write what the raw files on HDFS hold, instead of what Kafka holds, and end: to fill tables
    /// that were emptied, or a part of them. Widened to whole blocks of 50,000 offsets
    #[arg(long, env = "STREAM_FROM_CHAIN", conflicts_with_all = ["follow", "accept_gap"])]
    pub from_chain: bool,

    /// With --from-chain: in the end set the group's offsets to where the raw files end, for the
    /// live stream to go on from there; nobody may be running in the group
    #[arg(long, env = "STREAM_HAND_OVER", requires = "from_chain")]
    pub hand_over: bool,

    #[command(flatten)]
    pub selection: Selection,

    #[command(flatten)]
    pub hdfs: HdfsOptions,
}

impl Options {
    /// Refuses what cannot be meant.
    pub fn check(&self) -> anyhow::Result<()> {
        self.selection.check()?;
        if !self.selection.is_everything() {
            if !self.from_chain {
                return Err(person_needed(
                    "--partition, --from-offset, --to-offset, --since and --until select raw \
                     files: add --from-chain",
                ));
            }
            if self.hand_over {
                return Err(person_needed(
                    "--hand-over is for all of the raw files: leave the selection out",
                ));
            }
        }
        Ok(())
    }

    /// How long a row may wait for others.
    pub fn linger(&self) -> Duration {
        Duration::from_millis(u64::from(self.linger_ms))
    }

    /// Memory for rows.
    pub fn row_bytes(&self) -> usize {
        (self.memory_mib as usize) << 19
    }

    /// Memory for what Kafka sends ahead, in KiB: what librdkafka counts in.
    pub fn prefetch_kib(&self) -> u32 {
        self.memory_mib * 1024 / 4
    }
}
