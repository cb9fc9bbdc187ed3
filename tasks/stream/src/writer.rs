//! Writes under way: each is tried until Cassandra has it, then acknowledged to the loop.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use event::Micros;
use frame::failpoint;
use log::{info, warn};
use metrics::{Counter, Histogram, counter, histogram};
use tokio::runtime::Runtime;

use crate::encode::{EncodedRow, Origin, Refusal, Rows};
use crate::tables::{Cassandra, Table, WriteError};
use crate::tracker::Ticket;

/// Pause before the second try; doubled after each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// One write: rows of one Cassandra partition, from one Kafka partition.
#[derive(Debug)]
pub struct Write {
    /// Into which table.
    pub table: Table,
    /// What.
    pub rows: Rows,
    /// Where each row came from, and the time of its event; for cells nothing.
    pub records: Vec<(Origin, Micros)>,
    /// Kafka partition.
    pub partition: i32,
    /// Which assignment of the partition.
    pub generation: u64,
    /// What the tracker wants back.
    pub ticket: Ticket,
}

/// Writes that wait for their turn, and how much is under way.
#[derive(Debug)]
pub struct Queue {
    waiting: VecDeque<Write>,
    max_writes: u32,
    max_rows: usize,
    rows_in_flight: usize,
    /// Writes under way.
    pub in_flight: u32,
    /// Memory of all rows on their way: those that wait to become a write, those here, and those
    /// under way.
    pub held_bytes: usize,
}

impl Queue {
    /// So many writes, and so many rows of theirs, may be under way at once.
    pub fn new(max_writes: u32, max_rows: u32) -> Queue {
        Queue {
            waiting: VecDeque::new(),
            max_writes,
            max_rows: max_rows as usize,
            rows_in_flight: 0,
            in_flight: 0,
            held_bytes: 0,
        }
    }

    /// One more.
    pub fn push(&mut self, write: Write) {
        self.waiting.push_back(write);
    }

    /// The one that has waited longest, if it may start now; one alone always may.
    fn start_next(&mut self) -> Option<Write> {
        let rows = self.waiting.front()?.rows.len();
        let has_room =
            self.in_flight < self.max_writes && self.rows_in_flight + rows <= self.max_rows;
        if !has_room && self.in_flight > 0 {
            return None;
        }
        self.in_flight += 1;
        self.rows_in_flight += rows;
        self.waiting.pop_front()
    }

    /// One that was under way is over.
    pub fn ended(&mut self, ack: &Ack) {
        self.in_flight -= 1;
        self.rows_in_flight -= ack.rows;
        self.held_bytes -= ack.bytes;
    }

    /// None waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// A write is over.
#[derive(Debug)]
pub struct Ack {
    /// Kafka partition.
    pub partition: i32,
    /// Which assignment of the partition.
    pub generation: u64,
    /// For the tracker.
    pub ticket: Ticket,
    /// Into which table.
    pub table: Table,
    /// So many rows.
    pub rows: usize,
    /// Memory set free.
    pub bytes: usize,
    /// Rows that became a row of rejected_log instead.
    pub refused: usize,
    /// Kafka time to queryable of its last record.
    pub delay: Option<Duration>,
    /// An error that ends the task.
    pub failure: Option<anyhow::Error>,
}

impl Ack {
    /// All of it is written.
    fn of(write: &Write) -> Ack {
        Ack {
            partition: write.partition,
            generation: write.generation,
            ticket: write.ticket,
            table: write.table,
            rows: write.rows.len(),
            bytes: write.rows.bytes(),
            refused: 0,
            delay: None,
            failure: None,
        }
    }
}

/// How writing goes: for people, and for the health check.
#[derive(Debug, Default)]
pub struct Health {
    failing: Mutex<Option<Failing>>,
    retries: AtomicU64,
}

#[derive(Debug, Clone)]
struct Failing {
    since: Instant,
    text: String,
}

impl Health {
    /// Since when writes fail, and the last error.
    pub fn failing(&self) -> Option<(Duration, String)> {
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = failing.as_ref()?;
        Some((failing.since.elapsed(), failing.text.clone()))
    }

    /// Tries after the first.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Notes a failed try; how long it has been so.
    fn failed(&self, text: String) -> Duration {
        self.retries.fetch_add(1, Ordering::Relaxed);
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match failing.as_mut() {
            Some(failing) => {
                failing.text = text;
                failing.since.elapsed()
            }
            None => {
                warn!("Cassandra does not take writes, trying on: {text}");
                *failing = Some(Failing {
                    since: Instant::now(),
                    text,
                });
                Duration::ZERO
            }
        }
    }

    fn succeeded(&self) {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failing) = failing.take() {
            info!(
                "Cassandra takes writes again after {:.1} s",
                failing.since.elapsed().as_secs_f64()
            );
        }
    }
}

/// Starts writes.
pub struct Writer {
    runtime: Runtime,
    shared: Arc<Shared>,
}

struct Shared {
    cassandra: Arc<Cassandra>,
    topic: String,
    health: Arc<Health>,
    give_up_after: Option<Duration>,
    acks: Sender<Ack>,
    meters: Meters,
}

struct Meters {
    write: Histogram,
    batch: Histogram,
    event_delay: Histogram,
    record_delay: Histogram,
    retries: Counter,
}

impl Writer {
    /// `give_up_after`: how long Cassandra may be gone; `None` is for ever.
    pub fn new(
        runtime: Runtime,
        cassandra: Arc<Cassandra>,
        topic: &str,
        health: Arc<Health>,
        give_up_after: Option<Duration>,
        acks: Sender<Ack>,
    ) -> Writer {
        let meters = Meters {
            write: histogram!("pipeline_write_duration_seconds", "store" => "cassandra"),
            batch: histogram!("pipeline_batch_records"),
            event_delay: histogram!("pipeline_event_delay_seconds"),
            record_delay: histogram!("pipeline_record_delay_seconds"),
            retries: counter!("pipeline_retries_total"),
        };
        let shared = Shared {
            cassandra,
            topic: topic.to_owned(),
            health,
            give_up_after,
            acks,
            meters,
        };
        Writer {
            runtime,
            shared: Arc::new(shared),
        }
    }

    /// Starts those that wait, as many as may; the [`Ack`] of each comes when it is over.
    pub fn start_waiting(&self, queue: &mut Queue) {
        while let Some(write) = queue.start_next() {
            self.start(write);
        }
    }

    fn start(&self, write: Write) {
        let shared = Arc::clone(&self.shared);
        self.runtime.spawn(async move {
            let outcome = shared.finish(&write).await;
            failpoint("stream.after_write");
            let ack = shared.acknowledge(&write, outcome);
            // the loop is gone: so is the need to tell it
            let _ = shared.acks.send(ack);
        });
    }

    /// Leaves what is still under way: it will be read from Kafka again.
    pub fn abandon(self) {
        self.runtime.shutdown_background();
    }
}

impl Shared {
    /// Tries until it is written; so many rows were refused.
    async fn finish(&self, write: &Write) -> anyhow::Result<usize> {
        failpoint("stream.before_write");
        let rows: Vec<EncodedRow<'_>> = write.rows.iter().collect();
        match self.insist(write.table, &rows).await? {
            None => Ok(0),
            Some(_) => self.one_by_one(write, &rows).await,
        }
    }

    /// Tries until Cassandra has the rows, or refuses them and says why.
    async fn insist(
        &self,
        table: Table,
        rows: &[EncodedRow<'_>],
    ) -> anyhow::Result<Option<String>> {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let failure = match self.cassandra.write(table, rows).await {
                Ok(()) => {
                    self.meters.write.record(begun.elapsed());
                    self.health.succeeded();
                    return Ok(None);
                }
                Err(WriteError::Refused(message)) => return Ok(Some(message)),
                Err(WriteError::NotNow(failure)) => failure,
            };
            self.meters.retries.increment(1);
            let failing = self.health.failed(format!("{failure:#}"));
            if self.give_up_after.is_some_and(|limit| failing >= limit) {
                return Err(failure.context("Cassandra did not take writes for too long"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One row of the write is at fault: finds it, and writes the others.
    async fn one_by_one(&self, write: &Write, rows: &[EncodedRow<'_>]) -> anyhow::Result<usize> {
        let mut refused = 0;
        for (index, row) in rows.iter().enumerate() {
            let Some(message) = self.insist(write.table, std::slice::from_ref(row)).await? else {
                continue;
            };
            let Some((origin, _)) = write.records.get(index) else {
                anyhow::bail!(
                    "Cassandra refuses a row of {}: {message}",
                    write.table.name()
                );
            };
            warn!(
                "Cassandra refuses partition {} offset {}: {message}",
                origin.partition, origin.offset
            );
            // without the payload, which may be what it refuses; Kafka and the raw files have it
            let refusal = Refusal {
                reason: "refused",
                detail: Some(&message),
                ..Refusal::default()
            };
            let mut reject = Rows::default();
            reject.reject(&self.cassandra.reject, *origin, &self.topic, &refusal)?;
            let rows: Vec<EncodedRow<'_>> = reject.iter().collect();
            if let Some(message) = self.insist(Table::Reject, &rows).await? {
                anyhow::bail!("Cassandra refuses a row of rejected_log: {message}");
            }
            refused += 1;
        }
        Ok(refused)
    }

    fn acknowledge(&self, write: &Write, outcome: anyhow::Result<usize>) -> Ack {
        let (refused, failure) = match outcome {
            Ok(refused) => (refused, None),
            Err(failure) => (0, Some(failure)),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut delay = None;
        if failure.is_none() {
            self.meters.batch.record(write.rows.len() as f64);
            let since =
                |time: Micros| now.saturating_sub(Duration::from_micros(time.max(0) as u64));
            // a few of a large write tell as much as all
            let step = write.records.len() / 10 + 1;
            for (origin, event_time) in write.records.iter().step_by(step) {
                self.meters.event_delay.record(since(*event_time));
                self.meters.record_delay.record(since(origin.time));
                delay = Some(since(origin.time));
            }
        }
        Ack {
            refused,
            delay,
            failure,
            ..Ack::of(write)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracker::Tracker;

    fn write(tracker: &mut Tracker, rows: usize) -> Write {
        Write {
            table: Table::Event,
            rows: Rows::blank(rows),
            records: Vec::new(),
            partition: 0,
            generation: 0,
            ticket: tracker.open(0),
        }
    }

    #[test]
    fn neither_more_writes_nor_more_rows_are_under_way() {
        let mut tracker = Tracker::new(0);
        let mut queue = Queue::new(3, 10);
        for rows in [6, 4, 1, 1, 1, 20] {
            queue.push(write(&mut tracker, rows));
        }
        let start = |queue: &mut Queue| -> Vec<Write> {
            std::iter::from_fn(|| queue.start_next()).collect()
        };
        let sizes = |writes: &[Write]| -> Vec<usize> {
            writes.iter().map(|write| write.rows.len()).collect()
        };
        let first = start(&mut queue);
        assert_eq!(sizes(&first), [6, 4], "a third would be one row too many");
        queue.ended(&Ack::of(&first[0]));
        let second = start(&mut queue);
        assert_eq!(
            sizes(&second),
            [1, 1],
            "a fourth would be one write too many"
        );
        queue.ended(&Ack::of(&first[1]));
        let third = start(&mut queue);
        assert_eq!(sizes(&third), [1]);
        for write in second.iter().chain(&third) {
            assert!(start(&mut queue).is_empty(), "too large beside others");
            queue.ended(&Ack::of(write));
        }
        assert_eq!(sizes(&start(&mut queue)), [20], "alone it may start");
    }
}
