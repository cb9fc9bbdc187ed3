//! Kafka to HDFS: `archive` beside Spark, and beside consumers that throw away what they read.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use integration::{Cost, Stage};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::peer::{kafka_tool, run_ours, run_spark};
use crate::report::Figure;

const PARTITIONS: i32 = 4;

/// Values of all rounds, of one of those compared.
#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    micros: Vec<f64>,
    mib: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, events: u64, seconds: f64, cost: Cost) {
        self.rates.push(events as f64 / seconds);
        self.micros.push(cost.cpu_seconds * 1e6 / events as f64);
        self.mib.push(cost.peak_mib);
    }
}

/// All of them, in turns.
pub fn measure(events: u64, few_events: u64, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let big = filled("bench_archive", events)?;
    let small = filled("bench_archive_few", few_events)?;
    let (mut ours, mut ours_small) = (Rounds::default(), Rounds::default());
    let (mut json, mut parquet) = (Rounds::default(), Rounds::default());
    let (mut bare, mut java) = (Vec::new(), Vec::new());
    let mut file_bytes = 0;
    for round in 0..rounds {
        let mut take_ours = || -> anyhow::Result<()> {
            let (cost, bytes) = archive(&big, events)?;
            ours.add(events, cost.seconds, cost);
            file_bytes = bytes;
            let (cost, _) = archive(&small, few_events)?;
            ours_small.add(few_events, cost.seconds, cost);
            Ok(())
        };
        if round % 2 == 0 {
            take_ours()?;
        }
        for (job, peer) in [("to_json", &mut json), ("to_parquet", &mut parquet)] {
            let out = format!("{}_{job}", big.raw_root);
            let took = run_spark(&[job, "--topic", &big.topic, "--out", &out])?;
            peer.add(events, took.seconds, took.cost);
            big.delete_directory(&out)?;
            big.delete_directory(&format!("{out}_checkpoint"))?;
        }
        bare.push(events as f64 / read_all(&big, events)?);
        java.push(consumer_performance(&big, events)?);
        if round % 2 == 1 {
            take_ours()?;
        }
        println!(
            "round {round}: archive {:.0} events/s, Spark Parquet {:.0}, JSON {:.0}, bare consumer {:.0}, ConsumerPerformance {:.0}",
            last(&ours.rates),
            last(&parquet.rates),
            last(&json.rates),
            last(&bare),
            last(&java)
        );
    }
    let spark_how = format!(
        "`archive` drains {events} events in {PARTITIONS} Kafka partitions, one process from its start to its end, \
         with its default settings. Spark 3.5.7 Structured Streaming, `availableNow`, local[2], 3 GB of heap, drains the same topic; its rate counts from the start of the query, without the start of Spark. CPU is that of the \
         whole process with its start, of both; the servers' is in neither. Memory is that of the largest process"
    );
    let bare_how = format!(
        "the same {events} events read and thrown away: by a loop around rdkafka's `BaseConsumer` with the settings of `archive`, and by \
         Kafka's own ConsumerPerformance (its `fetch.nMsg.sec`, which leaves out its start). `archive` also compresses, writes to HDFS and commits"
    );
    let of_spark = |name: &str, what: &str, unit: &str, ours: &[f64]| {
        Figure::new(&format!("hdfs-{name}"), what, unit, &spark_how, ours)
    };
    let rate = |name: &str| of_spark(name, "Kafka to HDFS", "events/s", &ours.rates);
    let cpu = |name: &str| of_spark(name, "Kafka to HDFS, CPU", "µs/event", &ours.micros);
    let alone = |name: &str| {
        let what = "Kafka to HDFS beside a consumer alone";
        Figure::new(name, what, "events/s", &bare_how, &ours.rates)
    };
    Ok(vec![
        rate("1-rate-parquet")
            .beside("Spark, Parquet", &parquet.rates)
            .aim("10"),
        rate("2-rate-json")
            .beside("Spark, JSON", &json.rates)
            .aim("10"),
        cpu("3-cpu-parquet")
            .beside("Spark, Parquet", &parquet.micros)
            .aim("0.1"),
        cpu("4-cpu-json")
            .beside("Spark, JSON", &json.micros)
            .aim("0.1"),
        of_spark("5-memory", "Kafka to HDFS, peak memory", "MiB", &ours.mib)
            .beside("Spark, Parquet", &parquet.mib)
            .aim("0.1"),
        alone("hdfs-6-bare-consumer")
            .beside("bare rdkafka consumer", &bare)
            .aim("0.7"),
        alone("hdfs-7-consumer-performance").beside("ConsumerPerformance", &java),
        Figure::new(
            "hdfs-8-growth",
            &format!("peak memory of `archive`, {events} events of backlog beside {few_events}"),
            "MiB",
            "the same process on both topics of this benchmark",
            &ours.mib,
        )
        .beside(&format!("{few_events} events"), &ours_small.mib)
        .aim("1"),
        Figure::new(
            "hdfs-9-bytes",
            "raw files on HDFS",
            "bytes/event",
            "zstd Parquet with offset, time, key and payload as received; an event of this benchmark has some 470 bytes",
            &[file_bytes as f64 / events as f64],
        ),
    ])
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

/// A topic with so many events.
pub fn filled(name: &str, events: u64) -> anyhow::Result<Stage> {
    let stage = Stage::new(name, PARTITIONS)?;
    send(&stage, events, 3, &[])?;
    Ok(stage)
}

/// Sends so many events of that seed to the topic.
pub fn send(stage: &Stage, count: u64, seed: u64, more: &[&str]) -> anyhow::Result<()> {
    let (count_word, seed) = (count.to_string(), seed.to_string());
    let words = ["--count", &count_word, "--seed", &seed];
    let task = stage.task("produce").args(words).args(more.iter().copied());
    let (sent, _) = run_ours(task)?;
    ensure!(sent["acked"].as_u64() == Some(count), "{sent}");
    Ok(())
}

/// Archives the topic into an empty directory: what it took, and bytes of the files.
fn archive(stage: &Stage, events: u64) -> anyhow::Result<(Cost, u64)> {
    stage.delete_directory(&stage.raw_root)?;
    let (summary, cost) = run_ours(stage.task("archive"))?;
    ensure!(summary["records"].as_u64() == Some(events), "{summary}");
    let bytes = summary["file_bytes"].as_u64().context("file_bytes")?;
    Ok((cost, bytes))
}

/// Seconds in which a consumer reads the topic, and does nothing with it.
fn read_all(stage: &Stage, events: u64) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &stage.kafka.bootstrap_servers)
        .set("group.id", "nobody commits")
        .set("enable.auto.commit", "false")
        .set("check.crcs", "true")
        .set("queued.max.messages.kbytes", "32768")
        .create()?;
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(&stage.topic, partition, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    for _ in 0..events {
        consumer
            .poll(Duration::from_secs(30))
            .context("Kafka sends no more")??;
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn consumer_performance(stage: &Stage, events: u64) -> anyhow::Result<f64> {
    let count = events.to_string();
    let words = [
        "--bootstrap-server",
        &stage.kafka.bootstrap_servers,
        "--topic",
        &stage.topic,
        "--timeout",
        "60000",
        "--num-records",
        &count,
    ];
    let finished = kafka_tool("ConsumerPerformance", &words, &[])?;
    // two lines: names, and values
    let mut lines = finished.stdout.lines().filter(|line| line.contains(','));
    let names: Vec<&str> = lines
        .next()
        .context("no table")?
        .split(',')
        .map(str::trim)
        .collect();
    let values: Vec<&str> = lines
        .next()
        .context("no values")?
        .split(',')
        .map(str::trim)
        .collect();
    let place = names.iter().position(|name| *name == "fetch.nMsg.sec");
    let value = place
        .and_then(|place| values.get(place))
        .context("no fetch.nMsg.sec")?;
    Ok(value.parse()?)
}
