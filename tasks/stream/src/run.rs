//! The loop: poll, batch, write, and commit what is acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use chain::Record;
use event::Micros;
use frame::{Outcome, Progress, Stop, failpoint, person_needed};
use log::info;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, TopicPartitionList};
use serde::Serialize;

use crate::assignment::{Change, StreamConsumer, consumer};
use crate::from_chain;
use crate::lag::Ends;
use crate::options::Options;
use crate::partition::{Partition, Plan, Taken};
use crate::status::Status;
use crate::tables::{Cassandra, Table};
use crate::writer::{Ack, Health, Queue, Writer};

/// How often counts are written, offsets committed and the status page renewed.
const SECOND: Duration = Duration::from_secs(1);

/// How often a line says how it goes: a write takes milliseconds, and a line each would bury the
/// rest.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Seconds after which counts and the rest of the rows are written, however busy Cassandra is.
const REST_AT_LEAST_EVERY: u32 = 30;

/// Longest wait for a record: the tick of signals and acknowledgements.
const IDLE: Duration = Duration::from_millis(50);

/// Wait for a record while writes queue up.
const BUSY: Duration = Duration::from_millis(1);

/// Records taken in, if they are there, before acknowledgements and times are looked at again.
const RECORDS_AT_ONCE: u32 = 64;

/// How long the end may take: less than the ten seconds that Docker gives.
const DRAIN: Duration = Duration::from_secs(8);

/// The summary line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    records: u64,
    events: u64,
    duplicates: u64,
    rejects: u64,
    refused: u64,
    rows: u64,
    read_again: u64,
    retries: u64,
    caught_up: bool,
    drained: bool,
}

/// Streams until caught up, or until told to end.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    options.check()?;
    frame::writes(options.cassandra.dataset("ecomm_log"), "/rows");
    frame::writes(options.cassandra.dataset("ecomm_by_minute"), "");
    if options.from_chain {
        frame::reads(options.hdfs.dataset(&options.kafka.kafka_topic));
        return from_chain::run(options, stop);
    }
    frame::reads(options.kafka.dataset());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("cassandra")
        .enable_all()
        .build()?;
    let cassandra = Arc::new(runtime.block_on(Cassandra::connect(options, stop))?);
    let topic = &options.kafka.kafka_topic;
    let consumer = consumer(options)?;
    let partitions = options.kafka.partitions(consumer.client())?;
    let mut ends = BTreeMap::new();
    if !options.follow {
        for partition in &partitions {
            let (_, next) = consumer
                .fetch_watermarks(topic, *partition, options.kafka.timeout())
                .with_context(|| options.kafka.no_answer())?;
            ends.insert(*partition, next);
        }
    }
    let health = Arc::new(Health::default());
    let give_up_after = (!options.follow).then(|| options.cassandra.timeout());
    let (acks, acked) = channel();
    let shared = Arc::clone(&cassandra);
    let writer = Writer::new(
        runtime,
        shared,
        topic,
        Arc::clone(&health),
        give_up_after,
        acks,
    );
    consumer.subscribe(&[topic])?;
    let mut stream = Stream {
        options,
        consumer: &consumer,
        plan: Plan {
            cassandra,
            topic: topic.clone(),
            epoch: options.epoch,
            batch_rows: options.batch_rows as usize,
        },
        writer,
        acked,
        partitions: BTreeMap::new(),
        generation: 0,
        queue: Queue::new(options.concurrency, options.rows_in_flight),
        seconds_without_rest: 0,
        acked_since_second: false,
        is_paused: false,
        others_level: BTreeSet::new(),
        status: Status::begin(options, Ends::watch(options, partitions)?, health),
        progress: Progress::new(None, "rows"),
        said: Instant::now(),
        unsaid_rows: 0,
        summary: Summary {
            topic: topic.clone(),
            ..Summary::default()
        },
        ends,
    };
    let result = stream.stream(stop);
    stream.end(result)
}

struct Stream<'a> {
    options: &'a Options,
    consumer: &'a StreamConsumer,
    plan: Plan,
    writer: Writer,
    acked: Receiver<Ack>,
    partitions: BTreeMap<i32, Partition>,
    generation: u64,
    queue: Queue,
    seconds_without_rest: u32,
    /// Whether a run up to the end wrote something since what is done once a second was done.
    acked_since_second: bool,
    is_paused: bool,
    /// Where each partition ended when the run started; none under --follow.
    ends: BTreeMap<i32, i64>,
    /// Partitions of other instances that they have written up to that end.
    others_level: BTreeSet<i32>,
    status: Status,
    progress: Progress,
    said: Instant,
    unsaid_rows: u64,
    summary: Summary,
}

impl Stream<'_> {
    fn stream(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let mut each_second = Instant::now() + SECOND;
        while !stop.is_set() {
            self.step()?;
            if Instant::now() >= each_second || self.has_nothing_to_wait_for() {
                each_second = Instant::now() + SECOND;
                self.each_second()?;
                if self.caught_up()? {
                    self.summary.caught_up = true;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Whether a run up to the end waits for nothing but the next second: it need not.
    fn has_nothing_to_wait_for(&self) -> bool {
        self.acked_since_second
            && self.queue.in_flight == 0
            && self.queue.is_empty()
            && self.partitions.values().all(Partition::is_at_rest)
    }

    /// A few records, or one tick without.
    fn step(&mut self) -> anyhow::Result<()> {
        let mut patience = self.patience();
        if self.is_paused && self.queue.in_flight > 0 {
            // no record comes before rows have left
            if let Ok(ack) = self.acked.recv_timeout(patience) {
                self.take_ack(ack)?;
            }
            patience = Duration::ZERO;
        }
        for _ in 0..RECORDS_AT_ONCE {
            let is_over = !self.poll(patience)?;
            for change in self.consumer.context().take_changes() {
                self.apply(change)?;
            }
            if is_over || self.queue.held_bytes > self.options.row_bytes() {
                break;
            }
            patience = Duration::ZERO;
        }
        self.take_acks()?;
        // while writes queue up, rows gather into larger ones instead
        if self.queue.is_empty() {
            let now = Instant::now();
            for partition in self.partitions.values_mut() {
                partition.send_due(now, self.options.linger(), &mut self.queue);
            }
        }
        self.writer.start_waiting(&mut self.queue);
        self.press_back()
    }

    /// Whether Kafka had something.
    fn poll(&mut self, patience: Duration) -> anyhow::Result<bool> {
        match self.consumer.poll(patience) {
            Some(Ok(message)) => self.take(&message)?,
            Some(Err(KafkaError::PartitionEOF(number))) => {
                if let Some(partition) = self.partitions.get_mut(&number) {
                    partition.at_end = true;
                    // nothing is behind it that could say when it was
                    partition.note_accepted_gap(&self.plan, now(), &mut self.queue)?;
                }
            }
            Some(Err(failure)) => self.weigh(failure)?,
            None => return Ok(false),
        }
        Ok(true)
    }

    /// How long to wait for a record: until the next rows have waited long enough.
    fn patience(&self) -> Duration {
        if self.is_paused {
            return IDLE;
        }
        if !self.queue.is_empty() {
            return BUSY;
        }
        let oldest = self
            .partitions
            .values()
            .filter_map(Partition::waiting_since)
            .min();
        match oldest {
            Some(since) => (since + self.options.linger())
                .saturating_duration_since(Instant::now())
                .min(IDLE),
            None => IDLE,
        }
    }

    /// An error of Kafka: ends the task, or mends itself.
    fn weigh(&mut self, failure: KafkaError) -> anyhow::Result<()> {
        let topic = &self.options.kafka.kafka_topic;
        match failure.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                Err(person_needed(format!(
                    "records of {topic} expired before they were written: start again to be told \
                     which, and with --accept-gap to go on behind them"
                )))
            }
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed,
            ) => Err(anyhow::Error::new(failure).context(frame::PersonNeeded(format!(
                "Kafka does not let this group read {topic}: is the topic there, and may the user \
                 read it?"
            )))),
            Some(RDKafkaErrorCode::Fatal) => Err(failure.into()),
            _ if self.options.follow => {
                self.consumer.context().complain(&failure.to_string());
                self.status.error(format!("Kafka: {failure}"));
                Ok(())
            }
            _ => Err(anyhow::Error::new(failure).context(format!(
                "cannot read from Kafka: {}",
                self.options.kafka.no_answer()
            ))),
        }
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) -> anyhow::Result<()> {
        failpoint("stream.after_poll");
        // a partition that was taken away may still have had records in the queue
        let Some(partition) = self.partitions.get_mut(&message.partition()) else {
            return Ok(());
        };
        partition.at_end = false;
        let record = Record {
            offset: message.offset(),
            timestamp_millis: message.timestamp().to_millis().unwrap_or(-1),
            key: message.key(),
            value: message.payload(),
        };
        let taken = partition.take(&self.plan, &record, &mut self.queue)?;
        match &taken {
            Taken::Again => {
                self.summary.read_again += 1;
                return Ok(());
            }
            Taken::Event => self.summary.events += 1,
            Taken::Duplicate => self.summary.duplicates += 1,
            Taken::Reject(_) => self.summary.rejects += 1,
        }
        self.summary.records += 1;
        self.status
            .taken(message.partition(), message.offset(), &taken);
        Ok(())
    }

    fn apply(&mut self, change: Change) -> anyhow::Result<()> {
        match change {
            Change::Assigned(starts) => {
                for (number, start) in starts {
                    self.generation += 1;
                    let partition = Partition::new(number, self.generation, start);
                    self.partitions.insert(number, partition);
                    self.others_level.remove(&number);
                }
                Ok(())
            }
            Change::Revoked(numbers) => {
                info!("partitions {numbers:?} go to another instance");
                for number in numbers {
                    if let Some(partition) = self.partitions.remove(&number) {
                        self.queue.held_bytes -= partition.waiting_bytes();
                    }
                    self.status.gone(number);
                }
                Ok(())
            }
            Change::Failed(failure) => Err(failure),
        }
    }

    fn take_acks(&mut self) -> anyhow::Result<()> {
        while let Ok(ack) = self.acked.try_recv() {
            self.take_ack(ack)?;
        }
        Ok(())
    }

    fn take_ack(&mut self, ack: Ack) -> anyhow::Result<()> {
        self.queue.ended(&ack);
        self.acked_since_second = !self.options.follow;
        if let Some(failure) = ack.failure {
            return Err(failure);
        }
        match ack.table {
            Table::Cell => failpoint("stream.after_counts"),
            _ if self.queue.in_flight > 0 => failpoint("stream.mid_write"),
            _ => {}
        }
        self.summary.rows += ack.rows as u64;
        self.summary.refused += ack.refused as u64;
        self.status.written(&ack);
        let Some(partition) = self.partitions.get_mut(&ack.partition) else {
            return Ok(());
        };
        if partition.generation == ack.generation {
            partition.tracker.close(ack.ticket);
            let position = partition.tracker.position();
            self.consumer.context().written(ack.partition, position);
        }
        Ok(())
    }

    /// Pauses all partitions when rows fill the memory, and lets them go on when half is free.
    fn press_back(&mut self) -> anyhow::Result<()> {
        let held = self.queue.held_bytes;
        let limit = self.options.row_bytes();
        if held > limit {
            self.is_paused = true;
        } else if held < limit / 2 {
            self.is_paused = false;
        }
        let mut list = TopicPartitionList::new();
        for partition in self.partitions.values_mut() {
            if partition.paused != self.is_paused {
                partition.paused = self.is_paused;
                list.add_partition(&self.plan.topic, partition.number);
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        if self.is_paused {
            self.consumer.pause(&list)?;
        } else {
            self.consumer.resume(&list)?;
        }
        Ok(())
    }

    fn each_second(&mut self) -> anyhow::Result<()> {
        self.acked_since_second = false;
        // While rows queue up, counts and rows that found no company are written less often. But
        // they are written: they hold back the commit.
        self.seconds_without_rest += 1;
        if self.queue.is_empty() || self.seconds_without_rest >= REST_AT_LEAST_EVERY {
            self.seconds_without_rest = 0;
            let now = Instant::now();
            for partition in self.partitions.values_mut() {
                partition.send_due(now, SECOND, &mut self.queue);
                partition.send_counts(&self.plan, &mut self.queue)?;
            }
        }
        self.writer.start_waiting(&mut self.queue);
        if let Err(failure) = self.commit(CommitMode::Async) {
            self.consumer.context().complain(&format!("{failure:#}"));
        }
        self.unsaid_rows += self
            .status
            .each_second(self.partitions.values(), self.queue.held_bytes);
        if self.unsaid_rows > 0 && self.said.elapsed() >= SAY_EVERY {
            let rows = std::mem::take(&mut self.unsaid_rows);
            self.said = Instant::now();
            let lag = self.status.lag_in_words();
            self.progress
                .batch(rows, format_args!("{rows} rows written, {lag}"));
        }
        Ok(())
    }

    fn commit(&mut self, mode: CommitMode) -> anyhow::Result<()> {
        self.consumer.context().commit(self.consumer, mode)
    }

    /// Whether everything that was there at the start is written, by this instance or another.
    fn caught_up(&mut self) -> anyhow::Result<bool> {
        if self.options.follow {
            return Ok(false);
        }
        for (number, end) in &self.ends {
            if let Some(partition) = self.partitions.get(number) {
                let level = partition.at_end && partition.tracker.is_level();
                if partition.tracker.position() < *end && !level {
                    return Ok(false);
                }
            }
        }
        // Other instances see it by the commit, which a rebalance may have overtaken.
        if let Err(failure) = self.commit(CommitMode::Sync) {
            self.consumer.context().complain(&format!("{failure:#}"));
            return Ok(false);
        }
        let others: Vec<i32> = self
            .ends
            .keys()
            .filter(|number| !self.partitions.contains_key(number))
            .filter(|number| !self.others_level.contains(number))
            .copied()
            .collect();
        if others.is_empty() {
            return Ok(true);
        }
        let committed = self.consumer.context().committed(self.consumer, others)?;
        for (number, committed) in committed {
            let end = self.ends.get(&number).copied().unwrap_or(0);
            if end == 0 || committed.is_some_and(|committed| committed >= end) {
                self.others_level.insert(number);
            }
        }
        Ok(false)
    }

    /// Writes what is held, waits for it, commits, and sums up.
    fn end(mut self, result: anyhow::Result<()>) -> anyhow::Result<Outcome> {
        let drained = match &result {
            Ok(()) => self.drain(),
            // what failed is not tried again; what is acknowledged still counts
            Err(_) => self.take_acks().map(|()| false),
        };
        // when it is refused, whoever has the partitions now writes a little again
        if let Err(failure) = self.commit(CommitMode::Sync) {
            info!("{failure:#}");
        }
        self.summary.retries = self.status.retries();
        self.summary.drained = matches!(drained, Ok(true));
        self.status.end();
        self.writer.abandon();
        result?;
        if !drained? {
            anyhow::bail!(
                "Cassandra did not take the last rows within {} s: the next run writes them",
                DRAIN.as_secs()
            );
        }
        Outcome::done(&self.summary)
    }

    fn drain(&mut self) -> anyhow::Result<bool> {
        let deadline = Instant::now() + DRAIN;
        for partition in self.partitions.values_mut() {
            partition.send_due(Instant::now(), Duration::ZERO, &mut self.queue);
            partition.send_counts(&self.plan, &mut self.queue)?;
        }
        self.writer.start_waiting(&mut self.queue);
        while self.queue.in_flight > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(ack) = self.acked.recv_timeout(left) else {
                return Ok(false);
            };
            self.take_ack(ack)?;
            self.writer.start_waiting(&mut self.queue);
        }
        Ok(true)
    }
}

fn now() -> Micros {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    now.as_micros() as Micros
}
