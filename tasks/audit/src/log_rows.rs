//! The rows of Cassandra that belong to a raw file.
//!
//! Read are the partitions and time ranges that the file's records ask for, and nothing else: a
//! row that somebody put where no record of its offsets belongs is not found.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context;
use event::{EventType, Micros};
use frame::Stop;
use futures::TryStreamExt;
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp};
use tokio::runtime::Runtime;
use xxhash_rust::xxh3::Xxh3;

use crate::expect::{Expected, LogRow};
use crate::ranges::{Differences, Ranges};
use crate::verdict::{State, Store, Unit, Verdict};

const SELECT_EVENTS: &str = "SELECT timestamp, event_id, kafka_partition, kafka_offset, \
     details_amount, attempted_amount FROM ecomm_log \
     WHERE event_type = ? AND event_date = ? AND shard = ? AND timestamp >= ? AND timestamp <= ?";

const SELECT_REJECTS: &str = "SELECT kafka_partition, kafka_offset, topic, reason \
     FROM rejected_log WHERE reject_date = ? AND shard = ? AND kafka_time >= ? AND kafka_time <= ?";

const SELECT_GAPS: &str =
    "SELECT kafka_partition, kafka_offset, topic, detail FROM rejected_log WHERE reason = 'gap'";

const SELECT_LIFE: &str = "SELECT default_time_to_live FROM system_schema.tables \
     WHERE keyspace_name = ? AND table_name = ?";

/// Times that lie further apart are asked for one by one: one late event must not make the audit
/// read a whole day.
const APART_MILLIS: i64 = 3_600_000;

/// A row may be gone this long before its time: it was written by another clock than ours.
const MARGIN: Micros = 3_600_000_000;

/// Tells of events, by offset and id, which had an earlier copy that `stream` could still know.
pub type SeenBefore<'a> = dyn FnMut(&[(i64, Arc<str>)]) -> anyhow::Result<HashSet<i64>> + 'a;

/// Cassandra, as the audit asks it.
pub struct Cassandra {
    pub(crate) runtime: Runtime,
    pub(crate) session: Session,
    events: PreparedStatement,
    rejects: PreparedStatement,
    /// Records written before these times may have expired: events, rejects.
    event_life: Option<Micros>,
    reject_life: Option<Micros>,
    /// Offsets that Kafka no longer held when `stream` came to them: partition, from, to.
    gaps: Vec<(i32, i64, i64)>,
    now: Micros,
}

type EventColumns = (
    CqlTimestamp,
    String,
    Option<i32>,
    Option<i64>,
    Option<f64>,
    Option<f64>,
);
type RejectColumns = (i32, i64, Option<String>, Option<String>);

impl Cassandra {
    /// Connects, and reads what explains that rows are not there.
    pub fn connect(
        options: &cassandra::Options,
        topic: &str,
        stop: &Stop,
    ) -> anyhow::Result<Cassandra> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("cassandra")
            .enable_all()
            .build()?;
        let session = runtime.block_on(cassandra::connect(options, stop))?;
        let prepare = |statement: &str| {
            runtime
                .block_on(session.prepare(statement))
                .map_err(|failure| explain(anyhow::Error::new(failure)))
        };
        let (events, rejects) = (prepare(SELECT_EVENTS)?, prepare(SELECT_REJECTS)?);
        let mut found = Cassandra {
            events,
            rejects,
            event_life: None,
            reject_life: None,
            gaps: Vec::new(),
            now: chrono::Utc::now().timestamp_micros(),
            runtime,
            session,
        };
        let keyspace = &options.cassandra_keyspace;
        found.event_life = found.life(keyspace, "ecomm_log")?;
        found.reject_life = found.life(keyspace, "rejected_log")?;
        found.gaps = found.read_gaps(topic)?;
        Ok(found)
    }

    /// How long a table keeps its rows; `None` is for ever.
    pub fn life(&self, keyspace: &str, table: &str) -> anyhow::Result<Option<Micros>> {
        let rows: Vec<(i32,)> = self.rows(SELECT_LIFE, (keyspace, table))?;
        let seconds = rows
            .first()
            .with_context(|| format!("no table {keyspace}.{table}"))?
            .0;
        Ok((seconds > 0).then(|| i64::from(seconds) * 1_000_000))
    }

    /// Whether a row of a record of this time may be gone by now.
    pub fn may_have_expired(&self, life: Option<Micros>, record_time: Micros) -> bool {
        life.is_some_and(|life| record_time + life - MARGIN < self.now)
    }

    /// Whether Kafka no longer held the offset when `stream` came to it.
    fn is_gap(&self, unit: Unit, offset: i64) -> bool {
        self.gaps.iter().any(|(partition, from, to)| {
            *partition == unit.partition && (*from..*to).contains(&offset)
        })
    }

    fn read_gaps(&self, topic: &str) -> anyhow::Result<Vec<(i32, i64, i64)>> {
        let rows: Vec<(i32, i64, Option<String>, Option<String>)> = self.rows(SELECT_GAPS, ())?;
        let of_topic = rows
            .into_iter()
            .filter(|row| row.2.as_deref() == Some(topic));
        of_topic
            .map(|(partition, from, _, detail)| {
                // "Kafka no longer held the offsets 3..9"
                let detail = detail.unwrap_or_default();
                let to = detail.rsplit("..").next().and_then(|to| to.parse().ok());
                let to = to.with_context(|| format!("a gap that nobody understands: {detail}"))?;
                Ok((partition, from, to))
            })
            .collect()
    }

    pub(crate) fn rows<Columns>(
        &self,
        statement: &str,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> anyhow::Result<Vec<Columns>>
    where
        Columns: for<'frame, 'metadata> scylla::deserialize::row::DeserializeRow<'frame, 'metadata>
            + 'static,
    {
        let read = async {
            let pager = self.session.query_iter(statement, values).await?;
            let rows = pager.rows_stream::<Columns>()?.try_collect().await?;
            anyhow::Ok(rows)
        };
        self.runtime.block_on(read).map_err(explain)
    }

    /// Compares the rows of a file with what its records ask for.
    pub fn compare_rows(
        &self,
        topic: &str,
        unit: Unit,
        expected: &Expected,
        seen_before: &mut SeenBefore<'_>,
    ) -> anyhow::Result<Verdict> {
        let rejected = self.read_rejects(topic, unit, expected)?;
        let mut outcome = Outcome::default();
        for ((kind, day), rows) in &expected.log_rows {
            self.compare_day(unit, *kind, *day, rows, &mut outcome)?;
        }
        outcome.compare_rejects(self, unit, expected, &rejected);
        self.explain_missing(unit, &rejected, seen_before, &mut outcome)?;
        Ok(outcome.verdict(unit, expected))
    }

    /// Rows of rejected_log of the file's offsets, with their reasons.
    fn read_rejects(
        &self,
        topic: &str,
        unit: Unit,
        expected: &Expected,
    ) -> anyhow::Result<BTreeMap<i64, String>> {
        let mut found = BTreeMap::new();
        let Some((first, last)) = expected.record_times else {
            return Ok(found);
        };
        let shard = cassandra::shard(unit.partition);
        for day in cassandra::day(first)..=cassandra::day(last) {
            let values = (
                date(day),
                shard,
                cassandra::timestamp(first),
                cassandra::timestamp(last),
            );
            let rows: Vec<RejectColumns> = self.execute(&self.rejects, values)?;
            for (partition, offset, of_topic, reason) in rows {
                let reason = reason.unwrap_or_default();
                let here = partition == unit.partition
                    && (unit.start..unit.next).contains(&offset)
                    && of_topic.as_deref().is_none_or(|of_topic| of_topic == topic)
                    && reason != "gap";
                if here {
                    found.insert(offset, reason);
                }
            }
        }
        Ok(found)
    }

    fn execute<Columns>(
        &self,
        statement: &PreparedStatement,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> anyhow::Result<Vec<Columns>>
    where
        Columns: for<'frame, 'metadata> scylla::deserialize::row::DeserializeRow<'frame, 'metadata>
            + 'static,
    {
        let read = async {
            let pager = self.session.execute_iter(statement.clone(), values).await?;
            let rows = pager.rows_stream::<Columns>()?.try_collect().await?;
            anyhow::Ok(rows)
        };
        self.runtime.block_on(read).map_err(explain)
    }

    /// One event type on one day.
    fn compare_day(
        &self,
        unit: Unit,
        kind: EventType,
        day: i64,
        asked: &[LogRow],
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let by_offset: HashMap<i64, &LogRow> = asked.iter().map(|row| (row.offset, row)).collect();
        let mut keys: HashMap<u64, bool> = asked
            .iter()
            .map(|row| (key_hash(kind, row.millis, &row.event_id), false))
            .collect();
        let mut times: Vec<i64> = asked.iter().map(|row| row.millis).collect();
        times.sort_unstable();
        for times in times.chunk_by(|left, right| right - left <= APART_MILLIS) {
            let (Some(first), Some(last)) = (times.first(), times.last()) else {
                continue;
            };
            let values = (
                kind.name(),
                date(day),
                cassandra::shard(unit.partition),
                CqlTimestamp(*first),
                CqlTimestamp(*last),
            );
            let rows: Vec<EventColumns> = self.execute(&self.events, values)?;
            for (time, event_id, partition, offset, amount, attempted) in rows {
                let here = partition == Some(unit.partition)
                    && offset.is_some_and(|offset| (unit.start..unit.next).contains(&offset));
                let hash = key_hash(kind, time.0, &event_id);
                let Some(is_there) = keys.get_mut(&hash) else {
                    // else another file's, or another partition's of this shard
                    if here || partition.is_none() {
                        outcome.extra.push(offset.unwrap_or(-1));
                    }
                    continue;
                };
                *is_there = true;
                outcome.digest_found = outcome.digest_found.wrapping_add(hash);
                let content = offset.filter(|_| here).and_then(|at| by_offset.get(&at));
                let bits = amount.or(attempted).map_or(0, f64::to_bits);
                match content {
                    Some(row) if (row.millis, &*row.event_id) == (time.0, &*event_id) => {
                        if row.amount_bits != bits {
                            outcome.changed.push(row.offset);
                        }
                    }
                    // its offset is in the file, and that record asks for another row
                    _ if here => outcome.changed.push(offset.unwrap_or(-1)),
                    _ => {}
                }
            }
        }
        let mut known = HashSet::new();
        for row in asked {
            let hash = key_hash(kind, row.millis, &row.event_id);
            if !known.insert(hash) {
                outcome.duplicates += 1;
                continue;
            }
            outcome.digest_expected = outcome.digest_expected.wrapping_add(hash);
            if keys.get(&hash) == Some(&true) {
                outcome.rows += 1;
            } else {
                outcome.missing.push((kind, row.clone()));
            }
        }
        Ok(())
    }

    /// Sorts out the missing rows that something explains.
    fn explain_missing(
        &self,
        unit: Unit,
        rejected: &BTreeMap<i64, String>,
        seen_before: &mut SeenBefore<'_>,
        outcome: &mut Outcome,
    ) -> anyhow::Result<()> {
        let mut rest = Vec::new();
        for (kind, row) in std::mem::take(&mut outcome.missing) {
            let gap = self.is_gap(unit, row.offset);
            match rejected.get(&row.offset).map(String::as_str) {
                // Cassandra would not take the row, which is why it is there
                Some("refused") => outcome.rejects += 1,
                Some(_) => outcome.outdated.push(row.offset),
                None if gap => outcome.gap += 1,
                None if self.may_have_expired(self.event_life, row.record_time) => {
                    outcome.expired += 1;
                }
                None => rest.push((kind, row)),
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        let questions: Vec<(i64, Arc<str>)> = rest
            .iter()
            .map(|(_, row)| (row.offset, Arc::from(&*row.event_id)))
            .collect();
        let repeats = seen_before(&questions)?;
        for (kind, row) in rest {
            if repeats.contains(&row.offset) {
                // no row is asked for, after all
                let hash = key_hash(kind, row.millis, &row.event_id);
                outcome.digest_expected = outcome.digest_expected.wrapping_sub(hash);
                outcome.duplicates += 1;
            } else {
                outcome.missing.push((kind, row));
            }
        }
        Ok(())
    }
}

fn date(day: i64) -> CqlDate {
    cassandra::date(day * 86_400_000_000)
}

/// A table that is not there needs a person; an answer that does not come, a retry.
fn explain(failure: anyhow::Error) -> anyhow::Error {
    let text = format!("{failure:#}");
    if cassandra::is_schema_missing(&text) {
        return failure.context(frame::PersonNeeded(
            "the tables in Cassandra are not those of this version: run ./setup_cassandra.sh"
                .to_owned(),
        ));
    }
    failure.context("Cassandra did not answer a query")
}

/// What the comparison of one file comes to.
#[derive(Default)]
struct Outcome {
    rows: i64,
    rejects: i64,
    duplicates: i64,
    expired: i64,
    gap: i64,
    outdated: Vec<i64>,
    missing: Vec<(EventType, LogRow)>,
    missing_rejects: Vec<i64>,
    extra: Vec<i64>,
    extra_rejects: Vec<i64>,
    changed: Vec<i64>,
    digest_expected: u64,
    digest_found: u64,
}

fn key_hash(kind: EventType, millis: i64, event_id: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(kind.name().as_bytes());
    hash.update(&millis.to_le_bytes());
    hash.update(event_id.as_bytes());
    hash.digest()
}

impl Outcome {
    fn compare_rejects(
        &mut self,
        cassandra: &Cassandra,
        unit: Unit,
        expected: &Expected,
        rejected: &BTreeMap<i64, String>,
    ) {
        for row in &expected.reject_rows {
            match rejected.get(&row.offset).map(String::as_str) {
                Some(reason) if reason == row.reason => self.rejects += 1,
                Some("refused") => self.rejects += 1,
                Some(_) => self.outdated.push(row.offset),
                None if cassandra.may_have_expired(cassandra.reject_life, row.record_time) => {
                    self.expired += 1;
                }
                None if cassandra.is_gap(unit, row.offset) => self.gap += 1,
                None => self.missing_rejects.push(row.offset),
            }
        }
        let asked: HashSet<i64> = expected.reject_rows.iter().map(|row| row.offset).collect();
        let events: HashSet<i64> = expected.events.iter().map(|(offset, _)| *offset).collect();
        for offset in rejected.keys().filter(|offset| !asked.contains(offset)) {
            // a record that is an event by now, or was refused, is looked at with the events
            if !events.contains(offset) {
                self.extra_rejects.push(*offset);
            }
        }
    }

    fn verdict(mut self, unit: Unit, expected: &Expected) -> Verdict {
        let mut verdict = Verdict::new(unit, Store::Cassandra, State::Ok);
        verdict.expected = expected.records.len() as i64;
        verdict.found = self.rows + self.rejects + self.duplicates;
        verdict.rejects = self.rejects;
        verdict.duplicates = self.duplicates;
        verdict.digest_expected = self.digest_expected;
        verdict.digest_found = self.digest_found;
        let missing = self.missing.iter().map(|(_, row)| row.offset).collect();
        let events = differences(missing, self.extra, self.changed);
        let rejects = differences(self.missing_rejects, self.extra_rejects, Vec::new());
        let mut said = Vec::new();
        if !events.is_empty() {
            said.push(format!("ecomm_log: {events}"));
        }
        if !rejects.is_empty() {
            said.push(format!("rejected_log: {rejects}"));
        }
        if !said.is_empty() {
            verdict.state = State::Different;
            return verdict.because(said.join("; "));
        }
        if !self.outdated.is_empty() {
            self.outdated.sort_unstable();
            let ranges: Ranges = self.outdated.into_iter().collect();
            verdict.state = State::Replay;
            return verdict.because(format!(
                "{ranges} would be judged otherwise by this parser: run stream --from-chain"
            ));
        }
        if self.gap > 0 {
            verdict.state = State::Gap;
            let gap = self.gap;
            return verdict.because(format!("{gap} records are a gap that stream noted"));
        }
        if self.expired > 0 {
            verdict.state = State::Expired;
            return verdict.because(format!("{} rows have lived their time", self.expired));
        }
        verdict
    }
}

fn differences(mut missing: Vec<i64>, mut extra: Vec<i64>, mut changed: Vec<i64>) -> Differences {
    for offsets in [&mut missing, &mut extra, &mut changed] {
        offsets.sort_unstable();
    }
    Differences {
        missing: missing.into_iter().collect(),
        extra: extra.into_iter().collect(),
        changed: changed.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_extra_rows_are_named_and_nothing_else_is_a_difference() {
        let unit = Unit {
            epoch: 0,
            partition: 1,
            start: 0,
            next: 10,
        };
        let expected = Expected::default();
        let missing = |offset| {
            let row = LogRow {
                millis: 0,
                event_id: "a".into(),
                offset,
                record_time: 0,
                amount_bits: 0,
            };
            (EventType::Search, row)
        };
        let outcome = Outcome {
            missing: vec![missing(7), missing(3)],
            extra: vec![5],
            ..Outcome::default()
        };
        let verdict = outcome.verdict(unit, &expected);
        assert_eq!(verdict.state, State::Different);
        assert_eq!(
            verdict.detail.as_deref(),
            Some("ecomm_log: offsets 3, 7 are missing (2); offset 5 is too many")
        );
        let outcome = Outcome {
            expired: 2,
            ..Outcome::default()
        };
        assert_eq!(outcome.verdict(unit, &expected).state, State::Expired);
        assert_eq!(Outcome::default().verdict(unit, &expected).state, State::Ok);
    }
}
