//! Cassandra: the session, the three statements, and what its errors ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use frame::{Stop, person_needed};
use log::info;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{
    BadQuery, ConnectionPoolError, DbError, ExecutionError, MetadataError, NewSessionError,
    PrepareError, RequestAttemptError,
};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::batch::{Batch, BatchStatement, BatchType};
use scylla::statement::prepared::PreparedStatement;

use crate::encode::{EncodedRow, INSERT_CELL, INSERT_EVENT, INSERT_REJECT};
use crate::options::Options;

/// How long one write may take before it counts as failed: longer than the server itself waits
/// for its replicas (2 s), so that it can say what is wrong.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between tries to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

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
        let deadline = Instant::now() + options.cassandra_timeout();
        let mut waiting = false;
        loop {
            let failure = match session(options).await {
                Ok(session) => return Cassandra::prepare(session, options).await,
                Err(failure) => failure,
            };
            if frame::is_person_needed(&failure) || Instant::now() >= deadline || stop.is_set() {
                return Err(failure);
            }
            if !waiting {
                info!("waiting for Cassandra: {failure:#}");
                waiting = true;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn prepare(session: Session, options: &Options) -> anyhow::Result<Cassandra> {
        let keyspace = &options.cassandra_keyspace;
        session
            .use_keyspace(keyspace, true)
            .await
            .with_context(|| {
                frame::PersonNeeded(format!(
                    "Cassandra has no keyspace {keyspace}: run ./setup_cassandra.sh, or mend \
                 CASSANDRA_KEYSPACE"
                ))
            })?;
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

async fn session(options: &Options) -> anyhow::Result<Session> {
    // no tries of the driver's own: the writer waits between its tries, and longer each time
    let profile = ExecutionProfile::builder()
        .consistency(options.cassandra_consistency)
        .request_timeout(Some(REQUEST_TIMEOUT))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.cassandra_contact_points)
        .default_execution_profile_handle(profile.into_handle())
        .pool_size(PoolSize::PerHost(2.try_into()?))
        .connection_timeout(REQUEST_TIMEOUT)
        // a node that vanished without a word is noticed
        .keepalive_interval(Duration::from_secs(5))
        .keepalive_timeout(Duration::from_secs(5))
        .fetch_schema_metadata(false);
    if let Some(user) = &options.cassandra_username {
        builder = builder.user(user, frame::secret("CASSANDRA_PASSWORD")?);
    }
    let place = options.cassandra_contact_points.join(",");
    builder.build().await.map_err(|failure| {
        let advice = is_refused_login(&failure).then(|| {
            frame::PersonNeeded(format!(
                "Cassandra at {place} refuses the login: check CASSANDRA_USERNAME and \
                 CASSANDRA_PASSWORD"
            ))
        });
        let failure = anyhow::Error::new(failure).context(format!(
            "no answer from Cassandra at {place}: is it up, and is CASSANDRA_CONTACT_POINTS right?"
        ));
        match advice {
            Some(advice) => failure.context(advice),
            None => failure,
        }
    })
}

fn is_refused_login(failure: &NewSessionError) -> bool {
    let pool = match failure {
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(pool)) => pool,
        _ => return false,
    };
    let ConnectionPoolError::Broken {
        last_connection_error,
    } = pool
    else {
        return false;
    };
    let text = last_connection_error.to_string();
    text.contains("uthentication") || text.contains("credentials")
}

/// A statement that cannot be prepared: most often a table that is not there.
fn explain(failure: PrepareError) -> anyhow::Error {
    let text = failure.to_string();
    let failure = anyhow::Error::new(failure);
    if is_schema_missing(&text) || text.contains("Undefined column") {
        return failure.context(frame::PersonNeeded(
            "the tables in Cassandra are not those of this version: run ./setup_cassandra.sh"
                .to_owned(),
        ));
    }
    failure.context("Cassandra does not prepare a statement")
}

fn is_schema_missing(text: &str) -> bool {
    text.contains("unconfigured table")
        || text.contains("does not exist")
        || text.contains("No keyspace")
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
                    "Cassandra lets CASSANDRA_USERNAME not write: {message}"
                ))),
                DbError::Invalid => WriteError::Refused(message.clone()),
                _ => WriteError::NotNow(failure.into()),
            }
        }
        _ => WriteError::NotNow(failure.into()),
    }
}
