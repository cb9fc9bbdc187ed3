//! Which partitions this run reads, and from where.
//!
//! A run to the end takes every partition. Followers share them through their consumer group.
//! Either way the start offsets come from the chain, and in a rebalance they are set before the
//! first record is fetched. A writer that was thrown out of the group and does not know it yet
//! does no harm: the chain refuses its files.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use broker::{Complaints, KafkaOptions};
use chain::{Hdfs, Raw};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use crate::options::Options;
use crate::resume::{Held, Resume, resume};

/// What a rebalance did.
pub enum Change {
    /// Partitions came, each with where it resumes.
    Assigned(Vec<Resume>),
    /// Partitions went.
    Revoked(Vec<i32>),
    /// The end of a chain could not be read.
    Failed(anyhow::Error),
}

/// Knows where partitions resume; librdkafka calls it in rebalances.
pub struct Assignment {
    hdfs: Arc<Hdfs>,
    raw: Raw,
    topic: String,
    epoch: u32,
    accept_gap: bool,
    timeout: Duration,
    changes: Mutex<Vec<Change>>,
    complaints: Complaints,
}

/// The consumer of this task.
pub type ChainConsumer = BaseConsumer<Assignment>;

impl Assignment {
    /// For one epoch of the topic.
    pub fn new(options: &Options, hdfs: Arc<Hdfs>, raw: Raw, epoch: u32) -> Assignment {
        Assignment {
            hdfs,
            raw,
            topic: options.kafka.kafka_topic.clone(),
            epoch,
            accept_gap: options.accept_gap,
            timeout: options.kafka.timeout(),
            changes: Mutex::default(),
            complaints: Complaints::default(),
        }
    }

    /// What rebalances did since the last call.
    pub fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What Kafka mends by itself: said once.
    pub fn complain(&self, reason: &str) {
        self.complaints.note(reason);
    }

    fn note(&self, change: Change) {
        self.changes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(change);
    }

    /// Where a partition resumes, and the offset that Kafka will give next.
    pub fn resume(
        &self,
        consumer: &ChainConsumer,
        partition: i32,
    ) -> anyhow::Result<(Resume, Held)> {
        let ask = || {
            let (first, next) = consumer
                .fetch_watermarks(&self.topic, partition, self.timeout)
                .with_context(|| {
                    format!("Kafka does not tell the offsets of partition {partition}")
                })?;
            Ok(Held { first, next })
        };
        let chain = self.raw.chain(&self.topic, self.epoch, partition);
        resume(&*self.hdfs, &self.raw, chain, &ask, self.accept_gap)
    }

    /// Start offsets as librdkafka takes them.
    pub fn start_offsets<'a>(
        &self,
        resumes: impl IntoIterator<Item = &'a Resume>,
    ) -> anyhow::Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for resume in resumes {
            list.add_partition_offset(
                &self.topic,
                resume.chain.partition,
                Offset::Offset(resume.consume_from()),
            )?;
        }
        Ok(list)
    }

    fn assigned(
        &self,
        consumer: &ChainConsumer,
        partitions: &TopicPartitionList,
    ) -> anyhow::Result<Vec<Resume>> {
        let mut resumes = Vec::new();
        for element in partitions.elements() {
            resumes.push(self.resume(consumer, element.partition())?.0);
        }
        consumer.assign(&self.start_offsets(&resumes)?)?;
        Ok(resumes)
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
        consumer: &ChainConsumer,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            match self.assigned(consumer, partitions) {
                Ok(resumes) => self.note(Change::Assigned(resumes)),
                Err(failure) => self.note(Change::Failed(failure)),
            }
            return;
        }
        let gone = partitions.elements();
        self.note(Change::Revoked(
            gone.iter().map(|element| element.partition()).collect(),
        ));
        if let Err(failure) = consumer.unassign() {
            self.note(Change::Failed(failure.into()));
        }
    }
}

/// The consumer, not yet assigned to anything.
pub fn consumer(
    kafka: &KafkaOptions,
    options: &Options,
    assignment: Assignment,
) -> anyhow::Result<ChainConsumer> {
    let prefetch_kib = options.prefetch_kib().to_string();
    let settings = [
        ("group.id", options.group.as_str()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        // an offset that Kafka no longer holds must be an error, never a silent jump
        ("auto.offset.reset", "error"),
        ("enable.partition.eof", "true"),
        ("partition.assignment.strategy", "range"),
        ("check.crcs", "true"),
        ("queued.max.messages.kbytes", prefetch_kib.as_str()),
        // a full queue is emptied in a fraction of the second that librdkafka would wait before it looks again
        ("fetch.queue.backoff.ms", "10"),
        // a follower that was killed hands over its partitions after so long
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "2000"),
    ];
    kafka.client("archive", &settings, assignment)
}
