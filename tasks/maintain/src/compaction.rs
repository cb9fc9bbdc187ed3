//! Raw files that are old and small become packs: the crate `chain` has the rules and the reasons.

use std::time::{SystemTime, UNIX_EPOCH};

use chain::{Compacted, Hdfs, Raw};
use frame::Stop;
use log::info;
use metrics::counter;

use crate::options::Options;

/// Packs the raw files of the topic.
pub fn compact(options: &Options, stop: &Stop) -> anyhow::Result<Compacted> {
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
    info!(
        "{} raw files packed into {}, {} deleted",
        done.files_packed, done.packs_written, done.files_deleted
    );
    if !options.dry_run {
        counter!("pipeline_files_packed_total").increment(done.files_packed);
    }
    Ok(done)
}
