//! Who may do what in PostgreSQL: every role, and PUBLIC, with every kind of statement.
//!
//! Each role logs in with its own password, as what it stands for does; nothing is asked of the
//! catalog alone. What a role may not do has to fail for want of privilege, not for another reason.

use anyhow::{Context, bail, ensure};
use integration::{Stage, password, setting};
use postgres::error::SqlState;
use postgres::{Client, NoTls};

const ROLES: [&str; 7] = [
    "loader",
    "auditor",
    "transformer",
    "maintainer",
    "bi_reader",
    "airflow_meta",
    "stranger",
];

/// A role that has nothing but what PUBLIC has.
const STRANGER: &str = "stranger";

/// Where the stage's own database is meant.
const HERE: &str = "";

fn password_of(role: &str) -> String {
    match role {
        STRANGER => "a-stranger".to_owned(),
        role => password(&format!("{}_PASSWORD", role.to_uppercase())),
    }
}

fn log_in(role: &str, user: &str, database: &str) -> Result<Client, postgres::Error> {
    let place = setting("POSTGRES_PLACE", "postgres:5432");
    let mut config: postgres::Config = format!("postgresql://{user}@{place}/{database}").parse()?;
    config.password(password_of(role)).connect(NoTls)
}

/// The stranger is a role of all databases: its name is the stage's.
struct Stranger<'a>(&'a Stage, String);

impl<'a> Stranger<'a> {
    fn new(stage: &'a Stage) -> anyhow::Result<Stranger<'a>> {
        let name = format!("{}_stranger", stage.database);
        let secret = password_of(STRANGER);
        stage
            .sql()?
            .batch_execute(&format!("create role {name} login password '{secret}'"))?;
        Ok(Stranger(stage, name))
    }

    fn user(&self, role: &'a str) -> &str {
        if role == STRANGER { &self.1 } else { role }
    }
}

impl Drop for Stranger<'_> {
    fn drop(&mut self) {
        let dropped = self.0.sql().and_then(|mut admin| {
            let statement = format!("drop owned by {0}; drop role {0}", self.1);
            Ok(admin.batch_execute(&statement)?)
        });
        if let Err(failure) = dropped {
            eprintln!("{} is left behind: {failure:#}", self.1);
        }
    }
}

/// A statement, and the roles that may.
struct Right {
    statement: &'static str,
    allowed: &'static [&'static str],
}

const fn right(statement: &'static str, allowed: &'static [&'static str]) -> Right {
    Right { statement, allowed }
}

const EVENT: &str =
    "insert into raw.log_event (load_id, kafka_partition, kafka_offset, kafka_time, event_id,
    event_time, level, service, event_type, user_id, session_id)
    values (1, 0, 0, now(), 'e', now(), 'INFO', 's', 'search', 'u', 's')";

/// Every table that postgres_setup.sql makes, and what the star is built from, with each statement
/// that some role needs or that would harm most.
const RIGHTS: &[Right] = &[
    // what was received
    right("select count(*) from raw.log_event", &["loader", "auditor", "transformer"]),
    right(EVENT, &["loader"]),
    right("update raw.log_event set amount = 0", &[]),
    right("delete from raw.log_event", &[]),
    right("truncate raw.log_event", &[]),
    right("alter table raw.log_event add column more int", &[]),
    right("drop table raw.log_event cascade", &[]),
    right("create index on raw.log_event (user_id)", &[]),
    right("select count(*) from raw.reject", &["loader", "auditor", "transformer"]),
    right("insert into raw.reject values (1, 0, 0, now(), 'r', 'f', null, null)", &["loader"]),
    right("update raw.reject set reason = 'x'", &["loader"]),
    right("update raw.reject set payload = null", &[]),
    right("delete from raw.reject", &["loader"]),
    right("truncate raw.reject", &[]),
    // the catalog: personal data
    right("select count(*) from raw.user_profile", &["loader", "transformer"]),
    right("insert into raw.user_profile (user_id) values ('u')", &["loader"]),
    right("update raw.user_profile set email = 'x'", &["loader"]),
    right("delete from raw.user_profile", &[]),
    right("select count(*) from raw.product", &["loader", "transformer"]),
    right("insert into raw.product (product_id) values ('p')", &["loader"]),
    right("update raw.product set price = 1", &["loader"]),
    right("delete from raw.product", &[]),
    right("create table raw.mine (x int)", &[]),
    // which version all of it is of
    right("select count(*) from ops.schema_version", &["loader", "auditor", "transformer", "maintainer"]),
    right("insert into ops.schema_version (version, description) values (99, 'x')", &[]),
    // the ledger
    right("select count(*) from ops.load_file", &["loader", "auditor", "transformer"]),
    right(
        "insert into ops.load_file (topic, epoch, kafka_partition, start_offset, path, status) values ('t', 0, 0, 0, 'p', 'loaded')",
        &["loader"],
    ),
    right("update ops.load_file set error = 'x'", &["loader"]),
    right("delete from ops.load_file", &[]),
    right("select nextval('ops.load_file_load_id_seq')", &["loader"]),
    right("select setval('ops.load_file_load_id_seq', 1)", &[]),
    right("select ops.begin_reload(1)", &["loader"]),
    right("select ops.forget_topic('no_such_topic')", &[]),
    right("select ops.prune_audit(90)", &["maintainer"]),
    right("select ops.refresh_statistics('raw.log_event')", &["maintainer"]),
    right("select count(*) from ops.replay", &["loader", "auditor", "transformer"]),
    right("insert into ops.replay (load_id, healed_count) values (1, 1)", &["loader"]),
    right("delete from ops.replay", &[]),
    right("select count(*) from ops.healed_reject", &["loader", "transformer"]),
    right("delete from ops.healed_reject", &[]),
    // what audit found: appended to, never changed
    right("select count(*) from ops.audit", &["auditor", "transformer"]),
    right(
        "insert into ops.audit_run (run_id, topic, stores, is_full, files, records, pending, differences) values (nextval('ops.audit_run_id'), 't', 's', false, 0, 0, 0, 0)",
        &["auditor"],
    ),
    right(
        "insert into ops.audit (run_id, topic, epoch, kafka_partition, start_offset, next_offset, store, state, expected, found, rejects, duplicates, digest_expected, digest_found)
         values (1, 't', 0, 0, 0, 1, 'chain', 'ok', 0, 0, 0, 0, 0, 0)",
        &["auditor"],
    ),
    right("update ops.audit set state = 'ok'", &[]),
    right("delete from ops.audit", &[]),
    right("delete from ops.audit_run", &[]),
    right("select count(*) from ops.audit_latest", &["auditor", "transformer"]),
    right("create table ops.mine (x int)", &[]),
    // the star, and what dbt builds on the way
    right("select count(*) from marts.fact_event", &["auditor", "transformer", "bi_reader"]),
    right("select count(*) from marts.fact_order", &["auditor", "transformer", "bi_reader"]),
    right("select count(*) from marts.event_timeline", &["auditor", "bi_reader"]),
    right("insert into marts.fact_event select * from marts.fact_event where false", &["transformer"]),
    right("update marts.fact_event set event_id = event_id where false", &["transformer"]),
    right("delete from marts.fact_event where false", &["transformer"]),
    right("truncate marts.fact_event", &["transformer"]),
    right("drop table marts.fact_event cascade", &["transformer"]),
    right("create table marts.mine (x int)", &["transformer"]),
    right("create table staging.mine (x int)", &["transformer"]),
    right("create table intermediate.mine (x int)", &["transformer"]),
    right("select count(*) from intermediate.int_built_load", &["auditor", "transformer"]),
    right("select count(*) from snapshots.product_history", &["transformer"]),
    right("select count(*) from staging.stg_log_event", &["transformer"]),
    // the server
    right("create table public.mine (x int)", &[]),
    right("create schema mine", &[]),
    right("create temporary table mine (x int)", &["loader", "transformer"]),
    right("create role mine", &[]),
    right("create foreign data wrapper mine", &[]),
    right("alter role pipeline_owner login", &[]),
    right("set role pipeline_owner", &[]),
    right("set role airflow", &[]),
    // its own tables alone: it checks their foreign keys itself
    right("set session_replication_role = replica", &["transformer"]),
    right("set log_statement = 'all'", &[]),
    right("select pg_read_file('/etc/passwd')", &[]),
    right("copy (select 1) to program 'id'", &[]),
    right("copy (select 1) to '/tmp/x'", &[]),
    right("select rolpassword from pg_authid", &[]),
    right("select lo_import('/etc/passwd')", &[]),
    right("select pg_reload_conf()", &[]),
];

#[test]
fn every_role_may_what_it_needs_and_nothing_else() -> anyhow::Result<()> {
    let stage = Stage::new("roles", 1)?;
    // the star is there, made by the role that makes it
    stage.dbt().succeed()?;
    let stranger = Stranger::new(&stage)?;
    let mut wrong = Vec::new();
    for role in ROLES {
        let mut client = match log_in(role, stranger.user(role), &stage.database) {
            Ok(client) => client,
            Err(failure) => {
                // no privilege to connect: so none to do anything
                let code = failure.code().cloned();
                ensure!(
                    code == Some(SqlState::INSUFFICIENT_PRIVILEGE),
                    "{role}: {failure}"
                );
                ensure!(
                    matches!(role, "airflow_meta" | STRANGER),
                    "{role} cannot connect"
                );
                continue;
            }
        };
        ensure!(
            !matches!(role, "airflow_meta" | STRANGER),
            "{role} can connect"
        );
        for Right { statement, allowed } in RIGHTS {
            let expected = allowed.contains(&role);
            // what only the default of the session forbids is not forbidden
            client.batch_execute("begin; set transaction read write")?;
            let done = client.batch_execute(statement);
            client.batch_execute("rollback")?;
            match (done, expected) {
                (Ok(()), true) => {}
                (Ok(()), false) => wrong.push(format!("{role} may: {statement}")),
                (Err(failure), false)
                    if failure.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {}
                (Err(failure), _) => {
                    let said = failure
                        .as_db_error()
                        .map(|error| error.message().to_owned());
                    wrong.push(format!("{role}: {statement}: {said:?}"));
                }
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_table_is_in_the_matrix() -> anyhow::Result<()> {
    let stage = Stage::new("matrix", 1)?;
    let tables = stage.texts(
        "select format('%s.%s', schemaname, tablename) from pg_tables where schemaname in ('raw', 'ops') order by 1",
    )?;
    ensure!(tables.len() >= 9, "{tables:?}");
    for table in tables {
        let named = |right: &&Right| {
            let mut words = right
                .statement
                .split(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
            words.any(|word| word == table)
        };
        ensure!(
            RIGHTS.iter().any(|right| named(&right)),
            "{table} is not in the matrix"
        );
    }
    Ok(())
}

#[test]
fn a_role_reaches_its_own_database_alone() -> anyhow::Result<()> {
    let stage = Stage::new("databases", 1)?;
    let stranger = Stranger::new(&stage)?;
    for role in ROLES {
        for (database, allowed) in [
            (
                HERE,
                &[
                    "loader",
                    "auditor",
                    "transformer",
                    "maintainer",
                    "bi_reader",
                ][..],
            ),
            ("airflow_meta", &["airflow_meta"]),
            ("postgres", &[]),
            ("template1", &[]),
        ] {
            let name = if database == HERE {
                stage.database.as_str()
            } else {
                database
            };
            let client = log_in(role, stranger.user(role), name);
            match (client, allowed.contains(&role)) {
                (Ok(_), true) => {}
                (Ok(_), false) => bail!("{role} can connect to {name}"),
                (Err(failure), false) => {
                    let code = failure.code().cloned();
                    ensure!(
                        code == Some(SqlState::INSUFFICIENT_PRIVILEGE),
                        "{role}, {name}: {failure}"
                    );
                }
                (Err(failure), true) => {
                    return Err(failure).with_context(|| format!("{role}, {name}"));
                }
            }
        }
    }
    // a right name with a wrong password opens nothing
    let place = setting("POSTGRES_PLACE", "postgres:5432");
    let mut config: postgres::Config =
        format!("postgresql://loader@{place}/{}", stage.database).parse()?;
    let refused = config
        .password("wrong")
        .connect(NoTls)
        .err()
        .context("let in")?;
    ensure!(
        refused.code() == Some(&SqlState::INVALID_PASSWORD),
        "{refused}"
    );
    Ok(())
}

#[test]
fn a_report_is_read_only_and_does_not_run_for_ever() -> anyhow::Result<()> {
    let stage = Stage::new("reports", 1)?;
    let mut client = log_in("bi_reader", "bi_reader", &stage.database)?;
    for (name, value) in [
        ("statement_timeout", "5min"),
        ("idle_in_transaction_session_timeout", "1min"),
        ("default_transaction_read_only", "on"),
    ] {
        let is: String = client.query_one(&format!("show {name}"), &[])?.get(0);
        ensure!(is == value, "{name} is {is}");
    }
    let limit =
        stage.number("select rolconnlimit::bigint from pg_roles where rolname = 'bi_reader'")?;
    ensure!(limit == 20, "{limit} connections");
    // no login is a superuser or makes roles, and the owner is no login
    let strong = stage.texts(
        "select rolname::text from pg_roles
         where rolname in ('loader', 'auditor', 'transformer', 'maintainer', 'bi_reader', 'airflow_meta')
           and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls)
         union all select rolname::text from pg_roles where rolname = 'pipeline_owner' and (rolcanlogin or rolsuper)
         union all select r.rolname::text from pg_auth_members m join pg_roles r on r.oid = m.member
         where r.rolname in ('loader', 'auditor', 'transformer', 'maintainer', 'bi_reader', 'airflow_meta')",
    )?;
    ensure!(strong.is_empty(), "{strong:?}");
    Ok(())
}
