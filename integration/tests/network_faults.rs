//! Requests and replies that the network loses, at the moments that matter, and processes that
//! stood still while the others went on. Nothing is lost, and nothing is there twice.
//!
//! A proxy between a task and a server loses one message, and counts that it did.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use integration::chaos::Store;
use integration::{
    Aftermath, Fault, Moment, Page, Proxy, Running, Stage, Task, setting, wait_until,
};
use serde_json::Value;

/// Kafka's port can be taken once, and the machine is small: one fault at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn produced(name: &str, partitions: i32, count: &str, seed: &str) -> anyhow::Result<Stage> {
    let stage = Stage::new(name, partitions)?;
    produce(&stage, count, seed)?;
    Ok(stage)
}

fn produce(stage: &Stage, count: &str, seed: &str) -> anyhow::Result<Value> {
    let damage = ["--duplicate-ratio", "0.02", "--malformed-ratio", "0.01"];
    stage
        .task("produce")
        .args(["--count", count, "--seed", seed])
        .args(damage)
        .succeed()
}

/// `archive` through a proxy that loses a message about the rename.
fn archive_through(name: &str, what: &str, fault: Fault) -> anyhow::Result<()> {
    let _alone = alone();
    let stage = produced(name, 1, "2000", "82")?;
    let records = stage.kafka.records(&stage.topic)?;
    let url = setting("HDFS_URL", "hdfs://namenode:8020");
    let proxy = Proxy::to(url.strip_prefix("hdfs://").context("HDFS_URL")?)?;
    proxy.arm(Moment::Text(b"rename2"), fault, 1);
    let through = format!("hdfs://{}", proxy.address);
    let after = Aftermath::of(what, records)?;
    let archived = stage.task("archive").env("HDFS_URL", &through).run()?;
    ensure!(archived.code == Some(0), "{archived:?}");
    ensure!(proxy.fired() == 1, "nothing was cut");
    let summary = archived.summary()?;
    ensure!(
        summary["records"] == records && summary["files"] == 1 && summary["lost_races"] == 0,
        "it must know that the file is its own: {summary}"
    );
    ensure!(stage.temporary_files()? == 0, "a temporary file is left");
    after.settle(&stage, &[Store::Chain])?;
    Ok(())
}

#[test]
fn archive_finds_out_that_a_rename_without_a_reply_was_done() -> anyhow::Result<()> {
    archive_through(
        "rename_reply",
        "NameNode: reply to the rename lost",
        Fault::CutReply,
    )
}

#[test]
fn archive_tries_a_rename_again_that_never_arrived() -> anyhow::Result<()> {
    archive_through(
        "rename_request",
        "NameNode: request of the rename lost",
        Fault::CutRequest,
    )
}

/// Options of a run of `produce` whose payloads are the same every time.
const REPEATABLE: [&str; 8] = [
    "--count",
    "12000",
    "--seed",
    "83",
    "--start",
    "2026-01-01",
    "--malformed-ratio",
    "0.01",
];

#[test]
fn what_kafka_has_acknowledged_in_vain_is_sent_again_and_is_there_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("produce_reply", 4)?;
    // clients follow the address that a broker advertises: for this process it leads to the proxy
    let (host, port) = stage
        .kafka
        .bootstrap_servers
        .rsplit_once(':')
        .context("KAFKA_BOOTSTRAP_SERVERS")?;
    let proxy = Proxy::at(&format!("0.0.0.0:{port}"), &stage.kafka.bootstrap_servers)?;
    let here = std::fs::read_to_string("/etc/hostname")?;
    let aliases = std::env::temp_dir().join(format!("{}.aliases", stage.topic));
    std::fs::write(&aliases, format!("{host} {here}"))?;
    proxy.arm(Moment::Bytes(100_000), Fault::CutReply, 4);
    let sent = stage
        .task("produce")
        .args(REPEATABLE)
        .env("HOSTALIASES", &aliases.to_string_lossy())
        .run()?;
    ensure!(sent.code == Some(0), "{sent:?}");
    ensure!(proxy.fired() == 4, "{} replies were cut", proxy.fired());
    let summary = sent.summary()?;
    ensure!(summary["acked"] == summary["records"], "{summary}");
    let after = Aftermath::of(
        "Kafka: replies to produce lost",
        summary["records"].as_i64().context("records")?,
    )?;
    // record by record what the same seed prints
    let printed = Task::new("produce")
        .args(REPEATABLE)
        .args(["--stdout"])
        .run()?;
    let lines = printed.stdout_bytes.strip_suffix(b"\n").unwrap_or_default();
    let mut wanted: Vec<Vec<u8>> = lines
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    let records = stage.kafka.read(&stage.topic)?;
    let mut found: Vec<Vec<u8>> = records
        .into_iter()
        .map(|record| record.value.unwrap_or_default())
        .collect();
    wanted.sort();
    found.sort();
    ensure!(
        found == wanted,
        "{} records in Kafka of {} sent",
        found.len(),
        wanted.len()
    );
    stage.task("archive").succeed()?;
    after.settle(&stage, &[Store::Chain])?;
    Ok(())
}

#[test]
fn rows_that_cassandra_has_acknowledged_in_vain_are_written_again_and_change_nothing()
-> anyhow::Result<()> {
    let _alone = alone();
    let stage = produced("cassandra_reply", 4, "12000", "84")?;
    let cassandra = stage.cassandra()?;
    let place = setting("CASSANDRA_CONTACT_POINTS", "cassandra:9042");
    let proxy = Proxy::to(&place)?;
    // the driver goes where the node says that it is: an address after its length
    let node = place.to_socket_addrs()?.find_map(|address| match address {
        SocketAddr::V4(address) => Some(address.ip().octets()),
        SocketAddr::V6(_) => None,
    });
    let length = [0, 0, 0, 4];
    let told = [length, node.context("no address")?].concat();
    proxy.replace(&told, &[length, [127, 0, 0, 1]].concat())?;
    proxy.arm(Moment::Bytes(150_000), Fault::CutReply, 3);
    let after = Aftermath::of(
        "Cassandra: replies lost",
        stage.kafka.records(&stage.topic)?,
    )?;
    let streamed = stage
        .task("stream")
        .env("CASSANDRA_CONTACT_POINTS", &proxy.address)
        .run()?;
    ensure!(streamed.code == Some(0), "{streamed:?}");
    ensure!(proxy.fired() == 3, "{} replies were cut", proxy.fired());
    after.settle(&stage, &[Store::Cassandra(&cassandra)])?;
    Ok(())
}

/// Kafka takes the partitions of a member away that was not heard of for 6 s.
const SHORT_SESSION: &str = "session.timeout.ms=6000,heartbeat.interval.ms=2000";

/// Stopped means: it cannot even notice.
fn stand_still(running: &Running) -> anyhow::Result<()> {
    running.signal("STOP")?;
    wait_until("it stands still", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.id()))?;
        Ok(status
            .lines()
            .any(|line| line.starts_with("State:") && line.contains('T')))
    })
}

fn end(running: Running) -> anyhow::Result<integration::Finished> {
    running.signal("TERM")?;
    let ended = running.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(ended)
}

#[test]
fn an_archive_that_stood_still_cannot_write_what_another_has_written() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("zombie_archive", 2)?;
    let group = format!("{}_archive", stage.topic);
    let follow = |age: &str| {
        let task = stage.task("archive").env("KAFKA_PROPERTIES", SHORT_SESSION);
        task.args(["--follow", "--flush-mib", "1", "--flush-age-seconds", age])
            .args(["--group", &group])
            .start()
    };
    let zombie = follow("30")?;
    produce(&stage, "6000", "85")?;
    // full files are in the chain, the rest is in its memory
    wait_until("it has archived some", || {
        Ok(stage.raw_files().is_ok_and(|files| files.len() >= 2))
    })?;
    stand_still(&zombie)?;
    let held = stage.kafka.records(&stage.topic)? - stage.chain_records()?.len() as i64;
    let other = follow("1")?;
    wait_until("another has taken its partitions", || {
        Ok(stage.chain_records()?.len() as i64 == stage.kafka.records(&stage.topic)?)
    })?;
    let after = Aftermath::of("archive: stood still beyond its session", held)?;
    zombie.signal("CONT")?;
    produce(&stage, "2000", "86")?;
    let records = stage.kafka.records(&stage.topic)?;
    wait_until("all is archived", || {
        Ok(stage.chain_records()?.len() as i64 == records)
    })?;
    let ended = end(zombie)?;
    let summary = ended.summary()?;
    ensure!(
        summary["lost_races"].as_i64() >= Some(1),
        "it did not try to write what it held: {ended:?}"
    );
    end(other)?;
    stage.task("archive").args(["--inspect"]).succeed()?;
    after.settle(&stage, &[Store::Chain])?;
    Ok(())
}

#[test]
fn a_stream_that_stood_still_changes_nothing_that_another_has_written() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = produced("zombie_stream", 4, "20000", "87")?;
    let cassandra = stage.cassandra()?;
    let (zombie_page, other_page) = (Page::new()?, Page::new()?);
    let follow = |page: &Page| {
        let task = stage.task("stream").env("KAFKA_PROPERTIES", SHORT_SESSION);
        task.args(["--follow", "--metrics-listen", &page.address])
            .start()
    };
    let zombie = follow(&zombie_page)?;
    zombie_page.wait_for("events flow", |status| status["rows"].as_i64() > Some(500))?;
    stand_still(&zombie)?;
    let records = stage.kafka.records(&stage.topic)?;
    let in_flight = records - stage.committed()?;
    let other = follow(&other_page)?;
    wait_until("another has written the rest", || {
        Ok(stage.committed()? == records)
    })?;
    let after = Aftermath::of("stream: stood still beyond its session", in_flight)?;
    ensure!(
        other_page.status()?["records"].as_i64() >= Some(in_flight),
        "the other has not taken over"
    );
    zombie.signal("CONT")?;
    produce(&stage, "4000", "88")?;
    let records = stage.kafka.records(&stage.topic)?;
    wait_until("all is written", || Ok(stage.committed()? == records))?;
    end(zombie)?;
    end(other)?;
    after.settle(&stage, &[Store::Cassandra(&cassandra)])?;
    Ok(())
}
