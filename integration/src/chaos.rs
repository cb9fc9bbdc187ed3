//! Faults and what they did: the comparison of all stores after one, and the record of it that
//! `make chaos` shows as a table.
//!
//! A test of a fault injects it, proves that it fired, heals, waits until nothing is behind,
//! [`compare`]s, and [`record`]s. It asserts on the comparison as well: the table is for people.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::cassandra::Cassandra;
use crate::stage::{Stage, setting};

/// One fault that was injected.
#[derive(Debug, Clone)]
pub struct Injection<'a> {
    /// What was done to whom, the same text each time: it is a line of the table.
    pub fault: &'a str,
    /// Whether there is proof that it happened in mid-work.
    pub fired: bool,
    /// Records that were on their way when it happened.
    pub in_flight: u64,
    /// Records that a store lacks in the end: [`Comparison::lost`].
    pub lost: u64,
    /// Records that a store has too often: [`Comparison::duplicated`].
    pub duplicated: u64,
    /// From the end of the fault until nothing was behind.
    pub recovery: Duration,
}

/// The file that injections are added to.
pub fn record_file() -> String {
    setting("CHAOS_RECORD", "/tmp/chaos_record.jsonl")
}

/// Adds an injection to the file that `CHAOS_RECORD` names, one JSON line each.
pub fn record(injection: &Injection<'_>) -> anyhow::Result<()> {
    let line = json!({
        "fault": injection.fault,
        "fired": injection.fired,
        "in_flight": injection.in_flight,
        "lost": injection.lost,
        "duplicated": injection.duplicated,
        "recovery_seconds": injection.recovery.as_secs_f64(),
    });
    let path = record_file();
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    let mut file = opened.with_context(|| path.clone())?;
    // one write for the whole line: tests run side by side
    file.write_all(format!("{line}\n").as_bytes())
        .with_context(|| path)
}

#[derive(Debug, Default)]
struct Line {
    times: u64,
    fired: u64,
    in_flight: u64,
    lost: u64,
    duplicated: u64,
    recoveries: Vec<f64>,
}

/// The table of `make chaos`, from the lines that [`record`] wrote.
pub fn table(lines: &str) -> anyhow::Result<String> {
    let mut faults = BTreeMap::<String, Line>::new();
    for line in lines.lines() {
        let value: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let number = |name: &str| {
            let number = value[name].as_u64();
            number.with_context(|| format!("{name} is missing: {line}"))
        };
        let fault = value["fault"].as_str().context("fault")?;
        let row = faults.entry(fault.to_owned()).or_default();
        row.times += 1;
        row.fired += u64::from(value["fired"].as_bool().context("fired")?);
        row.in_flight += number("in_flight")?;
        row.lost += number("lost")?;
        row.duplicated += number("duplicated")?;
        let recovery = value["recovery_seconds"].as_f64();
        row.recoveries.push(recovery.context("recovery_seconds")?);
    }
    let width = faults.keys().map(|fault| fault.chars().count()).max();
    let width = width.unwrap_or(0).max("fault".len());
    let mut table = format!(
        "{:width$} {:>8} {:>6} {:>9} {:>5} {:>10} {:>9} {:>7}\n",
        "fault", "injected", "fired", "in flight", "lost", "duplicated", "median s", "max s"
    );
    for (fault, row) in &mut faults {
        row.recoveries.sort_by(f64::total_cmp);
        let (lower, upper) = ((row.recoveries.len() - 1) / 2, row.recoveries.len() / 2);
        let median = (row.recoveries[lower] + row.recoveries[upper]) / 2.0;
        let longest = row.recoveries.last().copied().unwrap_or(median);
        table.push_str(&format!(
            "{fault:width$} {:>8} {:>6} {:>9} {:>5} {:>10} {median:>9.1} {longest:>7.1}\n",
            row.times, row.fired, row.in_flight, row.lost, row.duplicated
        ));
    }
    Ok(table)
}

/// A store that is compared with Kafka.
#[derive(Clone, Copy)]
pub enum Store<'a> {
    /// The chain on HDFS: each record, byte for byte.
    Chain,
    /// PostgreSQL raw: each record a row or a reject.
    Postgres,
    /// Cassandra: each event a row and counted once, each other record a reject.
    Cassandra(&'a Cassandra),
    /// The star: each event once.
    Star,
}

/// What the stores hold, against what Kafka holds.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Records in Kafka.
    pub records: u64,
    /// Events among them, each once.
    pub events: u64,
    /// Records or events that a store lacks, summed over the stores.
    pub lost: u64,
    /// Those that a store has more often than it should, or that nobody sent.
    pub duplicated: u64,
    /// One line per store that differs.
    pub differences: Vec<String>,
}

impl Comparison {
    /// Asserts that nothing is lost and nothing is there twice.
    pub fn assert_equal(&self) -> anyhow::Result<()> {
        ensure!(self.records > 0, "Kafka is empty: this proves nothing");
        ensure!(
            self.lost == 0 && self.duplicated == 0,
            "{} lost, {} too many: {}",
            self.lost,
            self.duplicated,
            self.differences.join("; ")
        );
        Ok(())
    }

    /// Compares two multisets.
    fn hold<Key: Ord + std::fmt::Debug>(&mut self, store: &str, wanted: &[Key], found: &[Key]) {
        let mut balance = BTreeMap::<&Key, i64>::new();
        for key in wanted {
            *balance.entry(key).or_default() += 1;
        }
        for key in found {
            *balance.entry(key).or_default() -= 1;
        }
        balance.retain(|_, count| *count != 0);
        let lost: i64 = balance.values().filter(|count| **count > 0).sum();
        let extra: i64 = -balance.values().filter(|count| **count < 0).sum::<i64>();
        self.lost += lost.unsigned_abs();
        self.duplicated += extra.unsigned_abs();
        if let Some((key, _)) = balance.first_key_value() {
            let first: String = format!("{key:?}").chars().take(200).collect();
            self.differences.push(format!(
                "{store} lacks {lost} and has {extra} too many, first {first}"
            ));
        }
    }
}

/// Compares the stores with Kafka, which must still hold every record of the topic.
pub fn compare(stage: &Stage, stores: &[Store<'_>]) -> anyhow::Result<Comparison> {
    let records = stage.kafka.read(&stage.topic)?;
    let mut verdicts = Vec::new();
    let mut rejects = Vec::new();
    let mut events = Vec::new();
    for record in &records {
        let place = format!("{}:{}", record.partition, record.offset);
        match event::parse(record.value.as_deref(), record.timestamp_millis * 1_000) {
            Ok(event) => {
                let id = match event.event_id {
                    Some(id) => id.to_string(),
                    None => event::event_id_from_coordinates(
                        &stage.topic,
                        0,
                        record.partition,
                        record.offset,
                    ),
                };
                verdicts.push(format!("{place} {id}"));
                events.push(id);
            }
            Err(reject) => {
                verdicts.push(format!("{place} rejected: {}", reject.reason.name()));
                rejects.push(format!("{place} rejected: {}", reject.reason.name()));
            }
        }
    }
    events.sort();
    events.dedup();
    let mut comparison = Comparison {
        records: records.len() as u64,
        events: events.len() as u64,
        ..Comparison::default()
    };
    for store in stores {
        match store {
            Store::Chain => {
                let sent: Vec<_> = records
                    .iter()
                    .map(|record| (record.partition, record.offset, record.value.clone()))
                    .collect();
                comparison.hold("HDFS", &sent, &stage.chain_records()?);
            }
            Store::Postgres => {
                let found = stage.texts(
                    "select kafka_partition || ':' || kafka_offset || ' ' || event_id
                     from raw.log_event
                     union all
                     select kafka_partition || ':' || kafka_offset || ' rejected: ' || reason
                     from raw.reject",
                )?;
                comparison.hold("PostgreSQL", &verdicts, &found);
            }
            Store::Cassandra(cassandra) => {
                let found = texts(cassandra, "SELECT event_id FROM logs.ecomm_log")?;
                comparison.hold("Cassandra, ecomm_log", &events, &found);
                let found = cassandra
                    .rows("SELECT kafka_partition, kafka_offset, reason FROM logs.rejected_log")?;
                let found: Vec<String> = found
                    .iter()
                    .map(|row| {
                        let reason = row[2].as_str().unwrap_or_default();
                        format!("{}:{} rejected: {reason}", row[0], row[1])
                    })
                    .collect();
                comparison.hold("Cassandra, rejected_log", &rejects, &found);
                // a copy that follows more than a block of offsets later counts again by design:
                // tests send fewer than that
                let counted: i64 = cassandra
                    .totals("events")?
                    .iter()
                    .map(|total| total.1)
                    .sum();
                comparison.hold(
                    "Cassandra, ecomm_by_minute",
                    &vec!["an event"; events.len()],
                    &vec!["an event"; counted.max(0) as usize],
                );
            }
            Store::Star => {
                let found = stage.texts("select event_id from marts.fact_event")?;
                comparison.hold("the star", &events, &found);
            }
        }
    }
    Ok(comparison)
}

fn texts(cassandra: &Cassandra, query: &str) -> anyhow::Result<Vec<String>> {
    let text = |row: &Vec<Value>| Some(row.first()?.as_str()?.to_owned());
    cassandra
        .rows(query)?
        .iter()
        .map(|row| text(row).with_context(|| format!("{query}: no text in {row:?}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_there_twice_are_counted_apart() {
        let mut comparison = Comparison {
            records: 3,
            ..Comparison::default()
        };
        comparison.hold("equal", &["a", "b", "b"], &["b", "a", "b"]);
        assert!(comparison.assert_equal().is_ok());
        comparison.hold("other", &["a", "b", "c"], &["b", "b", "d"]);
        assert_eq!((comparison.lost, comparison.duplicated), (2, 2));
        assert_eq!(comparison.differences.len(), 1);
        assert!(comparison.assert_equal().is_err());
    }

    #[test]
    fn injections_of_one_fault_are_one_line() {
        let line = |fired: bool, seconds: f64| {
            json!({"fault": "x", "fired": fired, "in_flight": 5, "lost": 0, "duplicated": 1,
                   "recovery_seconds": seconds})
        };
        let lines = format!(
            "{}\n{}\n{}\n",
            line(true, 1.0),
            line(true, 9.0),
            line(false, 2.0)
        );
        let table = table(&lines).expect("a table");
        let words: Vec<&str> = table
            .lines()
            .nth(1)
            .expect("a line")
            .split_whitespace()
            .collect();
        assert_eq!(words, ["x", "3", "2", "15", "0", "3", "2.0", "9.0"]);
        assert!(super::table("{\"fault\":\"x\"}").is_err());
    }

    #[test]
    fn an_empty_topic_proves_nothing() {
        assert!(Comparison::default().assert_equal().is_err());
    }
}
