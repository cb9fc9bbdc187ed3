//! PostgreSQL is killed, its sessions end, its messages are lost, its rows and tables are held by
//! others: under `load` and under dbt. The next run finds out what was done, and does the rest.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};
use integration::chaos::{self, Store};
use integration::{
    Aftermath, Fault, Moment, Proxy, Running, Server, Stage, Task, setting, wait_until,
};
use postgres::Client;

/// All use the same server: one fault at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const LOADED: &str = "select count(*) from ops.load_file where status = 'loaded'";

/// Records that are sent and not loaded.
fn in_flight(stage: &Stage) -> anyhow::Result<i64> {
    let loaded = "select coalesce(sum(record_count), 0)::bigint from ops.load_file";
    Ok(stage.kafka.records(&stage.topic)? - stage.number(loaded)?)
}

/// A stage whose chain holds several files and whose tables are empty.
fn archived(name: &str) -> anyhow::Result<Stage> {
    let stage = Stage::new(name, 2)?;
    let options = [
        "--count",
        "8000",
        "--seed",
        "81",
        "--malformed-ratio",
        "0.01",
    ];
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").args(["--flush-mib", "1"]).succeed()?;
    ensure!(stage.raw_files()?.len() > 2, "several files are needed");
    Ok(stage)
}

/// `load` of the stage on one connection: the fault is to meet a certain file of it.
fn load_one_by_one(stage: &Stage) -> Task {
    stage.task("load").args(["--connections", "1"])
}

/// A proxy to PostgreSQL, and `load` of the stage through it.
fn load_through(stage: &Stage) -> anyhow::Result<(Proxy, Task)> {
    let proxy = Proxy::to(&setting("POSTGRES_PLACE", "postgres:5432"))?;
    let url = format!("postgresql://loader@{}/{}", proxy.address, stage.database);
    let load = load_one_by_one(stage).env("POSTGRES_URL", &url);
    Ok((proxy, load))
}

/// Takes the key of a raw file of partition 0 in the ledger, in the transaction that is open: who comes to the file waits.
fn take_key(other: &mut Client, stage: &Stage, path: &str) -> anyhow::Result<()> {
    let start: i64 = path
        .rsplit(['/', '.'])
        .nth(1)
        .context("no start in the name")?
        .parse()?;
    let same_key =
        "insert into ops.load_file (topic, epoch, kafka_partition, start_offset, path, status)
                    values ($1, 0, 0, $2, 'of the other', 'loaded')";
    other.execute(same_key, &[&stage.topic, &start])?;
    Ok(())
}

/// `load` through a proxy that loses a message; how many files are in the ledger then.
fn load_cut(name: &str, what: &str, moment: Moment, fault: Fault, done: i64) -> anyhow::Result<()> {
    let _alone = alone();
    let stage = archived(name)?;
    let (proxy, load) = load_through(&stage)?;
    proxy.arm(moment, fault, 1);
    let error = load.run()?.fails_with(1)?;
    ensure!(error.contains("PostgreSQL"), "unclear: {error}");
    ensure!(proxy.fired() == 1, "nothing was cut");
    let files = stage.raw_files()?.len() as i64;
    // the server may still be at work on what it was sent
    wait_until("the server has ended the session", || {
        let sessions = "select count(*) from pg_stat_activity
                        where datname = current_database() and usename = 'loader'";
        Ok(stage.number(sessions)? == 0)
    })?;
    ensure!(stage.number(LOADED)? == done, "not {done} files are loaded");
    let after = Aftermath::of(what, in_flight(&stage)?)?;
    // the next run asks the ledger
    let next = stage.task("load").succeed()?;
    ensure!(next["files"] == files - done, "{next}");
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    ensure!(stage.task("load").succeed()?["files"] == 0);
    Ok(())
}

#[test]
fn load_asks_the_ledger_about_a_commit_without_a_reply() -> anyhow::Result<()> {
    load_cut(
        "commit_reply",
        "PostgreSQL: reply to the commit lost",
        Moment::Text(b"COMMIT"),
        Fault::CutReply,
        1,
    )
}

#[test]
fn load_loads_again_what_was_not_committed() -> anyhow::Result<()> {
    load_cut(
        "commit_request",
        "PostgreSQL: request of the commit lost",
        Moment::Text(b"COMMIT"),
        Fault::CutRequest,
        0,
    )
}

#[test]
fn a_connection_lost_in_mid_copy_leaves_nothing() -> anyhow::Result<()> {
    load_cut(
        "copy_cut",
        "PostgreSQL: connection lost in mid COPY",
        Moment::Bytes(300_000),
        Fault::CutRequest,
        0,
    )
}

/// One load has a file all but committed; another comes to the same file and waits for it.
fn two_loads(name: &str, what: &str, first_commits: bool) -> anyhow::Result<()> {
    let _alone = alone();
    let stage = archived(name)?;
    let (proxy, first) = load_through(&stage)?;
    proxy.arm(Moment::Text(b"COMMIT"), Fault::Hold, 1);
    let first = first.start()?;
    wait_until("the commit is held", || Ok(proxy.fired() == 1))?;
    let second = stage.task("load").start()?;
    wait_until("the second load waits for the ledger's key", || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'
                         and query like 'insert into ops.load_file%'";
        Ok(stage.number(waiting)? == 1)
    })?;
    let after = Aftermath::of(what, stage.kafka.records(&stage.topic)?)?;
    if first_commits {
        proxy.release();
    } else {
        proxy.cut();
    }
    let (first, second) = (first.finish()?, second.finish()?);
    ensure!(second.code == Some(0), "{second:?}");
    let skipped = second.summary()?["files_loaded_by_another_run"].clone();
    if first_commits {
        ensure!(first.code == Some(0), "{first:?}");
        ensure!(
            skipped.as_i64() >= Some(1),
            "nothing was skipped: {skipped}"
        );
    } else {
        first.fails_with(1)?;
        ensure!(skipped == 0, "{skipped} files");
    }
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    Ok(())
}

#[test]
fn a_load_skips_what_another_commits_while_it_waits() -> anyhow::Result<()> {
    two_loads(
        "key_committed",
        "load: key of the ledger held, then committed",
        true,
    )
}

#[test]
fn a_load_loads_what_another_gives_up_while_it_waits() -> anyhow::Result<()> {
    two_loads(
        "key_rolled_back",
        "load: key of the ledger held, then rolled back",
        false,
    )
}

#[test]
fn a_load_that_is_chosen_in_a_deadlock_is_worth_a_retry() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = archived("deadlock")?;
    let path = stage.raw_files()?.remove(0);
    let mut other = stage.sql()?;
    // the one who looks for a deadlock gives way: not this session
    other.batch_execute(
        "set deadlock_timeout = '1h'; begin; lock table raw.log_event in exclusive mode",
    )?;
    let load = load_one_by_one(&stage).start()?;
    wait_until("the load has the key and waits for the table", || {
        let waiting = "select count(*) from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'
                         and query ilike 'copy raw.log_event%'";
        Ok(stage.number(waiting)? == 1)
    })?;
    take_key(&mut other, &stage, &path)?;
    let after = Aftermath::of("load: deadlock", stage.kafka.records(&stage.topic)?)?;
    other.batch_execute("rollback")?;
    let error = load.finish()?.fails_with(1)?;
    ensure!(error.contains("deadlock detected"), "{error}");
    stage.task("load").succeed()?;
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    Ok(())
}

/// PostgreSQL ends a session with an error of its own, or the connection is just gone.
fn says_who_ended_it(error: &str) -> anyhow::Result<()> {
    ensure!(
        error.contains("PostgreSQL") || error.contains("administrator"),
        "unclear: {error}"
    );
    Ok(())
}

#[test]
fn beside_a_file_that_waits_and_fails_the_others_are_loaded() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = archived("side_by_side")?;
    let files = stage.raw_files()?;
    let mut other = stage.sql()?;
    other.batch_execute("begin")?;
    take_key(&mut other, &stage, &files[0])?;
    let load = stage.task("load").start()?;
    wait_until("the other connection has loaded all others", || {
        Ok(stage.number(LOADED)? == files.len() as i64 - 1)
    })?;
    let ended = "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
                 where datname = current_database() and wait_event_type = 'Lock'
                     and query like 'insert into ops.load_file%'";
    ensure!(stage.number(ended)? == 1, "no session to end");
    let error = load.finish()?.fails_with(1)?;
    says_who_ended_it(&error)?;
    let after = Aftermath::of("load: one of two connections ended", in_flight(&stage)?)?;
    other.batch_execute("rollback")?;
    ensure!(stage.task("load").succeed()?["files"] == 1);
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    Ok(())
}

/// A stage with files to load, and a load that is held in the midst of a COPY.
fn in_mid_copy(name: &str) -> anyhow::Result<(Stage, Proxy, Running)> {
    let stage = Stage::new(name, 2)?;
    let options = [
        "--count",
        "12000",
        "--seed",
        "93",
        "--malformed-ratio",
        "0.01",
    ];
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").args(["--flush-mib", "2"]).succeed()?;
    let (proxy, load) = load_through(&stage)?;
    proxy.arm(Moment::Bytes(700_000), Fault::Hold, 1);
    let load = load.start()?;
    wait_until("the load is in mid COPY", || {
        let copied = "select coalesce(sum(tuples_processed), 0)::bigint
                      from pg_stat_progress_copy where datname = current_database()";
        Ok(stage.number(copied)? > 0 && proxy.fired() == 1)
    })?;
    Ok((stage, proxy, load))
}

#[test]
fn a_postgres_that_is_killed_in_mid_copy_has_each_record_once() -> anyhow::Result<()> {
    let _alone = alone();
    let (stage, proxy, load) = in_mid_copy("postgres_killed")?;
    let on_their_way = in_flight(&stage)?;
    let server = Server::of("postgres")?;
    let killed = server.kill()?;
    proxy.cut();
    let error = load.finish()?.fails_with(1)?;
    ensure!(error.contains("PostgreSQL"), "unclear: {error}");
    // and a load that finds nobody
    let error = stage.task("load").run()?.fails_with(1)?;
    ensure!(
        error.contains("cannot connect to PostgreSQL"),
        "unclear: {error}"
    );
    drop(killed);
    server.wait_until_healthy()?;
    let after = Aftermath::of("PostgreSQL: killed in mid COPY", on_their_way)?;
    stage.task("load").succeed()?;
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    Ok(())
}

#[test]
fn a_session_that_is_ended_in_mid_copy_leaves_nothing() -> anyhow::Result<()> {
    let _alone = alone();
    let (stage, proxy, load) = in_mid_copy("terminated")?;
    let on_their_way = in_flight(&stage)?;
    let ended = "select count(*) filter (where pg_terminate_backend(pid))
                 from pg_stat_progress_copy where datname = current_database()";
    ensure!(stage.number(ended)? == 1, "no session to end");
    wait_until("the session is gone", || {
        let sessions =
            "select count(*) from pg_stat_progress_copy where datname = current_database()";
        Ok(stage.number(sessions)? == 0)
    })?;
    proxy.release();
    let error = load.finish()?.fails_with(1)?;
    says_who_ended_it(&error)?;
    let after = Aftermath::of("PostgreSQL: session ended in mid COPY", on_their_way)?;
    stage.task("load").succeed()?;
    after.settle(&stage, &[Store::Chain, Store::Postgres])?;
    Ok(())
}

/// A stage whose raw tables hold events that are not in the star.
fn loaded(name: &str) -> anyhow::Result<Stage> {
    let stage = Stage::new(name, 2)?;
    more(&stage, "94")?;
    Ok(stage)
}

fn more(stage: &Stage, seed: &str) -> anyhow::Result<()> {
    let options = [
        "--count",
        "3000",
        "--seed",
        seed,
        "--duplicate-ratio",
        "0.05",
    ];
    stage.task("produce").args(options).succeed()?;
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    Ok(())
}

#[test]
fn a_postgres_that_is_killed_under_dbt_is_repaired_by_the_next_run() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = loaded("dbt_killed")?;
    let records = stage.kafka.records(&stage.topic)?;
    let mut dbt = stage.dbt().start()?;
    wait_until("dbt builds models", || {
        ensure!(dbt.is_running()?, "dbt has ended already");
        let built = "select count(*) from pg_tables where schemaname in ('intermediate', 'marts')";
        Ok(stage.number(built)? > 1)
    })?;
    let server = Server::of("postgres")?;
    let killed = server.kill()?;
    let ended = dbt.finish()?;
    drop(killed);
    server.wait_until_healthy()?;
    ended.fails_with(1)?;
    let after = Aftermath::of("PostgreSQL: killed under dbt", records)?;
    stage.dbt().succeed()?;
    after.settle(&stage, &[Store::Postgres, Store::Star])?;
    Ok(())
}

#[test]
fn a_report_that_holds_a_table_delays_nothing_not_even_a_rebuild() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = loaded("reader")?;
    stage.dbt().succeed()?;
    more(&stage, "95")?;
    let records = stage.kafka.records(&stage.topic)?;
    let mut reader = stage.sql()?;
    reader
        .batch_execute("begin; set local role bi_reader; select count(*) from marts.fact_order")?;
    // what a run adds, it adds beside a reader; and what it builds anew, too
    stage.dbt().succeed()?;
    chaos::compare(&stage, &[Store::Star])?.assert_equal()?;
    stage.dbt().args(["--full-refresh"]).succeed()?;
    chaos::compare(&stage, &[Store::Star])?.assert_equal()?;
    reader.batch_execute("rollback")?;

    // a lock that does stand in its way, of somebody who alters a table, holds it up for no longer than this
    reader.batch_execute(&format!(
        "alter role transformer in database {} set lock_timeout = '1s'",
        stage.database
    ))?;
    reader.batch_execute("begin; lock table marts.fact_order in access exclusive mode")?;
    let error = stage.dbt().run()?.fails_with(1)?;
    ensure!(error.contains("lock timeout"), "unclear: {error}");
    reader.batch_execute("rollback")?;
    let after = Aftermath::of("PostgreSQL: a lock on a table that dbt writes", records)?;
    stage.dbt().succeed()?;
    after.settle(&stage, &[Store::Postgres, Store::Star])?;
    Ok(())
}

/// Foreign keys of a table that is made lock the dimensions until it is filled, which takes as long as there is history.
#[test]
fn a_table_that_is_made_waits_for_another_that_is_being_made() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = loaded("maker")?;
    stage.dbt().succeed()?;
    let mut other = stage.sql()?;
    other.batch_execute(&format!(
        "alter role transformer in database {} set lock_timeout = '1s';
         drop table marts.fact_session;
         begin; lock table marts.dim_user in share row exclusive mode",
        stage.database
    ))?;
    // that model alone: a dimension is written, and would wait for the lock itself
    let build = ["run", "--select", "fact_session"];
    let mut dbt = stage.dbt_command(&build).start()?;
    let waiting = format!(
        "select count(*) from pg_stat_activity
         where datname = '{}' and usename = 'transformer' and wait_event_type = 'Lock'
             and clock_timestamp() - query_start > interval '2 seconds'",
        stage.database
    );
    wait_until("dbt waits for longer than the timeout", || {
        ensure!(dbt.is_running()?, "dbt has ended already");
        Ok(stage.number(&waiting)? > 0)
    })?;
    other.batch_execute("rollback")?;
    let finished = dbt.finish()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    chaos::compare(&stage, &[Store::Star])?.assert_equal()?;
    ensure!(stage.number("select count(*) from marts.fact_session")? > 0);
    Ok(())
}
