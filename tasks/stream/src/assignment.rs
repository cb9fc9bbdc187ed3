//! Which partitions this instance has, and from where it reads them.
//!
//! Instances share the partitions through their consumer group; a rebalance moves only those that
//! have to move. Start offsets are set before the first record is fetched. An instance that was
//! thrown out and does not know it yet does no harm: what it writes, the new owner writes too.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use broker::Complaints;
use frame::failpoint;
use log::info;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::options::Options;
use crate::resume::{Start, start};

/// What a rebalance did.
#[derive(Debug)]
pub enum Change {
    /// Partitions came, each with where it starts.
    Assigned(Vec<(i32, Start)>),
    /// Partitions went.
    Revoked(Vec<i32>),
    /// Where a partition starts could not be told.
    Failed(anyhow::Error),
}

/// How far a partition is.
#[derive(Debug, Clone, Copy)]
struct Position {
    written: i64,
    committed: i64,
}

/// Knows where partitions start; librdkafka calls it in rebalances.
pub struct Assignment {
    topic: String,
    accept_gap: bool,
    timeout: Duration,
    changes: Mutex<Vec<Change>>,
    positions: Mutex<BTreeMap<i32, Position>>,
    complaints: Complaints,
}

/// The consumer of this task.
pub type StreamConsumer = BaseConsumer<Assignment>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Assignment {
    /// Nothing assigned yet.
    pub fn new(options: &Options) -> Assignment {
        Assignment {
            topic: options.kafka.kafka_topic.clone(),
            accept_gap: options.accept_gap,
            timeout: options.kafka.timeout(),
            changes: Mutex::default(),
            positions: Mutex::default(),
            complaints: Complaints::default(),
        }
    }

    /// What rebalances did since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// Everything of the partition below `position` is in Cassandra.
    pub fn written(&self, partition: i32, position: i64) {
        if let Some(known) = lock(&self.positions).get_mut(&partition) {
            known.written = position;
        }
    }

    /// An error that Kafka mends itself: said once.
    pub fn complain(&self, reason: &str) {
        self.complaints.note(reason);
    }

    /// Commits what is written and not known to be committed yet: again, too, where a commit was
    /// refused, as those are that a rebalance overtakes. Only a synchronous one is known: of others
    /// librdkafka tells nobody (it would call a callback, which the events of rust-rdkafka replace).
    pub fn commit(&self, consumer: &StreamConsumer, mode: CommitMode) -> anyhow::Result<()> {
        let positions = lock(&self.positions).clone();
        self.commit_positions(consumer, &positions, mode)
    }

    fn commit_positions(
        &self,
        consumer: &StreamConsumer,
        positions: &BTreeMap<i32, Position>,
        mode: CommitMode,
    ) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        for (partition, position) in positions {
            if position.written > position.committed {
                let offset = Offset::Offset(position.written);
                list.add_partition_offset(&self.topic, *partition, offset)?;
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        failpoint("stream.before_commit");
        consumer
            .commit(&list, mode)
            .context("the group's offsets could not be committed")?;
        failpoint("stream.after_commit");
        if matches!(mode, CommitMode::Sync) {
            self.confirm(&list);
        }
        Ok(())
    }

    /// Kafka has these offsets now.
    fn confirm(&self, offsets: &TopicPartitionList) {
        let mut positions = lock(&self.positions);
        for element in offsets.elements() {
            let known = positions.get_mut(&element.partition());
            if let (Some(known), Offset::Offset(offset)) = (known, element.offset()) {
                known.committed = known.committed.max(offset);
            }
        }
    }

    /// What the group has committed of every partition.
    pub fn committed(
        &self,
        consumer: &StreamConsumer,
        partitions: impl IntoIterator<Item = i32>,
    ) -> anyhow::Result<BTreeMap<i32, Option<i64>>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, partition);
        }
        let committed = consumer
            .committed_offsets(list, self.timeout)
            .context("Kafka does not tell what the group has committed")?;
        let offset = |offset| match offset {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        };
        Ok(committed
            .elements()
            .iter()
            .map(|element| (element.partition(), offset(element.offset())))
            .collect())
    }

    fn assigned(
        &self,
        consumer: &StreamConsumer,
        partitions: &TopicPartitionList,
    ) -> anyhow::Result<Vec<(i32, Start)>> {
        let elements = partitions.elements();
        // a rebalance in which nothing moves to this instance is one too
        if elements.is_empty() {
            consumer.incremental_assign(partitions)?;
            return Ok(Vec::new());
        }
        let numbers: Vec<i32> = elements.iter().map(|element| element.partition()).collect();
        let committed = self.committed(consumer, numbers)?;
        let mut starts = Vec::new();
        let mut list = TopicPartitionList::new();
        for (partition, committed) in committed {
            let held = consumer
                .fetch_watermarks(&self.topic, partition, self.timeout)
                .with_context(|| {
                    format!("Kafka does not tell the offsets of partition {partition}")
                })?;
            let start = start(partition, committed, held, self.accept_gap)?;
            if start.is_partial {
                info!(
                    "partition {partition}: Kafka no longer holds the start of its block: should the \
                     run before have been killed, the records that it wrote after its last commit \
                     count twice in ecomm_by_minute"
                );
            }
            info!(
                "partition {partition}: writes from {}, reads from {}",
                start.write_from, start.read_from
            );
            list.add_partition_offset(&self.topic, partition, Offset::Offset(start.read_from))?;
            starts.push((partition, start));
        }
        failpoint("stream.assigned");
        consumer.incremental_assign(&list)?;
        let mut positions = lock(&self.positions);
        for (partition, start) in &starts {
            let position = Position {
                written: start.write_from,
                committed: start.write_from,
            };
            positions.insert(*partition, position);
        }
        Ok(starts)
    }

    fn revoked(&self, consumer: &StreamConsumer, partitions: &TopicPartitionList) -> Vec<i32> {
        let gone: Vec<i32> = partitions
            .elements()
            .iter()
            .map(|element| element.partition())
            .collect();
        failpoint("stream.revoked");
        // the next owner need not write again what is written
        let mut positions = lock(&self.positions);
        let last: BTreeMap<i32, Position> = gone
            .iter()
            .filter_map(|partition| positions.remove_entry(partition))
            .collect();
        drop(positions);
        // They are somebody else's already: a commit could only be refused, and while the broker does
        // not answer it would wait, in a callback that everything else waits for.
        if consumer.assignment_lost() {
            info!("partitions {gone:?} were lost: their next owner starts at the last commit");
            return gone;
        }
        if let Err(failure) = self.commit_positions(consumer, &last, CommitMode::Sync) {
            info!(
                "partitions {gone:?} go to another instance, which starts a little earlier: {failure:#}"
            );
        }
        gone
    }
}

impl ClientContext for Assignment {
    fn error(&self, error: KafkaError, reason: &str) {
        // the end of a partition is no complaint
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.complaints.note(reason);
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.complaints.log(facility, text);
    }
}

impl ConsumerContext for Assignment {
    fn rebalance(
        &self,
        consumer: &StreamConsumer,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let change = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.assigned(consumer, partitions) {
                Ok(starts) => Change::Assigned(starts),
                Err(failure) => Change::Failed(failure),
            }
        } else {
            let gone = self.revoked(consumer, partitions);
            if let Err(failure) = consumer.incremental_unassign(partitions) {
                lock(&self.changes).push(Change::Failed(failure.into()));
            }
            Change::Revoked(gone)
        };
        lock(&self.changes).push(change);
    }
}

/// The consumer, not yet subscribed.
pub fn consumer(options: &Options) -> anyhow::Result<StreamConsumer> {
    let prefetch_kib = options.prefetch_kib().to_string();
    let settings = [
        ("group.id", options.group.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // an offset that Kafka no longer holds must be an error, never a silent jump
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        ("partition.assignment.strategy", "cooperative-sticky"),
        ("check.crcs", "true"),
        ("queued.max.messages.kbytes", prefetch_kib.as_str()),
        // an instance that was killed hands over its partitions after so long
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "2000"),
    ];
    options
        .kafka
        .client("stream", &settings, Assignment::new(options))
}
