//! One partition of a Kafka topic: it grows, has holes, and forgets.

use chain::Record;
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

/// Time, key and value.
pub type Content = (i64, Option<Vec<u8>>, Option<Vec<u8>>);

pub struct Kafka {
    /// All that it ever held, by offset.
    log: Vec<(i64, Content)>,
    /// The oldest offset that it holds.
    pub oldest: i64,
    /// The offset after the last record.
    pub end: i64,
}

impl Kafka {
    pub fn new() -> Kafka {
        Kafka {
            log: Vec::new(),
            oldest: 0,
            end: 0,
        }
    }

    /// All that it ever held.
    pub fn log(&self) -> &[(i64, Content)] {
        &self.log
    }

    /// Records come; sometimes offsets are left out, as transactions and compaction do.
    pub fn grow(&mut self, rng: &mut ChaCha8Rng) {
        for _ in 0..rng.random_range(1..=3) {
            let hole = if rng.random_bool(0.1) { 2 } else { 0 };
            let offset = self.end + hole;
            let key = rng.random_bool(0.8).then(|| vec![rng.random::<u8>(); 2]);
            let value = rng.random_bool(0.9).then(|| {
                let length = rng.random_range(0..20);
                (0..length).map(|_| rng.random::<u8>()).collect()
            });
            let timestamp = rng.random_range(-1..1_000);
            self.log.push((offset, (timestamp, key, value)));
            self.end = offset + 1;
        }
    }

    /// Retention moves on.
    pub fn forget(&mut self, rng: &mut ChaCha8Rng) {
        let furthest = self.end.min(self.oldest + 4);
        self.oldest = rng.random_range(self.oldest..=furthest);
    }

    /// The records from an offset on; `None` when it is no longer held.
    pub fn read(&self, from: i64) -> Option<impl Iterator<Item = Record<'_>>> {
        let first = self.log.partition_point(|(offset, _)| *offset < from);
        let rest = self.log.get(first..).unwrap_or_default();
        let records = rest.iter().map(|(offset, (timestamp, key, value))| Record {
            offset: *offset,
            timestamp_millis: *timestamp,
            key: key.as_deref(),
            value: value.as_deref(),
        });
        (from >= self.oldest).then_some(records)
    }
}
