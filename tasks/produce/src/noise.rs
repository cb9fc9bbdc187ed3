//! What goes wrong between a shop and its log: records sent twice, and records that are broken.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::damage::Damage;
use crate::sink::Sink;

/// A repetition comes at most so many events after the first sending.
const LATEST_REPETITION: u64 = 2000;

/// A record to be sent again: when (in events), in what order, key and payload.
type Repetition = (u64, u64, Vec<u8>, Vec<u8>);

/// Adds repeated and broken records to a stream of good ones.
#[derive(Debug)]
pub struct Noise {
    duplicate_ratio: f64,
    malformed_ratio: f64,
    rng: ChaCha8Rng,
    events: u64,
    repetitions: BinaryHeap<Reverse<Repetition>>,
    /// Records sent again so far.
    pub duplicates: u64,
    /// Broken records sent so far.
    pub malformed: u64,
}

impl Noise {
    /// `rng` is for the noise alone, so that the good events are the same without it.
    pub fn new(duplicate_ratio: f64, malformed_ratio: f64, rng: ChaCha8Rng) -> Noise {
        Noise {
            duplicate_ratio,
            malformed_ratio,
            rng,
            events: 0,
            repetitions: BinaryHeap::new(),
            duplicates: 0,
            malformed: 0,
        }
    }

    /// What follows a good record.
    pub fn after(&mut self, key: &[u8], payload: &[u8], sink: &mut dyn Sink) -> anyhow::Result<()> {
        self.events += 1;
        if self.duplicate_ratio > 0.0 && self.rng.random_bool(self.duplicate_ratio) {
            let due = self.events + self.rng.random_range(1..=LATEST_REPETITION);
            let repetition = (due, self.events, key.to_vec(), payload.to_vec());
            self.repetitions.push(Reverse(repetition));
        }
        if self.malformed_ratio > 0.0 && self.rng.random_bool(self.malformed_ratio) {
            let which = self.rng.random_range(0..Damage::ALL.len());
            let broken = Damage::ALL[which].of(payload, &mut self.rng);
            sink.send(key, broken.as_deref())?;
            self.malformed += 1;
        }
        self.repeat_until(self.events, sink)
    }

    /// Sends what is still to be repeated.
    pub fn finish(&mut self, sink: &mut dyn Sink) -> anyhow::Result<()> {
        self.repeat_until(u64::MAX, sink)
    }

    fn repeat_until(&mut self, events: u64, sink: &mut dyn Sink) -> anyhow::Result<()> {
        while let Some(Reverse(next)) = self.repetitions.peek() {
            if next.0 > events {
                return Ok(());
            }
            if let Some(Reverse((_, _, key, payload))) = self.repetitions.pop() {
                sink.send(&key, Some(&payload))?;
                self.duplicates += 1;
            }
        }
        Ok(())
    }
}
