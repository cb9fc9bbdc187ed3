//! Rejects, parsed again: what the parser of this version takes moves to `raw.log_event`.
//!
//! One transaction per raw file, which locks the file's row in the ledger: of two replays, or a
//! replay and a reload, at one file the second waits and then finds what the first left. A healed
//! record keeps the load_id of its file, and the ledger's counts move with it, so that a file's rows
//! and rejects are its records at all times. `ops.replay` tells dbt to look at the file again,
//! `ops.healed_reject` what each was rejected for.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use chain::{Moment, RawFileName};
use event::{Micros, Reject};
use frame::{Outcome, Progress, Stop};
use log::info;
use metrics::counter;
use postgres::{Client, Row, Transaction};
use serde::Serialize;

use crate::copy::{EVENT_COPY, Origin, Rows};
use crate::ledger;
use crate::load_file::event_id;
use crate::options::Options;

/// Rejects held at once: payloads of up to a megabyte each.
const CHUNK_ROWS: i32 = 64;

const REJECTS: &str = "select kafka_offset, kafka_time, reason, field, payload from raw.reject
     where load_id = $1 and (cardinality($2::text[]) = 0 or reason = any($2))
         and kafka_offset >= $3 and kafka_offset < $4
         and ($5::timestamptz is null or kafka_time >= $5)
         and ($6::timestamptz is null or kafka_time < $6)
     order by kafka_offset";

const MOVE: &str = "with healed as (
         delete from raw.reject where load_id = $1 and kafka_offset = any($2)
         returning kafka_partition, kafka_offset, reason, field
     )
     insert into ops.healed_reject (replay_id, kafka_partition, kafka_offset, reason, field)
     select $3, kafka_partition, kafka_offset, reason, field from healed";

/// The summary line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    files: u64,
    read: u64,
    healed: u64,
    healed_by_reason: BTreeMap<String, u64>,
    still_rejected: u64,
    still_rejected_by_reason: BTreeMap<String, u64>,
    /// Still rejected, and for something else than before.
    reasons_changed: u64,
    files_left: u64,
}

/// A loaded file that has rejects.
struct Waiting {
    load_id: i64,
    name: RawFileName,
}

/// What is looked for, as the query takes it.
struct Wanted {
    reasons: Vec<&'static str>,
    offsets: (i64, i64),
    since: Option<SystemTime>,
    until: Option<SystemTime>,
}

/// Replays the rejects of the topic, file by file, until done or told to end.
pub fn run(options: &Options, client: &mut Client, stop: &Stop) -> anyhow::Result<Outcome> {
    let selection = &options.selection;
    let wanted = Wanted {
        reasons: options.reasons.iter().map(|reason| reason.name()).collect(),
        offsets: selection.offsets(),
        since: selection.since.map(time),
        until: selection.until.map(time),
    };
    let waiting = waiting(client, &options.kafka_topic, &selection.partitions)?;
    info!("{} raw files have rejects", waiting.len());
    let progress = Progress::new(Some(waiting.len() as u64), "files");
    let mut summary = Summary {
        topic: options.kafka_topic.clone(),
        files_left: waiting.len() as u64,
        ..Summary::default()
    };
    for file in &waiting {
        if stop.is_set() {
            break;
        }
        let healed_before = summary.healed;
        replay(client, file, &wanted, &mut summary)?;
        let healed = summary.healed - healed_before;
        summary.files += 1;
        summary.files_left -= 1;
        progress.batch(
            1,
            format_args!("load {}: {healed} rejects are events now", file.load_id),
        );
    }
    ledger::show(client)?;
    Outcome::done(&summary)
}

fn time(moment: Moment) -> SystemTime {
    let distance = Duration::from_micros(moment.0.unsigned_abs());
    if moment.0 < 0 {
        UNIX_EPOCH - distance
    } else {
        UNIX_EPOCH + distance
    }
}

fn micros(time: SystemTime) -> Micros {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_micros() as Micros,
        Err(before) => -(before.duration().as_micros() as Micros),
    }
}

fn waiting(client: &mut Client, topic: &str, partitions: &[i32]) -> anyhow::Result<Vec<Waiting>> {
    let rows = client
        .query(
            "select load_id, epoch, kafka_partition, start_offset from ops.load_file
             where topic = $1 and status = 'loaded' and reject_count > 0
                 and (cardinality($2::int[]) = 0 or kafka_partition = any($2))
             order by load_id",
            &[&topic, &partitions],
        )
        .map_err(warehouse::explain)?;
    Ok(rows
        .iter()
        .map(|row| Waiting {
            load_id: row.get(0),
            name: RawFileName {
                topic: topic.to_owned(),
                epoch: row.get::<_, i32>(1) as u32,
                partition: row.get(2),
                start: row.get(3),
            },
        })
        .collect())
}

/// What was found in one file, counted only once it is committed.
#[derive(Default)]
struct Found {
    read: u64,
    healed: Vec<i64>,
    healed_reasons: Vec<String>,
    still: Vec<&'static str>,
    changed: u64,
}

fn replay(
    client: &mut Client,
    file: &Waiting,
    wanted: &Wanted,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let mut transaction = client.transaction().map_err(warehouse::explain)?;
    let locked = transaction
        .query_opt(
            "select from ops.load_file where load_id = $1 and status = 'loaded' for update",
            &[&file.load_id],
        )
        .map_err(warehouse::explain)?;
    if locked.is_none() {
        // loaded anew meanwhile, which has parsed its rejects again
        return Ok(());
    }
    let found = look_through(&mut transaction, file, wanted)?;
    if !found.healed.is_empty() {
        record(&mut transaction, file, &found.healed)?;
    }
    transaction.commit().map_err(warehouse::explain)?;
    counter!("pipeline_records_total").increment(found.read);
    counter!("pipeline_rows_total", "table" => "log_event").increment(found.healed.len() as u64);
    summary.read += found.read;
    summary.healed += found.healed.len() as u64;
    for reason in found.healed_reasons {
        *summary.healed_by_reason.entry(reason).or_default() += 1;
    }
    summary.still_rejected += found.still.len() as u64;
    for reason in found.still {
        let count = summary.still_rejected_by_reason.entry(reason.to_owned());
        *count.or_default() += 1;
    }
    summary.reasons_changed += found.changed;
    Ok(())
}

/// Parses the rejects of a file, a chunk at a time, and copies those that are events.
fn look_through(
    transaction: &mut Transaction<'_>,
    file: &Waiting,
    wanted: &Wanted,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let portal = transaction
        .bind(
            REJECTS,
            &[
                &file.load_id,
                &wanted.reasons,
                &wanted.offsets.0,
                &wanted.offsets.1,
                &wanted.since,
                &wanted.until,
            ],
        )
        .map_err(warehouse::explain)?;
    loop {
        let rows = transaction
            .query_portal(&portal, CHUNK_ROWS)
            .map_err(warehouse::explain)?;
        if rows.is_empty() {
            return Ok(found);
        }
        let mut events = Rows::begin();
        let mut event_count = 0;
        for row in &rows {
            let offset: i64 = row.get(0);
            let payload: Option<&[u8]> = row.get(4);
            let origin = Origin {
                load_id: file.load_id,
                partition: file.name.partition,
                offset,
                record_time: micros(row.get(1)),
            };
            found.read += 1;
            match event::parse(payload, origin.record_time) {
                Ok(event) => {
                    events.event(origin, &event_id(&event, &file.name, offset), &event);
                    event_count += 1;
                    found.healed.push(offset);
                    found.healed_reasons.push(row.get(2));
                }
                Err(reject) => {
                    found.still.push(reject.reason.name());
                    if update_reason(transaction, file, row, &reject)? {
                        found.changed += 1;
                    }
                }
            }
        }
        if event_count > 0 {
            events.end();
            let mut writer = transaction
                .copy_in(EVENT_COPY)
                .map_err(warehouse::explain)?;
            writer.write_all(&events.bytes).context("COPY of events")?;
            let copied = writer.finish().map_err(warehouse::explain)?;
            anyhow::ensure!(
                copied == event_count,
                "{copied} rows came of {event_count} healed rejects"
            );
        }
    }
}

/// Writes down what the record is rejected for now, if that is something else.
fn update_reason(
    transaction: &mut Transaction<'_>,
    file: &Waiting,
    row: &Row,
    reject: &Reject,
) -> anyhow::Result<bool> {
    let (reason, field): (&str, Option<&str>) = (row.get(2), row.get(3));
    let new_field = reject
        .field
        .as_ref()
        .map(|field| field.replace('\0', "\u{fffd}"));
    if reason == reject.reason.name() && field == new_field.as_deref() {
        return Ok(false);
    }
    transaction
        .execute(
            "update raw.reject set reason = $3, field = $4
             where load_id = $1 and kafka_offset = $2",
            &[
                &file.load_id,
                &row.get::<_, i64>(0),
                &reject.reason.name(),
                &new_field,
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(true)
}

/// Takes the healed ones out of the rejects, and moves the ledger's counts along.
fn record(transaction: &mut Transaction<'_>, file: &Waiting, healed: &[i64]) -> anyhow::Result<()> {
    let count = healed.len() as i64;
    let row = transaction
        .query_one(
            "insert into ops.replay (load_id, healed_count) values ($1, $2) returning replay_id",
            &[&file.load_id, &count],
        )
        .map_err(warehouse::explain)?;
    let replay_id: i64 = row.get(0);
    let moved = transaction
        .execute(MOVE, &[&file.load_id, &healed, &replay_id])
        .map_err(warehouse::explain)?;
    anyhow::ensure!(
        moved == healed.len() as u64,
        "{moved} rejects of load {} were there to be moved, and not {count}",
        file.load_id
    );
    transaction
        .execute(
            "update ops.load_file
             set event_count = event_count + $2, reject_count = reject_count - $2
             where load_id = $1",
            &[&file.load_id, &count],
        )
        .map_err(warehouse::explain)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_survive_both_ways() {
        for micros_since in [-1, 0, 1_767_225_600_123_456] {
            assert_eq!(micros(time(Moment(micros_since))), micros_since);
        }
    }
}
