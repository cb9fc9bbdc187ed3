//! The scheduler is killed, runs overlap, a task is cleared while it runs: no container is left
//! behind, the run ends well, and what was sent meanwhile is in the star once.
//!
//! They run on the live pipeline, and count a range of offsets of its topic.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, ensure};
use integration::chaos::{self, Injection};
use integration::{Airflow, Kafka, Server, Task, password, setting, wait_until};
use postgres::{Client, NoTls};
use serde_json::json;

/// The DAG is one, and its runs follow one another.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const TASKS: [&str; 5] = ["archive", "catalog", "load", "audit", "dbt"];

/// New events in the live topic, and what became of them.
struct Sent {
    topic: String,
    /// Offsets of each partition, from before they were sent until after.
    ranges: Vec<(i64, i64)>,
    count: i64,
}

impl Sent {
    fn now() -> anyhow::Result<Sent> {
        let topic = setting("KAFKA_TOPIC", "LogEvents");
        let kafka = Kafka::connect(&setting("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"))?;
        let before = kafka.offsets(&topic)?;
        Task::new("produce")
            .env("KAFKA_BOOTSTRAP_SERVERS", &kafka.bootstrap_servers)
            .env("KAFKA_TOPIC", &topic)
            .args(["--count", "3000", "--duplicate-ratio", "0.02"])
            .succeed()?;
        let after = kafka.offsets(&topic)?;
        let ranges: Vec<(i64, i64)> = before
            .iter()
            .zip(&after)
            .map(|((_, start), (_, next))| (*start, *next))
            .collect();
        let count = ranges.iter().map(|(start, next)| next - start).sum();
        ensure!(count >= 3000, "{count} records");
        Ok(Sent {
            topic,
            ranges,
            count,
        })
    }

    /// Each is one row or one reject, and each event is in the star once.
    fn assert_once(&self, fault: &str, healed: Instant) -> anyhow::Result<()> {
        let recovery = healed.elapsed();
        let mut config: postgres::Config = "postgresql://airflow@postgres:5432/airflow".parse()?;
        config.password(password("POSTGRES_PASSWORD"));
        let mut client: Client = config.connect(NoTls)?;
        let (mut lost, mut duplicated) = (0, 0);
        for (partition, (start, next)) in (0_i32..).zip(&self.ranges) {
            let rows = client.query(
                "with file as (
                    select load_id from ops.load_file
                    where topic = $1 and kafka_partition = $2
                      and next_offset > $3 and start_offset < $4
                      and epoch = (select max(epoch) from ops.load_file where topic = $1)
                 )
                 select kafka_offset, event_id from raw.log_event join file using (load_id)
                 where kafka_offset >= $3 and kafka_offset < $4
                 union all
                 select kafka_offset, null from raw.reject join file using (load_id)
                 where kafka_offset >= $3 and kafka_offset < $4",
                &[&self.topic, &partition, start, next],
            )?;
            let offsets: BTreeSet<i64> = rows.iter().map(|row| row.get(0)).collect();
            lost += (next - start) - offsets.len() as i64;
            duplicated += (rows.len() - offsets.len()) as i64;
            let ids: BTreeSet<String> = rows
                .iter()
                .filter_map(|row| row.get::<_, Option<String>>(1))
                .collect();
            let ids: Vec<String> = ids.into_iter().collect();
            let star = client.query_one(
                "select count(*), count(distinct event_id) from marts.fact_event
                 where event_id = any($1)",
                &[&ids],
            )?;
            let (found, distinct): (i64, i64) = (star.get(0), star.get(1));
            lost += ids.len() as i64 - distinct;
            duplicated += found - distinct;
        }
        chaos::record(&Injection {
            fault,
            fired: true,
            in_flight: self.count.unsigned_abs(),
            lost: lost.unsigned_abs(),
            duplicated: duplicated.unsigned_abs(),
            recovery,
        })?;
        eprintln!(
            "{fault}: {} in flight, {lost} lost, {duplicated} twice, {recovery:?}",
            self.count
        );
        ensure!(
            lost == 0 && duplicated == 0,
            "{lost} lost, {duplicated} twice"
        );
        Ok(())
    }
}

fn assert_nothing_left(path: &str) -> anyhow::Result<()> {
    for task in TASKS {
        let left = Airflow::containers(path, task)?;
        ensure!(left.is_empty(), "{task} left {left:?}");
    }
    Ok(())
}

fn wait_for_container(path: &str, task: &str) -> anyhow::Result<String> {
    let mut found = None;
    wait_until(&format!("{task} has a container"), || {
        found = Airflow::containers(path, task)?.pop();
        Ok(found.is_some())
    })?;
    found.context("no container")
}

#[test]
fn a_scheduler_that_is_killed_leaves_no_container_and_its_run_ends_well() -> anyhow::Result<()> {
    let _alone = alone();
    let airflow = Airflow::login()?;
    let sent = Sent::now()?;
    let path = airflow.trigger(json!({}))?;
    let orphan = wait_for_container(&path, "dbt")?;
    let scheduler = Server::of("airflow-scheduler")?;
    let killed = scheduler.kill()?;
    ensure!(airflow.state(&path)? == "running", "killed too late");
    drop(killed);
    let healed = Instant::now();
    scheduler.wait_until_healthy()?;
    ensure!(airflow.finish(&path)? == "success", "{path} failed");
    let tried = airflow.get(&format!("{path}/taskInstances/dbt"))?;
    ensure!(
        tried["try_number"].as_i64() >= Some(2),
        "{orphan} was not orphaned: {tried}"
    );
    assert_nothing_left(&path)?;
    sent.assert_once("Airflow: scheduler killed in mid-run", healed)
}

#[test]
fn two_runs_follow_one_another() -> anyhow::Result<()> {
    let _alone = alone();
    let airflow = Airflow::login()?;
    let sent = Sent::now()?;
    let first = airflow.trigger(json!({}))?;
    let second = airflow.trigger(json!({}))?;
    wait_for_container(&first, "archive")?;
    ensure!(airflow.state(&second)? == "queued", "both run at once");
    let healed = Instant::now();
    for path in [&first, &second] {
        ensure!(airflow.finish(path)? == "success", "{path} failed");
        assert_nothing_left(path)?;
    }
    sent.assert_once("Airflow: two runs at once", healed)
}

#[test]
fn a_task_that_is_cleared_while_it_runs_begins_anew() -> anyhow::Result<()> {
    let _alone = alone();
    let airflow = Airflow::login()?;
    let sent = Sent::now()?;
    let path = airflow.trigger(json!({}))?;
    let before = wait_for_container(&path, "dbt")?;
    airflow.clear(&path, "dbt")?;
    let healed = Instant::now();
    wait_until("the container of the cleared try is gone", || {
        Ok(!Airflow::containers(&path, "dbt")?.contains(&before))
    })?;
    ensure!(airflow.finish(&path)? == "success", "{path} failed");
    let tried = airflow.get(&format!("{path}/taskInstances/dbt"))?;
    ensure!(
        tried["try_number"].as_i64() >= Some(2),
        "it was not running: {tried}"
    );
    assert_nothing_left(&path)?;
    sent.assert_once("Airflow: task cleared while it runs", healed)
}
