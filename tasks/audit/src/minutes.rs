//! The counts by the minute: events + duplicates + rejects of a block of offsets are its records.
//!
//! Looked at by a full audit alone, which reads the whole chain and so knows each block's records.
//! A block that is still growing is pending. Where the chain has a gap, or begins in the middle of
//! a block, or `stream` did, the counts may be fewer or more: that is said, not failed. From the
//! second life of a topic on the blocks of both share their names, and nothing is compared.

use std::collections::{BTreeMap, BTreeSet};

use cassandra::{BLOCK_OFFSETS, block_start};
use event::Micros;

use crate::expect::Expected;
use crate::kafka::Held;
use crate::log_rows::Cassandra;
use crate::verdict::{State, Store, Unit, Verdict};

const SELECT: &str = "SELECT kafka_partition, batch_start_offset, cnt FROM ecomm_by_minute \
     WHERE metric = ? AND event_date = ?";

/// The metrics of which one counts each record.
const METRICS: [&str; 3] = ["events", "duplicates", "rejects"];

/// Partition, and first offset of a block.
type Key = (i32, i64);

/// What the chain holds of each block.
#[derive(Debug, Default)]
pub struct Blocks {
    is_wanted: bool,
    records: BTreeMap<Key, Block>,
    days: BTreeSet<i64>,
    starts: BTreeMap<i32, i64>,
    gaps: BTreeSet<Key>,
}

#[derive(Debug, Default)]
struct Block {
    records: i64,
    oldest: Micros,
}

impl Blocks {
    /// Nothing counted yet; nothing at all unless `is_wanted`.
    pub fn new(is_wanted: bool) -> Blocks {
        Blocks {
            is_wanted,
            ..Blocks::default()
        }
    }

    /// Takes in a file.
    pub fn count(&mut self, unit: Unit, expected: &Expected) {
        if !self.is_wanted {
            return;
        }
        let start = self.starts.entry(unit.partition).or_insert(unit.start);
        *start = unit.start.min(*start);
        if expected.records.is_empty() {
            let blocks = (block_start(unit.start)..unit.next).step_by(BLOCK_OFFSETS as usize);
            self.gaps
                .extend(blocks.map(|block| (unit.partition, block)));
        }
        let oldest = expected.record_times.map_or(0, |(first, _)| first);
        for (offset, _) in &expected.records {
            let key = (unit.partition, block_start(*offset));
            let block = self
                .records
                .entry(key)
                .or_insert(Block { records: 0, oldest });
            block.records += 1;
            block.oldest = block.oldest.min(oldest);
        }
        self.days
            .extend(expected.log_rows.keys().map(|(_, day)| *day));
        if let Some((first, last)) = expected.record_times {
            self.days
                .extend(cassandra::day(first)..=cassandra::day(last));
        }
    }

    /// Compares each block that `stream` has written to its end. `streamed` was asked before the
    /// counts are read, and `held` is asked after it.
    pub fn compare(
        &self,
        cassandra: &Cassandra,
        keyspace: &str,
        ends: &BTreeMap<(u32, i32), Option<i64>>,
        streamed: &BTreeMap<i32, i64>,
        held: impl FnOnce() -> anyhow::Result<BTreeMap<i32, Held>>,
    ) -> anyhow::Result<Vec<Verdict>> {
        let life = cassandra.life(keyspace, "ecomm_by_minute")?;
        let (counted, partial) = self.read(cassandra)?;
        let held = held()?;
        let mut verdicts = Vec::new();
        for (key, block) in &self.records {
            let (partition, start) = *key;
            let unit = Unit {
                epoch: 0,
                partition,
                start,
                next: start + BLOCK_OFFSETS,
            };
            let mut verdict = Verdict::new(unit, Store::Minutes, State::Ok);
            verdict.expected = block.records;
            verdict.found = counted.get(key).copied().unwrap_or(0);
            let end = ends.get(&(0, partition)).copied().flatten();
            let written = streamed.get(&partition).copied().unwrap_or(0);
            // what came is archived and written, so that the last block stands still
            let is_level = end.is_some_and(|end| {
                written >= end && held.get(&partition).is_some_and(|held| held.next == end)
            });
            let is_whole = end.is_some_and(|end| end >= unit.next) && written >= unit.next;
            let is_partial = partial.contains(key)
                || self.gaps.contains(key)
                || self
                    .starts
                    .get(&partition)
                    .is_some_and(|first| *first > start);
            let (state, why) = if !is_whole && !is_level {
                (State::Pending, "the block is still growing")
            } else if verdict.expected == verdict.found {
                verdicts.push(verdict);
                continue;
            } else if cassandra.may_have_expired(life, block.oldest) {
                (State::Expired, "cells have lived their time")
            } else if is_partial {
                (State::Gap, "a part of the block was not to be had")
            } else {
                (State::Different, "ecomm_by_minute")
            };
            verdict.state = state;
            let counts = format!(
                "{why}: {} of {} records are counted",
                verdict.found, verdict.expected
            );
            verdicts.push(verdict.because(counts));
        }
        Ok(verdicts)
    }

    /// Records counted by block, and the blocks of which a part is named on its own.
    fn read(&self, cassandra: &Cassandra) -> anyhow::Result<(BTreeMap<Key, i64>, BTreeSet<Key>)> {
        let mut counted = BTreeMap::new();
        let mut partial = BTreeSet::new();
        for metric in METRICS {
            for day in &self.days {
                let date = cassandra::date(day * 86_400_000_000);
                let rows: Vec<(i32, i64, Option<i64>)> = cassandra.rows(SELECT, (metric, date))?;
                for (partition, name, count) in rows {
                    let block = (partition, block_start(name));
                    *counted.entry(block).or_insert(0) += count.unwrap_or(0);
                    if name != block.1 {
                        partial.insert(block);
                    }
                }
            }
        }
        Ok((counted, partial))
    }
}
