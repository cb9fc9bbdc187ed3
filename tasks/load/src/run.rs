//! The loop: list, subtract the ledger, load file by file.

use chain::{Hdfs, Raw};
use frame::{Outcome, Progress, Stop};
use log::{error, info};
use serde::Serialize;

use crate::ledger;
use crate::load_file::{Loaded, load_file};
use crate::options::Options;
use crate::pending::pending;

/// The summary line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    files: u64,
    records: u64,
    events: u64,
    rejects: u64,
    files_loaded_by_another_run: u64,
    files_quarantined: u64,
    quarantine_total: i64,
    files_left: u64,
}

/// Loads what the ledger does not hold, until done or told to end.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    let topic = &options.kafka_topic;
    let mut client = warehouse::connect(&options.warehouse, "load")?;
    let hdfs = Hdfs::connect(&options.hdfs, stop)?;
    let raw = Raw::new(&options.hdfs.raw_root);
    let known = ledger::known(&mut client, topic, !options.retry_quarantined)?;
    let pending = pending(&hdfs, &raw, topic, &known)?;
    drop(known);
    info!("{} raw files to load", pending.len());
    let progress = Progress::new(Some(pending.len() as u64), "files");
    let mut summary = Summary {
        topic: topic.clone(),
        files_left: pending.len() as u64,
        ..Summary::default()
    };
    for file in &pending {
        if stop.is_set() {
            break;
        }
        match load_file(&hdfs, &mut client, file)? {
            Loaded::Rows { events, rejects } => {
                summary.files += 1;
                summary.records += events + rejects;
                summary.events += events;
                summary.rejects += rejects;
                progress.batch(
                    1,
                    format_args!("{}: {events} events, {rejects} rejects", file.stored.path),
                );
            }
            Loaded::Already => summary.files_loaded_by_another_run += 1,
            Loaded::Quarantined(reason) => {
                summary.files_quarantined += 1;
                error!("{} is quarantined: {reason}", file.stored.path);
            }
        }
        summary.files_left -= 1;
    }
    ledger::show(&mut client)?;
    summary.quarantine_total = ledger::quarantined(&mut client, topic)?;
    if summary.files_quarantined > 0 {
        let advice = format!(
            "{} raw files could not be read and are quarantined in ops.load_file, the others are \
             loaded: restore them, then run load --retry-quarantined",
            summary.files_quarantined
        );
        return Outcome::needs_person(&summary, advice);
    }
    Outcome::done(&summary)
}
