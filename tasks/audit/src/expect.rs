//! What a raw file asks of every store: pure, from its records alone.

use std::collections::{BTreeMap, HashSet};

use chain::{Record, hash_record};
use event::{Details, Event, EventType, Micros};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::canonical::{Origin, event_hash, reject_hash};
use crate::verdict::Unit;

/// A row of `ecomm_log`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogRow {
    /// Event time in milliseconds.
    pub millis: i64,
    /// Whose.
    pub event_id: Box<str>,
    /// The record that asks for it.
    pub offset: i64,
    /// Kafka time.
    pub record_time: Micros,
    /// Bits of the amount, or of the attempted amount; 0 where there is none.
    pub amount_bits: u64,
}

/// A row of `rejected_log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectRow {
    /// The record that asks for it.
    pub offset: i64,
    /// Kafka time.
    pub record_time: Micros,
    /// Why.
    pub reason: &'static str,
}

/// What the records of a file, or of a part of it, ask for. Lists ascend by offset.
#[derive(Debug, Default)]
pub struct Expected {
    /// Every record: the hash of its offset, time, key and payload.
    pub records: Vec<(i64, u64)>,
    /// Rows of `raw.log_event`.
    pub events: Vec<(i64, u64)>,
    /// Rows of `raw.reject`.
    pub rejects: Vec<(i64, u64)>,
    /// Rows of `ecomm_log`, by type and day: one for each event, repeats included.
    pub log_rows: BTreeMap<(EventType, i64), Vec<LogRow>>,
    /// Rows of `rejected_log`.
    pub reject_rows: Vec<RejectRow>,
    /// Hashes of the event ids.
    pub event_ids: HashSet<u64>,
    /// First and last Kafka time.
    pub record_times: Option<(Micros, Micros)>,
}

impl Expected {
    /// Takes in the next record.
    pub fn take(&mut self, topic: &str, unit: Unit, record: &Record<'_>) {
        let offset = record.offset;
        let record_time = record.timestamp_millis.saturating_mul(1_000);
        let origin = Origin {
            partition: unit.partition,
            offset,
            record_time,
        };
        // `stream` takes a record without a time for one of 1970
        let stream_time = record_time.max(0);
        let (first, last) = self.record_times.unwrap_or((stream_time, stream_time));
        self.record_times = Some((first.min(stream_time), last.max(stream_time)));
        self.records.push((offset, record_hash(record)));
        match event::parse(record.value, record_time) {
            Ok(event) => {
                let event_id = event_id(topic, unit, offset, &event);
                self.events
                    .push((offset, event_hash(origin, &event_id, &event)));
                self.event_ids.insert(xxh3_64(event_id.as_bytes()));
                let key = (event.event_type, cassandra::day(event.time));
                self.log_rows.entry(key).or_default().push(LogRow {
                    millis: cassandra::timestamp(event.time).0,
                    event_id: event_id.into(),
                    offset,
                    record_time: stream_time,
                    amount_bits: amount_bits(&event),
                });
            }
            Err(reject) => {
                let hash = reject_hash(origin, &reject, record.key, record.value);
                self.rejects.push((offset, hash));
                self.reject_rows.push(RejectRow {
                    offset,
                    record_time: stream_time,
                    reason: reject.reason.name(),
                });
            }
        }
    }

    /// Events beyond the first of each id.
    pub fn duplicates(&self) -> i64 {
        self.events.len() as i64 - self.event_ids.len() as i64
    }
}

/// The id of an event: its own, or its coordinates.
pub fn event_id(topic: &str, unit: Unit, offset: i64, event: &Event<'_>) -> String {
    match &event.event_id {
        Some(event_id) => event_id.to_string(),
        None => event::event_id_from_coordinates(topic, unit.epoch, unit.partition, offset),
    }
}

/// The hash of a record as Kafka delivers it, with its place.
pub fn record_hash(record: &Record<'_>) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&record.offset.to_le_bytes());
    let content = hash_record(record.timestamp_millis, record.key, record.value);
    hash.update(&content.to_le_bytes());
    hash.digest()
}

fn amount_bits(event: &Event<'_>) -> u64 {
    match &event.details {
        Details::Purchase { amount, .. } | Details::OrderComplete { amount, .. } => {
            amount.to_bits()
        }
        Details::OrderFailed {
            attempted_amount, ..
        } => attempted_amount.to_bits(),
        Details::Search { .. } | Details::Error { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: Unit = Unit {
        epoch: 0,
        partition: 3,
        start: 10,
        next: 20,
    };

    fn search(event_id: &str, time: &str) -> String {
        format!(
            r#"{{"timestamp":"{time}","level":"INFO","service":"ecommerce-platform","event_type":"search","event_id":"{event_id}","user_id":"user_1","session_id":"s","product_id":"p","session_duration":5,"device_type":"mobile","geo_location":{{"country":"DE","city":"B"}},"details":{{"query":"q","results_count":1,"searched_at":"2026-01-01T00:00:00Z"}}}}"#
        )
    }

    fn expected(payloads: &[Option<&str>]) -> Expected {
        let mut expected = Expected::default();
        for (index, payload) in payloads.iter().enumerate() {
            expected.take(
                "T",
                UNIT,
                &Record {
                    offset: 10 + index as i64,
                    timestamp_millis: 1_767_225_600_000 + index as i64,
                    key: Some(b"user_1"),
                    value: payload.map(str::as_bytes),
                },
            );
        }
        expected
    }

    #[test]
    fn each_record_is_a_row_or_a_reject() {
        let early = search("a", "2025-12-31T23:59:59.9999Z");
        let late = search("b", "2026-01-01T00:00:00Z");
        let expected = expected(&[Some(&early), None, Some(&late), Some("{}"), Some(&early)]);
        assert_eq!(expected.records.len(), 5);
        assert_eq!(expected.events.len() + expected.rejects.len(), 5);
        assert_eq!(expected.duplicates(), 1);
        assert_eq!(expected.reject_rows[0].reason, "tombstone");
        assert_eq!(expected.reject_rows[1].offset, 13);
        // two days, and the repeat beside its first copy
        let days: Vec<usize> = expected.log_rows.values().map(Vec::len).collect();
        assert_eq!(days, [2, 1]);
        assert_eq!(
            expected.record_times,
            Some((1_767_225_600_000_000, 1_767_225_600_004_000))
        );
    }

    #[test]
    fn an_event_without_an_id_has_its_coordinates() {
        let anonymous = search("a", "2026-01-01T00:00:00Z").replace(r#""event_id":"a","#, "");
        let expected = expected(&[Some(&anonymous)]);
        let rows = expected.log_rows.values().next().expect("a day");
        assert_eq!(&*rows[0].event_id, "T:3:10");
    }

    #[test]
    fn every_part_of_a_record_counts() {
        let record = |offset, timestamp_millis, key, value| {
            record_hash(&Record {
                offset,
                timestamp_millis,
                key,
                value,
            })
        };
        let base = record(1, 2, Some(b"k".as_slice()), Some(b"v".as_slice()));
        assert_ne!(base, record(2, 2, Some(b"k"), Some(b"v")));
        assert_ne!(base, record(1, 3, Some(b"k"), Some(b"v")));
        assert_ne!(base, record(1, 2, Some(b"l"), Some(b"v")));
        assert_ne!(base, record(1, 2, Some(b"k"), Some(b"w")));
        assert_ne!(base, record(1, 2, Some(b"k"), None));
    }
}
