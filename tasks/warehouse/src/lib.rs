//! PostgreSQL as the tasks see it: where it is, how to log in, and what its errors ask for.
//!
//! Promises: no password ever stands in an option, a log line or an error. Does not retry: a task
//! that fails with 1 is run again by Airflow.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use frame::PersonNeeded;
use native_tls::{Certificate, TlsConnector};
use postgres::config::SslMode;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use postgres_native_tls::MakeTlsConnector;

/// The version of the tables that this code reads and writes: `schema_version` in postgres_setup.sql.
pub const SCHEMA_VERSION: i32 = 2;

/// Where PostgreSQL is. The password comes from `POSTGRES_PASSWORD`, or from the file that
/// `POSTGRES_PASSWORD_FILE` names; with a certificate in `POSTGRES_CA` (or `POSTGRES_CA_FILE`) the
/// session is encrypted, and the server must show one of that authority for its host name.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// PostgreSQL to write to, without the password: postgresql://USER@HOST:PORT/DATABASE. The
    /// password is read from POSTGRES_PASSWORD, or from the file named by POSTGRES_PASSWORD_FILE.
    /// POSTGRES_CA (or POSTGRES_CA_FILE), the certificate of an authority in PEM, asks for TLS with a
    /// server that it vouches for
    #[arg(
        long,
        env = "POSTGRES_URL",
        default_value = "postgresql://loader@postgres:5432/airflow"
    )]
    pub postgres_url: String,

    /// Longest wait for a connection to PostgreSQL, in seconds
    #[arg(long, env = "POSTGRES_CONNECT_TIMEOUT_SECONDS", default_value_t = 10)]
    pub postgres_connect_timeout_seconds: u64,
}

impl Options {
    /// A table, with its schema, as lineage names it. Never with a user: the URL may be wrong.
    pub fn dataset(&self, table: &str) -> frame::Dataset {
        let config = Config::from_str(&self.postgres_url).unwrap_or_else(|_| Config::new());
        let place = place(&config);
        let (server, database) = place.split_once('/').unwrap_or((&place, "?"));
        frame::Dataset::new(
            format!("postgres://{server}"),
            format!("{database}.{table}"),
        )
    }
}

/// Connects as `application_name`, the name that `pg_stat_activity` shows.
///
/// # Errors
/// A wrong URL, role or password asks for a person; a server that does not answer is worth a retry.
pub fn connect(options: &Options, application_name: &str) -> anyhow::Result<Client> {
    connect_as(options, None, application_name)
}

/// Connects as `user`, whatever user the URL names: for a task that has a role of its own and takes
/// the URL that all tasks share.
///
/// # Errors
/// As [`connect`].
pub fn connect_as(
    options: &Options,
    user: Option<&str>,
    application_name: &str,
) -> anyhow::Result<Client> {
    let mut config = Config::from_str(&options.postgres_url).with_context(|| {
        // the URL itself is not repeated: somebody may have put a password in it
        PersonNeeded(
            "POSTGRES_URL is not of the form postgresql://USER@HOST:PORT/DATABASE".to_owned(),
        )
    })?;
    if config.get_password().is_some() {
        return Err(frame::person_needed(
            "POSTGRES_URL holds a password: move it to POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE",
        ));
    }
    if let Some(user) = user {
        config.user(user);
    }
    config
        .password(frame::secret("POSTGRES_PASSWORD")?)
        .application_name(application_name)
        .connect_timeout(Duration::from_secs(
            options.postgres_connect_timeout_seconds,
        ))
        .options(
            "-c timezone=UTC -c statement_timeout=0 -c idle_in_transaction_session_timeout=300000",
        );
    let authority = frame::optional_secret("POSTGRES_CA")?;
    let connected = match authority {
        None => config.connect(NoTls),
        Some(authority) => {
            // never in the clear, whatever the URL says
            config.ssl_mode(SslMode::Require);
            config.connect(connector(&authority)?)
        }
    };
    let mut client = connected.map_err(explain).with_context(|| {
        format!(
            "cannot connect to PostgreSQL at {}: is it up, and is POSTGRES_URL right?",
            place(&config)
        )
    })?;
    check_version(&mut client)?;
    Ok(client)
}

/// Refuses tables that are older than this code. Newer ones will do: what a version adds, an older
/// task does not name.
fn check_version(client: &mut Client) -> anyhow::Result<()> {
    let query = "select coalesce(max(version), 0) from ops.schema_version";
    let found: i32 = client.query_one(query, &[]).map_err(explain)?.get(0);
    if found < SCHEMA_VERSION {
        return Err(frame::person_needed(format!(
            "the tables in PostgreSQL are of version {found}, and this release needs {SCHEMA_VERSION}: \
             apply its postgres_setup.sql (docker compose up postgres-setup)"
        )));
    }
    Ok(())
}

/// TLS with servers that this authority vouches for, and no other.
fn connector(authority: &str) -> anyhow::Result<MakeTlsConnector> {
    let advice =
        || PersonNeeded("POSTGRES_CA is no certificate in PEM: check POSTGRES_CA_FILE".to_owned());
    let certificate = Certificate::from_pem(authority.as_bytes()).with_context(advice)?;
    let connector = TlsConnector::builder()
        .disable_built_in_roots(true)
        .add_root_certificate(certificate)
        .build()
        .with_context(advice)?;
    Ok(MakeTlsConnector::new(connector))
}

/// `host:port/database`, for messages.
fn place(config: &Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            postgres::config::Host::Tcp(name) => name.clone(),
            #[cfg(unix)]
            postgres::config::Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().unwrap_or("?");
    format!("{}:{port}/{database}", hosts.join(","))
}

/// Adds to an error of the server what a person must do, where a retry would not help.
pub fn explain(error: postgres::Error) -> anyhow::Error {
    let Some(server) = error.as_db_error() else {
        if let Some(advice) = tls_advice(&error) {
            return anyhow::Error::new(error).context(PersonNeeded(advice.to_owned()));
        }
        // cut off, or shut down: what was under way is committed or not, and the next run asks
        return anyhow::Error::new(error).context("no answer from PostgreSQL: is it up?");
    };
    let said = server.message().to_owned();
    let advice = match *server.code() {
        SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::INVALID_SCHEMA_NAME
        | SqlState::UNDEFINED_OBJECT => {
            "apply postgres_setup.sql (docker compose up postgres-setup)"
        }
        SqlState::INSUFFICIENT_PRIVILEGE => {
            "log in as the role of the task, or apply postgres_setup.sql for its grants"
        }
        // no entry in pg_hba.conf for a session without TLS
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if said.contains("no encryption") => {
            "it wants TLS: set POSTGRES_CA_FILE"
        }
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "check POSTGRES_PASSWORD, and the role that the task logs in as (that of POSTGRES_URL, if it has no role of its own)"
        }
        SqlState::INVALID_CATALOG_NAME => "check the database name of POSTGRES_URL",
        // shut down, killed, or ended by its administrator: the next run finds what is committed
        SqlState::ADMIN_SHUTDOWN | SqlState::CRASH_SHUTDOWN => {
            return anyhow::Error::new(error)
                .context(format!("PostgreSQL ended the session: {said}"));
        }
        _ => return anyhow::Error::new(error).context(said),
    };
    anyhow::Error::new(error).context(PersonNeeded(format!("{said}: {advice}")))
}

/// What to do about a session that TLS came in the way of.
fn tls_advice(error: &postgres::Error) -> Option<&'static str> {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    if text.contains("certificate verify failed") || text.contains("mismatch") {
        return Some(
            "PostgreSQL's certificate is not of the authority in POSTGRES_CA, or not for this host \
             name: check POSTGRES_CA_FILE and POSTGRES_URL",
        );
    }
    text.contains("server does not support TLS")
        .then_some("PostgreSQL does not speak TLS: switch it on there, or take POSTGRES_CA away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_makes_the_version_that_the_tasks_ask_for() {
        let script = std::fs::read_to_string("../../postgres_setup.sql").expect("the script");
        let line = format!("\\set schema_version {SCHEMA_VERSION}\n");
        assert!(script.contains(&line));
        let described = format!("\n({SCHEMA_VERSION}, '");
        assert!(script.contains(&described));
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        let options = Options {
            postgres_url: "postgresql://loader:hunter2@localhost/airflow".to_owned(),
            postgres_connect_timeout_seconds: 1,
        };
        let failure = connect(&options, "test").err().expect("an error");
        assert!(format!("{failure:#}").contains("POSTGRES_PASSWORD_FILE"));
        assert!(!format!("{failure:?}").contains("hunter2"));
    }
}
