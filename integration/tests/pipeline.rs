//! The main job: what `produce` sent is in the star, each event once, to the cent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use integration::{Stage, Task, undisturbed};
use serde_json::Value;

/// Options of a run of `produce` that can be repeated.
fn repeatable<'a>(seed: &'a str, start: &'a str, count: &'a str) -> Vec<&'a str> {
    vec![
        "--seed",
        seed,
        "--start",
        start,
        "--count",
        count,
        "--duplicate-ratio",
        "0.05",
        "--late-ratio",
        "0.05",
        "--malformed-ratio",
        "0.02",
    ]
}

/// The same records from `--stdout`: every payload, in no particular order.
fn payloads(options: &[&str]) -> anyhow::Result<Vec<Vec<u8>>> {
    let printed = Task::new("produce")
        .args(options.iter().copied().chain(["--stdout"]))
        .run()?;
    ensure!(printed.code == Some(0), "{printed:?}");
    let bytes = printed.stdout_bytes.strip_suffix(b"\n").unwrap_or_default();
    let mut payloads: Vec<Vec<u8>> = bytes.split(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    payloads.sort();
    Ok(payloads)
}

/// Event ids of the payloads that keep the contract, as often as they occur.
fn valid_ids(payloads: &[Vec<u8>]) -> anyhow::Result<Vec<String>> {
    // an event too far ahead of its record's time is a reject, so the time matters
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros() as i64;
    let mut ids: Vec<String> = payloads
        .iter()
        .filter_map(|payload| event::parse(Some(payload), now).ok())
        .filter_map(|event| Some(event.event_id?.to_string()))
        .collect();
    ids.sort();
    Ok(ids)
}

fn integer(value: &Value) -> anyhow::Result<i64> {
    value
        .as_i64()
        .with_context(|| format!("{value} is no integer"))
}

/// Sums over several runs' summaries.
fn total(summaries: &[Value], path: &str) -> anyhow::Result<i64> {
    let found = summaries.iter().map(|summary| {
        integer(
            summary
                .pointer(path)
                .with_context(|| format!("no {path} in {summary}"))?,
        )
    });
    found.sum()
}

const TABLES: [&str; 20] = [
    "ops.load_file",
    "raw.log_event",
    "raw.reject",
    "raw.user_profile",
    "raw.product",
    "snapshots.product_history",
    "marts.fact_event",
    "marts.fact_order",
    "marts.dim_user",
    "marts.dim_product",
    "marts.dim_date",
    "marts.fact_order_item",
    "marts.dim_product_history",
    "marts.fact_session",
    "marts.funnel",
    "marts.daily_revenue",
    "marts.cohort_retention",
    "marts.failures_by_hour",
    "marts.product_performance",
    "intermediate.int_built_load",
];

fn digests(stage: &Stage) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let digest = |table| Ok((table, stage.digest(table)?));
    TABLES.into_iter().map(digest).collect()
}

/// Checks every hop against what the generator says it sent.
fn compare(stage: &Stage, sent: &[Value], payloads: &[Vec<u8>]) -> anyhow::Result<()> {
    // Kafka and HDFS: every record, byte for byte
    let records = total(sent, "/records")?;
    ensure!(stage.kafka.records(&stage.topic)? == records, "Kafka");
    let chain = stage.chain_records()?;
    let mut archived: Vec<Vec<u8>> = chain
        .into_iter()
        .map(|(_, _, value)| value.unwrap_or_default())
        .collect();
    archived.sort();
    ensure!(archived == payloads, "the chain is not what was sent");

    // PostgreSQL: each record a row or a reject
    let malformed = total(sent, "/malformed")?;
    ensure!(
        stage.number("select count(*) from raw.reject")? == malformed,
        "rejects"
    );
    let ids = valid_ids(payloads)?;
    let mut rows = stage.texts("select event_id from raw.log_event")?;
    rows.sort();
    ensure!(rows == ids, "raw.log_event does not hold the events sent");
    ensure!(rows.len() as i64 + malformed == records, "rows and rejects");

    // star: each event once
    let distinct: Vec<String> = ids
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut facts = stage.texts("select event_id from marts.fact_event")?;
    facts.sort();
    ensure!(
        facts == distinct,
        "fact_event does not hold each event once"
    );
    ensure!(facts.len() as i64 == total(sent, "/events")?, "events");
    for kind in [
        "purchase",
        "search",
        "order_complete",
        "order_failed",
        "error",
    ] {
        let query = format!("select count(*) from marts.fact_event where event_type = '{kind}'");
        let expected = total(sent, &format!("/by_type/{kind}"))?;
        ensure!(
            stage.number(&query)? == expected,
            "{kind}: expected {expected}"
        );
    }

    // orders: as many, as completed, and as dear
    let orders = "select count(*) from marts.fact_order";
    ensure!(
        stage.number(orders)? == total(sent, "/orders/distinct")?,
        "orders"
    );
    let completed = format!("{orders} where completed_at is not null");
    ensure!(
        stage.number(&completed)? == total(sent, "/orders/completed")?,
        "completed"
    );
    let failed = format!("{orders} where completed_at is null and failed_at is not null");
    ensure!(
        stage.number(&failed)? == total(sent, "/orders/failed_only")?,
        "failed"
    );
    let cents = "select sum(round(amount * 100))::bigint from marts.fact_order";
    let paid = total(sent, "/amount_cents/order_complete")?;
    ensure!(stage.number(cents)? == paid, "paid: expected {paid} cents");
    let raw_cents = |column: &str, kind: &str| {
        format!(
            "select sum(round({column} * 100))::bigint from
             (select distinct on (event_id) * from raw.log_event) as once
             where event_type = '{kind}'"
        )
    };
    for (column, kind) in [("amount", "purchase"), ("attempted_amount", "order_failed")] {
        let expected = total(sent, &format!("/amount_cents/{kind}"))?;
        let found = stage.number(&raw_cents(column, kind))?;
        ensure!(
            found == expected,
            "{kind}: {found} cents where {expected} were sent"
        );
    }
    Ok(())
}

/// Everything once, then again with nothing new, then with more events and changed products.
#[test]
fn the_star_holds_what_was_sent_and_running_again_changes_nothing() -> anyhow::Result<()> {
    let stage = Stage::new("pipeline", 3)?;
    let catalog = || {
        stage.task("catalog").args([
            "--users",
            "../data/users.json",
            "--products",
            "../data/products.json",
        ])
    };
    let first = repeatable("42", "2026-10-01", "6000");
    let mut payloads_sent = payloads(&first)?;
    let mut sent = vec![stage.task("produce").args(first).succeed()?];

    let archived = stage.task("archive").args(["--flush-mib", "1"]).succeed()?;
    ensure!(
        !undisturbed(&archived) || archived["records"] == sent[0]["records"],
        "{archived}"
    );
    let upserted = catalog().succeed()?;
    ensure!(upserted["users"]["inserted"] == 2_000, "{upserted}");
    ensure!(upserted["products"]["inserted"] == 10_000, "{upserted}");
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    compare(&stage, &sent, &payloads_sent)?;

    // I5: nothing new, nothing changed, down to the last column
    let before = digests(&stage)?;
    ensure!(stage.task("archive").succeed()?["records"] == 0);
    let again = catalog().succeed()?;
    ensure!(again["products"]["unchanged"] == 10_000, "{again}");
    ensure!(stage.task("load").succeed()?["files"] == 0);
    stage.dbt().succeed()?;
    ensure!(
        digests(&stage)? == before,
        "a run without news changed something"
    );

    // later events, one of them of orders that failed before; products change too
    let second = repeatable("43", "2026-10-20", "3000");
    payloads_sent.extend(payloads(&second)?);
    payloads_sent.sort();
    sent.push(stage.task("produce").args(second).succeed()?);
    stage.task("archive").succeed()?;
    let changed = catalog()
        .args(["--change-ratio", "0.1", "--change-seed", "5"])
        .succeed()?;
    ensure!(changed["products"]["changed"] == 1_000, "{changed}");
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    compare(&stage, &sent, &payloads_sent)?;
    let kept = "select count(*) from snapshots.product_history";
    ensure!(
        stage.number(kept)? == 11_000,
        "the snapshot keeps both versions"
    );

    // building the star anew gives the same star
    let marts = || -> anyhow::Result<Vec<String>> {
        ["fact_event", "fact_order", "dim_user", "dim_product"]
            .map(|table| stage.digest(&format!("marts.{table}")))
            .into_iter()
            .collect()
    };
    let incremental = marts()?;
    stage.dbt().args(["--full-refresh"]).succeed()?;
    ensure!(marts()? == incremental, "a full refresh gives another star");
    Ok(())
}

/// The star has exactly the columns that were promised to those who read it.
#[test]
fn the_star_has_the_promised_columns_and_dbt_unit_tests_pass() -> anyhow::Result<()> {
    let stage = Stage::new("columns", 1)?;
    // an empty warehouse is a legal one
    stage.dbt().succeed()?;
    let promised = [
        (
            "fact_order",
            "order_id text, user_id text, product_id text, date_sk integer, amount double precision, quantity integer, shipping_address text, shipping_method text, delivery_estimate text, completed_at timestamp without time zone, attempted_amount double precision, failed_at timestamp without time zone, device_type text, geo_country text, geo_city text",
        ),
        (
            "fact_event",
            "event_id text, user_id text, product_id text, date_sk integer, event_type text, session_id text, device_type text, geo_country text, geo_city text",
        ),
        (
            "dim_user",
            "user_id text, username text, email text, full_name text, first_name text, last_name text, sex text, age integer, country text, city text, signup_date date",
        ),
        (
            "dim_product",
            "product_id text, name text, category text, subcategory text, price double precision, brand text, description text, stock integer, rating double precision, date_added date, weight text",
        ),
        (
            "dim_date",
            "date_sk integer, full_date date, year integer, month integer, day integer, day_name text, week integer, quarter integer",
        ),
    ];
    for (table, columns) in promised {
        let query = format!(
            "select string_agg(column_name || ' ' || data_type, ', ' order by ordinal_position)
             from information_schema.columns
             where table_schema = 'marts' and table_name = '{table}'"
        );
        let found = stage.texts(&query)?;
        ensure!(found == [columns], "{table}: {found:?}");
    }
    let unit = stage
        .dbt_command(&["test", "--select", "test_type:unit"])
        .run()?;
    ensure!(unit.code == Some(0), "{unit:?}");
    ensure!(unit.stdout.contains("PASS=21 "), "{unit:?}");
    Ok(())
}
