//! One file, one transaction.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Instant;

use anyhow::Context;
use chain::{Files, RawFile, RawFileName, Record, is_unreadable};
use event::Event;
use frame::failpoint;
use metrics::{counter, histogram};
use postgres::{Client, Transaction};

use crate::copy::{EVENT_COPY, Origin, REJECT_COPY, Rows};
use crate::ledger::{self, Entry};
use crate::pending::Pending;

/// Encoded bytes sent to PostgreSQL at once.
const CHUNK_BYTES: usize = 256 << 10;

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Loaded {
    /// Its events and rejects are in PostgreSQL now.
    Rows {
        /// Rows of `raw.log_event`.
        events: u64,
        /// Rows of `raw.reject`.
        rejects: u64,
    },
    /// Another run had loaded it.
    Already,
    /// It cannot be read, and the ledger says why.
    Quarantined(String),
    /// It cannot be read, and stays as it was loaded before.
    Kept(String),
}

/// Loads one file.
///
/// # Errors
/// When HDFS or PostgreSQL does not answer. The file is then loaded or not; the ledger knows.
pub fn load_file(
    files: &dyn Files,
    client: &mut Client,
    pending: &Pending,
) -> anyhow::Result<Loaded> {
    let entry = Entry {
        name: &pending.name,
        path: &pending.stored.path,
        file_bytes: pending.stored.bytes,
    };
    let result = RawFile::open(files, &pending.stored)
        .and_then(|file| transfer(client, entry, pending.reload, &file));
    match result {
        Err(failure) if is_unreadable(&failure, files, entry.path)? => {
            let reason = format!("{failure:#}");
            if pending.reload.is_some() {
                return Ok(Loaded::Kept(reason));
            }
            failpoint("load.before_quarantine");
            ledger::quarantine(client, entry, &reason)?;
            Ok(Loaded::Quarantined(reason))
        }
        result => result,
    }
}

fn transfer(
    client: &mut Client,
    entry: Entry<'_>,
    reload: Option<i64>,
    file: &RawFile<'_>,
) -> anyhow::Result<Loaded> {
    let mut transaction = client.transaction().map_err(warehouse::explain)?;
    failpoint("load.before_claim");
    let claimed = match reload {
        Some(load_id) => ledger::claim_anew(&mut transaction, load_id, entry, &file.footer)?,
        None => ledger::claim(&mut transaction, entry, &file.footer)?,
    };
    let Some(load_id) = claimed else {
        return Ok(Loaded::Already);
    };
    failpoint("load.after_claim");
    let begun = Instant::now();
    let (events, reasons) = copy(&mut transaction, entry, load_id, file)?;
    let rejects = reasons.values().sum();
    ledger::complete(&mut transaction, load_id, events, rejects)?;
    failpoint("load.before_commit");
    transaction.commit().map_err(warehouse::explain)?;
    failpoint("load.after_commit");
    histogram!("pipeline_write_duration_seconds", "store" => "postgres").record(begun.elapsed());
    histogram!("pipeline_batch_records").record((events + rejects) as f64);
    counter!("pipeline_records_total").increment(events + rejects);
    counter!("pipeline_files_total").increment(1);
    counter!("pipeline_rows_total", "table" => "log_event").increment(events);
    counter!("pipeline_rows_total", "table" => "reject").increment(rejects);
    for (reason, count) in reasons {
        counter!("pipeline_rejects_total", "reason" => reason).increment(count);
    }
    Ok(Loaded::Rows { events, rejects })
}

/// The event's own id, or its coordinates.
pub fn event_id<'a>(event: &'a Event<'_>, name: &RawFileName, offset: i64) -> Cow<'a, str> {
    match &event.event_id {
        Some(event_id) => Cow::Borrowed(event_id),
        None => Cow::Owned(event::event_id_from_coordinates(
            &name.topic,
            name.epoch,
            name.partition,
            offset,
        )),
    }
}

fn copy(
    transaction: &mut Transaction<'_>,
    entry: Entry<'_>,
    load_id: i64,
    file: &RawFile<'_>,
) -> anyhow::Result<(u64, BTreeMap<&'static str, u64>)> {
    let name = entry.name;
    let mut events = Rows::begin();
    // a connection copies into one table at a time, so rejects wait: at most one file's payload
    let mut rejects = Rows::begin();
    let mut reject_count = 0;
    let mut reasons: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut writer = transaction
        .copy_in(EVENT_COPY)
        .map_err(warehouse::explain)?;
    file.for_each(|record: Record<'_>| {
        let origin = Origin {
            load_id,
            partition: name.partition,
            offset: record.offset,
            record_time: record.timestamp_millis.saturating_mul(1_000),
        };
        match event::parse(record.value, origin.record_time) {
            Ok(event) => {
                let event_id = event_id(&event, name, record.offset);
                events.event(origin, &event_id, &event);
            }
            Err(reject) => {
                reject_count += 1;
                *reasons.entry(reject.reason.name()).or_default() += 1;
                rejects.reject(origin, &reject, record.key, record.value);
            }
        }
        if events.bytes.len() >= CHUNK_BYTES {
            writer.write_all(&events.bytes).context("COPY of events")?;
            events.bytes.clear();
        }
        Ok(())
    })?;
    events.end();
    writer.write_all(&events.bytes).context("COPY of events")?;
    failpoint("load.mid_copy");
    let event_count = writer.finish().map_err(warehouse::explain)?;
    if reject_count > 0 {
        rejects.end();
        let mut writer = transaction
            .copy_in(REJECT_COPY)
            .map_err(warehouse::explain)?;
        writer
            .write_all(&rejects.bytes)
            .context("COPY of rejects")?;
        writer.finish().map_err(warehouse::explain)?;
    }
    anyhow::ensure!(
        event_count + reject_count == file.footer.records,
        "{} holds {} records, but {event_count} events and {reject_count} rejects came of them",
        entry.path,
        file.footer.records
    );
    Ok((event_count, reasons))
}
