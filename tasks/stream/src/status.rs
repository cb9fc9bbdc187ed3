//! What a person or Prometheus sees of a running `stream`: metrics, the status page, its health.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use event::Micros;
use metrics::{Counter, counter, gauge};
use serde::Serialize;

use crate::lag::Ends;
use crate::options::Options;
use crate::partition::{Partition, Taken};
use crate::tables::Table;
use crate::writer::{Ack, Health};

const PAGE: &str = include_str!("status.html");

/// Errors and rejects that the page lists.
const LISTED: usize = 10;

/// The rate on the page is that of so many seconds.
const RATE_SECONDS: usize = 10;

/// Delays that the page's percentiles are taken from.
const DELAYS: usize = 2_000;

/// A task that cannot write for so long, or whose loop stands still, is not healthy.
const UNHEALTHY_AFTER: Duration = Duration::from_secs(30);

/// What the page shows.
#[derive(Debug, Default, Serialize)]
struct Snapshot {
    topic: String,
    group: String,
    keyspace: String,
    version: &'static str,
    started_at: String,
    now: String,
    /// `ok`, `paused` (memory is full) or `failing` (Cassandra does not take writes).
    state: &'static str,
    failing_seconds: f64,
    failing_error: String,
    records: u64,
    rows: u64,
    duplicates: u64,
    rejects: BTreeMap<&'static str, u64>,
    retries: u64,
    records_per_second: f64,
    buffered_bytes: usize,
    record_delay_p50_ms: f64,
    record_delay_p99_ms: f64,
    lag_records: i64,
    lag_seconds: f64,
    partitions: Vec<PartitionStatus>,
    last_rejects: VecDeque<LastReject>,
    last_errors: VecDeque<LastError>,
}

#[derive(Debug, Serialize)]
struct PartitionStatus {
    partition: i32,
    written_to: i64,
    end: i64,
    lag_records: i64,
    lag_seconds: f64,
    paused: bool,
}

#[derive(Debug, Serialize)]
struct LastReject {
    at: String,
    partition: i32,
    offset: i64,
    reason: &'static str,
    field: Option<String>,
}

#[derive(Debug, Serialize)]
struct LastError {
    at: String,
    error: String,
}

#[derive(Default)]
struct Shared {
    snapshot: Snapshot,
    last_tick: Option<Instant>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts what happens, and shows it.
pub struct Status {
    shared: Arc<Mutex<Shared>>,
    ends: Ends,
    health: Arc<Health>,
    records: u64,
    rows_since: u64,
    rejects: BTreeMap<&'static str, u64>,
    last_rejects: VecDeque<LastReject>,
    last_errors: VecDeque<LastError>,
    duplicates: u64,
    rows: u64,
    rates: VecDeque<(Instant, u64)>,
    delays: VecDeque<Duration>,
    lags: BTreeMap<i32, (i64, f64)>,
    meters: Meters,
}

struct Meters {
    records: Counter,
    duplicates: Counter,
    rows: [Counter; 3],
}

impl Status {
    /// From here on, where the task listens.
    pub fn begin(options: &Options, ends: Ends, health: Arc<Health>) -> Status {
        let shared = Arc::new(Mutex::new(Shared {
            snapshot: Snapshot {
                topic: options.kafka.kafka_topic.clone(),
                group: options.group.clone(),
                keyspace: options.cassandra.cassandra_keyspace.clone(),
                version: env!("CARGO_PKG_VERSION"),
                started_at: iso(SystemTime::now()),
                now: iso(SystemTime::now()),
                state: "ok",
                ..Snapshot::default()
            },
            last_tick: None,
        }));
        frame::page("/", "text/html; charset=utf-8", || (200, PAGE.to_owned()));
        let shown = Arc::clone(&shared);
        frame::page(
            "/status.json",
            "application/json",
            move || match serde_json::to_string(&lock(&shown).snapshot) {
                Ok(json) => (200, json),
                Err(failure) => (500, failure.to_string()),
            },
        );
        let (shown, writes) = (Arc::clone(&shared), Arc::clone(&health));
        frame::page("/healthz", "text/plain", move || {
            healthz(lock(&shown).last_tick, &writes)
        });
        let rows = |table: Table| counter!("pipeline_rows_total", "table" => table.name());
        Status {
            shared,
            ends,
            health,
            records: 0,
            rows_since: 0,
            rejects: BTreeMap::new(),
            last_rejects: VecDeque::new(),
            last_errors: VecDeque::new(),
            duplicates: 0,
            rows: 0,
            rates: VecDeque::new(),
            delays: VecDeque::new(),
            lags: BTreeMap::new(),
            meters: Meters {
                records: counter!("pipeline_records_total"),
                duplicates: counter!("pipeline_duplicates_total"),
                rows: [Table::Event, Table::Cell, Table::Reject].map(rows),
            },
        }
    }

    /// A record was taken in.
    pub fn taken(&mut self, partition: i32, offset: i64, taken: &Taken) {
        self.records += 1;
        self.meters.records.increment(1);
        match taken {
            Taken::Duplicate => {
                self.duplicates += 1;
                self.meters.duplicates.increment(1);
            }
            Taken::Reject(reject) => {
                let reason = reject.reason.name();
                *self.rejects.entry(reason).or_default() += 1;
                counter!("pipeline_rejects_total", "reason" => reason).increment(1);
                list(
                    &mut self.last_rejects,
                    LastReject {
                        at: iso(SystemTime::now()),
                        partition,
                        offset,
                        reason,
                        field: reject.field.clone(),
                    },
                );
            }
            Taken::Event | Taken::Again => {}
        }
    }

    /// A write was acknowledged.
    pub fn written(&mut self, ack: &Ack) {
        let rows = ack.rows as u64;
        self.rows += rows;
        self.rows_since += rows;
        self.meters.rows[ack.table as usize].increment(rows);
        if ack.refused > 0 {
            let refused = ack.refused as u64;
            *self.rejects.entry("refused").or_default() += refused;
            counter!("pipeline_rejects_total", "reason" => "refused").increment(refused);
        }
        if let Some(delay) = ack.delay {
            if self.delays.len() == DELAYS {
                self.delays.pop_front();
            }
            self.delays.push_back(delay);
        }
    }

    /// The partition is another instance's now.
    pub fn gone(&mut self, partition: i32) {
        self.lags.remove(&partition);
        let label = partition.to_string();
        gauge!("pipeline_lag_records", "partition" => label.clone()).set(0.0);
        gauge!("pipeline_lag_seconds", "partition" => label).set(0.0);
    }

    /// Something went wrong that mends itself.
    pub fn error(&mut self, error: String) {
        if self
            .last_errors
            .front()
            .is_some_and(|last| last.error == error)
        {
            return;
        }
        let at = iso(SystemTime::now());
        list(&mut self.last_errors, LastError { at, error });
    }

    /// Tries after the first.
    pub fn retries(&self) -> u64 {
        self.health.retries()
    }

    /// Renews what is shown; so many rows were written since the last time.
    pub fn each_second<'a>(
        &mut self,
        partitions: impl Iterator<Item = &'a Partition>,
        buffered_bytes: usize,
    ) -> u64 {
        let mut shown = Vec::new();
        let mut paused = 0;
        for partition in partitions {
            let status = self.partition(partition);
            paused += i32::from(status.paused);
            shown.push(status);
        }
        gauge!("pipeline_paused_partitions").set(f64::from(paused));
        gauge!("pipeline_buffered_bytes").set(buffered_bytes as f64);
        let failing = self.health.failing();
        if let Some((_, text)) = &failing {
            self.error(format!("Cassandra: {text}"));
        }
        let now = Instant::now();
        self.rates.push_back((now, self.records));
        if self.rates.len() > RATE_SECONDS + 1 {
            self.rates.pop_front();
        }
        let (first_at, first) = self.rates.front().copied().unwrap_or((now, self.records));
        let seconds = now.duration_since(first_at).as_secs_f64();
        let mut sorted: Vec<Duration> = self.delays.iter().copied().collect();
        sorted.sort_unstable();

        let mut shared = lock(&self.shared);
        shared.last_tick = Some(now);
        let snapshot = &mut shared.snapshot;
        snapshot.now = iso(SystemTime::now());
        snapshot.state = match (&failing, paused) {
            (Some(_), _) => "failing",
            (None, 0) => "ok",
            _ => "paused",
        };
        (snapshot.failing_seconds, snapshot.failing_error) = match failing {
            Some((since, text)) => (since.as_secs_f64(), text),
            None => (0.0, String::new()),
        };
        snapshot.records = self.records;
        snapshot.rows = self.rows;
        snapshot.duplicates = self.duplicates;
        snapshot.rejects.clone_from(&self.rejects);
        snapshot.retries = self.health.retries();
        snapshot.records_per_second = if seconds > 0.0 {
            (self.records - first) as f64 / seconds
        } else {
            0.0
        };
        snapshot.buffered_bytes = buffered_bytes;
        snapshot.record_delay_p50_ms = percentile(&sorted, 0.5);
        snapshot.record_delay_p99_ms = percentile(&sorted, 0.99);
        snapshot.lag_records = shown.iter().map(|status| status.lag_records).sum();
        snapshot.lag_seconds = shown
            .iter()
            .map(|status| status.lag_seconds)
            .fold(0.0, f64::max);
        snapshot.partitions = shown;
        snapshot.last_rejects = self.last_rejects.iter().map(LastReject::again).collect();
        snapshot.last_errors = self.last_errors.iter().map(LastError::again).collect();
        drop(shared);
        std::mem::take(&mut self.rows_since)
    }

    fn partition(&mut self, partition: &Partition) -> PartitionStatus {
        let number = partition.number;
        let written_to = partition.tracker.position();
        let end = self.ends.of(number).unwrap_or(written_to).max(written_to);
        let level = partition.at_end && partition.tracker.is_level() && end <= partition.next;
        let lag_records = if level { 0 } else { end - written_to };
        let lag_seconds = if lag_records == 0 || partition.last_time == 0 {
            0.0
        } else {
            seconds_since(partition.last_time)
        };
        self.lags.insert(number, (lag_records, lag_seconds));
        let label = number.to_string();
        gauge!("pipeline_lag_records", "partition" => label.clone()).set(lag_records as f64);
        gauge!("pipeline_lag_seconds", "partition" => label).set(lag_seconds);
        PartitionStatus {
            partition: number,
            written_to,
            end,
            lag_records,
            lag_seconds,
            paused: partition.paused,
        }
    }

    /// For the log line of a batch.
    pub fn lag_in_words(&self) -> String {
        let records: i64 = self.lags.values().map(|(records, _)| records).sum();
        let seconds = self
            .lags
            .values()
            .map(|(_, seconds)| *seconds)
            .fold(0.0, f64::max);
        format!("{records} records ({seconds:.1} s) behind")
    }

    /// The task ends: what the page says last.
    pub fn end(&mut self) {
        lock(&self.shared).snapshot.now = iso(SystemTime::now());
    }
}

impl LastReject {
    fn again(&self) -> LastReject {
        LastReject {
            at: self.at.clone(),
            field: self.field.clone(),
            ..*self
        }
    }
}

impl LastError {
    fn again(&self) -> LastError {
        LastError {
            at: self.at.clone(),
            error: self.error.clone(),
        }
    }
}

/// Newest first.
fn list<T>(entries: &mut VecDeque<T>, entry: T) {
    entries.truncate(LISTED - 1);
    entries.push_front(entry);
}

fn healthz(last_tick: Option<Instant>, health: &Health) -> (u16, String) {
    match (last_tick, health.failing()) {
        (_, Some((since, text))) if since >= UNHEALTHY_AFTER => {
            let seconds = since.as_secs();
            (
                503,
                format!("Cassandra takes no writes since {seconds} s: {text}\n"),
            )
        }
        (Some(tick), _) if tick.elapsed() >= UNHEALTHY_AFTER => (
            503,
            format!(
                "the loop stands still since {} s\n",
                tick.elapsed().as_secs()
            ),
        ),
        _ => (200, "ok\n".to_owned()),
    }
}

/// In milliseconds; 0 of nothing.
fn percentile(sorted: &[Duration], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    let found = sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or_default();
    found.as_secs_f64() * 1e3
}

fn seconds_since(time: Micros) -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    (now.as_secs_f64() - time as f64 / 1e6).max(0.0)
}

fn iso(time: SystemTime) -> String {
    DateTime::<Utc>::from(time).to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_few_values() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 0.5), 50.0);
        assert_eq!(percentile(&values, 0.99), 99.0);
        assert_eq!(percentile(&values[..1], 0.99), 1.0);
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn the_newest_entries_are_kept() {
        let mut entries = VecDeque::new();
        (0..30).for_each(|entry| list(&mut entries, entry));
        assert_eq!(entries.len(), LISTED);
        assert_eq!(entries.front(), Some(&29));
    }
}
