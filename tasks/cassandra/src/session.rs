//! Where Cassandra is, and how to log in.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Args;
use frame::Stop;
use log::info;
use scylla::client::PoolSize;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{ConnectionPoolError, MetadataError, NewSessionError};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::Consistency;

/// How long one request may take before it counts as failed: longer than the server itself waits
/// for its replicas (2 s), so that it can say what is wrong.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between tries to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Where Cassandra is.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Cassandra nodes to ask first, as HOST:PORT[,HOST:PORT…]
    #[arg(
        long,
        env = "CASSANDRA_CONTACT_POINTS",
        default_value = "cassandra:9042",
        value_delimiter = ','
    )]
    pub cassandra_contact_points: Vec<String>,

    /// Keyspace of the tables that cassandra_setup.cql makes
    #[arg(long, env = "CASSANDRA_KEYSPACE", default_value = "logs")]
    pub cassandra_keyspace: String,

    /// Cassandra role to log in with, where it asks for one; its password is read from
    /// CASSANDRA_PASSWORD, or from the file that CASSANDRA_PASSWORD_FILE names
    #[arg(long, env = "CASSANDRA_USERNAME")]
    pub cassandra_username: Option<String>,

    /// Replicas that must have a row before it counts as written, or must be asked for it
    #[arg(long, env = "CASSANDRA_CONSISTENCY", default_value = "LOCAL_QUORUM", value_parser = consistency)]
    pub cassandra_consistency: Consistency,

    /// Longest that Cassandra may be gone before the task gives up, in seconds; a task that follows
    /// gives up at the start alone
    #[arg(long, env = "CASSANDRA_TIMEOUT_SECONDS", default_value_t = 60)]
    pub cassandra_timeout_seconds: u64,
}

impl Options {
    /// A table as lineage names it, at the first of the nodes.
    pub fn dataset(&self, table: &str) -> frame::Dataset {
        let first = self.cassandra_contact_points.first();
        let namespace = format!("cassandra://{}", first.map_or("", String::as_str));
        frame::Dataset::new(namespace, format!("{}.{table}", self.cassandra_keyspace))
    }

    /// How long Cassandra may be gone.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.cassandra_timeout_seconds)
    }
}

/// Connects and uses the keyspace, waiting for a Cassandra that is still starting. No statement is
/// tried again by the driver.
///
/// # Errors
/// A refused login or a missing keyspace asks for a person; a server that does not answer is worth
/// a retry.
pub async fn connect(options: &Options, stop: &Stop) -> anyhow::Result<Session> {
    let deadline = Instant::now() + options.timeout();
    let mut waiting = false;
    let session = loop {
        let failure = match session(options).await {
            Ok(session) => break session,
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
    };
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
    Ok(session)
}

async fn session(options: &Options) -> anyhow::Result<Session> {
    // no tries of the driver's own: the task waits between its tries, and longer each time
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

/// Whether an error says that a keyspace, table or column is not there.
pub fn is_schema_missing(text: &str) -> bool {
    text.contains("unconfigured table")
        || text.contains("does not exist")
        || text.contains("No keyspace")
        || text.contains("Undefined column")
}

fn consistency(name: &str) -> Result<Consistency, String> {
    match name.to_ascii_uppercase().as_str() {
        "ONE" => Ok(Consistency::One),
        "TWO" => Ok(Consistency::Two),
        "THREE" => Ok(Consistency::Three),
        "QUORUM" => Ok(Consistency::Quorum),
        "ALL" => Ok(Consistency::All),
        "LOCAL_QUORUM" => Ok(Consistency::LocalQuorum),
        "EACH_QUORUM" => Ok(Consistency::EachQuorum),
        "LOCAL_ONE" => Ok(Consistency::LocalOne),
        _ => Err(
            "one of ONE, TWO, THREE, QUORUM, ALL, LOCAL_QUORUM, EACH_QUORUM, LOCAL_ONE".to_owned(),
        ),
    }
}
