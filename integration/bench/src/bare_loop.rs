//! The least that a program can do to write rows to Cassandra: no source, no parsing, no offsets.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;
use futures::future::join_all;
use integration::Cassandra;
use scylla::client::PoolSize;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::deserialize::row::ColumnIterator;
use scylla::response::PagingState;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::Consistency;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::unprepared::Statement;
use tokio::runtime::Runtime;

/// As `stream` has them by default.
pub const BATCH_ROWS: usize = 300;

/// With which it has as many rows under way as `stream`, its batches being full.
pub const CONCURRENCY: usize = 8;

/// Rows of a table as they go over the wire, those of one Cassandra partition together.
pub struct Rows {
    table: String,
    columns: Vec<String>,
    batches: Vec<Vec<Row>>,
}

/// One row: its cells, `None` where there is no value.
struct Row(Vec<Option<Box<[u8]>>>);

impl SerializeRow for Row {
    fn serialize(
        &self,
        _context: &RowSerializationContext<'_>,
        writer: &mut RowWriter,
    ) -> Result<(), SerializationError> {
        for cell in &self.0 {
            let place = writer.make_cell_writer();
            match cell {
                Some(value) => place.set_value(value).map_err(SerializationError::new)?,
                None => place.set_unset(),
            };
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?)
}

async fn connect(keyspace: &str) -> anyhow::Result<Session> {
    let session = SessionBuilder::new()
        .known_node(Cassandra::contact_points())
        .pool_size(PoolSize::PerHost(2.try_into()?))
        .build()
        .await?;
    session.use_keyspace(keyspace, true).await?;
    Ok(session)
}

impl Rows {
    /// Every row of a table, in batches; so many columns are its partition key.
    pub fn read(keyspace: &str, table: &str, key_columns: usize) -> anyhow::Result<Rows> {
        runtime()?.block_on(Rows::fetch(keyspace, table, key_columns))
    }

    async fn fetch(keyspace: &str, table: &str, key_columns: usize) -> anyhow::Result<Rows> {
        let session = connect(keyspace).await?;
        let query = Statement::new(format!("SELECT * FROM {table}")).with_page_size(5_000);
        let query = session.prepare(query).await?;
        let mut partitions: BTreeMap<Vec<u8>, Vec<Row>> = BTreeMap::new();
        let mut state = PagingState::start();
        let columns = loop {
            let (page, next) = session.execute_single_page(&query, &[], state).await?;
            let page = page.into_rows_result()?;
            let specs = page.column_specs();
            let columns: Vec<String> = specs.iter().map(|spec| spec.name().to_owned()).collect();
            for row in page.rows::<ColumnIterator<'_, '_>>()? {
                let mut cells: Vec<Option<Box<[u8]>>> = Vec::new();
                for column in row? {
                    cells.push(column?.slice.map(|slice| slice.as_slice().into()));
                }
                let key = cells[..key_columns]
                    .iter()
                    .flatten()
                    .flat_map(|cell| cell.to_vec());
                partitions
                    .entry(key.collect())
                    .or_default()
                    .push(Row(cells));
            }
            match next.into_paging_control_flow() {
                ControlFlow::Break(()) => break columns,
                ControlFlow::Continue(next) => state = next,
            }
        };
        Ok(Rows {
            table: table.to_owned(),
            columns,
            batches: in_turns(partitions),
        })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(Vec::len).sum()
    }
}

/// A batch of each partition in turn, as a stream of events would bring them.
fn in_turns(partitions: BTreeMap<Vec<u8>, Vec<Row>>) -> Vec<Vec<Row>> {
    let mut batches: BTreeMap<(usize, usize), Vec<Row>> = BTreeMap::new();
    for (place, rows) in partitions.into_values().enumerate() {
        for (index, row) in rows.into_iter().enumerate() {
            let batch = batches.entry((index / BATCH_ROWS, place)).or_default();
            batch.push(row);
        }
    }
    batches.into_values().collect()
}

/// Writes them all; seconds from the first write to the last answer.
pub fn write_all(keyspace: &str, rows: &Rows) -> anyhow::Result<f64> {
    runtime()?.block_on(async {
        let session = Arc::new(connect(keyspace).await?);
        let marks = vec!["?"; rows.columns.len()].join(", ");
        let (table, columns) = (&rows.table, rows.columns.join(", "));
        let mut insert = session
            .prepare(format!("INSERT INTO {table} ({columns}) VALUES ({marks})"))
            .await?;
        insert.set_consistency(Consistency::LocalQuorum);
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let workers = (0..CONCURRENCY).map(|_| async {
            while let Some(rows) = rows.batches.get(next.fetch_add(1, Ordering::Relaxed)) {
                let statements = vec![BatchStatement::from(insert.clone()); rows.len()];
                let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
                batch.set_consistency(Consistency::LocalQuorum);
                session.batch(&batch, rows).await.context("a batch")?;
            }
            anyhow::Ok(())
        });
        for outcome in join_all(workers).await {
            outcome?;
        }
        Ok(begun.elapsed().as_secs_f64())
    })
}
