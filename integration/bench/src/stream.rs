//! Rows per second into Cassandra: the task as it runs, beside a bare loop that writes the same
//! rows to the same tables on the same server.

use std::time::Instant;

use anyhow::{Context, ensure};
use integration::{Cassandra, Stage};

use crate::bare_loop::{Rows, write_all};
use crate::report::{Figure, Peer};

const TABLE: &str = "ecomm_log";

/// Both, in turns.
pub fn measure(events: u64, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench", 4)?;
    let cassandra = stage.cassandra()?;
    let count = events.to_string();
    stage
        .task("produce")
        .args(["--count", &count, "--seed", "1"])
        .succeed()?;
    // one run unmeasured: it warms the server up, and its rows are what the loop writes
    ours(&stage, &cassandra, "warm")?;
    let rows = Rows::read(&cassandra.keyspace, TABLE)?;
    ensure!(
        rows.len() as u64 == events,
        "{} rows of {events} events",
        rows.len()
    );
    write_all(&cassandra.keyspace, TABLE, &rows)?;
    let (mut tasks, mut loops) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let group = format!("round_{round}");
        if round % 2 == 0 {
            tasks.push(ours(&stage, &cassandra, &group)?);
        }
        empty(&cassandra)?;
        let seconds = write_all(&cassandra.keyspace, TABLE, &rows)?;
        loops.push(rows.len() as f64 / seconds);
        if round % 2 == 1 {
            tasks.push(ours(&stage, &cassandra, &group)?);
        }
        println!(
            "round {round}: stream {:.0} rows/s, bare loop {:.0} rows/s",
            tasks.last().copied().unwrap_or_default(),
            loops.last().copied().unwrap_or_default()
        );
    }
    Ok(vec![Figure {
        name: "cassandra-rows".to_owned(),
        what: "Kafka to Cassandra".to_owned(),
        unit: "rows/s".to_owned(),
        how: format!(
            "{count} events in 4 Kafka partitions. `stream`: from the start of its process to its \
             end, with parsing, duplicates, counts by the minute and commits. Bare loop: rows that \
             were serialized before it began, unlogged batches of 100 of one Cassandra partition, \
             32 under way, the same driver and settings, and nothing else. Both write the \
             {count} rows of `{TABLE}` with its five indexes into emptied tables"
        ),
        ours: tasks,
        peer: Some(Peer {
            name: "bare driver loop".to_owned(),
            values: loops,
        }),
        aim: "0.9 of the loop".to_owned(),
    }])
}

fn empty(cassandra: &Cassandra) -> anyhow::Result<()> {
    for table in [TABLE, "ecomm_by_minute", "rejected_log"] {
        cassandra.execute(&format!("TRUNCATE {}.{table}", cassandra.keyspace))?;
    }
    Ok(())
}

fn ours(stage: &Stage, cassandra: &Cassandra, group: &str) -> anyhow::Result<f64> {
    empty(cassandra)?;
    let begun = Instant::now();
    let group = format!("{}_{group}", stage.topic);
    let summary = stage.task("stream").args(["--group", &group]).succeed()?;
    let seconds = begun.elapsed().as_secs_f64();
    let rows = summary["events"].as_f64().context("events")?;
    Ok(rows / seconds)
}
