//! Raw files that are old and small become packs: the crate `chain` has the rules and the reasons.

use std::time::{SystemTime, UNIX_EPOCH};

use chain::{Hdfs, Raw};
use frame::Stop;
use log::info;
use metrics::counter;
use serde::Serialize;

use crate::options::Options;

/// What was done, or in a dry run would be.
#[derive(Debug, Default, Serialize)]
pub struct Done {
    packs_written: u64,
    files_packed: u64,
    bytes_packed: u64,
    /// Those that lie in a pack.
    files_deleted: u64,
    /// Left as they are.
    pub files_unreadable: u64,
}

/// Packs the raw files of the topic.
pub fn compact(options: &Options, stop: &Stop) -> anyhow::Result<Done> {
    let hdfs = Hdfs::connect(&options.hdfs, stop)?;
    let raw = Raw::new(&options.hdfs.raw_root);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let done = chain::compact(
        &hdfs,
        &raw,
        &options.kafka_topic,
        &options.rules(now.as_millis() as u64),
        options.dry_run,
        || stop.is_set(),
    )?;
    let done = Done {
        packs_written: done.packs,
        files_packed: done.files_packed,
        bytes_packed: done.bytes_packed,
        files_deleted: done.files_deleted,
        files_unreadable: done.files_unreadable,
    };
    info!(
        "{} raw files packed into {}, {} deleted",
        done.files_packed, done.packs_written, done.files_deleted
    );
    if !options.dry_run {
        counter!("pipeline_files_packed_total").increment(done.files_packed);
    }
    Ok(done)
}
