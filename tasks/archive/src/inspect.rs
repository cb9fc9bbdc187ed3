//! `--inspect`: what the chains hold, read from HDFS alone.

use std::collections::BTreeMap;

use chain::{Hdfs, Raw, RawFile, raw_files};
use frame::Outcome;
use serde::Serialize;

use crate::options::Options;

/// The chain of one partition in one epoch.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct Chain {
    epoch: u32,
    partition: i32,
    files: u64,
    file_bytes: u64,
    records: u64,
    start: i64,
    next: i64,
    /// Records that an operator accepted as lost.
    gap_records: u64,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    records: u64,
    files: u64,
    file_bytes: u64,
    gap_records: u64,
    chains: Vec<Chain>,
}

/// Lists every chain of the topic; a hole or an overlap asks for a person.
pub fn inspect(options: &Options, hdfs: &Hdfs) -> anyhow::Result<Outcome> {
    let raw = Raw::new(&options.hdfs.raw_root);
    let topic = &options.kafka.kafka_topic;
    let mut chains: BTreeMap<(u32, i32), Chain> = BTreeMap::new();
    for (name, stored) in raw_files(hdfs, &raw, topic, |_| false)? {
        let footer = RawFile::footer(hdfs, &stored)?;
        let chain = chains
            .entry((name.epoch, name.partition))
            .or_insert_with(|| Chain {
                epoch: name.epoch,
                partition: name.partition,
                start: name.start,
                next: name.start,
                ..Chain::default()
            });
        if footer.start != name.start || name.start != chain.next {
            return Err(frame::person_needed(format!(
                "the chain is broken at {}: it covers {}..{} where {} comes next; put back what was \
                 taken from HDFS since",
                stored.path, footer.start, footer.next, chain.next
            )));
        }
        chain.files += 1;
        chain.file_bytes += stored.bytes;
        chain.records += footer.records;
        chain.next = footer.next;
        if footer.gap.is_some() {
            chain.gap_records += (footer.next - footer.start) as u64;
        }
    }
    let mut summary = Summary {
        topic: topic.clone(),
        chains: chains.into_values().collect(),
        ..Summary::default()
    };
    for chain in &summary.chains {
        summary.records += chain.records;
        summary.files += chain.files;
        summary.file_bytes += chain.file_bytes;
        summary.gap_records += chain.gap_records;
    }
    Outcome::done(&summary)
}
