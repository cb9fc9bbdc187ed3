//! List, subtract the ledger, load what is left, several files side by side. Or replay the rejects.

use std::panic::resume_unwind;
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use chain::{Files, Hdfs, Raw};
use frame::{Outcome, Progress, Stop, person_needed};
use log::{error, info};
use postgres::Client;
use serde::Serialize;

use crate::ledger;
use crate::load_file::{Loaded, load_file};
use crate::options::Options;
use crate::pending::{Pending, pending, selected};
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
    let mut clients = vec![client];
    while clients.len() < pending.len().min(options.connections.into()) {
        clients.push(warehouse::connect(&options.warehouse, "load")?);
    }
    let mut summary = load_files(&hdfs, &mut clients, topic, &pending, stop)?;
    let client = &mut clients[0];
    ledger::show(client)?;
    summary.quarantine_total = ledger::quarantined(client, topic)?;
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

/// Loads files in the order they have, one at a time on each connection, until done or told to end.
///
/// # Errors
/// That of one connection. None begins a file after it.
fn load_files(
    files: &dyn Files,
    clients: &mut [Client],
    topic: &str,
    pending: &[Pending],
    stop: &Stop,
) -> anyhow::Result<Summary> {
    let work = Work {
        files,
        stop,
        waiting: Mutex::new(pending.iter()),
        summary: Mutex::new(Summary {
            topic: topic.to_owned(),
            files_left: pending.len() as u64,
            ..Summary::default()
        }),
        progress: Progress::new(Some(pending.len() as u64), "files"),
    };
    thread::scope(|scope| {
        let loading: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| work.load(client)))
            .collect();
        // all of them end before the scope does
        loading
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    Ok(work
        .summary
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

/// What the connections share.
struct Work<'a> {
    files: &'a dyn Files,
    stop: &'a Stop,
    waiting: Mutex<slice::Iter<'a, Pending>>,
    summary: Mutex<Summary>,
    progress: Progress,
}

impl<'a> Work<'a> {
    /// The next file, unless it is time to end.
    fn next(&self) -> Option<&'a Pending> {
        if self.stop.is_set() {
            return None;
        }
        self.waiting().next()
    }

    fn waiting(&self) -> MutexGuard<'_, slice::Iter<'a, Pending>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads one file after another; a failure leaves nothing for the others to begin.
    fn load(&self, client: &mut Client) -> anyhow::Result<()> {
        while let Some(file) = self.next() {
            let loaded =
                load_file(self.files, client, file).inspect_err(|_| *self.waiting() = [].iter())?;
            let mut summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.add(loaded, &file.stored.path, &self.progress);
        }
        Ok(())
    }
}

impl Summary {
    /// Counts what became of a file, and says it.
    fn add(&mut self, loaded: Loaded, path: &str, progress: &Progress) {
        match loaded {
            Loaded::Rows { events, rejects } => {
                self.files += 1;
                self.records += events + rejects;
                self.events += events;
                self.rejects += rejects;
                progress.batch(
                    1,
                    format_args!("{path}: {events} events, {rejects} rejects"),
                );
            }
            Loaded::Already => self.files_loaded_by_another_run += 1,
            Loaded::Quarantined(reason) => {
                self.files_quarantined += 1;
                error!("{path} is quarantined: {reason}");
            }
            Loaded::Kept(reason) => {
                self.files_kept += 1;
                error!("{path} is not loaded anew: {reason}");
            }
        }
        self.files_left -= 1;
    }
}
