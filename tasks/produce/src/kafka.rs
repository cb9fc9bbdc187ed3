//! Kafka as a sink: an idempotent producer whose delivery reports are counted.
//!
//! Promises: a record is acknowledged by all replicas, once and in order per key, or counted as
//! failed; memory is bounded by the queue; nothing waits longer than the delivery timeout.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use broker::{Complaints, KafkaOptions};
use frame::{Stop, failpoint};
use log::warn;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, PurgeConfig, ThreadedProducer};

use crate::sink::{Delivery, Sink};

/// How long a task that was told to end waits for the last acknowledgements.
const LAST_WAIT: Duration = Duration::from_secs(8);

/// Room for what is not acknowledged: two batches of `batch.size` for each of eight partitions. More gained nothing but
/// took more memory (docs/performance.md).
const QUEUE_KIB: &str = "16384";

/// What librdkafka reports from its threads.
#[derive(Debug, Default)]
struct Reports {
    acked: AtomicU64,
    failed: AtomicU64,
    too_large: AtomicU64,
    first_failure: Mutex<Option<KafkaError>>,
    last_trouble: Mutex<Option<String>>,
    complaints: Complaints,
}

impl Reports {
    fn refused(&self, failure: &KafkaError) {
        if failure.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge) {
            if self.too_large.fetch_add(1, Ordering::Relaxed) == 0 {
                warn!(
                    "Kafka refuses a record because of its size: it and any further ones are counted as too_large"
                );
            }
            return;
        }
        self.failed.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut first) = self.first_failure.lock() {
            first.get_or_insert_with(|| failure.clone());
        }
    }
}

fn recall<T: Clone>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().ok().and_then(|kept| kept.clone())
}

impl ClientContext for Reports {
    // librdkafka mends what it reports here by itself, or a delivery fails and says so
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.complaints.log(facility, message);
    }

    fn error(&self, failure: KafkaError, reason: &str) {
        self.complaints.note(reason);
        // that all are down says less than why one of them is
        let vague = failure.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if let Ok(mut trouble) = self.last_trouble.lock()
            && (!vague || trouble.is_none())
        {
            *trouble = Some(reason.to_owned());
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        match result {
            Ok(_) => {
                self.acked.fetch_add(1, Ordering::Relaxed);
                metrics::counter!("pipeline_records_total").increment(1);
                failpoint("produce.after_ack");
            }
            Err((failure, _)) => self.refused(failure),
        }
    }
}

/// The topic.
pub struct Topic {
    producer: ThreadedProducer<Reports>,
    options: KafkaOptions,
    delivery_timeout: Duration,
    stop: Stop,
}

impl Topic {
    /// Connects, and makes sure that the topic is there. `None` if the end was asked for meanwhile.
    pub fn connect(
        options: &KafkaOptions,
        delivery_timeout_seconds: u32,
        stop: &Stop,
    ) -> anyhow::Result<Option<Topic>> {
        let timeout_ms = (u64::from(delivery_timeout_seconds) * 1000).to_string();
        let producer = options.client(
            "produce",
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("compression.type", "lz4"),
                // the partitioner of Java clients, so that a key has one partition whoever sends it
                ("partitioner", "murmur2_random"),
                ("linger.ms", "20"),
                ("queue.buffering.max.kbytes", QUEUE_KIB),
                ("message.timeout.ms", &timeout_ms),
            ],
            Reports::default(),
        )?;
        let topic = Topic {
            producer,
            options: options.clone(),
            delivery_timeout: Duration::from_secs(u64::from(delivery_timeout_seconds)),
            stop: stop.clone(),
        };
        Ok(topic.find()?.then_some(topic))
    }

    /// Asks for the topic in short turns, so that the wish to end is heard in between.
    fn find(&self) -> anyhow::Result<bool> {
        let mut turn = self.options.clone();
        turn.kafka_timeout_seconds = self.options.kafka_timeout_seconds.min(2);
        let until = Instant::now() + self.options.timeout();
        while !self.stop.is_set() {
            match turn.partitions(self.producer.client()) {
                Ok(_) => return Ok(true),
                Err(failure) if frame::is_person_needed(&failure) => return Err(failure),
                Err(failure) if Instant::now() >= until => {
                    return Err(self.with_trouble(failure));
                }
                // the brokers may refuse at once: no busy loop
                Err(_) => self.stop.sleep(Duration::from_millis(200)),
            }
        }
        Ok(false)
    }

    fn reports(&self) -> &Reports {
        self.producer.client().context()
    }

    /// Adds what librdkafka last complained about.
    fn with_trouble(&self, failure: anyhow::Error) -> anyhow::Error {
        match recall(&self.reports().last_trouble) {
            Some(trouble) => anyhow::anyhow!("{failure:#} ({trouble})"),
            None => failure,
        }
    }

    /// What ended the whole producer says more than what became of a record afterwards.
    fn explain(&self, failure: KafkaError) -> anyhow::Error {
        let fatal = self.producer.client().fatal_error();
        let failure = fatal.map_or(failure, |(code, _)| KafkaError::MessageProduction(code));
        broker::explain(failure, &self.options.kafka_bootstrap_servers)
    }

    /// An error as soon as one record was given up: more of them would not fare better.
    fn check(&self) -> anyhow::Result<()> {
        let reports = self.reports();
        let failed = reports.failed.load(Ordering::Relaxed);
        if failed == 0 {
            return Ok(());
        }
        let first = recall(&reports.first_failure);
        let cause = first.as_ref().map(ToString::to_string).unwrap_or_default();
        let explained = first.map(|failure| self.explain(failure));
        if let Some(denied) = explained.filter(frame::is_person_needed) {
            return Err(denied);
        }
        let failure = anyhow::anyhow!(
            "{failed} records were not acknowledged by Kafka at {} within {} s, {} were: {cause}: \
             are its brokers up, and reachable at the addresses they advertise?",
            self.options.kafka_bootstrap_servers,
            self.delivery_timeout.as_secs(),
            reports.acked.load(Ordering::Relaxed),
        );
        Err(self.with_trouble(failure))
    }
}

impl Sink for Topic {
    fn send(&mut self, key: &[u8], payload: Option<&[u8]>) -> anyhow::Result<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.options.kafka_topic).key(key);
        if let Some(payload) = payload {
            record = record.payload(payload);
        }
        let mut refused_since = None;
        failpoint("produce.before_send");
        loop {
            let failure = match self.producer.send(record) {
                Ok(()) => {
                    failpoint("produce.in_flight");
                    return self.check();
                }
                Err((failure, back)) => {
                    record = back;
                    failure
                }
            };
            match failure.rdkafka_error_code() {
                Some(RDKafkaErrorCode::QueueFull) => self.check()?,
                Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
                    self.reports().refused(&failure);
                    return Ok(());
                }
                _ => return Err(self.explain(failure)).context("cannot send to Kafka"),
            }
            let refused_since = refused_since.get_or_insert_with(Instant::now);
            if self.stop.is_set() && refused_since.elapsed() > LAST_WAIT {
                anyhow::bail!("told to end while Kafka takes no more records");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn delivery(&self) -> Delivery {
        let reports = self.reports();
        Delivery {
            acked: reports.acked.load(Ordering::Relaxed),
            failed: reports.failed.load(Ordering::Relaxed),
            too_large: reports.too_large.load(Ordering::Relaxed),
        }
    }

    fn finish(&mut self, stop: &Stop) -> anyhow::Result<Delivery> {
        let mut until = Instant::now() + self.delivery_timeout + Duration::from_secs(5);
        let mut told = false;
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            if stop.is_set() && !told {
                told = true;
                until = until.min(Instant::now() + LAST_WAIT);
            }
            // a timeout is expected here, and whoever fails is counted by its report
            let _ = self.producer.flush(Duration::from_millis(200));
        }
        if self.producer.in_flight_count() > 0 {
            self.producer
                .purge(PurgeConfig::default().queue().inflight());
            let _ = self.producer.flush(Duration::from_secs(1));
        }
        self.check()?;
        Ok(self.delivery())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::options::Options;

    fn cluster() -> MockCluster<'static, DefaultProducerContext> {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        cluster.create_topic("events", 4, 1).expect("a topic");
        cluster
    }

    fn connect(servers: &str, further: &[&str], stop: &Stop) -> anyhow::Result<Option<Topic>> {
        let fixed = [
            "produce",
            "--kafka-topic=events",
            "--kafka-timeout-seconds=2",
            "--delivery-timeout-seconds=3",
            "--kafka-bootstrap-servers",
            servers,
        ];
        let options = Options::parse_from(fixed.iter().chain(further));
        Topic::connect(&options.kafka, options.delivery_timeout_seconds, stop)
    }

    #[test]
    fn what_the_broker_refuses_for_a_while_is_sent_again_and_once() {
        let cluster = cluster();
        let stop = Stop::default();
        let mut topic = connect(&cluster.bootstrap_servers(), &[], &stop)
            .expect("a connection")
            .expect("no wish to end");
        cluster.request_errors(
            RDKafkaApiKey::Produce,
            &[
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            ],
        );
        for number in 0..5000 {
            let key = format!("user_{}", number % 70);
            topic.send(key.as_bytes(), Some(b"{}")).expect("room");
        }
        topic.send(b"user_1", None).expect("room");
        let delivery = topic.finish(&stop).expect("all acknowledged");
        assert_eq!(delivery.acked, 5001);
        assert_eq!((delivery.failed, delivery.too_large), (0, 0));
    }

    #[test]
    fn a_record_that_is_too_large_is_counted_and_no_other_suffers() {
        let cluster = cluster();
        let stop = Stop::default();
        let largest = ["-X", "message.max.bytes=1000000"];
        let mut topic = connect(&cluster.bootstrap_servers(), &largest, &stop)
            .expect("a connection")
            .expect("no wish to end");
        topic.send(b"user_1", Some(b"{}")).expect("room");
        topic
            .send(b"user_1", Some(&[b' '; 1_000_001]))
            .expect("no stop");
        topic.send(b"user_1", Some(b"{}")).expect("room");
        let delivery = topic.finish(&stop).expect("the others acknowledged");
        assert_eq!((delivery.acked, delivery.too_large), (2, 1));
    }

    #[test]
    fn brokers_that_went_away_are_an_error_in_bounded_time() {
        let cluster = cluster();
        let stop = Stop::default();
        let mut topic = connect(&cluster.bootstrap_servers(), &[], &stop)
            .expect("a connection")
            .expect("no wish to end");
        cluster.broker_down(1).expect("a broker that is down");
        topic.send(b"user_1", Some(b"{}")).expect("room");
        let started = Instant::now();
        let failure = topic.finish(&stop).expect_err("nobody acknowledges");
        assert!(started.elapsed() < Duration::from_secs(9));
        assert!(format!("{failure:#}").contains("1 records were not acknowledged"));
        assert!(!frame::is_person_needed(&failure));
    }

    #[test]
    fn no_broker_is_worth_a_retry_and_a_wrong_property_is_not() {
        let stop = Stop::default();
        let failure = connect("127.0.0.1:1", &[], &stop).err().expect("no broker");
        let line = format!("{failure:#}");
        assert!(line.contains("127.0.0.1:1: is it up"), "{line}");
        assert!(!frame::is_person_needed(&failure));
        let failure = connect("127.0.0.1:1", &["-X", "acks=1"], &stop)
            .err()
            .expect("idempotence needs all");
        assert!(frame::is_person_needed(&failure));
        stop.set();
        assert!(
            connect("127.0.0.1:1", &[], &stop)
                .expect("no error")
                .is_none()
        );
    }
}
