//! What Kafka still holds.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::Context;
use broker::{Complaints, KafkaOptions};
use chain::Record;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::expect::record_hash;
use crate::options::Options;

/// First and next offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The oldest offset still there.
    pub first: i64,
    /// The offset that the next record will get.
    pub next: i64,
}

/// Reads the topic without being a member of any group.
pub struct Kafka<'a> {
    options: &'a KafkaOptions,
    consumer: BaseConsumer<Listener>,
}

/// What librdkafka says of its own accord.
#[derive(Default)]
struct Listener(Complaints);

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        // the end of a partition is no complaint
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            self.0.note(reason);
        }
    }

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.0.log(facility, text);
    }
}

impl ConsumerContext for Listener {}

impl<'a> Kafka<'a> {
    /// A client. Whether Kafka answers shows at its first use.
    pub fn new(options: &'a Options) -> anyhow::Result<Kafka<'a>> {
        let settings = [
            // its offsets are read and never written
            ("group.id", options.group.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "true"),
            ("check.crcs", "true"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        let consumer = options
            .kafka
            .client("audit", &settings, Listener::default())?;
        Ok(Kafka {
            options: &options.kafka,
            consumer,
        })
    }

    /// What every partition holds now.
    pub fn held(&self) -> anyhow::Result<BTreeMap<i32, Held>> {
        let partitions = self.options.partitions(self.consumer.client())?;
        let held = partitions
            .into_iter()
            .map(|partition| Ok((partition, self.held_of(partition)?)));
        held.collect()
    }

    fn held_of(&self, partition: i32) -> anyhow::Result<Held> {
        let topic = &self.options.kafka_topic;
        let (first, next) = self
            .consumer
            .fetch_watermarks(topic, partition, self.options.timeout())
            .with_context(|| self.options.no_answer())?;
        Ok(Held { first, next })
    }

    /// What `stream` has committed.
    pub fn streamed(&self, partitions: &[i32]) -> anyhow::Result<BTreeMap<i32, i64>> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.options.kafka_topic, *partition);
        }
        let committed = self
            .consumer
            .committed_offsets(list, self.options.timeout())
            .map_err(|failure| broker::explain(failure, &self.options.kafka_bootstrap_servers))
            .with_context(|| self.options.no_answer())?;
        let known = committed.elements().into_iter().filter_map(|element| {
            let Offset::Offset(offset) = element.offset() else {
                return None;
            };
            Some((element.partition(), offset))
        });
        Ok(known.collect())
    }

    /// The records of `start..next` that are still there, and the first offset that was held all
    /// the time: what lies below is expired.
    pub fn read(
        &self,
        partition: i32,
        start: i64,
        next: i64,
    ) -> anyhow::Result<(i64, Vec<(i64, u64)>)> {
        loop {
            let from = self.held_of(partition)?.first.max(start);
            let records = if from < next {
                self.read_from(partition, from, next)?
            } else {
                Some(Vec::new())
            };
            // retention may be at work while this reads
            let first = self.held_of(partition)?.first.max(start);
            if let Some(mut records) = records {
                records.retain(|(offset, _)| *offset >= first);
                return Ok((first, records));
            }
        }
    }

    /// `None` when retention has taken what was to be read.
    fn read_from(
        &self,
        partition: i32,
        from: i64,
        next: i64,
    ) -> anyhow::Result<Option<Vec<(i64, u64)>>> {
        let mut list = TopicPartitionList::new();
        let topic = &self.options.kafka_topic;
        list.add_partition_offset(topic, partition, Offset::Offset(from))?;
        self.consumer.assign(&list)?;
        let result = self.poll_up_to(partition, next);
        self.consumer.unassign()?;
        result
    }

    fn poll_up_to(&self, partition: i32, next: i64) -> anyhow::Result<Option<Vec<(i64, u64)>>> {
        let mut records = Vec::new();
        let mut heard = Instant::now();
        loop {
            match self.consumer.poll(self.options.timeout()) {
                Some(Ok(message)) if message.partition() == partition => {
                    heard = Instant::now();
                    let offset = message.offset();
                    if offset >= next {
                        return Ok(Some(records));
                    }
                    let record = Record {
                        offset,
                        timestamp_millis: message.timestamp().to_millis().unwrap_or(-1),
                        key: message.key(),
                        value: message.payload(),
                    };
                    records.push((offset, record_hash(&record)));
                    if offset + 1 == next {
                        return Ok(Some(records));
                    }
                }
                Some(Err(KafkaError::PartitionEOF(number))) if number == partition => {
                    return Ok(Some(records));
                }
                // left over from the partition before
                Some(Ok(_) | Err(KafkaError::PartitionEOF(_))) => {}
                Some(Err(failure)) => match failure.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange,
                    ) => {
                        return Ok(None);
                    }
                    _ => {
                        let servers = &self.options.kafka_bootstrap_servers;
                        return Err(broker::explain(failure, servers))
                            .with_context(|| self.options.no_answer());
                    }
                },
                None => {}
            }
            anyhow::ensure!(
                heard.elapsed() < self.options.timeout() * 2,
                self.options.no_answer()
            );
        }
    }
}
