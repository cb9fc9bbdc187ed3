//! Cassandra stands still, dies, loses a table: `stream` waits within its memory, and then every
//! event is there, once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use integration::{Cassandra, Page, Running, Server, Stage};
use serde_json::Value;

/// They all use the one Cassandra: one fault at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Rig {
    stage: Stage,
    cassandra: Cassandra,
    page: Page,
    sent: Vec<Value>,
}

impl Rig {
    fn new(name: &str) -> anyhow::Result<Rig> {
        let stage = Stage::new(name, 4)?;
        Ok(Rig {
            cassandra: stage.cassandra()?,
            stage,
            page: Page::new()?,
            sent: Vec::new(),
        })
    }

    fn produce(&mut self, count: &str, seed: &str) -> anyhow::Result<()> {
        let options = [
            "--count",
            count,
            "--seed",
            seed,
            "--malformed-ratio",
            "0.01",
        ];
        self.sent
            .push(self.stage.task("produce").args(options).succeed()?);
        Ok(())
    }

    fn follow(&self) -> anyhow::Result<Running> {
        self.stage
            .task("stream")
            .args(["--follow", "--memory-mib", "16"])
            .args(["--metrics-listen", &self.page.address])
            .start()
    }

    fn total(&self, field: &str) -> i64 {
        let found = self.sent.iter().map(|summary| summary[field].as_i64());
        found.map(Option::unwrap_or_default).sum()
    }

    /// Lag returns to 0; then every event is there once, and so are its counts.
    fn heals(&self, stream: Running) -> anyhow::Result<()> {
        let records = self.total("records");
        self.page.wait_for("the lag is 0 again", |status| {
            status["records"].as_i64() >= Some(records)
                && status["lag_records"] == 0
                && status["state"] == "ok"
        })?;
        stream.signal("TERM")?;
        let ended = stream.finish()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        // each driver finds a server that was away at its own time
        self.cassandra.wait_until_found()?;
        let rows = self
            .cassandra
            .rows("SELECT event_id FROM logs.ecomm_log")?
            .len() as i64;
        ensure!(rows == self.total("events"), "{rows} rows");
        let rejects = self
            .cassandra
            .rows("SELECT reason FROM logs.rejected_log")?
            .len() as i64;
        ensure!(rejects == self.total("malformed"), "{rejects} rejects");
        for (metric, field) in [("events", "events"), ("rejects", "malformed")] {
            let counted: i64 = self
                .cassandra
                .totals(metric)?
                .iter()
                .map(|found| found.1)
                .sum();
            ensure!(
                counted == self.total(field),
                "{counted} {metric} are counted"
            );
        }
        Ok(())
    }
}

fn peak_memory_mib(running: &Running) -> anyhow::Result<i64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id()))?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib: i64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("no VmHWM")?
        .parse()?;
    Ok(kib / 1024)
}

#[test]
fn a_cassandra_that_stands_still_pauses_kafka_within_bounded_memory() -> anyhow::Result<()> {
    let _alone = alone();
    let mut rig = Rig::new("still")?;
    rig.produce("10000", "71")?;
    let stream = rig.follow()?;
    rig.page.wait_for("events flow", |status| {
        status["rows"].as_i64() > Some(1_000)
    })?;
    let server = Server::of("cassandra")?;
    let paused = server.pause()?;
    rig.produce("150000", "72")?;
    rig.page.wait_for("Kafka is paused", |status| {
        status["state"] == "failing"
            && status["partitions"]
                .as_array()
                .is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["paused"] == true))
    })?;
    let lag = rig.page.status()?["lag_records"].as_i64();
    ensure!(lag > Some(50_000), "the lag is shown while paused: {lag:?}");
    // 16 MiB for records; the rest is the program, its threads and what librdkafka keeps
    let peak = peak_memory_mib(&stream)?;
    ensure!(peak < 128, "{peak} MiB");
    drop(paused);
    rig.heals(stream)
}

#[test]
fn a_cassandra_that_is_killed_and_comes_back_has_every_event_once() -> anyhow::Result<()> {
    let _alone = alone();
    let mut rig = Rig::new("killed")?;
    rig.produce("20000", "73")?;
    let stream = rig.follow()?;
    rig.page.wait_for("events flow", |status| {
        status["rows"].as_i64() > Some(1_000)
    })?;
    Server::of("cassandra")?.kill_and_start()?;
    rig.produce("20000", "74")?;
    rig.heals(stream)
}

#[test]
fn a_table_that_is_dropped_and_made_again_is_filled_further() -> anyhow::Result<()> {
    let _alone = alone();
    let mut rig = Rig::new("dropped")?;
    let stream = rig.follow()?;
    rig.page
        .wait_for("it runs", |status| status["state"] == "ok")?;
    rig.cassandra
        .execute(&rig.cassandra.here("DROP TABLE logs.rejected_log"))?;
    rig.produce("2000", "75")?;
    rig.page.wait_for("it says what to do", |status| {
        let error = status["failing_error"].as_str().unwrap_or_default();
        error.contains("setup_cassandra.sh")
    })?;
    rig.cassandra.apply_setup()?;
    rig.heals(stream)
}

#[test]
fn without_cassandra_a_run_gives_up_and_its_next_try_finds_everything() -> anyhow::Result<()> {
    let _alone = alone();
    let mut rig = Rig::new("away")?;
    rig.produce("3000", "76")?;
    let server = Server::of("cassandra")?;
    let paused = server.pause()?;
    let options = ["--cassandra-timeout-seconds", "2"];
    let gave_up = rig.stage.task("stream").args(options).run()?;
    let error = gave_up.fails_with(1)?;
    ensure!(error.contains("CASSANDRA_CONTACT_POINTS"), "{error}");
    drop(paused);
    let stream = rig.follow()?;
    rig.heals(stream)
}
