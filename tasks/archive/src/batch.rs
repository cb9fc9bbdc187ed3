//! The raw file that a partition is filling.

use std::time::{Duration, Instant};

use chain::{Appended, ChainPath, Encoder, Files, Raw, Record, append};
use metrics::histogram;

use crate::resume::{Handshake, Resume, shake_hands};

/// Records of one partition on their way into the chain.
pub struct Batch {
    /// The chain that the file goes to.
    pub chain: ChainPath,
    /// Where the file starts.
    start: i64,
    /// The position after the last record taken in.
    pub next: i64,
    /// The record to compare before any is taken in.
    handshake: Option<Handshake>,
    encoder: Encoder,
    opened: Instant,
}

impl Batch {
    /// Begins at the end of the chain.
    pub fn resume(resume: Resume) -> anyhow::Result<Batch> {
        Batch::begin(resume.chain, resume.next, resume.handshake)
    }

    fn begin(chain: ChainPath, start: i64, handshake: Option<Handshake>) -> anyhow::Result<Batch> {
        Ok(Batch {
            chain,
            start,
            next: start,
            handshake,
            encoder: Encoder::new()?,
            opened: Instant::now(),
        })
    }

    /// Takes a record in, if it is not in the chain already.
    pub fn push(&mut self, record: &Record<'_>) -> anyhow::Result<()> {
        if let Some(known) = self.handshake {
            // still on its way to the end of the chain, which another writer has moved
            if record.offset < known.offset {
                return Ok(());
            }
            self.handshake = None;
            shake_hands(
                known,
                &self.chain,
                record.offset,
                record.timestamp_millis,
                record.key,
                record.value,
            )?;
        }
        if record.offset < self.next {
            return Ok(());
        }
        if self.encoder.records() == 0 {
            self.opened = Instant::now();
        }
        self.encoder.push(record)?;
        self.next = record.offset + 1;
        Ok(())
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.encoder.records() == 0
    }

    /// Payload bytes taken in.
    pub fn payload_bytes(&self) -> usize {
        self.encoder.payload_bytes()
    }

    /// Memory held.
    pub fn held_bytes(&self) -> usize {
        self.encoder.held_bytes()
    }

    /// Time since its first record.
    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// The file that begins where this one ends.
    pub fn following(&self) -> anyhow::Result<Batch> {
        Batch::begin(self.chain.clone(), self.next, self.handshake)
    }

    /// Ends the file and appends it to the chain.
    pub fn commit(self, files: &dyn Files, raw: &Raw) -> anyhow::Result<Committed> {
        let records = self.encoder.records();
        let payload_bytes = self.encoder.payload_bytes() as u64;
        let data = self
            .encoder
            .finish(&self.chain, self.start, self.next, None)?;
        let file_bytes = data.len() as u64;
        let begun = Instant::now();
        let appended = append(files, raw, &self.chain, self.start, data)?;
        histogram!("pipeline_write_duration_seconds", "store" => "hdfs").record(begun.elapsed());
        histogram!("pipeline_batch_records").record(records as f64);
        Ok(Committed {
            start: self.start,
            next: self.next,
            records,
            file_bytes,
            payload_bytes,
            appended,
            chain: self.chain,
        })
    }
}

/// What became of a batch.
pub struct Committed {
    /// The chain.
    pub chain: ChainPath,
    /// The first position covered.
    pub start: i64,
    /// The position after the last one.
    pub next: i64,
    /// Records in the file.
    pub records: u64,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of its keys and payloads.
    pub payload_bytes: u64,
    /// Whether the file is in the chain.
    pub appended: Appended,
}
