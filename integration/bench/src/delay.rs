//! From sending to queryable: records of our own among a steady load, each looked for by its key
//! until a query finds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, Utc};
use integration::{Cassandra, Page, Running, Stage};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDate, CqlTimestamp};

use crate::peer::spark;
use crate::report::{Figure, quantile};

const PARTITIONS: i32 = 4;

/// So many records of our own in a second.
const PROBES_PER_SECOND: u32 = 20;

/// A row that is not there by then is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// So long may compactions of what was written before take.
const SETTLING: Duration = Duration::from_secs(600);

/// `stream`, its connections and its tables are new: the measurement begins so much later. Spark's
/// begins when its first rows are there.
const WARM_UP_SECONDS: u32 = 15;

/// The load goes on so much longer than it is asked to, so that it ends after the measurement.
const MARGIN_SECONDS: u32 = 5;

/// A second with a record of ours slower than this is reported, in milliseconds.
const SLOW_MILLIS: f64 = 100.0;

/// Sends at `rate` for so many seconds, and measures: `stream` and Spark in turns.
pub fn measure(rate: u32, seconds: u32, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let (mut ours, mut sparks) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        ours.push(said("stream", of_stream(rate, seconds)?));
        sparks.push(said("Spark", of_spark(rate, seconds)?));
    }
    let how = format!(
        "with no compaction under way when it begins, `produce` sends {rate} events/s; after {WARM_UP_SECONDS} s {} records of the benchmark's own are sent beside \
         them, {PROBES_PER_SECOND} a second. Each is looked for by its primary key until it is \
         found; the time runs from before the client's send to the answer that has the row, so \
         Kafka, `stream` with its default settings, and the query itself are in it. Then the same with Spark 3.5.7 Structured \
         Streaming (default trigger: the next batch begins when the last one ends) in the place of `stream`. A value is a round's",
        seconds * PROBES_PER_SECOND
    );
    let figure = |name: &str, what: &str, share: f64, aim: &str| {
        let of = |rounds: &[Vec<f64>]| -> Vec<f64> {
            rounds
                .iter()
                .map(|millis| quantile(millis, share))
                .collect()
        };
        let what = format!("produce to queryable in Cassandra, {what}");
        Figure::new(name, &what, "ms", &how, &of(&ours))
            .beside("Spark, default trigger", &of(&sparks))
            .aim(aim)
    };
    Ok(vec![
        figure(
            "delay-1-p50",
            "half of the records within",
            0.5,
            "0.1 of Spark",
        ),
        figure(
            "delay-2-p99",
            "99 of 100 within",
            0.99,
            "below 250 ms; 0.1 of Spark",
        ),
        figure("delay-3-p999", "999 of 1,000 within", 0.999, ""),
    ])
}

/// A round's, told at once.
fn said(name: &str, millis: Vec<f64>) -> Vec<f64> {
    let [half, most] = [0.5, 0.99].map(|share| quantile(&millis, share));
    println!("{name}: half within {half:.0} ms, 99 of 100 within {most:.0} ms");
    millis
}

/// Milliseconds of each probe while Spark follows, once its first batches are through.
fn of_spark(rate: u32, seconds: u32) -> anyhow::Result<Vec<f64>> {
    let stage = Stage::new("delay_spark", PARTITIONS)?;
    let cassandra = stage.cassandra()?;
    wait_for_compactions(&cassandra)?;
    let follow = (seconds + 60).to_string();
    let spark = spark(&[
        "to_cassandra",
        "--topic",
        &stage.topic,
        "--keyspace",
        &cassandra.keyspace,
        "--out",
        &stage.raw_root,
        "--seconds",
        &follow,
    ])
    .start()?;
    let load = load(&stage, rate, seconds + 25)?;
    // it reads from the newest record on: rows show that it follows
    integration::wait_until("Spark writes", || {
        let rows = cassandra.rows("SELECT kafka_offset FROM logs.ecomm_log LIMIT 1")?;
        Ok(!rows.is_empty())
    })?;
    let millis = probe_all(&stage, &cassandra, seconds)?;
    load.finish()?;
    let ended = spark.finish_within(Duration::from_secs(300))?;
    ensure!(ended.code == Some(0), "{ended:?}");
    stage.delete_directory(&format!("{}_checkpoint", stage.raw_root))?;
    Ok(millis)
}

/// Milliseconds of each probe while `stream` follows.
fn of_stream(rate: u32, seconds: u32) -> anyhow::Result<Vec<f64>> {
    let stage = Stage::new("delay", PARTITIONS)?;
    let cassandra = stage.cassandra()?;
    wait_for_compactions(&cassandra)?;
    let page = Page::new()?;
    let stream = stage
        .task("stream")
        .args(["--follow", "--metrics-listen", &page.address])
        .start()?;
    page.wait_for("it follows", |status| status["state"] == "ok")?;
    let load_seconds = seconds + WARM_UP_SECONDS;
    let load = load(&stage, rate, load_seconds)?;
    page.wait_for("the load runs", |status| {
        status["rows"].as_u64() > Some(u64::from(rate) * u64::from(WARM_UP_SECONDS))
    })?;
    let millis = probe_all(&stage, &cassandra, seconds)?;
    let sent = load.finish()?.summary()?;
    ensure!(
        sent["acked"].as_u64() == Some(load_events(rate, load_seconds)),
        "{sent}"
    );
    for (second, probes) in millis.chunks(PROBES_PER_SECOND as usize).enumerate() {
        let slowest = probes.iter().copied().fold(0.0, f64::max);
        if slowest > SLOW_MILLIS {
            println!("second {second}: a record took {slowest:.0} ms");
        }
    }
    stream.signal("TERM")?;
    let ended = stream.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    Ok(millis)
}

/// What was written before the measurement, at full speed, is compacted for minutes after it.
fn wait_for_compactions(cassandra: &Cassandra) -> anyhow::Result<()> {
    integration::wait_within(SETTLING, "Cassandra compacts nothing", || {
        let busy = cassandra.rows(
            "SELECT active_tasks, pending_tasks FROM system_views.thread_pools WHERE name = 'CompactionExecutor'",
        )?;
        let pool = busy.first().context("no CompactionExecutor")?;
        Ok(pool.iter().all(|tasks| tasks.as_i64() == Some(0)))
    })
}

/// What [`load`] sends.
fn load_events(rate: u32, seconds: u32) -> u64 {
    u64::from(rate) * u64::from(seconds + MARGIN_SECONDS)
}

/// The events around: they begin before the measurement and end after it.
fn load(stage: &Stage, rate: u32, seconds: u32) -> anyhow::Result<Running> {
    let count = load_events(rate, seconds).to_string();
    stage
        .task("produce")
        .args([
            "--count",
            &count,
            "--rate",
            &rate.to_string(),
            "--seed",
            "2",
        ])
        .start()
}

/// Milliseconds of each probe.
fn probe_all(stage: &Stage, cassandra: &Cassandra, seconds: u32) -> anyhow::Result<Vec<f64>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &stage.kafka.bootstrap_servers)
        .set("acks", "all")
        .create()?;
    let (session, query) = runtime.block_on(async {
        let session = SessionBuilder::new()
            .known_node(Cassandra::contact_points())
            .build()
            .await?;
        session.use_keyspace(&cassandra.keyspace, true).await?;
        let query = session
            .prepare(
                "SELECT kafka_offset FROM ecomm_log WHERE event_type = 'search' AND event_date = ? \
                 AND shard = ? AND timestamp = ? AND event_id = ?",
            )
            .await?;
        anyhow::Ok((Arc::new(session), Arc::new(query)))
    })?;
    // a slow one must not keep the next from being sent
    let mut searches = Vec::new();
    let begun = Instant::now();
    for number in 0..seconds * PROBES_PER_SECOND {
        let due = begun + Duration::from_secs(1) * number / PROBES_PER_SECOND;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let probe = Probe::new(number as i32 % PARTITIONS);
        let sent = Instant::now();
        probe.send(&producer, &stage.topic)?;
        let (session, query) = (Arc::clone(&session), Arc::clone(&query));
        searches.push(runtime.spawn(async move { probe.find(&session, &query, sent).await }));
    }
    producer.flush(PATIENCE)?;
    searches
        .into_iter()
        .map(|search| Ok(runtime.block_on(search)??.as_secs_f64() * 1_000.0))
        .collect()
}

/// A record of our own.
struct Probe {
    partition: i32,
    event_id: String,
    time: DateTime<Utc>,
}

impl Probe {
    fn new(partition: i32) -> Probe {
        Probe {
            partition,
            event_id: uuid::Uuid::new_v4().to_string(),
            time: Utc::now(),
        }
    }

    fn send(&self, producer: &BaseProducer, topic: &str) -> anyhow::Result<()> {
        let time = self.time.to_rfc3339_opts(SecondsFormat::Millis, true);
        let geo = BTreeMap::from([("country", "DE"), ("city", "Berlin")]);
        let payload = serde_json::json!({
            "timestamp": time, "level": "INFO", "service": "ecommerce-platform",
            "event_type": "search", "event_id": self.event_id, "user_id": "user_1",
            "session_id": "sess_00001", "product_id": "prod_00001", "session_duration": 1,
            "device_type": "desktop", "geo_location": geo,
            "details": {"query": "probe", "results_count": 0, "filters": {}, "searched_at": time},
        });
        let payload = payload.to_string();
        let record = BaseRecord::<str, str>::to(topic)
            .partition(self.partition)
            .key("user_1")
            .payload(&payload);
        producer
            .send(record)
            .map_err(|(failure, _)| failure)
            .context("send")?;
        producer.poll(Duration::ZERO);
        Ok(())
    }

    async fn find(
        &self,
        session: &Session,
        query: &PreparedStatement,
        sent: Instant,
    ) -> anyhow::Result<Duration> {
        let millis = self.time.timestamp_millis();
        let date = CqlDate((millis.div_euclid(86_400_000) + (1 << 31)) as u32);
        let key = (date, self.partition, CqlTimestamp(millis), &self.event_id);
        loop {
            let answer = session.execute_unpaged(query, &key).await?;
            if answer.into_rows_result()?.rows_num() > 0 {
                return Ok(sent.elapsed());
            }
            ensure!(sent.elapsed() < PATIENCE, "a row is missing: {key:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
