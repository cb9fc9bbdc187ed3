//! The tables in Cassandra: a statement for each, and what the errors of writes ask for.

use cassandra::is_schema_missing;
use frame::{Stop, person_needed};
use scylla::client::session::Session;
use scylla::errors::{BadQuery, DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;

use crate::encode::{EncodedRow, INSERT_CELL, INSERT_EVENT, INSERT_REJECT};
use crate::options::Options;

/// A table that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    Event,
    Cell,
    Reject,
}

impl Table {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Table::Event => "ecomm_log",
            Table::Cell => "ecomm_by_minute",
            Table::Reject => "rejected_log",
        }
    }
}

/// Why a write failed.
#[derive(Debug)]
pub enum WriteError {
    /// Cassandra does not take this very content, now or later.
    Refused(String),
    /// It may take it later.
    NotNow(anyhow::Error),
}

/// A session with the statements prepared.
pub struct Cassandra {
    session: Session,
    /// For `ecomm_log`.
    pub event: PreparedStatement,
    /// For `ecomm_by_minute`.
    pub cell: PreparedStatement,
    /// For `rejected_log`.
    pub reject: PreparedStatement,
}

impl Cassandra {
    /// Connects, waiting for a Cassandra that is still starting.
    pub async fn connect(options: &Options, stop: &Stop) -> anyhow::Result<Cassandra> {
        let session = cassandra::connect(&options.cassandra, stop).await?;
        let prepare = async |statement: &str| -> anyhow::Result<PreparedStatement> {
            let mut prepared = session.prepare(statement).await.map_err(explain)?;
            prepared.set_is_idempotent(true);
            Ok(prepared)
        };
        Ok(Cassandra {
            event: prepare(INSERT_EVENT).await?,
            cell: prepare(INSERT_CELL).await?,
            reject: prepare(INSERT_REJECT).await?,
            session,
        })
    }

    /// The statement of a table.
    pub fn statement(&self, table: Table) -> &PreparedStatement {
        match table {
            Table::Event => &self.event,
            Table::Cell => &self.cell,
            Table::Reject => &self.reject,
        }
    }

    /// Writes rows of one Cassandra partition, all or none.
    pub async fn write(&self, table: Table, rows: &[EncodedRow<'_>]) -> Result<(), WriteError> {
        let statement = self.statement(table);
        let result = if let [row] = rows {
            self.session.execute_unpaged(statement, row).await
        } else {
            let statements = vec![BatchStatement::from(statement.clone()); rows.len()];
            let mut batch = Batch::new_with_statements(BatchType::Unlogged, statements);
            batch.set_is_idempotent(true);
            self.session.batch(&batch, rows).await
        };
        result.map(|_| ()).map_err(classify)
    }
}

/// A statement that cannot be prepared: most often a table that is not there.
fn explain(failure: PrepareError) -> anyhow::Error {
    let text = failure.to_string();
    let failure = anyhow::Error::new(failure);
    if is_schema_missing(&text) {
        return failure.context(frame::PersonNeeded(
            "the tables in Cassandra are not those of this version: run ./setup_cassandra.sh"
                .to_owned(),
        ));
    }
    failure.context("Cassandra does not prepare a statement")
}

fn classify(failure: ExecutionError) -> WriteError {
    let text = failure.to_string();
    match &failure {
        ExecutionError::BadQuery(
            BadQuery::SerializationError(_) | BadQuery::ValuesTooLongForKey(..),
        ) => WriteError::Refused(text),
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, message)) => {
            match error {
                // dropped while we run, or a role taken away: it can be put back
                DbError::Invalid | DbError::ConfigError if is_schema_missing(message) => {
                    WriteError::NotNow(person_needed(format!(
                        "a table is gone from Cassandra ({message}): run ./setup_cassandra.sh"
                    )))
                }
                DbError::Unauthorized => WriteError::NotNow(person_needed(format!(
                    "Cassandra lets CASSANDRA_USERNAME not write: grant it MODIFY on the keyspace ({message})"
                ))),
                DbError::Invalid => WriteError::Refused(message.clone()),
                _ => WriteError::NotNow(failure.into()),
            }
        }
        _ => WriteError::NotNow(failure.into()),
    }
}
