//! `--from-chain`: the tables written from the raw files instead of from Kafka, which may have let
//! go of the records long ago.
//!
//! Each chain is read in order and goes through the very code that takes live records, so that the
//! same rows, counts and write timestamps come of it. What is there already is written again, which
//! changes nothing; a live `stream` may go on beside it, and of two values of a count the one that
//! has counted further stands.
//!
//! Whole blocks are written, since a count is that of a block: a selection is widened to the blocks
//! that it touches. As in a live run, the block before is read first, to know what was sent again.
//!
//! `--hand-over` sets the group's offsets to where the chains end. Without it a table that was
//! emptied would miss what lies between there and what the group had committed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use cassandra::{BLOCK_OFFSETS, block_start};
use chain::{Hdfs, ListedFile, Raw, RawFile, Record, is_unreadable, list_topic};
use frame::{Outcome, Progress, Stop, person_needed};
use log::{error, info};
use metrics::counter;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, DefaultConsumerContext};
use rdkafka::{Offset, TopicPartitionList};
use serde::Serialize;

use crate::options::Options;
use crate::partition::{Partition, Plan, Taken};
use crate::resume::Start;
use crate::tables::Cassandra;
use crate::writer::{Ack, Health, Queue, Writer};

/// How long the end may take once the task is told to end.
const DRAIN: Duration = Duration::from_secs(8);

/// How long to wait for an acknowledgement before looking at the stop flag.
const TICK: Duration = Duration::from_millis(50);

/// The summary line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    files: u64,
    files_unreadable: u64,
    records: u64,
    events: u64,
    duplicates: u64,
    rejects: u64,
    refused: u64,
    rows: u64,
    read_again: u64,
    retries: u64,
    caught_up: bool,
    handed_over: bool,
}

/// The offsets of a chain that are to be written, whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    /// First offset to read.
    read_from: i64,
    /// First offset to write.
    write_from: i64,
    /// The one after the last.
    next: i64,
}

impl Span {
    /// The blocks that hold offsets of `from..to`, as far as the chain `start..end` has them.
    fn around((from, to): (i64, i64), (start, end): (i64, i64)) -> Span {
        let block = block_start(from.max(start));
        let last_block = block_start(to.min(end) - 1);
        Span {
            read_from: (block - BLOCK_OFFSETS).max(start),
            write_from: block.max(start),
            next: last_block.saturating_add(BLOCK_OFFSETS).min(end),
        }
    }

    fn touches(&self, file: &ListedFile) -> bool {
        file.next > self.read_from && file.name.start < self.next
    }
}

/// Writes what the chains hold, or the selected part of it.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    let topic = &options.kafka.kafka_topic;
    let hdfs = Hdfs::connect(&options.hdfs, stop)?;
    let listed = list_topic(&hdfs, &Raw::new(&options.hdfs.raw_root), topic)?;
    if options.hand_over {
        check_hand_over(options, &listed)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cassandra")
        .enable_all()
        .build()?;
    let cassandra = Arc::new(runtime.block_on(Cassandra::connect(options, stop))?);
    let health = Arc::new(Health::default());
    let (acks, acked) = channel();
    let writer = Writer::new(
        runtime,
        Arc::clone(&cassandra),
        topic,
        Arc::clone(&health),
        Some(options.cassandra.timeout()),
        acks,
    );
    let mut replay = Replay {
        options,
        stop,
        hdfs: &hdfs,
        writer,
        acked,
        queue: Queue::new(options.concurrency, options.rows_in_flight),
        generation: 0,
        progress: Progress::new(None, "records"),
        summary: Summary {
            topic: topic.clone(),
            ..Summary::default()
        },
    };
    let result = replay.chains(&cassandra, &listed);
    let mut summary = replay.summary;
    replay.writer.abandon();
    result?;
    summary.retries = health.retries();
    summary.caught_up = !stop.is_set();
    if summary.files_unreadable > 0 {
        let advice = format!(
            "{} raw files cannot be read, and what they hold, and what comes behind it in the same \
             partition, is not written: restore them, then run this again",
            summary.files_unreadable
        );
        return Outcome::needs_person(&summary, advice);
    }
    if options.hand_over && summary.caught_up {
        hand_over(options, &listed)?;
        summary.handed_over = true;
    }
    Outcome::done(&summary)
}

struct Replay<'a> {
    options: &'a Options,
    stop: &'a Stop,
    hdfs: &'a Hdfs,
    writer: Writer,
    acked: Receiver<Ack>,
    queue: Queue,
    generation: u64,
    progress: Progress,
    summary: Summary,
}

impl Replay<'_> {
    /// Chain after chain: those of an older epoch first.
    fn chains(&mut self, cassandra: &Arc<Cassandra>, listed: &[ListedFile]) -> anyhow::Result<()> {
        for chain in listed.chunk_by(|left, right| {
            (left.name.epoch, left.name.partition) == (right.name.epoch, right.name.partition)
        }) {
            let Some(span) = self.span(chain)? else {
                continue;
            };
            let plan = Plan {
                cassandra: Arc::clone(cassandra),
                topic: self.options.kafka.kafka_topic.clone(),
                epoch: chain[0].name.epoch,
                batch_rows: self.options.batch_rows as usize,
            };
            self.chain(&plan, chain, span)?;
            if self.stop.is_set() {
                break;
            }
        }
        Ok(())
    }

    /// What of a chain is asked for.
    fn span(&self, chain: &[ListedFile]) -> anyhow::Result<Option<Span>> {
        let selection = &self.options.selection;
        let mut range: Option<(i64, i64)> = None;
        for file in chain {
            if selection.takes(self.hdfs, file)? {
                let from = range.map_or(file.name.start, |(from, _)| from);
                range = Some((from, file.next));
            }
        }
        let Some((first, last)) = range else {
            return Ok(None);
        };
        let (from, to) = selection.offsets();
        let whole = (chain[0].name.start, chain[chain.len() - 1].next);
        Ok(Some(Span::around((first.max(from), last.min(to)), whole)))
    }

    fn chain(&mut self, plan: &Plan, chain: &[ListedFile], span: Span) -> anyhow::Result<()> {
        let number = chain[0].name.partition;
        info!(
            "partition {number}, epoch {}: writes {}..{}, reads from {}",
            plan.epoch, span.write_from, span.next, span.read_from
        );
        self.generation += 1;
        let start = Start {
            read_from: span.read_from,
            write_from: span.write_from,
            gap: None,
            count_from: span.write_from,
            first_block: block_start(span.write_from),
            is_partial: false,
        };
        let mut partition = Partition::new(number, self.generation, start);
        for file in chain.iter().filter(|file| span.touches(file)) {
            if self.stop.is_set() {
                break;
            }
            let before = self.summary.records;
            match self.file(plan, file, span, &mut partition) {
                Ok(()) => self.summary.files += 1,
                // What comes behind it would be counted without it, under write timestamps that the
                // right counts could not beat later. So this chain ends here; the others go on.
                Err(failure) if is_unreadable(&failure, self.hdfs, &file.stored.path)? => {
                    self.summary.files_unreadable += 1;
                    error!("{}: {failure:#}", file.stored.path);
                    break;
                }
                Err(failure) => return Err(failure),
            }
            let records = self.summary.records - before;
            self.progress.batch(
                records,
                format_args!("{}: {records} records", file.stored.path),
            );
        }
        // the next chain begins with nothing under way
        partition.send_due(Instant::now(), Duration::ZERO, &mut self.queue);
        partition.send_counts(plan, &mut self.queue)?;
        self.drain(0)
    }

    fn file(
        &mut self,
        plan: &Plan,
        file: &ListedFile,
        span: Span,
        partition: &mut Partition,
    ) -> anyhow::Result<()> {
        let raw_file = RawFile::open(self.hdfs, &file.stored)?;
        let footer = &raw_file.footer;
        if footer.gap.is_some() && footer.start >= span.write_from {
            // the time of the record before it: the same in every run
            let time = partition.last_time;
            partition.gap(plan, (footer.start, footer.next), time, &mut self.queue)?;
        }
        raw_file.for_each(|record| {
            if (span.read_from..span.next).contains(&record.offset) {
                self.record(plan, &record, partition)?;
            }
            Ok(())
        })
    }

    fn record(
        &mut self,
        plan: &Plan,
        record: &Record<'_>,
        partition: &mut Partition,
    ) -> anyhow::Result<()> {
        match partition.take(plan, record, &mut self.queue)? {
            Taken::Again => {
                self.summary.read_again += 1;
                return Ok(());
            }
            Taken::Event => self.summary.events += 1,
            Taken::Duplicate => self.summary.duplicates += 1,
            Taken::Reject(_) => self.summary.rejects += 1,
        }
        self.summary.records += 1;
        counter!("pipeline_records_total").increment(1);
        self.writer.start_waiting(&mut self.queue);
        self.take_acks()?;
        let limit = self.options.row_bytes();
        if self.queue.held_bytes > limit {
            // rows that wait for company hold memory too
            partition.send_due(Instant::now(), Duration::ZERO, &mut self.queue);
            self.drain(limit / 2)?;
        }
        Ok(())
    }

    fn take_acks(&mut self) -> anyhow::Result<()> {
        loop {
            match self.acked.try_recv() {
                Ok(ack) => self.take_ack(ack)?,
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => anyhow::bail!("the writer ended early"),
            }
        }
    }

    fn take_ack(&mut self, ack: Ack) -> anyhow::Result<()> {
        self.queue.ended(&ack);
        if let Some(failure) = ack.failure {
            return Err(failure);
        }
        self.summary.rows += ack.rows as u64;
        self.summary.refused += ack.refused as u64;
        counter!("pipeline_rows_total", "table" => ack.table.name()).increment(ack.rows as u64);
        Ok(())
    }

    /// Waits until no more than so many bytes are on their way.
    fn drain(&mut self, limit: usize) -> anyhow::Result<()> {
        let mut deadline = None;
        self.writer.start_waiting(&mut self.queue);
        while self.queue.in_flight > 0 && self.queue.held_bytes > limit {
            match self.acked.recv_timeout(TICK) {
                Ok(ack) => self.take_ack(ack)?,
                Err(RecvTimeoutError::Timeout) if self.stop.is_set() => {
                    let deadline = *deadline.get_or_insert_with(|| Instant::now() + DRAIN);
                    anyhow::ensure!(
                        Instant::now() < deadline,
                        "Cassandra did not take the last rows within {} s: the next run writes them",
                        DRAIN.as_secs()
                    );
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the writer ended early"),
            }
            self.writer.start_waiting(&mut self.queue);
        }
        Ok(())
    }
}

fn group_client(options: &Options) -> anyhow::Result<BaseConsumer> {
    let settings = [("group.id", options.group.as_str())];
    options
        .kafka
        .client("stream-hand-over", &settings, DefaultConsumerContext)
}

/// Refuses before anything is written what would be refused in the end.
fn check_hand_over(options: &Options, listed: &[ListedFile]) -> anyhow::Result<()> {
    let newest = listed.iter().map(|file| file.name.epoch).max();
    if let Some(newest) = newest.filter(|newest| *newest != options.epoch) {
        return Err(person_needed(format!(
            "the raw files are in epoch {newest}: start stream, here and live, with --epoch {newest}"
        )));
    }
    let groups = group_client(options)?
        .fetch_group_list(Some(&options.group), options.kafka.timeout())
        .with_context(|| options.kafka.no_answer())?;
    if groups
        .groups()
        .iter()
        .any(|group| !group.members().is_empty())
    {
        return Err(person_needed(format!(
            "stream is running in the group {}: stop it first (docker compose stop stream), since \
             its offsets are to be set",
            options.group
        )));
    }
    Ok(())
}

/// The group goes on where the chains end; where there is none, with the first record of Kafka.
fn hand_over(options: &Options, listed: &[ListedFile]) -> anyhow::Result<()> {
    let topic = &options.kafka.kafka_topic;
    let client = group_client(options)?;
    let mut list = TopicPartitionList::new();
    for partition in options.kafka.partitions(client.client())? {
        let end = listed
            .iter()
            .filter(|file| (file.name.epoch, file.name.partition) == (options.epoch, partition))
            .map(|file| file.next)
            .max();
        let next = match end {
            Some(next) => next,
            None => {
                client
                    .fetch_watermarks(topic, partition, options.kafka.timeout())
                    .with_context(|| options.kafka.no_answer())?
                    .0
            }
        };
        info!(
            "partition {partition}: the group {} goes on at {next}",
            options.group
        );
        list.add_partition_offset(topic, partition, Offset::Offset(next))?;
    }
    client.commit(&list, CommitMode::Sync).with_context(|| {
        format!(
            "the offsets of the group {} could not be set: is stream running? Stop it, and run \
             this again",
            options.group
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: i64 = BLOCK_OFFSETS;

    fn span(range: (i64, i64), chain: (i64, i64)) -> (i64, i64, i64) {
        let span = Span::around(range, chain);
        (span.read_from, span.write_from, span.next)
    }

    #[test]
    fn a_range_is_widened_to_whole_blocks() {
        let chain = (0, 10 * BLOCK);
        let within = (3 * BLOCK + 5, 3 * BLOCK + 6);
        assert_eq!(span(within, chain), (2 * BLOCK, 3 * BLOCK, 4 * BLOCK));
        let two_blocks = (3 * BLOCK, 4 * BLOCK + 1);
        assert_eq!(span(two_blocks, chain), (2 * BLOCK, 3 * BLOCK, 5 * BLOCK));
        assert_eq!(span((0, 1), chain), (0, 0, BLOCK));
    }

    #[test]
    fn a_range_ends_where_the_chain_does() {
        assert_eq!(span((0, i64::MAX), (7, 90)), (7, 7, 90));
        let chain = (BLOCK + 7, 2 * BLOCK + 9);
        assert_eq!(
            span((0, i64::MAX), chain),
            (BLOCK + 7, BLOCK + 7, 2 * BLOCK + 9)
        );
    }

    #[test]
    fn a_chain_whose_end_is_unknown_is_read_to_its_end() {
        assert_eq!(span((0, i64::MAX), (0, i64::MAX)).2, i64::MAX);
    }
}
