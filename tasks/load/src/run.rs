//! The loop: list, subtract the ledger, load file by file. Or replay the rejects.

use chain::{Hdfs, Raw};
use frame::{Outcome, Progress, Stop, person_needed};
use log::{error, info};
use serde::Serialize;

use crate::ledger;
use crate::load_file::{Loaded, load_file};
use crate::options::Options;
use crate::pending::{pending, selected};
use crate::replay;

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
    files_kept: u64,
    quarantine_total: i64,
    files_left: u64,
}

/// Loads what the ledger does not hold, until done or told to end.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    let topic = &options.kafka_topic;
    let selection = &options.selection;
    selection.check()?;
    if options.reload && selection.is_everything() {
        return Err(person_needed(
            "--reload needs to be told which files: add --partition, --since or --until (make \
             rebuild loads all of them anew)",
        ));
    }
    if options.replay_rejects {
        frame::reads(options.warehouse.dataset("raw.reject"));
        frame::writes(options.warehouse.dataset("raw.log_event"), "/healed");
    } else {
        frame::reads(options.hdfs.dataset(topic));
        frame::writes(options.warehouse.dataset("raw.log_event"), "/events");
        frame::writes(options.warehouse.dataset("raw.reject"), "/rejects");
    }
    let mut client = warehouse::connect(&options.warehouse, "load")?;
    if options.replay_rejects {
        return replay::run(options, &mut client, stop);
    }
    let hdfs = Hdfs::connect(&options.hdfs, stop)?;
    let raw = Raw::new(&options.hdfs.raw_root);
    let pending = if selection.is_everything() {
        let known = ledger::known(&mut client, topic, !options.retry_quarantined)?;
        pending(&hdfs, &raw, topic, &known)?
    } else {
        let loaded = ledger::loaded(&mut client, topic)?;
        selected(&hdfs, &raw, topic, selection, &loaded, options.reload)?
    };
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
            Loaded::Kept(reason) => {
                summary.files_kept += 1;
                error!("{} is not loaded anew: {reason}", file.stored.path);
            }
        }
        summary.files_left -= 1;
    }
    ledger::show(&mut client)?;
    summary.quarantine_total = ledger::quarantined(&mut client, topic)?;
    if summary.files_kept > 0 {
        let advice = format!(
            "{} raw files could not be read again, and their rows stay as they were loaded \
             before: restore the files, then run this again",
            summary.files_kept
        );
        return Outcome::needs_person(&summary, advice);
    }
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
