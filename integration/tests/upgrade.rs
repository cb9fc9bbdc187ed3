//! Tables of an earlier release become those of this one, with what is in them; and whoever meets tables of another
//! version says so.

use anyhow::{Context, ensure};
use integration::{Stage, Task, image, network, password};
use postgres::Client;
use serde_json::{Value, json};

const FIRST_RELEASE: &str = include_str!("upgrade/postgres_1.sql");

/// A second database beside the stage's own. Gone when dropped.
struct Old<'a> {
    stage: &'a Stage,
    name: String,
}

impl<'a> Old<'a> {
    /// As the first release left it: one file is loaded.
    fn new(stage: &'a Stage) -> anyhow::Result<Old<'a>> {
        let name = format!("{}_old", stage.database);
        stage
            .sql()?
            .batch_execute(&format!("create database {name}"))?;
        let old = Old { stage, name };
        old.sql()?.batch_execute(FIRST_RELEASE)?;
        old.sql()?.batch_execute(
            "insert into ops.load_file (topic, epoch, kafka_partition, start_offset, next_offset, path,
                 file_bytes, record_count, event_count, reject_count, status)
             values ('of_the_first_release', 0, 0, 0, 2, '/raw/of_the_first_release/0/0', 100, 2, 1, 1, 'loaded');
             insert into raw.log_event (load_id, kafka_partition, kafka_offset, kafka_time, event_id,
                 event_time, level, service, event_type, user_id, session_id)
             values (1, 0, 0, '2026-01-01Z', 'first', '2026-01-01Z', 'INFO', 'web', 'search', 'u1', 's1');
             insert into raw.reject values (1, 0, 1, '2026-01-01Z', 'not_json', null, null, 'x')",
        )?;
        Ok(old)
    }

    fn sql(&self) -> anyhow::Result<Client> {
        self.stage.sql_in(&self.name)
    }

    /// A task that is to use this database.
    fn task(&self, name: &str) -> Task {
        let url = format!("postgresql://loader@postgres:5432/{}", self.name);
        self.stage.task(name).env("POSTGRES_URL", &url)
    }

    fn dbt(&self) -> Task {
        let database = format!("POSTGRES_DB={}", self.name);
        Task::new("docker")
            .args(["run", "--rm", "--network", &network()])
            .args(["--env", "TRANSFORMER_PASSWORD", "--env", &database])
            .args([image("dbt").as_str()])
            .env("TRANSFORMER_PASSWORD", &password("TRANSFORMER_PASSWORD"))
    }
}

impl Drop for Old<'_> {
    fn drop(&mut self) {
        let statement = format!("drop database {} with (force)", self.name);
        let dropped = self
            .stage
            .sql()
            .map(|mut sql| sql.batch_execute(&statement));
        if !matches!(dropped, Ok(Ok(()))) {
            eprintln!("{} is left behind: {dropped:?}", self.name);
        }
    }
}

/// Everything that the script makes, as lines: what a task could tell two databases apart by.
fn anatomy(sql: &mut Client) -> anyhow::Result<Vec<String>> {
    let schemas =
        "('raw', 'ops', 'staging', 'intermediate', 'marts', 'snapshots', 'test_failures')";
    let queries = [
        format!(
            "select 'column ' || table_schema || '.' || table_name || '.' || concat_ws(' ', column_name, data_type, is_nullable,
                 column_default, is_identity)
             from information_schema.columns where table_schema in {schemas}"
        ),
        format!("select 'index ' || indexdef from pg_indexes where schemaname in {schemas}"),
        format!(
            "select 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(pg_constraint.oid)
             from pg_constraint join pg_namespace on pg_namespace.oid = connamespace where nspname in {schemas}"
        ),
        format!(
            "select 'function ' || pg_proc.oid::regprocedure || ' ' || pg_get_functiondef(pg_proc.oid)
             from pg_proc join pg_namespace on pg_namespace.oid = pronamespace where nspname in {schemas}"
        ),
        format!(
            "select 'owner ' || relkind::text || ' ' || pg_class.oid::regclass || ' ' || relowner::regrole || ' ' || coalesce(reloptions::text, '')
             from pg_class join pg_namespace on pg_namespace.oid = relnamespace where nspname in {schemas}"
        ),
        format!(
            "select 'grant ' || pg_class.oid::regclass || ' ' || privilege_type || ' ' || grantee::regrole
             from pg_class join pg_namespace on pg_namespace.oid = relnamespace, aclexplode(relacl) where nspname in {schemas}"
        ),
        format!(
            "select 'column grant ' || concat_ws(' ', table_schema, table_name, column_name, privilege_type, grantee)
             from information_schema.role_column_grants where table_schema in {schemas}"
        ),
        format!(
            "select 'schema ' || nspname || ' ' || nspowner::regrole || ' ' || acl.privilege_type || ' ' || acl.grantee
             from pg_namespace, aclexplode(nspacl) as acl where nspname in {schemas}"
        ),
        format!(
            "select 'comment ' || pg_class.oid::regclass || ' ' || objsubid || ' ' || description
             from pg_description join pg_class on pg_class.oid = objoid and classoid = 'pg_class'::regclass
             join pg_namespace on pg_namespace.oid = relnamespace where nspname in {schemas}"
        ),
    ];
    let mut lines = Vec::new();
    for query in &queries {
        let rows = sql.query(query, &[]).with_context(|| query.clone())?;
        ensure!(!rows.is_empty(), "nothing is found by {query}");
        lines.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    lines.sort();
    Ok(lines)
}

#[test]
fn tables_of_the_first_release_become_those_of_this_one() -> anyhow::Result<()> {
    let stage = Stage::new("upgrade", 1)?;
    let old = Old::new(&stage)?;
    stage
        .task("produce")
        .args(["--count", "300", "--seed", "41"])
        .succeed()?;
    stage.task("archive").succeed()?;

    // a new task on old tables changes nothing
    let error = old.task("load").run()?.fails_with(2)?;
    ensure!(error.contains("postgres_setup.sql"), "{error}");
    let error = old.dbt().run()?.fails_with(2)?;
    ensure!(error.contains("postgres_setup.sql"), "{error}");

    // as often as one likes
    stage.set_up(&old.name)?;
    let (made, mut upgraded) = (anatomy(&mut stage.sql()?)?, old.sql()?);
    ensure!(made.len() > 200, "{} lines", made.len());
    for again in [false, true] {
        if again {
            stage.set_up(&old.name)?;
        }
        let found = anatomy(&mut upgraded)?;
        let missing: Vec<&String> = made.iter().filter(|line| !found.contains(line)).collect();
        let odd: Vec<&String> = found.iter().filter(|line| !made.contains(line)).collect();
        ensure!(
            missing.is_empty() && odd.is_empty(),
            "missing {missing:#?}, odd {odd:#?}"
        );
    }
    let versions = "select array_agg(version order by version) from ops.schema_version";
    let versions: Vec<i32> = upgraded.query_one(versions, &[])?.get(0);
    ensure!(
        versions.first() == Some(&1) && versions.len() > 1,
        "{versions:?}"
    );

    // what was there is there, and goes on into the star
    ensure!(old.task("load").succeed()?["events"] == 300);
    old.dbt().succeed()?;
    let count =
        |sql: &mut Client, query: &str| anyhow::Ok(sql.query_one(query, &[])?.get::<_, i64>(0));
    ensure!(count(&mut upgraded, "select count(*) from raw.reject")? == 1);
    ensure!(count(&mut upgraded, "select count(*) from marts.fact_event")? == 301);
    ensure!(
        count(
            &mut upgraded,
            "select count(*) from marts.fact_event where event_id = 'first'"
        )? == 1
    );
    Ok(())
}

#[test]
fn tables_of_a_later_release_are_left_alone_by_the_script_and_used_by_tasks() -> anyhow::Result<()>
{
    let stage = Stage::new("later", 1)?;
    let mut sql = stage.sql()?;
    sql.batch_execute(
        "insert into ops.schema_version (version, description) values (1000, 'of a later release');
         comment on table raw.reject is 'as a later release has it'",
    )?;
    stage.set_up(&stage.database)?;
    let kept = "select obj_description('raw.reject'::regclass)";
    let kept: String = sql.query_one(kept, &[])?.get(0);
    ensure!(kept == "as a later release has it", "{kept}");

    // after a release that is taken back: what a later version adds, earlier tasks do not name
    stage
        .task("produce")
        .args(["--count", "100", "--seed", "42"])
        .succeed()?;
    stage.task("archive").succeed()?;
    ensure!(stage.task("load").succeed()?["events"] == 100);
    Ok(())
}

#[test]
fn a_column_that_cassandra_lacks_asks_for_a_person_and_is_added_under_what_is_there()
-> anyhow::Result<()> {
    let stage = Stage::new("upgrade_cql", 1)?;
    let cassandra = stage.cassandra()?;
    let produce = |seed: &str| {
        let options = ["--count", "200", "--seed", seed];
        stage.task("produce").args(options).succeed()
    };
    let streamed = || stage.task("stream").run();
    produce("43")?;
    ensure!(streamed()?.code == Some(0));
    let content = cassandra.content()?;
    // the script again, on tables with rows
    cassandra.apply_setup()?;
    ensure!(
        cassandra.content()? == content,
        "the script changed something"
    );

    // tables of a release that did not know this column
    cassandra.execute(&cassandra.here("ALTER TABLE logs.ecomm_log DROP details_query"))?;
    produce("44")?;
    let error = streamed()?.fails_with(2)?;
    ensure!(error.contains("setup_cassandra.sh"), "{error}");
    // the line that a release adds to the script, which may run again and again
    let line = cassandra.here("ALTER TABLE logs.ecomm_log ADD IF NOT EXISTS details_query text");
    cassandra.execute(&line)?;
    cassandra.execute(&line)?;
    let finished = streamed()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    let rows = cassandra.lines("SELECT event_id, details_query FROM logs.ecomm_log")?;
    ensure!(rows.len() == 400, "{} rows", rows.len());
    let searches = cassandra
        .lines("SELECT event_id FROM logs.ecomm_log WHERE event_type = 'search' ALLOW FILTERING")?;
    let queries = rows.iter().filter(|row| !row.contains("null")).count();
    ensure!(
        0 < queries && queries < searches.len(),
        "{queries} of {}",
        searches.len()
    );
    Ok(())
}

/// docs/schema-changes.md: senders of four kinds at once, as in the days of a change.
#[test]
fn senders_that_add_rename_or_retype_a_field_lose_no_record() -> anyhow::Result<()> {
    let stage = Stage::new("fields", 1)?;
    let made = Task::new("produce")
        .args(["--stdout", "--count", "400", "--seed", "45"])
        .run()?;
    ensure!(made.code == Some(0), "{made:?}");
    let mut sent = Vec::new();
    for (number, line) in made
        .stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .enumerate()
    {
        let mut event: Value = serde_json::from_str(line)?;
        if event.get("event_type").is_none() {
            continue; // the summary
        }
        match number % 4 {
            1 => event["loyalty_tier"] = json!("gold"),
            2 => {
                let fields = event.as_object_mut().context("no object")?;
                let session = fields.remove("session_id").context("no session_id")?;
                fields.insert("session".to_owned(), session);
            }
            3 => event["session_duration"] = json!(event["session_duration"].to_string()),
            _ => {}
        }
        sent.push(event.to_string().into_bytes());
    }
    ensure!(sent.len() == 400, "{} events", sent.len());
    let records: Vec<Option<&[u8]>> = sent.iter().map(|record| Some(&record[..])).collect();
    stage.kafka.send(&stage.topic, 0, &records)?;
    stage.task("archive").succeed()?;
    let loaded = stage.task("load").succeed()?;
    ensure!(
        loaded["events"] == 200 && loaded["rejects"] == 200,
        "{loaded}"
    );

    // raw files have everything as sent, the new field too
    let kept: Vec<Option<Vec<u8>>> = stage
        .chain_records()?
        .into_iter()
        .map(|(_, _, value)| value)
        .collect();
    ensure!(
        kept.iter().flatten().eq(sent.iter()),
        "raw files differ from what was sent"
    );
    // what breaks the contract says where, and is kept to be healed by a parser that takes it
    let rejects = stage.sql()?.query(
        "select reason, field, payload, kafka_offset from raw.reject order by kafka_offset",
        &[],
    )?;
    for reject in &rejects {
        let (reason, field): (String, Option<String>) = (reject.get(0), reject.get(1));
        let (payload, offset): (Vec<u8>, i64) = (reject.get(2), reject.get(3));
        let expected = match offset % 4 {
            2 => ("missing_field", "session_id"),
            3 => ("wrong_type", "session_duration"),
            _ => anyhow::bail!("{offset} is rejected: {reason}"),
        };
        ensure!(
            (&reason[..], field.as_deref()) == (expected.0, Some(expected.1)),
            "{offset}: {reason} {field:?}"
        );
        ensure!(payload == sent[offset as usize], "{offset}: other bytes");
    }
    Ok(())
}
