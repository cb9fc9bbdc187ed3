//! Servers are killed, paused and in safe mode while everything runs. Then everything goes on, and
//! every store holds what Kafka holds, once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use integration::chaos::Store;
use integration::{
    Aftermath, Cassandra, Fault, Finished, Moment, Page, Proxy, Running, Server, Stage, setting,
    wait_until,
};

/// All use the same servers: one fault at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Longer than any server here takes to come back: whether a task waits or is run again by Airflow
/// is not the question.
const PATIENCE: (&str, &str) = ("HDFS_PATIENCE_SECONDS", "150");

/// Sends, archives and streams all at once, while a test does harm.
struct Flow {
    stage: Stage,
    cassandra: Cassandra,
    page: Page,
    group: String,
    produce: Running,
    archive: Running,
    stream: Running,
}

/// What the tasks logged meanwhile.
struct Healed {
    produce: Finished,
    archive: Finished,
}

impl Healed {
    /// Proof that `produce` met the fault.
    fn assert_produce_felt_it(&self) -> anyhow::Result<()> {
        let felt = self.produce.stderr.contains("WARN ] Kafka: ");
        ensure!(felt, "produce felt nothing: {:?}", self.produce);
        Ok(())
    }
}

impl Flow {
    fn start(name: &str) -> anyhow::Result<Flow> {
        let stage = Stage::new(name, 4)?;
        let cassandra = stage.cassandra()?;
        let page = Page::new()?;
        let group = format!("{}_archive", stage.topic);
        let produce = stage
            .task("produce")
            .args(["--count", "16000", "--rate", "800", "--seed", "91"])
            .args(["--duplicate-ratio", "0.02", "--malformed-ratio", "0.01"])
            // a request without an answer is sent again within the time that records have
            .env("KAFKA_PROPERTIES", "socket.timeout.ms=10000")
            .env("PRODUCE_DELIVERY_TIMEOUT_SECONDS", "150")
            .start()?;
        let archive = Flow::archive(&stage, &group)?;
        let stream = stage
            .task("stream")
            .args(["--follow", "--metrics-listen", &page.address])
            .start()?;
        let mut flow = Flow {
            stage,
            cassandra,
            page,
            group,
            produce,
            archive,
            stream,
        };
        wait_until("events are archived", || {
            Ok(flow.stage.raw_files().is_ok_and(|files| files.len() >= 2))
        })?;
        flow.page
            .wait_for("events flow", |status| status["rows"].as_i64() > Some(500))?;
        ensure!(flow.produce.is_running()?, "too late to prove anything");
        Ok(flow)
    }

    fn archive(stage: &Stage, group: &str) -> anyhow::Result<Running> {
        stage
            .task("archive")
            .args(["--follow", "--flush-age-seconds", "1", "--group", group])
            .env(PATIENCE.0, PATIENCE.1)
            .start()
    }

    /// Records that are in Cassandra so far.
    fn streamed(&self) -> anyhow::Result<i64> {
        self.page.status()?["records"].as_i64().context("records")
    }

    /// Waits until all is sent and nothing is behind, loads, compares. `healed`: when the fault ended.
    fn heals(self, fault: &str, streamed: i64, healed: Instant) -> anyhow::Result<Healed> {
        let Flow {
            stage,
            cassandra,
            page,
            group,
            produce,
            mut archive,
            stream,
        } = self;
        let produce = produce.finish()?;
        ensure!(produce.code == Some(0), "{produce:?}");
        let sent = produce.summary()?;
        ensure!(sent["acked"] == sent["records"], "{sent}");
        let records = sent["records"].as_i64().context("records")?;
        let after = Aftermath::since(fault, records - streamed, healed)?;
        let mut tries = 0;
        let mut seen = "before anything was seen".to_owned();
        let waited = wait_until("nothing is behind", || {
            if !archive.is_running()? {
                // as Airflow would: another try, if it says that a try may help
                let again = Flow::archive(&stage, &group)?;
                let ended = std::mem::replace(&mut archive, again).finish()?;
                let error = ended.fails_with(1)?;
                eprintln!("{fault}: archive ended with 1: {error}");
                tries += 1;
                ensure!(tries <= 3, "archive gives up again and again");
            }
            let status = page.status()?;
            let (streamed, lag) = (status["records"].as_i64(), &status["lag_records"]);
            let archived = archived(&stage, &group);
            seen = format!(
                "of {records} records {archived:?} are archived and {streamed:?} streamed, \
                 {lag} behind"
            );
            let level = archived.is_ok_and(|archived| archived == records);
            Ok(level && streamed >= Some(records) && *lag == 0)
        });
        waited.context(seen)?;
        for running in [&archive, &stream] {
            running.signal("TERM")?;
        }
        let (archive, stream) = (archive.finish()?, stream.finish()?);
        ensure!(archive.code == Some(0), "{archive:?}");
        ensure!(stream.code == Some(0), "{stream:?}");
        stage.task("load").succeed()?;
        let stores = [Store::Chain, Store::Postgres, Store::Cassandra(&cassandra)];
        after.settle(&stage, &stores)?;
        Ok(Healed { produce, archive })
    }
}

/// Records that the chain holds so far, as `archive` has told Kafka.
fn archived(stage: &Stage, group: &str) -> anyhow::Result<i64> {
    let committed = (0..4).map(|partition| {
        let found = stage.kafka.committed(group, &stage.topic, partition)?;
        Ok(found.unwrap_or(0))
    });
    committed.sum()
}

#[test]
fn a_broker_that_is_killed_loses_and_repeats_nothing() -> anyhow::Result<()> {
    let _alone = alone();
    let flow = Flow::start("kafka_killed")?;
    let streamed = flow.streamed()?;
    let server = Server::of("kafka")?;
    drop(server.kill()?);
    let healed = Instant::now();
    server.wait_until_healthy()?;
    let healed = flow.heals("Kafka: killed and started", streamed, healed)?;
    healed.assert_produce_felt_it()
}

#[test]
fn a_broker_that_stands_still_loses_and_repeats_nothing() -> anyhow::Result<()> {
    let _alone = alone();
    let flow = Flow::start("kafka_paused")?;
    let streamed = flow.streamed()?;
    let server = Server::of("kafka")?;
    let paused = server.pause()?;
    // asks for half a minute: longer than the producer waits for an answer
    ensure!(
        flow.stage.kafka.offsets(&flow.stage.topic).is_err(),
        "a paused broker has answered"
    );
    drop(paused);
    let healed = flow.heals("Kafka: paused for 30 s", streamed, Instant::now())?;
    healed.assert_produce_felt_it()
}

/// A NameNode or DataNode is killed under `archive`, which writes, and `load`, which reads.
fn hdfs_killed(service: &str) -> anyhow::Result<()> {
    let _alone = alone();
    let flow = Flow::start(&format!("{service}_killed"))?;
    let streamed = flow.streamed()?;
    let server = Server::of(service)?;
    let killed = server.kill()?;
    let load = flow
        .stage
        .task("load")
        .env(PATIENCE.0, PATIENCE.1)
        .start()?;
    drop(killed);
    let healed = Instant::now();
    server.wait_until_healthy()?;
    Server::of("datanode")?.wait_until_healthy()?;
    let load = load.finish()?;
    ensure!(load.code == Some(0), "{load:?}");
    ensure!(
        load.stderr.contains("trying again"),
        "load felt nothing: {load:?}"
    );
    ensure!(load.summary()?["files"].as_i64() > Some(0), "{load:?}");
    let Healed { archive, .. } =
        flow.heals(&format!("{service}: killed and started"), streamed, healed)?;
    ensure!(
        archive.stderr.contains("trying again"),
        "archive felt nothing: {archive:?}"
    );
    Ok(())
}

#[test]
fn a_namenode_that_is_killed_is_waited_for() -> anyhow::Result<()> {
    hdfs_killed("namenode")
}

#[test]
fn a_datanode_that_is_killed_is_waited_for() -> anyhow::Result<()> {
    hdfs_killed("datanode")
}

/// A NameNode or DataNode stands still under `archive` and `load`.
fn hdfs_paused(service: &str, web_page: &str) -> anyhow::Result<()> {
    let _alone = alone();
    let flow = Flow::start(&format!("{service}_paused"))?;
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(8)))
        .build()
        .into();
    let server = Server::of(service)?;
    let streamed = flow.streamed()?;
    let paused = server.pause()?;
    let mut load = flow
        .stage
        .task("load")
        .env(PATIENCE.0, PATIENCE.1)
        .start()?;
    ensure!(
        agent.get(web_page).call().is_err(),
        "a paused server has answered"
    );
    ensure!(load.is_running()?, "load was not held up");
    drop(paused);
    let healed = Instant::now();
    ensure!(agent.get(web_page).call().is_ok(), "it does not go on");
    let load = load.finish()?;
    ensure!(load.code == Some(0), "{load:?}");
    flow.heals(&format!("{service}: paused for 8 s"), streamed, healed)?;
    Ok(())
}

#[test]
fn a_namenode_that_stands_still_is_waited_for() -> anyhow::Result<()> {
    hdfs_paused(
        "namenode",
        "http://namenode:9870/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus",
    )
}

#[test]
fn a_datanode_that_stands_still_is_waited_for() -> anyhow::Result<()> {
    hdfs_paused(
        "datanode",
        "http://datanode:9864/jmx?qry=Hadoop:service=DataNode,name=DataNodeInfo",
    )
}

/// NameNode in safe mode. It leaves it when this is dropped.
struct SafeMode(Server);

impl SafeMode {
    fn enter() -> anyhow::Result<SafeMode> {
        let safe_mode = SafeMode(Server::of("namenode")?);
        let said = safe_mode
            .0
            .exec(&["hdfs", "dfsadmin", "-safemode", "enter"])?;
        ensure!(said.contains("ON"), "{said}");
        Ok(safe_mode)
    }
}

impl Drop for SafeMode {
    fn drop(&mut self) {
        if let Err(failure) = self.0.exec(&["hdfs", "dfsadmin", "-safemode", "leave"]) {
            eprintln!("the NameNode stays in safe mode: {failure:#}");
        }
    }
}

/// `archive` has written a file when safe mode begins, and is about to rename it: the moment at
/// which it cannot just begin anew.
#[test]
fn a_rename_that_safe_mode_refuses_is_done_when_it_ends() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("safe_mode", 1)?;
    stage
        .task("produce")
        .args(["--count", "2000", "--seed", "92"])
        .succeed()?;
    let records = stage.kafka.records(&stage.topic)?;
    let url = setting("HDFS_URL", "hdfs://namenode:8020");
    let proxy = Proxy::to(url.strip_prefix("hdfs://").context("HDFS_URL")?)?;
    proxy.arm(Moment::Text(b"rename2"), Fault::Hold, 1);
    let archive = stage
        .task("archive")
        .env("HDFS_URL", &format!("hdfs://{}", proxy.address))
        .env(PATIENCE.0, PATIENCE.1)
        .start()?;
    wait_until("the rename is on its way", || Ok(proxy.fired() == 1))?;
    let safe_mode = SafeMode::enter()?;
    proxy.release();
    // another writer must wait as well, and both end well
    let follower = stage
        .task("archive")
        .args(["--follow", "--flush-age-seconds", "1"]);
    let follower = follower
        .args(["--group", &stage.topic])
        .env(PATIENCE.0, PATIENCE.1)
        .start()?;
    let temporary = stage.temporary_files()?;
    ensure!(temporary == 1, "{temporary} temporary files");
    ensure!(
        stage.raw_files().map_or(0, |files| files.len()) == 0,
        "safe mode lets files through"
    );
    drop(safe_mode);
    let after = Aftermath::of("NameNode: safe mode before a rename", records)?;
    let archived = archive.finish()?;
    ensure!(archived.code == Some(0), "{archived:?}");
    ensure!(
        archived.stderr.contains("afe mode"),
        "archive felt nothing: {archived:?}"
    );
    wait_until("all is archived", || {
        Ok(stage
            .chain_records()
            .is_ok_and(|found| found.len() as i64 == records))
    })?;
    follower.signal("TERM")?;
    let ended = follower.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    after.settle(&stage, &[Store::Chain])?;
    Ok(())
}
