//! Rows per second into Cassandra: the task as it runs, beside a bare loop that writes the same
//! rows to the same tables on the same server, and beside Spark.

use std::time::Instant;

use anyhow::ensure;
use integration::{Cassandra, Stage};

use crate::archive::filled;
use crate::bare_loop::{BATCH_ROWS, CONCURRENCY, Rows, write_all};
use crate::peer::run_spark;
use crate::report::Figure;

/// The tables written, and how many columns their partition keys have.
const TABLES: [(&str, usize); 2] = [("ecomm_log", 3), ("ecomm_by_minute", 2)];

/// The first half million rows take a fresh server twice as long as the fourth.
const WARM_UP_RUNS: u32 = 3;

/// All, in turns.
pub fn measure(events: u64, spark_events: u64, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench", 4)?;
    let cassandra = stage.cassandra()?;
    let count = events.to_string();
    stage
        .task("produce")
        .args(["--count", &count, "--seed", "1"])
        .succeed()?;
    // unmeasured: a fresh server compiles its code meanwhile, and the rows are what the loop writes
    for run in 0..WARM_UP_RUNS {
        ours(&stage, &cassandra, &format!("warm_{run}"))?;
    }
    let tables = TABLES
        .iter()
        .map(|(table, key)| Rows::read(&cassandra.keyspace, table, *key))
        .collect::<anyhow::Result<Vec<Rows>>>()?;
    ensure!(
        tables[0].len() as u64 == events,
        "{} rows of {events} events",
        tables[0].len()
    );
    let (log_rows, count_rows) = (tables[0].len(), tables[1].len());
    let rows = (log_rows + count_rows) as f64;
    let write = || -> anyhow::Result<f64> {
        empty(&cassandra)?;
        let mut seconds = 0.0;
        for table in &tables {
            seconds += write_all(&cassandra.keyspace, table)?;
        }
        Ok(rows / seconds)
    };
    write()?;
    let (mut tasks, mut loops, mut sparks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let group = format!("round_{round}");
        if round % 2 == 0 {
            tasks.push(rows / ours(&stage, &cassandra, &group)?);
        }
        loops.push(write()?);
        if round % 2 == 1 {
            tasks.push(rows / ours(&stage, &cassandra, &group)?);
        }
        println!(
            "round {round}: stream {:.0} rows/s, bare loop {:.0} rows/s",
            tasks.last().copied().unwrap_or_default(),
            loops.last().copied().unwrap_or_default()
        );
    }
    let few = filled("bench_stream_spark", spark_events)?;
    for _ in 0..rounds {
        empty(&cassandra)?;
        let words = [
            "to_cassandra",
            "--topic",
            &few.topic,
            "--keyspace",
            &cassandra.keyspace,
            "--out",
        ];
        let words: Vec<&str> = words.into_iter().chain([few.raw_root.as_str()]).collect();
        let took = run_spark(&words)?;
        few.delete_directory(&format!("{}_checkpoint", few.raw_root))?;
        let found = cassandra.rows("SELECT count(*) FROM logs.ecomm_log")?;
        ensure!(
            found[0][0].as_u64() == Some(spark_events),
            "Spark wrote {found:?}"
        );
        sparks.push(spark_events as f64 / took.seconds);
        println!(
            "Spark {:.0} rows/s",
            sparks.last().copied().unwrap_or_default()
        );
    }
    let how = format!(
        "{count} events in 4 Kafka partitions. `stream`: from the start of its process to its end, \
         with parsing, duplicates, counts by the minute and commits. Bare loop: rows that were \
         serialized before it began, unlogged batches of {BATCH_ROWS} of one Cassandra partition, {CONCURRENCY} under \
         way, the same driver and settings, and nothing else. Both write the {log_rows} rows of \
         `ecomm_log`, with its five indexes, and the {count_rows} of `ecomm_by_minute`, into \
         emptied tables; `stream` writes some of the counts more than once, which is not credited \
         to it. Spark 3.5.7 with spark-cassandra-connector 3.5.1, local[2], batches of {BATCH_ROWS} by \
         partition, 16 under way for each of two: the rows of `ecomm_log` alone, of {spark_events} \
         events, without the start of Spark"
    );
    let figure = |name: &str| Figure::new(name, "Kafka to Cassandra", "rows/s", &how, &tasks);
    Ok(vec![
        figure("cassandra-1-spark")
            .beside("Spark", &sparks)
            .aim("15"),
        figure("cassandra-2-bare-loop")
            .beside("bare driver loop", &loops)
            .aim("0.9"),
    ])
}

fn empty(cassandra: &Cassandra) -> anyhow::Result<()> {
    for table in ["ecomm_log", "ecomm_by_minute", "rejected_log"] {
        cassandra.execute(&format!("TRUNCATE {}.{table}", cassandra.keyspace))?;
    }
    Ok(())
}

/// Seconds of a run over the whole topic.
fn ours(stage: &Stage, cassandra: &Cassandra, group: &str) -> anyhow::Result<f64> {
    empty(cassandra)?;
    let begun = Instant::now();
    let group = format!("{}_{group}", stage.topic);
    stage.task("stream").args(["--group", &group]).succeed()?;
    Ok(begun.elapsed().as_secs_f64())
}
