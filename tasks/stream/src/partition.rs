//! One Kafka partition: records in, writes out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use cassandra::{block_start, day};
use chain::Record;
use event::{Micros, Reject};
use log::warn;

use crate::encode::{Origin, Refusal, Rows};
use crate::resume::Start;
use crate::rollup::{Block, Metric};
use crate::tables::{Cassandra, Table};
use crate::tracker::{Ticket, Tracker};
use crate::window::Window;
use crate::writer::{Queue, Write};

/// Bytes of rows in one write, at most but for a single larger row.
const WRITE_BYTES: usize = 128 << 10;

/// What every partition needs to know.
pub struct Plan {
    /// For the statements.
    pub cassandra: Arc<Cassandra>,
    /// The topic.
    pub topic: String,
    /// Its epoch.
    pub epoch: u32,
    /// Rows in one write at most.
    pub batch_rows: usize,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Only read, to know it again.
    Again,
    /// An event.
    Event,
    /// One more copy of an event.
    Duplicate,
    /// No event.
    Reject(Reject),
}

/// Rows that wait for others of their Cassandra partition.
struct Pending {
    rows: Rows,
    records: Vec<(Origin, Micros)>,
    ticket: Ticket,
    since: Instant,
}

/// One Kafka partition.
pub struct Partition {
    /// Its number.
    pub number: i32,
    /// Tells this assignment from earlier ones.
    pub generation: u64,
    /// Offsets below are written already.
    write_from: i64,
    /// Offsets below are counted already.
    count_from: i64,
    first_block: i64,
    /// Which offset may be committed.
    pub tracker: Tracker,
    window: Window,
    block: Option<Block>,
    counts: Option<Ticket>,
    pending: HashMap<(Table, &'static str, i64), Pending>,
    /// A gap that was accepted and is not noted yet; until then the commit stays before it.
    accepted_gap: Option<((i64, i64), Ticket)>,
    /// Kafka time of the last record taken in.
    pub last_time: Micros,
    /// Next offset to read.
    pub next: i64,
    /// Everything that was there is taken in.
    pub at_end: bool,
    /// Whether fetching is paused.
    pub paused: bool,
}

impl Partition {
    /// A partition that was just assigned.
    pub fn new(number: i32, generation: u64, start: Start) -> Partition {
        let mut tracker = Tracker::new(start.write_from);
        let accepted_gap = start.gap.map(|gap| (gap, tracker.open(gap.0)));
        Partition {
            number,
            generation,
            write_from: start.write_from,
            count_from: start.count_from,
            first_block: start.first_block,
            tracker,
            window: Window::new(),
            block: None,
            counts: None,
            pending: HashMap::new(),
            accepted_gap,
            last_time: 0,
            next: start.read_from,
            at_end: false,
            paused: false,
        }
    }

    /// Takes in a record; writes that are full go to `queue`.
    pub fn take(
        &mut self,
        plan: &Plan,
        record: &Record<'_>,
        queue: &mut Queue,
    ) -> anyhow::Result<Taken> {
        let record_time = record.timestamp_millis.saturating_mul(1_000);
        let origin = Origin {
            partition: self.number,
            offset: record.offset,
            time: record_time.max(0),
        };
        let offset = origin.offset;
        // at the time of the first record behind it, so that a run which was killed writes the same row again
        self.note_accepted_gap(plan, origin.time, queue)?;
        self.next = offset + 1;
        self.last_time = origin.time;
        let verdict = event::parse(record.value, record_time);
        if offset < self.count_from {
            // its id alone matters, for what comes after
            if let Ok(event) = &verdict {
                let event_id = plan.event_id(event, &origin);
                self.window.is_duplicate(offset, &event_id);
            }
            return Ok(Taken::Again);
        }
        let written = offset < self.write_from;
        if !self.block.as_ref().is_some_and(|block| block.holds(offset)) {
            self.end_block(plan, queue)?;
            let start = block_start(offset);
            let name = start.max(self.first_block);
            self.block = Some(Block::new(start, name, origin.time));
        }
        if !written && self.counts.is_none() {
            self.counts = Some(self.tracker.open(offset));
        }
        let block = self.block.as_mut().context("a block was just begun")?;
        let taken = match verdict {
            Ok(event) => {
                let event_id = plan.event_id(&event, &origin);
                let name = event.event_type.name();
                if self.window.is_duplicate(offset, &event_id) {
                    block.other(offset, Metric::Duplicates, event.time, name, written);
                    Taken::Duplicate
                } else {
                    block.event(offset, &event, written);
                    if !written {
                        let key = (Table::Event, name, day(event.time));
                        self.add(plan, key, (origin, event.time), queue, |rows| {
                            rows.event(&plan.cassandra.event, origin, &event_id, &event)
                        })?;
                    }
                    Taken::Event
                }
            }
            Err(reject) => {
                let reason = reject.reason.name();
                block.other(offset, Metric::Rejects, origin.time, reason, written);
                if !written {
                    let refusal = Refusal::new(&reject, record.key, record.value);
                    self.reject(plan, origin, &refusal, queue)?;
                }
                Taken::Reject(reject)
            }
        };
        if written {
            return Ok(Taken::Again);
        }
        self.tracker.taken(offset);
        Ok(taken)
    }

    /// Notes the gap that was accepted, if there is one and it is not noted yet.
    pub fn note_accepted_gap(
        &mut self,
        plan: &Plan,
        time: Micros,
        queue: &mut Queue,
    ) -> anyhow::Result<()> {
        if let Some((gap, ticket)) = self.accepted_gap.take() {
            self.gap(plan, gap, time, queue)?;
            self.tracker.close(ticket);
        }
        Ok(())
    }

    /// Notes that Kafka no longer held `from..to`.
    pub fn gap(
        &mut self,
        plan: &Plan,
        (from, to): (i64, i64),
        time: Micros,
        queue: &mut Queue,
    ) -> anyhow::Result<()> {
        warn!(
            "partition {}: the gap {from}..{to} is accepted",
            self.number
        );
        let detail = format!("Kafka no longer held the offsets {from}..{to}");
        let refusal = Refusal {
            reason: "gap",
            detail: Some(&detail),
            ..Refusal::default()
        };
        let origin = Origin {
            partition: self.number,
            offset: from,
            time,
        };
        self.reject(plan, origin, &refusal, queue)
    }

    fn reject(
        &mut self,
        plan: &Plan,
        origin: Origin,
        refusal: &Refusal<'_>,
        queue: &mut Queue,
    ) -> anyhow::Result<()> {
        let key = (Table::Reject, "", day(origin.time));
        self.add(plan, key, (origin, origin.time), queue, |rows| {
            rows.reject(&plan.cassandra.reject, origin, &plan.topic, refusal)
        })
    }

    fn add(
        &mut self,
        plan: &Plan,
        key: (Table, &'static str, i64),
        record: (Origin, Micros),
        queue: &mut Queue,
        push: impl FnOnce(&mut Rows) -> Result<(), scylla::serialize::SerializationError>,
    ) -> anyhow::Result<()> {
        // a gap lies below what is to be written, and holds nothing up
        let first = record.0.offset.max(self.write_from);
        let pending = self.pending.entry(key).or_insert_with(|| Pending {
            rows: Rows::default(),
            records: Vec::new(),
            ticket: self.tracker.open(first),
            since: Instant::now(),
        });
        let before = pending.rows.bytes();
        push(&mut pending.rows)
            .with_context(|| format!("the columns of {} are not as expected", key.0.name()))?;
        queue.held_bytes += pending.rows.bytes() - before;
        pending.records.push(record);
        let full = pending.rows.len() >= plan.batch_rows || pending.rows.bytes() >= WRITE_BYTES;
        if full {
            self.send(key, queue);
        }
        Ok(())
    }

    fn send(&mut self, key: (Table, &'static str, i64), queue: &mut Queue) {
        if let Some(pending) = self.pending.remove(&key) {
            queue.push(Write {
                table: key.0,
                rows: pending.rows,
                records: pending.records,
                partition: self.number,
                generation: self.generation,
                ticket: pending.ticket,
            });
        }
    }

    /// Memory of rows that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.pending
            .values()
            .map(|pending| pending.rows.bytes())
            .sum()
    }

    /// When the oldest rows began to wait.
    pub fn waiting_since(&self) -> Option<Instant> {
        self.pending.values().map(|pending| pending.since).min()
    }

    /// Whether everything that was there is taken in and sent off, but for counts.
    pub fn is_at_rest(&self) -> bool {
        self.at_end && self.pending.is_empty()
    }

    /// Sends off the rows that have waited for `linger`.
    pub fn send_due(&mut self, now: Instant, linger: Duration, queue: &mut Queue) {
        let due: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| now.duration_since(pending.since) >= linger)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            self.send(key, queue);
        }
    }

    fn end_block(&mut self, plan: &Plan, queue: &mut Queue) -> anyhow::Result<()> {
        self.send_counts(plan, queue)?;
        self.block = None;
        Ok(())
    }

    /// Sends off the counts that changed.
    pub fn send_counts(&mut self, plan: &Plan, queue: &mut Queue) -> anyhow::Result<()> {
        let Some(block) = self.block.as_mut() else {
            return Ok(());
        };
        let Some(first) = block.dirty_since() else {
            return Ok(());
        };
        let write_timestamp = block.write_timestamp();
        let block_name = block.name;
        let mut groups: Vec<((Metric, i64), Rows)> = Vec::new();
        let mut result = Ok(());
        block.take_dirty(|cell| {
            let group = (cell.metric, day(cell.minute));
            let room = groups
                .last()
                .is_some_and(|(last, rows)| *last == group && rows.len() < plan.batch_rows);
            if !room {
                groups.push((group, Rows::default()));
            }
            if let Some((_, rows)) = groups.last_mut() {
                let statement = &plan.cassandra.cell;
                let pushed = rows.cell(statement, self.number, block_name, &cell, write_timestamp);
                if let Err(failure) = pushed {
                    result = Err(failure);
                }
            }
        });
        result.context("the columns of ecomm_by_minute are not as expected")?;
        for (_, rows) in groups {
            queue.held_bytes += rows.bytes();
            queue.push(Write {
                table: Table::Cell,
                rows,
                records: Vec::new(),
                partition: self.number,
                generation: self.generation,
                ticket: self.tracker.open(first),
            });
        }
        if let Some(ticket) = self.counts.take() {
            self.tracker.close(ticket);
        }
        Ok(())
    }
}

impl Plan {
    fn event_id<'a>(
        &self,
        event: &'a event::Event<'_>,
        origin: &Origin,
    ) -> std::borrow::Cow<'a, str> {
        match &event.event_id {
            Some(event_id) => std::borrow::Cow::Borrowed(event_id),
            None => std::borrow::Cow::Owned(event::event_id_from_coordinates(
                &self.topic,
                self.epoch,
                origin.partition,
                origin.offset,
            )),
        }
    }
}
