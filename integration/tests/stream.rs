//! Kafka to Cassandra: each event once in the log and once in the counts, whatever happens between.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{Cassandra, Running, Stage, undisturbed, wait_until, wait_within};
use serde_json::Value;

/// A stream that writes four rows at a time, on a machine that is busy.
const SLOW_ON_PURPOSE: Duration = Duration::from_secs(600);

/// Each kind of noise: events sent again, events that come late, records that are none.
const NOISE: [&str; 6] = [
    "--duplicate-ratio",
    "0.03",
    "--late-ratio",
    "0.02",
    "--malformed-ratio",
    "0.01",
];

fn produce(stage: &Stage, count: &str, seed: &str) -> anyhow::Result<Value> {
    stage
        .task("produce")
        .args(["--count", count, "--seed", seed])
        .args(NOISE)
        .succeed()
}

/// Sums over the summaries of several runs of `produce`.
fn sum(sent: &[Value], pointer: &str) -> i64 {
    let found = sent.iter().filter_map(|summary| summary.pointer(pointer));
    found.filter_map(Value::as_i64).sum()
}

/// What the tables hold, against what was sent: to the event, and to the cent.
fn assert_right(cassandra: &Cassandra, sent: &[Value]) -> anyhow::Result<()> {
    // the log: each event has its row
    let log = cassandra.rows("SELECT event_type, event_id FROM logs.ecomm_log")?;
    ensure!(
        log.len() as i64 == sum(sent, "/events"),
        "{} rows of {} events",
        log.len(),
        sum(sent, "/events")
    );
    // the counts: by type, with money
    let counted: BTreeMap<String, (i64, i64)> = cassandra
        .totals("events")?
        .into_iter()
        .map(|(dim, count, cents)| (dim, (count, cents)))
        .collect();
    for name in [
        "purchase",
        "search",
        "order_complete",
        "order_failed",
        "error",
    ] {
        let expected = (
            sum(sent, &format!("/by_type/{name}")),
            sum(sent, &format!("/amount_cents/{name}")),
        );
        ensure!(
            counted.get(name) == Some(&expected),
            "{name}: sent {expected:?}, counted {:?}",
            counted.get(name)
        );
        let rows = log.iter().filter(|row| row[0] == name).count() as i64;
        ensure!(rows == expected.0, "{name}: {rows} rows of {}", expected.0);
    }
    // every other way of counting comes to the same
    let total = |metric: &str| -> anyhow::Result<i64> {
        Ok(cassandra.totals(metric)?.iter().map(|found| found.1).sum())
    };
    ensure!(total("country")? == sum(sent, "/events"), "countries");
    ensure!(total("device")? == sum(sent, "/events"), "devices");
    ensure!(
        total("product")? == sum(sent, "/by_type/order_complete"),
        "products"
    );
    ensure!(
        total("error_code")? == sum(sent, "/by_type/error"),
        "error codes"
    );
    ensure!(
        total("duplicates")? == sum(sent, "/duplicates"),
        "duplicates"
    );
    // what is no event is kept, once, under its reason
    let mut rejected = BTreeMap::<String, i64>::new();
    for row in cassandra.rows("SELECT reason FROM logs.rejected_log")? {
        *rejected
            .entry(row[0].as_str().unwrap_or_default().to_owned())
            .or_default() += 1;
    }
    let counted: BTreeMap<String, i64> = cassandra
        .totals("rejects")?
        .into_iter()
        .map(|(dim, count, _)| (dim, count))
        .collect();
    ensure!(
        rejected == counted,
        "{rejected:?} is counted as {counted:?}"
    );
    ensure!(
        rejected.values().sum::<i64>() == sum(sent, "/malformed"),
        "{rejected:?}"
    );
    Ok(())
}

/// Rows in the log so far.
fn rows_so_far(cassandra: &Cassandra) -> anyhow::Result<i64> {
    let count = cassandra.rows("SELECT count(*) FROM logs.ecomm_log")?;
    count[0][0].as_i64().context("a count")
}

fn follow(stage: &Stage) -> anyhow::Result<Running> {
    stage.task("stream").args(["--follow"]).start()
}

#[test]
fn what_was_sent_is_there_once_and_running_again_changes_nothing() -> anyhow::Result<()> {
    let stage = Stage::new("stream", 4)?;
    let cassandra = stage.cassandra()?;
    let mut sent = vec![produce(&stage, "30000", "11")?];
    let streamed = stage.task("stream").succeed()?;
    ensure!(streamed["caught_up"] == true, "{streamed}");
    assert_right(&cassandra, &sent)?;

    let before = cassandra.content()?;
    let again = stage.task("stream").succeed()?;
    ensure!(again["records"] == 0, "{again}");
    // the whole topic once more, by a group that knows of nothing
    let anew = stage
        .task("stream")
        .args(["--group", &format!("{}_2", stage.topic)]);
    let anew = anew.succeed()?;
    ensure!(
        !undisturbed(&anew) || anew["records"] == sum(&sent, "/records"),
        "not all was read"
    );
    ensure!(
        cassandra.content()? == before,
        "running again changed something"
    );

    sent.push(produce(&stage, "5000", "12")?);
    stage.task("stream").succeed()?;
    assert_right(&cassandra, &sent)?;
    // the script that makes the tables changes nothing either
    cassandra.apply_setup()?;
    assert_right(&cassandra, &sent)
}

#[test]
fn a_killed_stream_leaves_nothing_to_repair() -> anyhow::Result<()> {
    let stage = Stage::new("stream_kill", 3)?;
    let cassandra = stage.cassandra()?;
    let mut sent = Vec::new();
    let mut written = 0;
    for (seed, in_kafka) in [("21", 20_000), ("22", 40_000)] {
        let producer = stage
            .task("produce")
            .args(["--count", "20000", "--seed", seed, "--rate", "6000"])
            .args(NOISE)
            .start()?;
        // slow enough to be caught on the way
        let stream = stage
            .task("stream")
            .args(["--follow", "--batch-rows", "4", "--concurrency", "1"])
            .start()?;
        wait_within(SLOW_ON_PURPOSE, "the stream is in the middle", || {
            Ok(stage.committed()? > written + 1_000)
        })?;
        stream.signal("KILL")?;
        let killed = stream.finish()?;
        ensure!(killed.code.is_none(), "it ended by itself: {killed:?}");
        written = stage.committed()?;
        ensure!(written < in_kafka, "it was killed too late: {written}");
        sent.push(producer.finish()?.summary()?);
    }
    let streamed = stage.task("stream").succeed()?;
    ensure!(streamed["records"].as_i64() > Some(0), "{streamed}");
    assert_right(&cassandra, &sent)
}

#[test]
fn instances_share_the_partitions_and_hand_them_over() -> anyhow::Result<()> {
    let stage = Stage::new("stream_share", 4)?;
    let cassandra = stage.cassandra()?;
    let mut sent = vec![produce(&stage, "10000", "31")?];
    let instances = [follow(&stage)?, follow(&stage)?, follow(&stage)?];
    let producer = stage
        .task("produce")
        .args(["--count", "20000", "--seed", "32", "--rate", "5000"])
        .args(NOISE)
        .start()?;
    wait_until("events arrive", || Ok(stage.committed()? > 12_000))?;
    // one goes in good order, one without a word
    let [first, second, third] = instances;
    first.signal("TERM")?;
    let first = first.finish()?;
    ensure!(first.code == Some(0), "{first:?}");
    ensure!(first.waited < Duration::from_secs(9), "{:?}", first.waited);
    ensure!(first.summary()?["drained"] == true, "{first:?}");
    second.signal("KILL")?;
    second.finish()?;
    sent.push(producer.finish()?.summary()?);
    // a run to the end beside a follower: each does its share
    stage.task("stream").succeed()?;
    third.signal("TERM")?;
    let third = third.finish()?;
    ensure!(third.code == Some(0), "{third:?}");
    ensure!(
        third.summary()?["records"].as_i64() > Some(0),
        "the third had nothing to do"
    );
    assert_right(&cassandra, &sent)
}

#[test]
fn look_ups_need_no_filtering() -> anyhow::Result<()> {
    let stage = Stage::new("stream_lookup", 2)?;
    let cassandra = stage.cassandra()?;
    let sent = [produce(&stage, "5000", "41")?];
    stage.task("stream").succeed()?;
    assert_right(&cassandra, &sent)?;
    let rows = cassandra
        .rows("SELECT event_type, user_id, product_id, level, geo_country FROM logs.ecomm_log")?;
    for (index, column) in [
        "event_type",
        "user_id",
        "product_id",
        "level",
        "geo_country",
    ]
    .iter()
    .enumerate()
    {
        let value = rows[0][index].as_str().context("text")?;
        let expected = rows.iter().filter(|row| row[index] == value).count();
        let query = format!("SELECT event_id FROM logs.ecomm_log WHERE {column} = '{value}'");
        let found = cassandra.rows(&query)?.len();
        ensure!(
            found == expected,
            "{column} = {value}: {found} of {expected}"
        );
    }
    Ok(())
}

#[test]
fn records_that_are_no_events_are_kept_with_their_reason() -> anyhow::Result<()> {
    let stage = Stage::new("stream_reject", 1)?;
    let cassandra = stage.cassandra()?;
    let large = vec![b'x'; 900_000];
    let long_country = format!(
        r#"{{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","service":"ecommerce-platform","event_type":"search","user_id":"user_1","session_id":"sess_00001","product_id":"prod_00001","session_duration":5,"device_type":"mobile","geo_location":{{"country":"{}","city":"Berlin"}},"details":{{"query":"q","results_count":1,"searched_at":"2026-01-01T00:00:00Z"}}}}"#,
        "D".repeat(129)
    );
    let whole = long_country.replace(&"D".repeat(129), "DE");
    let payloads: [Option<&[u8]>; 7] = [
        None,
        Some(b""),
        Some(b"\xff\xfe"),
        Some(&large),
        Some(b"[1, 2]"),
        Some(long_country.as_bytes()),
        Some(whole.as_bytes()),
    ];
    stage.kafka.send(&stage.topic, 0, &payloads)?;
    let streamed = stage.task("stream").succeed()?;
    ensure!(
        !undisturbed(&streamed) || streamed["rejects"] == 6 && streamed["events"] == 1,
        "{streamed}"
    );
    let mut kept = cassandra.rows(
        "SELECT kafka_offset, reason, field, payload FROM logs.rejected_log WHERE shard = 0 ALLOW FILTERING",
    )?;
    kept.sort_by_key(|row| row[0].as_i64());
    let reasons: Vec<&str> = kept.iter().filter_map(|row| row[1].as_str()).collect();
    ensure!(
        reasons
            == [
                "tombstone",
                "empty",
                "not_utf8",
                "not_json",
                "not_an_object",
                "out_of_range"
            ],
        "{reasons:?}"
    );
    ensure!(kept[0][3].is_null(), "a tombstone has no payload");
    ensure!(
        kept[3][3].as_str().map(str::len) == Some(900_000),
        "the large payload"
    );
    ensure!(kept[5][2] == "geo_location.country", "{:?}", kept[5][2]);
    // without an id of its own an event is known by its place
    let ids = cassandra.rows("SELECT event_id FROM logs.ecomm_log")?;
    ensure!(
        ids == [[Value::from(format!("{}:0:6", stage.topic))]],
        "{ids:?}"
    );
    Ok(())
}

#[test]
fn records_lost_to_retention_are_a_gap_that_an_operator_accepts() -> anyhow::Result<()> {
    let stage = Stage::new("stream_gap", 1)?;
    let cassandra = stage.cassandra()?;
    produce(&stage, "2000", "51")?;
    stage.task("stream").succeed()?;
    let written = rows_so_far(&cassandra)?;
    produce(&stage, "2000", "52")?;
    let next = stage.kafka.records(&stage.topic)?;
    stage.kafka.delete_records(&stage.topic, 0, next - 100)?;

    let error = stage.task("stream").run()?.fails_with(2)?;
    ensure!(error.contains("--accept-gap"), "{error}");
    ensure!(rows_so_far(&cassandra)? == written, "something was written");

    let accepted = stage.task("stream").args(["--accept-gap"]).run()?;
    ensure!(accepted.code == Some(0), "{accepted:?}");
    ensure!(
        accepted.killed_first || accepted.summary()?["records"] == 100,
        "{accepted:?}"
    );
    let gaps = cassandra.rows("SELECT detail FROM logs.rejected_log WHERE reason = 'gap'")?;
    ensure!(gaps.len() == 1, "{gaps:?}");
    let detail = gaps[0][0].as_str().unwrap_or_default();
    ensure!(detail.contains(&format!("..{}", next - 100)), "{detail}");
    // counted on from there, also by the runs after that, and what was counted before stays
    produce(&stage, "1000", "53")?;
    stage.task("stream").succeed()?;
    produce(&stage, "1000", "54")?;
    stage.task("stream").succeed()?;
    let counted: i64 = cassandra
        .totals("events")?
        .iter()
        .map(|found| found.1)
        .sum();
    ensure!(
        counted == rows_so_far(&cassandra)?,
        "{counted} events are counted"
    );
    Ok(())
}

#[test]
fn a_topic_made_anew_is_noticed() -> anyhow::Result<()> {
    let stage = Stage::new("stream_anew", 1)?;
    let cassandra = stage.cassandra()?;
    produce(&stage, "2000", "61")?;
    stage.task("stream").succeed()?;
    let written = rows_so_far(&cassandra)?;
    // Kafka forgets the group's offsets with the topic, so they are put back, as a mirror would
    let follower = follow(&stage)?;
    wait_until("the follower has the topic", || {
        Ok(stage
            .kafka
            .committed(&stage.topic, &stage.topic, 0)?
            .is_some())
    })?;
    follower.signal("TERM")?;
    follower.finish()?;
    let committed = stage.kafka.committed(&stage.topic, &stage.topic, 0)?;
    stage.kafka.delete_topic(&stage.topic)?;
    stage.kafka.create_topic(&stage.topic, 1)?;
    stage.kafka.commit(
        &stage.topic,
        &stage.topic,
        0,
        committed.context("a position")?,
    )?;
    produce(&stage, "100", "62")?;

    let error = stage.task("stream").run()?.fails_with(2)?;
    ensure!(error.contains("made anew"), "{error}");
    let options = ["--accept-gap", "--epoch", "1"];
    stage.task("stream").args(options).succeed()?;
    ensure!(
        rows_so_far(&cassandra)? == written + 100,
        "the new topic's events"
    );
    Ok(())
}

#[test]
fn a_keyspace_or_table_that_is_not_there_asks_for_a_person() -> anyhow::Result<()> {
    let stage = Stage::new("stream_schema", 1)?;
    let error = stage.task("stream").run()?.fails_with(2)?;
    ensure!(error.contains("setup_cassandra.sh"), "{error}");
    let cassandra = stage.cassandra()?;
    cassandra.execute(&cassandra.here("DROP TABLE logs.rejected_log"))?;
    let error = stage.task("stream").run()?.fails_with(2)?;
    ensure!(error.contains("setup_cassandra.sh"), "{error}");
    Ok(())
}
