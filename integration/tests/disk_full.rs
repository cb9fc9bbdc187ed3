//! Disks run full, under servers of the tests' own. The task ends with 1 and says why; once there is
//! room again, the next run brings everything, once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context, ensure};
use integration::chaos::{self, Injection, Store};
use integration::{Aftermath, Disk, Kafka, OwnServer, Stage, password, wait_until};
use postgres::{Client, NoTls};

/// Each takes memory for its disk and its server.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn postgres_of(name: &str) -> anyhow::Result<Client> {
    let mut config: postgres::Config =
        format!("postgresql://airflow@{name}:5432/airflow").parse()?;
    config.password(password("POSTGRES_PASSWORD"));
    Ok(config.connect(NoTls)?)
}

#[test]
fn a_full_disk_under_postgres_fails_the_load_and_the_next_loads_each_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("full_postgres", 2)?;
    let options = [
        "--count",
        "12000",
        "--seed",
        "97",
        "--malformed-ratio",
        "0.01",
    ];
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").args(["--flush-mib", "2"]).succeed()?;
    let records = stage.kafka.records(&stage.topic)?;

    let disk = Disk::new(&format!("{}_disk", stage.topic), 160)?;
    let mount = format!("{}:/var/lib/postgresql/data", disk.volume);
    let password = password("POSTGRES_PASSWORD");
    let server = OwnServer::run(
        &format!("{}_server", stage.topic),
        "postgres:15",
        &["--volume", &mount, "--memory", "512m"],
        &[
            ("POSTGRES_USER", "airflow"),
            ("POSTGRES_DB", "airflow"),
            ("POSTGRES_PASSWORD", &password),
            ("PGDATA", "/var/lib/postgresql/data/pgdata"),
            ("POSTGRES_INITDB_ARGS", "--wal-segsize=4"),
        ],
        &[
            "postgres",
            "-c",
            "max_wal_size=16MB",
            "-c",
            "min_wal_size=8MB",
        ],
    )?;
    server.wait_for_port(5432)?;
    wait_until(
        "it takes sessions",
        || Ok(postgres_of(&server.name).is_ok()),
    )?;
    Stage::set_up_postgres(&server.name, "airflow")?;
    let url = format!("postgresql://loader@{}:5432/airflow", server.name);
    let load = || stage.task("load").env("POSTGRES_URL", &url);

    disk.fill(2_048)?;
    let error = load().run()?.fails_with(1)?;
    eprintln!("load said: {error}");
    let log = server.log()?;
    ensure!(
        log.contains("No space left on device"),
        "the disk was not full: {log}"
    );
    disk.clear()?;
    let healed = Instant::now();
    // it may have had to stop for want of room for its log
    server.restart()?;
    wait_until("it takes sessions again", || {
        Ok(postgres_of(&server.name).is_ok())
    })?;
    let mut client = postgres_of(&server.name)?;
    let mut count =
        |query: &str| -> anyhow::Result<i64> { Ok(client.query_one(query, &[])?.get(0)) };
    let loaded = count("select coalesce(sum(record_count), 0)::bigint from ops.load_file")?;
    ensure!(loaded < records, "all was loaded on a full disk");
    load().succeed()?;
    let recovery = healed.elapsed();
    let places = "(select kafka_partition, kafka_offset from raw.log_event
                   union all select kafka_partition, kafka_offset from raw.reject) as place";
    let rows = count(&format!("select count(*) from {places}"))?;
    let distinct = count(&format!(
        "select count(*) from (select distinct kafka_partition, kafka_offset from {places}) as once"
    ))?;
    chaos::record(&Injection {
        fault: "PostgreSQL: disk full under load",
        fired: true,
        in_flight: (records - loaded).unsigned_abs(),
        lost: (records - distinct).unsigned_abs(),
        duplicated: (rows - distinct).unsigned_abs(),
        recovery,
    })?;
    ensure!(
        rows == records && distinct == records,
        "{rows} rows, {distinct} places, {records} records"
    );
    ensure!(load().succeed()?["files"] == 0);
    Ok(())
}

#[test]
fn a_full_disk_under_a_datanode_fails_the_archive_and_the_next_archives_each_once()
-> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("full_hdfs", 1)?;
    let produce = |seed: &str| {
        let options = [
            "--count",
            "5000",
            "--seed",
            seed,
            "--malformed-ratio",
            "0.01",
        ];
        stage.task("produce").args(options).succeed()
    };
    // a DataNode takes a file only with room for a whole block of 128 MiB, beside those promised to
    // tries that failed
    let disk = Disk::new(&format!("{}_disk", stage.topic), 2048)?;
    // a host name must not have an underscore: Java takes it for no host
    let place = stage.topic.replace('_', "-");
    let (namenode, datanode) = (format!("{place}-namenode"), format!("{place}-datanode"));
    let default_fs = format!("hdfs://{namenode}:8020");
    let settings = [
        ("CORE-SITE.XML_fs.defaultFS", default_fs.as_str()),
        ("HDFS-SITE.XML_dfs.replication", "1"),
        ("HDFS-SITE.XML_dfs.permissions.enabled", "false"),
        ("HDFS-SITE.XML_dfs.namenode.name.dir", "/tmp/name"),
        ("HDFS-SITE.XML_dfs.datanode.data.dir", "/data/data"),
        ("HDFS-SITE.XML_dfs.namenode.rpc-bind-host", "0.0.0.0"),
        ("HDFS-SITE.XML_dfs.namenode.safemode.extension", "0"),
        ("HDFS_NAMENODE_OPTS", "-Xms96m -Xmx160m -XX:+UseSerialGC"),
        ("HDFS_DATANODE_OPTS", "-Xms96m -Xmx160m -XX:+UseSerialGC"),
        ("ENSURE_NAMENODE_DIR", "/tmp/name"),
    ];
    let small = ["--user", "0", "--memory", "512m"];
    let hadoop = "apache/hadoop:3.4.3";
    let namenode = OwnServer::run(&namenode, hadoop, &small, &settings, &["hdfs", "namenode"])?;
    namenode.wait_for_port(8020)?;
    let mount = format!("{}:/data", disk.volume);
    let on_disk = [small.as_slice(), &["--volume", &mount]].concat();
    let datanode = OwnServer::run(
        &datanode,
        hadoop,
        &on_disk,
        &settings,
        &["hdfs", "datanode"],
    )?;
    datanode.wait_for_port(9866)?;

    let archive = |patience: &str| {
        let task = stage.task("archive").env("HDFS_URL", &default_fs);
        task.env("HDFS_PATIENCE_SECONDS", patience)
            .args(["--flush-mib", "1"])
    };
    produce("98")?;
    // the DataNode may not have reported yet
    let first = archive("120").run()?;
    ensure!(first.code == Some(0), "{first:?}");
    let archived = stage.kafka.records(&stage.topic)?;

    disk.fill(1_024)?;
    produce("103")?;
    let records = stage.kafka.records(&stage.topic)?;
    let error = archive("20").run()?.fails_with(1)?;
    eprintln!("archive said: {error}");
    ensure!(error.contains("DataNode"), "unclear: {error}");
    disk.clear()?;
    let after = Aftermath::of("HDFS: disk of the DataNode full", records - archived)?;
    // the NameNode hears of it with a heartbeat
    let next = archive("120").run()?;
    ensure!(next.code == Some(0), "{next:?}");
    let inspected = archive("60").args(["--inspect"]).succeed()?;
    ensure!(inspected["records"] == records, "{inspected} of {records}");
    stage.task("load").env("HDFS_URL", &default_fs).succeed()?;
    after.settle(&stage, &[Store::Postgres])?;
    Ok(())
}

#[test]
fn a_full_disk_under_kafka_fails_produce_and_nothing_acknowledged_is_lost() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("full_kafka", 2)?;
    // the topic is on a broker of its own
    stage.kafka.delete_topic(&stage.topic)?;
    let disk = Disk::new(&format!("{}_disk", stage.topic), 64)?;
    let name = format!("{}-kafka", stage.topic.replace('_', "-"));
    let mount = format!("{}:/var/lib/kafka/data", disk.volume);
    let (advertised, voters) = (format!("INTERNAL://{name}:9092"), format!("1@{name}:9093"));
    let server = OwnServer::run(
        &name,
        "apache/kafka:4.3.1",
        &["--volume", &mount, "--memory", "768m"],
        &[
            ("KAFKA_NODE_ID", "1"),
            ("KAFKA_PROCESS_ROLES", "broker,controller"),
            ("KAFKA_LISTENERS", "INTERNAL://:9092,CONTROLLER://:9093"),
            ("KAFKA_ADVERTISED_LISTENERS", &advertised),
            (
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
                "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
            ),
            ("KAFKA_INTER_BROKER_LISTENER_NAME", "INTERNAL"),
            ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
            ("KAFKA_CONTROLLER_QUORUM_VOTERS", &voters),
            ("KAFKA_LOG_DIRS", "/var/lib/kafka/data"),
            ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
            ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
            ("KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS", "1"),
            ("KAFKA_LOG_INDEX_SIZE_MAX_BYTES", "65536"),
            ("KAFKA_HEAP_OPTS", "-Xms128m -Xmx256m"),
            (
                "KAFKA_JVM_PERFORMANCE_OPTS",
                "-server -XX:+UseSerialGC -Djava.awt.headless=true",
            ),
        ],
        &[],
    )?;
    server.wait_for_port(9092)?;
    // dropped before its broker
    let mut stage = stage;
    stage.kafka = Kafka::connect(&format!("{name}:9092"))?;
    stage.kafka.create_topic(&stage.topic, 2)?;
    let before = stage
        .task("produce")
        .args(["--count", "2000", "--seed", "99"])
        .succeed()?;

    disk.fill(1_024)?;
    let second = [
        "--count",
        "30000",
        "--seed",
        "100",
        "--delivery-timeout-seconds",
        "20",
    ];
    let ended = stage.task("produce").args(second).run()?;
    let error = ended.fails_with(1)?;
    eprintln!("produce said: {error}");
    ensure!(error.contains("were not acknowledged"), "unclear: {error}");
    let log = server.log()?;
    ensure!(
        log.contains("No space left on device"),
        "the disk was not full: {log}"
    );
    let acked_then = error
        .split_once(" s, ")
        .and_then(|(_, rest)| rest.split(' ').next())
        .context("how many were acknowledged")?
        .parse::<i64>()?;
    disk.clear()?;
    let after = Aftermath::of("Kafka: disk full", 30_000 - acked_then)?;
    server.restart()?;
    server.wait_for_port(9092)?;
    wait_until("the topic has leaders", || {
        Ok(stage.kafka.offsets(&stage.topic).is_ok())
    })?;
    let third = ["--count", "3000", "--seed", "101"];
    let later = stage.task("produce").args(third).succeed()?;
    let acked = |summary: &serde_json::Value| summary["acked"].as_i64().context("acked");
    let found = stage.kafka.records(&stage.topic)?;
    let wanted = acked(&before)? + acked_then + acked(&later)?;
    ensure!(
        found >= wanted,
        "{wanted} were acknowledged, and Kafka holds {found}"
    );
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    // an idempotent producer: no event is there twice, though its broker died under it
    let twice = "select count(*) - count(distinct event_id) from raw.log_event";
    ensure!(stage.number(twice)? == 0, "events are there twice");
    Ok(())
}
