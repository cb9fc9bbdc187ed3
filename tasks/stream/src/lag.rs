//! Where partitions end, asked of Kafka itself: what a consumer knows of it stands still while it
//! is paused, and that is when the lag matters.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};

use crate::options::Options;

const INTERVAL: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(5);

/// End offsets of all partitions, a second old.
pub struct Ends {
    offsets: Arc<Mutex<BTreeMap<i32, i64>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ends {
    /// Begins to watch.
    pub fn watch(options: &Options, partitions: Vec<i32>) -> anyhow::Result<Ends> {
        // a client of its own, so that asking never waits behind reading
        let client: BaseConsumer =
            options
                .kafka
                .client("stream-lag", &[], DefaultConsumerContext)?;
        let topic = options.kafka.kafka_topic.clone();
        let offsets = Arc::new(Mutex::new(BTreeMap::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (shared, end) = (Arc::clone(&offsets), Arc::clone(&ended));
        let thread = std::thread::Builder::new()
            .name("lag".to_owned())
            .spawn(move || {
                while !end.load(Ordering::Relaxed) {
                    for partition in &partitions {
                        // no answer: the last one stands, and the loop complains about Kafka
                        if let Ok((_, next)) = client.fetch_watermarks(&topic, *partition, TIMEOUT)
                        {
                            let mut offsets = shared.lock().unwrap_or_else(PoisonError::into_inner);
                            offsets.insert(*partition, next);
                        }
                    }
                    std::thread::park_timeout(INTERVAL);
                }
            })
            .context("cannot start a thread")?;
        Ok(Ends {
            offsets,
            ended,
            thread: Some(thread),
        })
    }

    /// The offset that Kafka will give next, where it has been told.
    pub fn of(&self, partition: i32) -> Option<i64> {
        let offsets = self.offsets.lock().unwrap_or_else(PoisonError::into_inner);
        offsets.get(&partition).copied()
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                log::warn!("the watch over the lag ended early");
            }
        }
    }
}
