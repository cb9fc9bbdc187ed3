//! HDFS to PostgreSQL: `load` beside `psql \copy` of the same rows, and beside Spark's JDBC.

use std::time::Instant;

use anyhow::{Context, ensure};
use integration::{Cost, Stage, Task, password};

use crate::archive::filled;
use crate::peer::{run_ours, run_spark};
use crate::report::Figure;

/// A table with the columns of `raw.log_event`, and its settings.
const COPY: &str = "bench_copy";

/// All of them, in turns.
pub fn measure(events: u64, spark_events: u64, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let stage = archived("bench_load", events)?;
    let small = archived("bench_jdbc", spark_events)?;
    // one run unmeasured: it makes the rows that are copied
    load(&stage, events)?;
    let size = "select pg_total_relation_size('raw.log_event')";
    let bytes = stage.number(size)? as f64 / events as f64;
    let wal_from = wal(&stage)?;
    load(&stage, events)?;
    let wal_bytes = (wal(&stage)? - wal_from) / events as f64;
    psql(&stage, "\\copy raw.log_event to '/tmp/rows.copy'")?;
    for stage in [&stage, &small] {
        let table = format!("create table {COPY} (like raw.log_event including all)");
        stage.sql()?.batch_execute(&table)?;
    }

    let (mut ours, mut copies, mut jdbc) = (Vec::new(), Vec::new(), Vec::new());
    let (mut micros, mut mib, mut jdbc_micros, mut jdbc_mib) = (vec![], vec![], vec![], vec![]);
    let mut small_mib = Vec::new();
    for round in 0..rounds {
        let mut take_ours = || -> anyhow::Result<()> {
            let cost = load(&stage, events)?;
            ours.push(events as f64 / cost.seconds);
            micros.push(cost.cpu_seconds * 1e6 / events as f64);
            mib.push(cost.peak_mib);
            small_mib.push(load(&small, spark_events)?.peak_mib);
            Ok(())
        };
        if round % 2 == 0 {
            take_ours()?;
        }
        empty(&stage, COPY)?;
        let begun = Instant::now();
        psql(&stage, &format!("\\copy {COPY} from '/tmp/rows.copy'"))?;
        copies.push(events as f64 / begun.elapsed().as_secs_f64());
        ensure!(stage.number(&format!("select count(*) from {COPY}"))? == events as i64);

        empty(&small, COPY)?;
        let url = format!(
            "jdbc:postgresql://postgres:5432/{}?user=airflow&password={}&stringtype=unspecified",
            small.database,
            password("POSTGRES_PASSWORD")
        );
        let out = format!("{}/{}/0", small.raw_root, small.topic);
        let took = run_spark(&[
            "to_postgres",
            "--out",
            &out,
            "--jdbc",
            &url,
            "--table",
            COPY,
        ])?;
        ensure!(small.number(&format!("select count(*) from {COPY}"))? == spark_events as i64);
        jdbc.push(spark_events as f64 / took.seconds);
        jdbc_micros.push(took.cost.cpu_seconds * 1e6 / spark_events as f64);
        jdbc_mib.push(took.cost.peak_mib);
        if round % 2 == 1 {
            take_ours()?;
        }
        println!("round {round}: load {ours:.0?} events/s, \\copy {copies:.0?}, Spark {jdbc:.0?}");
    }
    let how = format!(
        "`load` reads {events} events from raw files on HDFS, two files at a time, parses each, and loads it with its ledger; one process from its \
         start to its end. `psql \\copy`: the same rows from a text file that lies ready, on one connection and in one transaction, into a table like it. Spark 3.5.7, local[2], JDBC with \
         reWriteBatchedInserts, batches of 10,000, two connections: {spark_events} events, parsed with from_json, without the start of Spark. \
         CPU is that of the whole process, of both; the server's is in neither"
    );
    let figure = |name: &str, what: &str, unit: &str, ours: &[f64]| {
        Figure::new(&format!("postgres-{name}"), what, unit, &how, ours)
    };
    let rate = |name: &str| figure(name, "HDFS to PostgreSQL", "events/s", &ours);
    Ok(vec![
        rate("1-rate-jdbc").beside("Spark, JDBC", &jdbc).aim("5"),
        rate("2-rate-copy")
            .beside("psql \\copy", &copies)
            .aim("0.8"),
        figure("3-cpu", "HDFS to PostgreSQL, CPU", "µs/event", &micros)
            .beside("Spark, JDBC", &jdbc_micros),
        figure("4-memory", "HDFS to PostgreSQL, peak memory", "MiB", &mib)
            .beside("Spark, JDBC", &jdbc_mib),
        figure(
            "5-growth",
            &format!("peak memory of `load`, {events} events of backlog beside {spark_events}"),
            "MiB",
            &mib,
        )
        .beside(&format!("{spark_events} events"), &small_mib)
        .aim("1"),
        figure(
            "6-bytes",
            "raw.log_event in PostgreSQL",
            "bytes/event",
            &[bytes],
        ),
        figure(
            "7-wal",
            "written to PostgreSQL's log by `load`",
            "bytes/event",
            &[wal_bytes],
        ),
    ])
}

/// A chain of so many events.
fn archived(name: &str, events: u64) -> anyhow::Result<Stage> {
    let stage = filled(name, events)?;
    run_ours(stage.task("archive"))?;
    Ok(stage)
}

fn empty(stage: &Stage, tables: &str) -> anyhow::Result<()> {
    stage
        .sql()?
        .batch_execute(&format!("truncate {tables}; checkpoint"))?;
    Ok(())
}

/// Loads everything into empty tables.
fn load(stage: &Stage, events: u64) -> anyhow::Result<Cost> {
    empty(stage, "raw.log_event, raw.reject, ops.load_file")?;
    let (summary, cost) = run_ours(stage.task("load"))?;
    ensure!(summary["events"].as_u64() == Some(events), "{summary}");
    Ok(cost)
}

/// How far the server's write-ahead log has come, in bytes.
pub fn wal(stage: &Stage) -> anyhow::Result<f64> {
    let row = stage.sql()?.query_one(
        "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::double precision",
        &[],
    )?;
    Ok(row.get(0))
}

fn psql(stage: &Stage, command: &str) -> anyhow::Result<()> {
    let finished = Task::new("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--username=airflow",
            "--host=postgres",
        ])
        .args(["--dbname", &stage.database, "--command", command])
        .env("PGPASSWORD", &password("POSTGRES_PASSWORD"))
        .start()?
        .finish_within(std::time::Duration::from_secs(1_800))
        .context("psql")?;
    ensure!(finished.code == Some(0), "{finished:?}");
    Ok(())
}
