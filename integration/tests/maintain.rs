//! Upkeep deletes what was replaced, and nothing that anybody reads; packed raw files are what they were.

use anyhow::{Context, ensure};
use chain::Raw;
use integration::{Stage, Task};
use postgres::NoTls;
use serde_json::Value;

/// Verdicts of three places, in days ago: replaced long ago, replaced just now, never replaced.
const VERDICTS: &str = "
insert into ops.audit_run (run_id, ended_at, topic, stores, is_full, files, records, pending, differences)
select run_id, now() - make_interval(days => days), 'shop', 'kafka', false, 1, 1, 0, 0
from (values (1, 400), (2, 200), (3, 100), (4, 95)) as run (run_id, days);

insert into ops.audit (
    run_id, audited_at, topic, epoch, kafka_partition, start_offset, next_offset, store, state,
    expected, found, rejects, duplicates, digest_expected, digest_found
)
select run_id, now() - make_interval(days => days), 'shop', 0, 0, start_offset, start_offset + 10, store, state,
    10, 10, 0, 0, 7, 7
from (values
    (1, 400, 0, 'kafka', 'pending'), (2, 200, 0, 'kafka', 'ok'),
    (1, 400, 10, 'kafka', 'different'), (3, 100, 10, 'kafka', 'pending'), (4, 1, 10, 'kafka', 'ok'),
    (1, 400, 20, 'kafka', 'pending'), (2, 30, 20, 'kafka', 'pending'), (4, 1, 20, 'kafka', 'ok')
) as verdict (run_id, days, start_offset, store, state);";

#[test]
fn replaced_verdicts_go_and_the_newest_of_each_place_stay() -> anyhow::Result<()> {
    let stage = Stage::new("maintain", 1)?;
    stage.sql()?.batch_execute(VERDICTS)?;
    let latest = stage.digest("ops.audit_latest")?;
    let maintain = |days: &str| stage.task("maintain").args(["--keep-audit-days", days]);

    let dry = maintain("90").args(["--dry-run"]).succeed()?;
    ensure!(
        dry["verdicts_deleted"] == 4 && dry["audit_runs_deleted"] == 2,
        "{dry}"
    );
    ensure!(stage.number("select count(*) from ops.audit")? == 8);
    ensure!(stage.number("select count(*) from ops.audit_run")? == 4);

    let done = maintain("90").succeed()?;
    ensure!(done["verdicts_deleted"] == 4, "{done}");
    // run 1 has no verdict left, run 3 neither; 2 has, and 4 is the newest
    ensure!(done["audit_runs_deleted"] == 2, "{done}");
    ensure!(stage.digest("ops.audit_latest")? == latest);
    // one that was replaced, but not long ago
    ensure!(stage.number("select count(*) from ops.audit where state = 'pending'")? == 1);
    let again = maintain("90").succeed()?;
    ensure!(
        again["verdicts_deleted"] == 0 && again["audit_runs_deleted"] == 0,
        "{again}"
    );

    let error = maintain("3").run()?.fails_with(2)?;
    ensure!(error.contains("--keep-audit-days"), "{error}");
    Ok(())
}

#[test]
fn statistics_are_brought_up_to_date() -> anyhow::Result<()> {
    let stage = Stage::new("statistics", 1)?;
    let analyzed = "select count(*) from pg_stat_user_tables
                    where schemaname in ('raw', 'ops') and last_analyze is null";
    ensure!(stage.number(analyzed)? >= 8);
    let done = stage.task("maintain").succeed()?;
    ensure!(done["tables_refreshed"].as_u64() >= Some(8), "{done}");
    ensure!(stage.number(analyzed)? == 0, "{done}");
    Ok(())
}

#[test]
fn its_role_may_do_nothing_else() -> anyhow::Result<()> {
    let stage = Stage::new("maintainer", 1)?;
    let place = integration::setting("POSTGRES_PLACE", "postgres:5432");
    let mut config: postgres::Config =
        format!("postgresql://maintainer@{place}/{}", stage.database).parse()?;
    config.password(integration::password("MAINTAINER_PASSWORD"));
    let mut maintainer = config.connect(NoTls)?;
    for statement in [
        "delete from ops.audit",
        "select count(*) from ops.audit",
        "select count(*) from raw.log_event",
        "delete from ops.load_file",
        "select ops.begin_reload(1)",
        "select ops.forget_topic('shop')",
        "truncate ops.audit_run",
        "create table ops.mine ()",
        "select ops.prune_audit(6)",
        "select ops.refresh_statistics('pg_catalog.pg_class')",
        "select ops.refresh_statistics('raw.log_event; drop table raw.reject')",
    ] {
        ensure!(maintainer.batch_execute(statement).is_err(), "{statement}");
    }
    maintainer.batch_execute("select ops.refresh_statistics('raw.log_event')")?;
    Ok(())
}

/// Every task reads raw files in a pack as it reads others: nothing is lost, nothing comes twice.
#[test]
fn packed_raw_files_are_what_they_were() -> anyhow::Result<()> {
    let stage = Stage::new("compaction", 1)?;
    let _cassandra = stage.cassandra()?;
    let count = |task: Task, field: &str| -> anyhow::Result<i64> {
        let summary = task.succeed()?;
        summary[field]
            .as_i64()
            .with_context(|| format!("no {field} in {summary}"))
    };
    // 14 files: 6 to pack, since the newest 8 stay
    for seed in 1..=14 {
        let seed = seed.to_string();
        let produce = stage
            .task("produce")
            .args(["--count", "50", "--seed", &seed]);
        produce.args(["--malformed-ratio", "0.1"]).succeed()?;
        stage.task("archive").succeed()?;
    }
    let all = stage.kafka.records(&stage.topic)?;
    ensure!(count(stage.task("stream"), "records")? == all);
    let inspect = || -> anyhow::Result<Value> {
        let mut summary = stage.task("archive").args(["--inspect"]).succeed()?;
        Ok(summary["chains"].take())
    };
    let (before, paths) = (inspect()?, stage.raw_files()?);
    let files = paths.len();
    let records = stage.chain_records()?;
    ensure!(files == 14 && records.len() as i64 == all, "{files} files");
    // the sixth is loaded from the pack, those before from files of their own
    let sixth = Raw::new(&stage.raw_root).parse(&paths[5]);
    let end = sixth.context("a raw file")?.start.to_string();
    let first_five = ["--partition", "0", "--to-offset", &end];
    ensure!(count(stage.task("load").args(first_five), "files")? == 5);
    ensure!(count(stage.task("audit"), "files")? == 14);

    let maintain = || stage.task("maintain").args(["--pack-files", "6"]);
    ensure!(count(maintain(), "files_packed")? == 0);
    stage.age_raw_files(8)?;
    let dry = maintain().args(["--dry-run"]).succeed()?;
    ensure!(dry["files_packed"] == 6, "{dry}");
    ensure!(stage.raw_files()?.len() == files);
    // killed when the pack is there and its files are too
    let killed = maintain().failing("archive.after_rename=return").run()?;
    killed.ended_at("archive.after_rename")?;
    ensure!(stage.raw_files()?.len() == files + 1);
    ensure!(inspect()? == before);
    let done = maintain().succeed()?;
    ensure!(
        done["files_packed"] == 0 && done["files_deleted"] == 6,
        "{done}"
    );
    ensure!(stage.raw_files()?.len() == files - 6 + 1);

    // whoever reads the chain finds what was there
    ensure!(inspect()? == before);
    ensure!(stage.chain_records()? == records);
    ensure!(count(stage.task("load"), "files")? == 9);
    let ledger = "select sum(record_count)::bigint from ops.load_file where status = 'loaded'";
    ensure!(stage.number(ledger)? == all);
    ensure!(count(stage.task("load"), "files")? == 0);
    let anew = stage.task("load").args(["--reload", "--partition", "0"]);
    ensure!(count(anew, "files")? == 14);
    ensure!(stage.number(ledger)? == all);
    stage.dbt().succeed()?;
    ensure!(count(stage.task("audit").args(["--full"]), "records")? == all);
    ensure!(count(stage.task("stream").args(["--from-chain"]), "records")? == all);
    let produced = stage
        .task("produce")
        .args(["--count", "50", "--seed", "15"]);
    produced.succeed()?;
    ensure!(count(stage.task("archive"), "records")? == 50);
    ensure!(count(stage.task("load"), "records")? == 50);
    stage.task("stream").succeed()?;
    stage.dbt().succeed()?;
    ensure!(count(stage.task("audit").args(["--full"]), "differences")? == 0);
    Ok(())
}
