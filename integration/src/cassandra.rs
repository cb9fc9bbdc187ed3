//! Cassandra as the tests use it: a keyspace of a test's own, and what is in it.

use anyhow::Context;
use futures::TryStreamExt;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::{setting, wait_until};

/// The script that makes the tables, as every stack runs it.
const SETUP: &str = include_str!("../../cassandra_setup.cql");

/// A keyspace with the tables of cassandra_setup.cql. Gone when dropped.
pub struct Cassandra {
    /// Its name.
    pub keyspace: String,
    session: Session,
    runtime: Runtime,
}

impl Cassandra {
    /// Where the nodes are.
    pub fn contact_points() -> String {
        setting("CASSANDRA_CONTACT_POINTS", "cassandra:9042")
    }

    /// A new keyspace.
    pub fn create(keyspace: &str) -> anyhow::Result<Cassandra> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let session = runtime
            .block_on(
                SessionBuilder::new()
                    .known_node(Cassandra::contact_points())
                    .build(),
            )
            .context("no answer from Cassandra: is the stack up?")?;
        let cassandra = Cassandra {
            keyspace: keyspace.to_owned(),
            session,
            runtime,
        };
        cassandra.apply_setup()?;
        Ok(cassandra)
    }

    /// Runs cassandra_setup.cql on this keyspace: again, if need be.
    pub fn apply_setup(&self) -> anyhow::Result<()> {
        let without_comments: Vec<&str> = SETUP
            .lines()
            .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
            .collect();
        let script = self.here(&without_comments.join("\n"));
        for statement in script.split(";\n").map(str::trim) {
            if !statement.is_empty() {
                self.execute(statement)?;
            }
        }
        Ok(())
    }

    /// Waits until this driver has found a server again that was away: the longer it was refused, the
    /// less often it tries, up to 10 seconds apart.
    pub fn wait_until_found(&self) -> anyhow::Result<()> {
        wait_until("the driver has found Cassandra again", || {
            Ok(self.execute("SELECT key FROM system.local").is_ok())
        })
    }

    /// A query or script that names the keyspace `logs`, for this keyspace.
    pub fn here(&self, cql: &str) -> String {
        cql.replace("logs.", &format!("{}.", self.keyspace))
            .replace("EXISTS logs", &format!("EXISTS {}", self.keyspace))
    }

    /// A statement without rows.
    pub fn execute(&self, cql: &str) -> anyhow::Result<()> {
        self.runtime
            .block_on(self.session.query_unpaged(cql, &[]))
            .with_context(|| cql.to_owned())?;
        Ok(())
    }

    /// Every row of a query that names the keyspace `logs`.
    pub fn rows(&self, cql: &str) -> anyhow::Result<Vec<Vec<Value>>> {
        let cql = self.here(cql);
        let rows = self.runtime.block_on(async {
            let pager = self.session.query_iter(cql.as_str(), &[]).await?;
            let rows: Vec<Row> = pager.rows_stream::<Row>()?.try_collect().await?;
            anyhow::Ok(rows)
        });
        let rows = rows.with_context(|| cql.clone())?;
        Ok(rows
            .into_iter()
            .map(|row| {
                row.columns
                    .iter()
                    .map(|value| json(value.as_ref()))
                    .collect()
            })
            .collect())
    }

    /// Every row of a query as text, sorted.
    pub fn lines(&self, cql: &str) -> anyhow::Result<Vec<String>> {
        let mut lines: Vec<String> = self
            .rows(cql)?
            .into_iter()
            .map(|row| Value::Array(row).to_string())
            .collect();
        lines.sort();
        Ok(lines)
    }

    /// Everything that is in the three tables.
    pub fn content(&self) -> anyhow::Result<Vec<Vec<String>>> {
        ["ecomm_log", "ecomm_by_minute", "rejected_log"]
            .iter()
            .map(|table| self.lines(&format!("SELECT * FROM logs.{table}")))
            .collect()
    }

    /// Sums of one metric over all minutes: (dim, cnt, amount in cents).
    pub fn totals(&self, metric: &str) -> anyhow::Result<Vec<(String, i64, i64)>> {
        let mut totals = std::collections::BTreeMap::<String, (i64, f64)>::new();
        let query = "SELECT metric, dim, cnt, amount FROM logs.ecomm_by_minute";
        for row in self.rows(query)? {
            if row[0] == metric {
                let total = totals.entry(text(&row[1])).or_default();
                total.0 += row[2].as_i64().context("cnt")?;
                total.1 += row[3].as_f64().context("amount")?;
            }
        }
        Ok(totals
            .into_iter()
            .map(|(dim, (count, amount))| (dim, count, (amount * 100.0).round() as i64))
            .collect())
    }
}

impl Drop for Cassandra {
    fn drop(&mut self) {
        if let Err(failure) = self.execute(&format!("DROP KEYSPACE IF EXISTS {}", self.keyspace)) {
            eprintln!("keyspace {} is left behind: {failure:#}", self.keyspace);
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// As a dashboard would get it: numbers, text, times in milliseconds.
fn json(value: Option<&CqlValue>) -> Value {
    match value {
        None => Value::Null,
        Some(CqlValue::Text(text) | CqlValue::Ascii(text)) => json!(text),
        Some(CqlValue::Int(number)) => json!(number),
        Some(CqlValue::BigInt(number)) => json!(number),
        Some(CqlValue::Double(number)) => json!(number),
        Some(CqlValue::Timestamp(time)) => json!(time.0),
        Some(CqlValue::Date(date)) => json!(i64::from(date.0) - (1 << 31)),
        Some(CqlValue::Blob(bytes)) => json!(String::from_utf8_lossy(bytes)),
        Some(other) => json!(format!("{other:?}")),
    }
}
