//! Kafka as the tests use it: topics and crafted records.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures::executor::block_on;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(30);

/// A record as Kafka holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaRecord {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its time by the broker's clock.
    pub timestamp_millis: i64,
    /// Its payload; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// A record to send, with the time that its sender gives it.
#[derive(Debug, Clone, Copy)]
pub struct Sent<'a> {
    /// Its time.
    pub timestamp_millis: i64,
    /// Its key.
    pub key: &'a [u8],
    /// Its payload; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// The brokers of the stack.
pub struct Kafka {
    /// Their addresses.
    pub bootstrap_servers: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Kafka {
    /// A client.
    pub fn connect(bootstrap_servers: &str) -> anyhow::Result<Kafka> {
        let admin = ClientConfig::new()
            .set("bootstrap.servers", bootstrap_servers)
            .create()?;
        Ok(Kafka {
            bootstrap_servers: bootstrap_servers.to_owned(),
            admin,
        })
    }

    fn options() -> AdminOptions {
        AdminOptions::new().operation_timeout(Some(TIMEOUT))
    }

    /// Creates a topic and waits until it has leaders.
    pub fn create_topic(&self, topic: &str, partitions: i32) -> anyhow::Result<()> {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1))
            .set("message.timestamp.type", "LogAppendTime");
        for result in block_on(self.admin.create_topics([&new], &Kafka::options()))? {
            result.map_err(|(name, code)| anyhow!("cannot create {name}: {code}"))?;
        }
        crate::wait_until("the topic has leaders", || {
            let metadata = self.admin.inner().fetch_metadata(Some(topic), TIMEOUT)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            Ok(found.is_some_and(|found| {
                found.partitions().len() == partitions as usize
                    && found
                        .partitions()
                        .iter()
                        .all(|partition| partition.leader() >= 0)
            }))
        })
    }

    /// Deletes a topic and waits until it is gone.
    pub fn delete_topic(&self, topic: &str) -> anyhow::Result<()> {
        for result in block_on(self.admin.delete_topics(&[topic], &Kafka::options()))? {
            result.map_err(|(name, code)| anyhow!("cannot delete {name}: {code}"))?;
        }
        crate::wait_until("the topic is gone", || {
            let metadata = self.admin.inner().fetch_metadata(None, TIMEOUT)?;
            Ok(metadata.topics().iter().all(|found| found.name() != topic))
        })
    }

    /// Deletes the records of a partition before an offset, as retention does.
    pub fn delete_records(&self, topic: &str, partition: i32, before: i64) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(before))?;
        block_on(self.admin.delete_records(&list, &Kafka::options()))?;
        Ok(())
    }

    /// Lets a topic keep records of any age, with the times that their senders give them.
    pub fn keep_for_ever(&self, topic: &str) -> anyhow::Result<()> {
        let config = AlterConfig::new(ResourceSpecifier::Topic(topic))
            .set("message.timestamp.type", "CreateTime")
            .set("retention.ms", "-1");
        for result in block_on(self.admin.alter_configs([&config], &Kafka::options()))? {
            result.map_err(|(name, code)| anyhow!("cannot change {name:?}: {code}"))?;
        }
        Ok(())
    }

    /// Sends payloads to a partition, one record each; `None` is a tombstone.
    pub fn send(
        &self,
        topic: &str,
        partition: i32,
        payloads: &[Option<&[u8]>],
    ) -> anyhow::Result<()> {
        let records = payloads
            .iter()
            .map(|payload| (None, &b"user_1"[..], *payload));
        self.send_all(topic, partition, records)
    }

    /// Sends records to a partition.
    pub fn send_records(
        &self,
        topic: &str,
        partition: i32,
        records: &[Sent<'_>],
    ) -> anyhow::Result<()> {
        let records = records
            .iter()
            .map(|sent| (Some(sent.timestamp_millis), sent.key, sent.payload));
        self.send_all(topic, partition, records)
    }

    fn send_all<'a>(
        &self,
        topic: &str,
        partition: i32,
        records: impl Iterator<Item = (Option<i64>, &'a [u8], Option<&'a [u8]>)>,
    ) -> anyhow::Result<()> {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("enable.idempotence", "true")
            // as much as the broker takes, with what is around the payload
            .set("message.max.bytes", "1048588")
            .create()?;
        for (timestamp_millis, key, payload) in records {
            let mut record = BaseRecord::<[u8], [u8]>::to(topic)
                .partition(partition)
                .key(key);
            record.payload = payload;
            record.timestamp = timestamp_millis;
            producer
                .send(record)
                .map_err(|(failure, _)| failure)
                .context("send")?;
        }
        Ok(producer.flush(TIMEOUT)?)
    }

    /// First and next offset of each partition.
    pub fn offsets(&self, topic: &str) -> anyhow::Result<Vec<(i64, i64)>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .create()?;
        let metadata = consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let found = metadata.topics().first().context("no such topic")?;
        let mut partitions: Vec<i32> = found.partitions().iter().map(|p| p.id()).collect();
        partitions.sort_unstable();
        partitions
            .into_iter()
            .map(|partition| Ok(consumer.fetch_watermarks(topic, partition, TIMEOUT)?))
            .collect()
    }

    fn member_of(&self, group: &str) -> anyhow::Result<BaseConsumer> {
        Ok(ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", group)
            .create()?)
    }

    /// What a group has committed of a partition.
    pub fn committed(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
    ) -> anyhow::Result<Option<i64>> {
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, partition);
        let committed = self.member_of(group)?.committed_offsets(list, TIMEOUT)?;
        let offset = committed.elements().first().map(|element| element.offset());
        Ok(match offset {
            Some(Offset::Offset(offset)) => Some(offset),
            _ => None,
        })
    }

    /// Sets what a group has committed, once it has no members: one that ended while it joined is counted among them
    /// until its session ends.
    pub fn commit(
        &self,
        group: &str,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> anyhow::Result<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
        let member = self.member_of(group)?;
        crate::wait_until("the group has no members", || {
            match member.commit(&list, CommitMode::Sync) {
                Ok(()) => Ok(true),
                Err(KafkaError::ConsumerCommit(
                    RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::RebalanceInProgress,
                )) => Ok(false),
                Err(failure) => Err(failure.into()),
            }
        })
    }

    /// Every record that a topic holds, partition by partition.
    pub fn read(&self, topic: &str) -> anyhow::Result<Vec<KafkaRecord>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("group.id", "nobody commits")
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "error")
            .create()?;
        let mut list = TopicPartitionList::new();
        let mut open = BTreeMap::new();
        for (partition, (first, next)) in (0..).zip(self.offsets(topic)?) {
            if first < next {
                list.add_partition_offset(topic, partition, Offset::Offset(first))?;
                open.insert(partition, next);
            }
        }
        consumer.assign(&list)?;
        let mut records = Vec::new();
        while !open.is_empty() {
            let message = consumer.poll(TIMEOUT).context("Kafka sends no more")??;
            let (partition, offset) = (message.partition(), message.offset());
            match open.get(&partition) {
                Some(next) if offset < *next => {}
                _ => continue,
            }
            records.push(KafkaRecord {
                partition,
                offset,
                timestamp_millis: message.timestamp().to_millis().context("no timestamp")?,
                value: message.payload().map(<[u8]>::to_vec),
            });
            if open.get(&partition) == Some(&(offset + 1)) {
                open.remove(&partition);
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        Ok(records)
    }

    /// Records that a topic ever got.
    pub fn records(&self, topic: &str) -> anyhow::Result<i64> {
        Ok(self.offsets(topic)?.iter().map(|(_, next)| next).sum())
    }
}
