//! The hostile corpus on real servers: every store comes to the verdict that the parser's own test
//! expects, column by column, and what was received is kept byte for byte.

#[path = "../../tasks/event/tests/corpus_file/mod.rs"]
mod corpus_file;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use corpus_file::{Case, RECORD_TIME, Verdict};
use integration::{Cassandra, Sent, Stage};
use serde_json::{Value, json};

/// Relative to the crate, where its tests run.
const DIRECTORY: &str = "../tasks/event/tests/corpus";

/// Columns of `raw.log_event` by their type.
const TEXTS: [&str; 18] = [
    "event_id",
    "event_type",
    "level",
    "user_id",
    "session_id",
    "product_id",
    "device_type",
    "geo_country",
    "geo_city",
    "payment_method",
    "items",
    "shipping_address",
    "query",
    "filters",
    "order_id",
    "shipping_method",
    "delivery_estimate",
    "error_code",
];
const MESSAGE: &str = "message";
const INTEGERS: [&str; 3] = ["session_duration", "quantity", "results_count"];
const DOUBLES: [&str; 2] = ["amount", "attempted_amount"];
const TIMES: [&str; 5] = [
    "event_time",
    "searched_at",
    "completed_at",
    "failed_at",
    "error_at",
];

/// What one store says of a record: a reject with its reason and field, or columns as text, because
/// text tells -0 from 0.
#[derive(Debug, PartialEq)]
enum Found {
    Reject(String, Option<String>),
    Row(BTreeMap<String, String>),
}

fn found(verdict: &Verdict, offset: usize, topic: &str) -> Found {
    match verdict {
        Verdict::Reject { reason, field } => Found::Reject(reason.clone(), field.clone()),
        Verdict::Event(columns) => {
            let mut row: BTreeMap<String, String> = columns
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect();
            let own = || json!(format!("{topic}:0:{offset}")).to_string();
            row.entry("event_id".to_owned()).or_insert_with(own);
            Found::Row(row)
        }
    }
}

/// `items` is JSON inside a text column.
fn text_value(column: &str, text: String) -> anyhow::Result<Value> {
    Ok(match column {
        "items" => serde_json::from_str(&text)?,
        _ => Value::String(text),
    })
}

fn in_postgres(stage: &Stage) -> anyhow::Result<BTreeMap<i64, Found>> {
    let texts = || TEXTS.into_iter().chain([MESSAGE]);
    let columns: Vec<String> = texts()
        .map(str::to_owned)
        .chain(INTEGERS.map(|name| format!("{name}::bigint")))
        .chain(DOUBLES.map(str::to_owned))
        .chain(TIMES.map(|name| format!("(extract(epoch from {name}) * 1000000)::bigint")))
        .collect();
    let mut sql = stage.sql()?;
    let mut all = BTreeMap::new();
    let query = format!(
        "select kafka_offset, {} from raw.log_event",
        columns.join(", ")
    );
    for row in sql.query(&query, &[])? {
        let mut values = BTreeMap::new();
        let mut index = 0;
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                values.insert(name.to_owned(), value.to_string());
            }
        };
        for name in texts() {
            index += 1;
            let text: Option<String> = row.get(index);
            put(name, text.map(|text| text_value(name, text)).transpose()?);
        }
        for name in INTEGERS {
            index += 1;
            put(name, row.get::<_, Option<i64>>(index).map(Value::from));
        }
        for name in DOUBLES {
            index += 1;
            put(name, row.get::<_, Option<f64>>(index).map(Value::from));
        }
        for name in TIMES {
            index += 1;
            put(name, row.get::<_, Option<i64>>(index).map(Value::from));
        }
        ensure!(all.insert(row.get(0), Found::Row(values)).is_none());
    }
    for row in sql.query("select kafka_offset, reason, field from raw.reject", &[])? {
        let reject = Found::Reject(row.get(1), row.get(2));
        ensure!(all.insert(row.get(0), reject).is_none(), "twice: {row:?}");
    }
    Ok(all)
}

/// Columns of `ecomm_log`, and what they are called in PostgreSQL.
const IN_CASSANDRA: [(&str, &str); 26] = [
    ("event_id", "event_id"),
    ("event_type", "event_type"),
    ("level", "level"),
    ("user_id", "user_id"),
    ("session_id", "session_id"),
    ("product_id", "product_id"),
    ("session_duration", "session_duration"),
    ("device_type", "device_type"),
    ("geo_country", "geo_country"),
    ("geo_city", "geo_city"),
    ("timestamp", "event_time"),
    ("details_amount", "amount"),
    ("details_payment_method", "payment_method"),
    ("details_items", "items"),
    ("details_order_id", "order_id"),
    ("details_query", "query"),
    ("details_results_count", "results_count"),
    ("details_shipping_method", "shipping_method"),
    ("details_delivery_estimate", "delivery_estimate"),
    ("details_completed_at", "completed_at"),
    ("details_shipping_address", "shipping_address"),
    ("error_code", "error_code"),
    ("message", "message"),
    ("error_at", "error_at"),
    ("attempted_amount", "attempted_amount"),
    ("failed_at", "failed_at"),
];

fn in_cassandra(cassandra: &Cassandra) -> anyhow::Result<BTreeMap<i64, Found>> {
    let columns = IN_CASSANDRA.map(|(column, _)| column).join(", ");
    let mut all = BTreeMap::new();
    let query = format!("SELECT kafka_offset, {columns} FROM logs.ecomm_log");
    for row in cassandra.rows(&query)? {
        let mut values = BTreeMap::new();
        for ((_, name), value) in IN_CASSANDRA.iter().zip(&row[1..]) {
            let value = match value {
                Value::Null => continue,
                Value::String(text) => text_value(name, text.clone())?,
                other => other.clone(),
            };
            values.insert((*name).to_owned(), value.to_string());
        }
        let offset = row[0].as_i64().context("kafka_offset")?;
        ensure!(all.insert(offset, Found::Row(values)).is_none());
    }
    for row in cassandra.rows("SELECT kafka_offset, reason, field FROM logs.rejected_log")? {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let reject = Found::Reject(text(&row[1]).context("reason")?, text(&row[2]));
        let offset = row[0].as_i64().context("kafka_offset")?;
        ensure!(all.insert(offset, reject).is_none(), "twice: {row:?}");
    }
    Ok(all)
}

/// What Cassandra keeps of a row: no quantity, no filters, and times in milliseconds.
fn as_cassandra_keeps_it(expected: Found) -> Found {
    let Found::Row(mut row) = expected else {
        return expected;
    };
    row.retain(|name, _| IN_CASSANDRA.iter().any(|(_, kept)| kept == name));
    for (name, value) in &mut row {
        if TIMES.contains(&name.as_str())
            && let Ok(micros) = value.parse::<i64>()
        {
            *value = micros.div_euclid(1_000).to_string();
        }
    }
    Found::Row(row)
}

/// Where a store differs, cut: some values are a megabyte.
fn differences(
    store: &str,
    cases: &[Case],
    mut all: BTreeMap<i64, Found>,
    expected: impl Fn(usize, &Case) -> Found,
) -> Vec<String> {
    let cut = |found: Option<&Found>| format!("{found:?}").chars().take(1_000).collect::<String>();
    let mut wrong = Vec::new();
    for (offset, case) in cases.iter().enumerate() {
        let (found, expected) = (all.remove(&(offset as i64)), expected(offset, case));
        if found.as_ref() != Some(&expected) {
            wrong.push(format!(
                "{store}, {}\n-- expected\n{}\n-- found\n{}\n",
                case.name,
                cut(Some(&expected)),
                cut(found.as_ref())
            ));
        }
    }
    wrong.extend(
        all.keys()
            .map(|offset| format!("{store}, {offset}: what is that?\n")),
    );
    wrong
}

#[test]
fn every_store_comes_to_the_verdict_of_the_contract() -> anyhow::Result<()> {
    let stage = Stage::new("corpus", 1)?;
    let cassandra = stage.cassandra()?;
    stage.kafka.keep_for_ever(&stage.topic)?;
    let cases = corpus_file::cases(Path::new(DIRECTORY)).map_err(anyhow::Error::msg)?;
    ensure!(cases.len() >= 400, "{} cases", cases.len());
    let records: Vec<Sent<'_>> = cases
        .iter()
        .map(|case| Sent {
            timestamp_millis: RECORD_TIME / 1_000,
            key: case.key.as_deref().unwrap_or(b"user_1"),
            payload: case.payload.as_deref(),
        })
        .collect();
    stage.kafka.send_records(&stage.topic, 0, &records)?;
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    stage.task("stream").succeed()?;

    let chain = stage.chain_records()?;
    ensure!(chain.len() == cases.len(), "{} in the chain", chain.len());
    for ((_, _, payload), case) in chain.iter().zip(&cases) {
        ensure!(*payload == case.payload, "{} was changed", case.name);
    }
    let topic = &stage.topic;
    let mut wrong = differences(
        "PostgreSQL",
        &cases,
        in_postgres(&stage)?,
        |offset, case| found(&case.verdict, offset, topic),
    );
    wrong.extend(differences(
        "Cassandra",
        &cases,
        in_cassandra(&cassandra)?,
        |offset, case| as_cassandra_keeps_it(found(&case.verdict, offset, topic)),
    ));
    ensure!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let mut sql = stage.sql()?;
    for row in sql.query("select kafka_offset, key, payload from raw.reject", &[])? {
        let case = &cases[usize::try_from(row.get::<_, i64>(0))?];
        let (key, payload): (Option<Vec<u8>>, Option<Vec<u8>>) = (row.get(1), row.get(2));
        let sent = case.key.as_deref().unwrap_or(b"user_1");
        ensure!(
            payload == case.payload && key.as_deref() == Some(sent),
            "the reject of {} was changed",
            case.name
        );
    }

    // and the rest of the pipeline takes it: the star builds, and every record is accounted for
    stage.dbt().succeed()?;
    stage.task("audit").succeed()?;
    Ok(())
}
