//! HDFS to PostgreSQL: each file once, and no file stops the others.

use anyhow::ensure;
use integration::{Stage, undisturbed, wait_until};

/// A stage whose chain holds several files.
fn archived(name: &str, events: &str) -> anyhow::Result<Stage> {
    let stage = Stage::new(name, 3)?;
    let options = [
        "--count",
        events,
        "--seed",
        "7",
        "--malformed-ratio",
        "0.01",
    ];
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").args(["--flush-mib", "1"]).succeed()?;
    Ok(stage)
}

/// Every record of the chain is one row or one reject.
fn assert_each_once(stage: &Stage) -> anyhow::Result<()> {
    let query = "select kafka_partition || ':' || kafka_offset from raw.log_event
                 union all select kafka_partition || ':' || kafka_offset from raw.reject";
    let mut rows = stage.texts(query)?;
    rows.sort();
    let mut chain: Vec<String> = stage
        .chain_records()?
        .iter()
        .map(|(partition, offset, _)| format!("{partition}:{offset}"))
        .collect();
    chain.sort();
    ensure!(
        rows == chain,
        "{} rows of {} records",
        rows.len(),
        chain.len()
    );
    let ledger = "select sum(record_count)::bigint from ops.load_file where status = 'loaded'";
    ensure!(
        stage.number(ledger)? == chain.len() as i64,
        "the ledger counts otherwise"
    );
    Ok(())
}

#[test]
fn two_loads_at_once_load_each_file_once() -> anyhow::Result<()> {
    let stage = archived("loads", "30000")?;
    let (left, right) = (stage.task("load").start()?, stage.task("load").start()?);
    let (left, right) = (left.finish()?, right.finish()?);
    ensure!(
        left.code == Some(0) && right.code == Some(0),
        "{left:?} {right:?}"
    );
    assert_each_once(&stage)
}

#[test]
fn a_killed_load_leaves_nothing_half_done() -> anyhow::Result<()> {
    let stage = archived("killed_load", "60000")?;
    let files = stage.raw_files()?.len() as i64;
    let loaded = "select count(*) from ops.load_file";
    let mut load = stage.task("load").start()?;
    wait_until("a file is loaded", || {
        Ok(stage.number(loaded)? > 0 || !load.is_running()?)
    })?;
    load.signal("KILL")?;
    load.finish()?;
    ensure!(
        stage.number(loaded)? < files,
        "killed too late to prove anything"
    );
    stage.task("load").succeed()?;
    assert_each_once(&stage)
}

#[test]
fn a_truncated_file_is_quarantined_and_the_others_load() -> anyhow::Result<()> {
    let stage = archived("truncated", "9000")?;
    let files = stage.raw_files()?;
    let (path, others) = (&files[1], files.len() as i64 - 1);
    let whole = stage.read_file(path)?;
    stage.replace_file(path, whole[..whole.len() - 1_000].to_vec())?;

    let error = stage.task("load").run()?.fails_with(2)?;
    ensure!(error.contains("--retry-quarantined"), "{error}");
    let loaded = "select count(*) from ops.load_file where status = 'loaded'";
    ensure!(stage.number(loaded)? == others);
    let quarantined = "select path || ' ' || error from ops.load_file where status = 'quarantined'";
    let quarantined = stage.texts(quarantined)?;
    ensure!(
        quarantined.len() == 1 && quarantined[0].starts_with(path),
        "{quarantined:?}"
    );

    // it has been said once; the next run is about what is new, and still counts it
    let next = stage.task("load").succeed()?;
    ensure!(next["quarantine_total"] == 1, "{next}");

    stage.replace_file(path, whole)?;
    let healed = stage.task("load").args(["--retry-quarantined"]).succeed()?;
    ensure!(
        healed["quarantine_total"] == 0 && (!undisturbed(&healed) || healed["files"] == 1),
        "{healed}"
    );
    assert_each_once(&stage)
}

/// A large file is read in pieces: its first rows are on their way when its end is found to be damaged.
#[test]
fn a_file_that_is_damaged_near_its_end_leaves_no_row() -> anyhow::Result<()> {
    let stage = Stage::new("damaged", 1)?;
    let produce = stage.task("produce");
    produce
        .args(["--count", "80000", "--seed", "7"])
        .succeed()?;
    stage.task("archive").succeed()?;
    let files = stage.raw_files()?;
    let path = &files[0];
    let whole = stage.read_file(path)?;
    ensure!(whole.len() > 3 << 20, "too small: {} bytes", whole.len());
    let mut damaged = whole.clone();
    let at = whole.len() / 10 * 9;
    damaged[at..at + 1_000].fill(0);
    stage.replace_file(path, damaged)?;

    stage.task("load").run()?.fails_with(2)?;
    let quarantined = "select count(*) from ops.load_file where status = 'quarantined'";
    ensure!(stage.number(quarantined)? == 1);
    let rows = "select count(*) from raw.log_event";
    let loaded =
        "select coalesce(sum(record_count), 0)::bigint from ops.load_file where status = 'loaded'";
    ensure!(
        stage.number(rows)? == stage.number(loaded)?,
        "rows of a file that is not loaded"
    );

    stage.replace_file(path, whole)?;
    stage.task("load").args(["--retry-quarantined"]).succeed()?;
    assert_each_once(&stage)
}

/// Hostile payloads, what becomes of them, and neighbours that they must not disturb.
#[test]
fn hostile_records_become_rejects_or_rows_and_stop_nothing() -> anyhow::Result<()> {
    let stage = Stage::new("hostile", 1)?;
    let good = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","service":"ecommerce-platform","event_type":"search","user_id":"user_1","session_id":"sess_00001","product_id":"prod_00001","session_duration":5,"device_type":"mobile","geo_location":{"country":"DE","city":"Berlin"},"details":{"query":"Q","results_count":1,"searched_at":"2026-01-01T00:00:00Z"}}"#;
    let with = |from: &str, to: &str| Some(good.replace(from, to).into_bytes());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<(Option<Vec<u8>>, &str)> = vec![
        (None, "tombstone"),
        (Some(b"".to_vec()), "empty"),
        (Some(b" \t\n".to_vec()), "empty"),
        (Some(b"null".to_vec()), "not_an_object"),
        (Some(b"[1]".to_vec()), "not_an_object"),
        (Some(b"{\"a\":".to_vec()), "not_json"),
        (Some(b"\xef\xbb\xbf{}".to_vec()), "not_json"),
        (Some(b"{\"a\":\"\xff\"}".to_vec()), "not_utf8"),
        (Some(format!("{good}{good}").into_bytes()), "not_json"),
        (with("user_1", "a\\u0000b"), "nul_character"),
        (with("user_1", "a\\ud800b"), "lone_surrogate"),
        (with("\"user_id\":\"user_1\",", ""), "missing_field"),
        (with("\"user_1\"", "7"), "wrong_type"),
        (with("search\"", "Search\""), "unknown_event_type"),
        (
            with("01T00:00:00Z\",\"level", "01T00:00:00\",\"level"),
            "bad_timestamp",
        ),
        (
            with(
                "2026-01-01T00:00:00Z\",\"level",
                "9999-01-01T00:00:00Z\",\"level",
            ),
            "out_of_range",
        ),
        (
            with(
                "\"results_count\":1",
                "\"results_count\":9223372036854775808",
            ),
            "out_of_range",
        ),
        (
            with(
                "\"level\":\"INFO\"",
                "\"level\":\"INFO\",\"level\":\"INFO\"",
            ),
            "duplicate_key",
        ),
        (with("\"Q\"", "1e400"), "out_of_range"),
        (with("Q", "'; drop table raw.log_event; --"), "row"),
        (
            with(
                "Q",
                "\\\\. \\\\N =cmd() \\u001b[31m \\u202e \u{1f600} e\u{301}",
            ),
            "row",
        ),
        (with("Q", &"x".repeat(900_000)), "row"),
        (
            with("\"level\"", &format!("\"unknown\":{deep},\"level\"")),
            "row",
        ),
        (
            with(
                "01T00:00:00Z\",\"level",
                "01T02:00:00.123456789+02:00\",\"level",
            ),
            "row",
        ),
    ];
    let payloads: Vec<Option<&[u8]>> = cases.iter().map(|(bytes, _)| bytes.as_deref()).collect();
    stage.kafka.send(&stage.topic, 0, &payloads)?;
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;

    let verdicts = stage.texts(
        "select verdict from (
            select kafka_offset, 'row' as verdict from raw.log_event
            union all select kafka_offset, reason from raw.reject) as all_records
         order by kafka_offset",
    )?;
    let expected: Vec<&str> = cases.iter().map(|(_, verdict)| *verdict).collect();
    ensure!(verdicts == expected, "{verdicts:?} instead of {expected:?}");
    // what was received is kept, byte for byte
    for (record, (bytes, _)) in stage.chain_records()?.iter().zip(&cases) {
        ensure!(record.2 == *bytes, "offset {} was changed", record.1);
    }
    let rejected = stage
        .sql()?
        .query("select kafka_offset, payload from raw.reject", &[])?;
    for row in rejected {
        let (offset, payload): (i64, Option<Vec<u8>>) = (row.get(0), row.get(1));
        ensure!(
            payload == cases[offset as usize].0,
            "the payload of {offset} was changed"
        );
    }
    let cut = "select count(*) from raw.log_event
               where event_time = '2026-01-01T00:00:00.123456Z' and kafka_offset = 23";
    ensure!(
        stage.number(cut)? == 1,
        "a zone is converted, nanoseconds are cut"
    );
    stage.dbt().succeed()?;
    ensure!(stage.number("select count(*) from marts.fact_event")? == 5);
    Ok(())
}
