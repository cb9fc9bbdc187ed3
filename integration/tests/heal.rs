//! What was refused is taken once the parser takes it, what was lost is built again from the raw
//! files, and neither loses a record nor brings one twice.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use integration::{Cassandra, Stage, wait_until};
use serde_json::Value;

const NOISE: [&str; 6] = [
    "--duplicate-ratio",
    "0.03",
    "--late-ratio",
    "0.02",
    "--malformed-ratio",
    "0.01",
];

fn produce(stage: &Stage, count: &str, seed: &str) -> anyhow::Result<Value> {
    stage
        .task("produce")
        .args(["--count", count, "--seed", seed])
        .args(NOISE)
        .succeed()
}

/// Runs `stream`; gives its summary. A write that a busy Cassandra keeps waiting is warned of and
/// tried again: what counts here is what the tables hold in the end.
fn streamed(stage: &Stage, words: &[&str]) -> anyhow::Result<Value> {
    let ended = stage.task("stream").args(words.iter().copied()).run()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ended.summary()
}

/// A stage whose chain is loaded and built into the star.
fn built(name: &str, events: &str) -> anyhow::Result<Stage> {
    let stage = Stage::new(name, 3)?;
    produce(&stage, events, "7")?;
    stage.task("archive").args(["--flush-mib", "1"]).succeed()?;
    stage.task("load").succeed()?;
    Ok(stage)
}

/// Tables of raw without what a second load gives anew, and the star.
const CONTENTS: [(&str, &str); 6] = [
    (
        "events",
        "(select (to_jsonb(log_event) - 'load_id')::text as content from raw.log_event)",
    ),
    (
        "rejects",
        "(select (to_jsonb(reject) - 'load_id')::text as content from raw.reject)",
    ),
    (
        "ledger",
        "(select (to_jsonb(load_file) - 'load_id' - 'loaded_at')::text as content from ops.load_file)",
    ),
    ("fact_event", "marts.fact_event"),
    ("fact_order", "marts.fact_order"),
    ("dim_user", "marts.dim_user"),
];

/// Count and digest of each.
fn contents(stage: &Stage) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let digest = |(name, table): &(&'static str, &str)| Ok((*name, stage.digest(table)?));
    CONTENTS.iter().map(digest).collect()
}

/// Rows and rejects of each file are its records, in the ledger and in the tables.
fn assert_ledger_agrees(stage: &Stage) -> anyhow::Result<()> {
    let query = "select count(*) from ops.load_file
         where record_count != event_count + reject_count
             or event_count != (select count(*) from raw.log_event where log_event.load_id = load_file.load_id)
             or reject_count != (select count(*) from raw.reject where reject.load_id = load_file.load_id)";
    ensure!(
        stage.number(query)? == 0,
        "the ledger does not count what is there"
    );
    let strays = "select count(*) from (
             select load_id from raw.log_event union all select load_id from raw.reject
         ) as row_of where load_id not in (select load_id from ops.load_file)";
    ensure!(stage.number(strays)? == 0, "rows of no load");
    Ok(())
}

/// Makes events look as an older parser would have left them: rejects, and the ledger says so.
/// Every `nth` event becomes one; gives how many.
fn reject_as_an_older_parser(stage: &Stage, nth: i64) -> anyhow::Result<i64> {
    let (mut partitions, mut offsets, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
    for (partition, offset, payload) in stage.chain_records()? {
        if offset % nth == 0 {
            partitions.push(partition);
            offsets.push(offset);
            payloads.push(payload);
        }
    }
    let mut sql = stage.sql()?;
    let mut transaction = sql.transaction()?;
    // half of them for one reason, half for another
    let refused = transaction.execute(
        "with taken as (
             delete from raw.log_event where kafka_offset % $1 = 0
             returning load_id, kafka_partition, kafka_offset, kafka_time
         )
         insert into raw.reject
             (load_id, kafka_partition, kafka_offset, kafka_time, reason, field, payload)
         select load_id, kafka_partition, kafka_offset, kafka_time,
             case when kafka_offset % (2 * $1) = 0 then 'wrong_type' else 'unknown_event_type' end,
             'made_up', record.payload
         from taken
         join unnest($2::int[], $3::bigint[], $4::bytea[])
             as record (kafka_partition, kafka_offset, payload)
             using (kafka_partition, kafka_offset)",
        &[&nth, &partitions, &offsets, &payloads],
    )?;
    transaction.execute(
        "update ops.load_file
         set event_count = (select count(*) from raw.log_event as row_of where row_of.load_id = load_file.load_id),
             reject_count = (select count(*) from raw.reject as row_of where row_of.load_id = load_file.load_id)",
        &[],
    )?;
    transaction.commit()?;
    assert_ledger_agrees(stage)?;
    Ok(refused as i64)
}

fn rejects(stage: &Stage) -> anyhow::Result<i64> {
    stage.number("select count(*) from raw.reject")
}

/// Rejects that are there whatever the parser; then some that this parser takes.
#[test]
fn rejects_that_the_parser_takes_now_are_healed_once() -> anyhow::Result<()> {
    let stage = built("heal", "12000")?;
    let (raw_before, true_rejects) = (contents_of_raw(&stage)?, rejects(&stage)?);
    ensure!(true_rejects > 0, "nothing that stays a reject");
    let refused = reject_as_an_older_parser(&stage, 7)?;
    ensure!(refused > 1_000, "only {refused} are to be healed");
    stage.dbt().succeed()?;
    let built_without = stage.number("select count(*) from marts.fact_event")?;

    // by reason, by partition, and by a time before everything
    let replay = |words: &[&str]| {
        let task = stage.task("load").args(["--replay-rejects"]);
        task.args(words.iter().copied()).succeed()
    };
    let nothing = replay(&["--until", "2020-01-01"])?;
    ensure!(
        nothing["read"] == 0 && nothing["healed"] == 0,
        "{nothing} of a time before everything"
    );
    let wanted = "select count(*) from raw.reject
                  where field = 'made_up' and reason = 'wrong_type' and kafka_partition = 1";
    let wanted = stage.number(wanted)?;
    let part = replay(&["--reason", "wrong_type", "--partition", "1"])?;
    ensure!(
        wanted > 0 && part["healed"] == wanted,
        "{part}, not {wanted}"
    );
    ensure!(rejects(&stage)? == true_rejects + refused - wanted);
    assert_ledger_agrees(&stage)?;

    // the rest by two at once
    let two = [
        stage.task("load").args(["--replay-rejects"]).start()?,
        stage.task("load").args(["--replay-rejects"]).start()?,
    ];
    let mut healed = wanted;
    for replay in two {
        let ended = replay.finish()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        healed += ended.summary()?["healed"].as_i64().context("healed")?;
    }
    ensure!(healed == refused, "{healed} healed of {refused}");
    ensure!(
        contents_of_raw(&stage)? == raw_before,
        "raw is not what a load with this parser makes of the files"
    );
    assert_ledger_agrees(&stage)?;
    let history = "select count(*) from ops.healed_reject where field = 'made_up'";
    ensure!(
        stage.number(history)? == refused,
        "what was healed is not kept"
    );

    let again = replay(&[])?;
    ensure!(
        again["healed"] == 0 && again["still_rejected"] == true_rejects,
        "{again}"
    );
    ensure!(again["reasons_changed"] == 0, "{again}");

    // the star takes them up, by a run like any other, and the next finds nothing
    stage.dbt().succeed()?;
    let distinct = stage.number("select count(distinct event_id) from raw.log_event")?;
    ensure!(
        distinct > built_without,
        "nothing was missing from the star"
    );
    ensure!(
        stage.number("select count(*) from marts.fact_event")? == distinct,
        "the star does not hold each event once"
    );
    let star = contents(&stage)?;
    let unbuilt = "select count(*) from ops.replay
                   where replay_id not in (select load_id from intermediate.int_built_load)";
    ensure!(
        stage.number(unbuilt)? == 0,
        "a replay is not noted as built"
    );
    stage.dbt().succeed()?;
    ensure!(
        contents(&stage)? == star,
        "a run without news changed the star"
    );
    stage.dbt().args(["--full-refresh"]).succeed()?;
    ensure!(
        contents(&stage)? == star,
        "a full refresh gives another star"
    );
    Ok(())
}

fn contents_of_raw(stage: &Stage) -> anyhow::Result<Vec<String>> {
    CONTENTS[..3]
        .iter()
        .map(|(_, table)| stage.digest(table))
        .collect()
}

/// What is refused for something else now says so, and nothing else of it changes.
#[test]
fn a_reject_that_stays_one_gets_its_reason_of_today() -> anyhow::Result<()> {
    let stage = built("heal_reason", "6000")?;
    let before = contents_of_raw(&stage)?;
    let all = rejects(&stage)?;
    stage.sql()?.execute(
        "update raw.reject set reason = 'tombstone', field = 'made_up'",
        &[],
    )?;
    ensure!(contents_of_raw(&stage)? != before, "nothing to mend");
    let replayed = stage.task("load").args(["--replay-rejects"]).succeed()?;
    ensure!(
        all > 0 && replayed["reasons_changed"] == all && replayed["healed"] == 0,
        "{replayed}"
    );
    ensure!(contents_of_raw(&stage)? == before, "not as it was");
    Ok(())
}

#[test]
fn a_killed_replay_leaves_nothing_half_done() -> anyhow::Result<()> {
    let stage = built("heal_kill", "60000")?;
    let before = contents_of_raw(&stage)?;
    let refused = reject_as_an_older_parser(&stage, 2)?;
    let healed = "select coalesce(sum(healed_count), 0)::bigint from ops.replay";
    let mut replay = stage.task("load").args(["--replay-rejects"]).start()?;
    wait_until("a file is healed", || {
        Ok(stage.number(healed)? > 0 || !replay.is_running()?)
    })?;
    replay.signal("KILL")?;
    replay.finish()?;
    let at_the_kill = stage.number(healed)?;
    ensure!(
        at_the_kill > 0 && at_the_kill < refused,
        "{at_the_kill} of {refused} were healed: the kill proves nothing"
    );
    assert_ledger_agrees(&stage)?;
    stage.task("load").args(["--replay-rejects"]).succeed()?;
    ensure!(stage.number(healed)? == refused);
    ensure!(contents_of_raw(&stage)? == before, "not each record once");
    assert_ledger_agrees(&stage)
}

#[test]
fn what_cannot_be_meant_ends_with_2() -> anyhow::Result<()> {
    let stage = Stage::new("heal_wrong", 1)?;
    for (task, words, said) in [
        (
            "load",
            vec!["--replay-rejects", "--reason", "bad_mood"],
            "tombstone",
        ),
        ("load", vec!["--reason", "tombstone"], "--replay-rejects"),
        (
            "load",
            vec![
                "--replay-rejects",
                "--since",
                "2026-01-02",
                "--until",
                "2026-01-01",
            ],
            "--since",
        ),
        (
            "load",
            vec!["--replay-rejects", "--since", "yesterday"],
            "2026-01-31",
        ),
        ("load", vec!["--replay-rejects", "--reload"], "--reload"),
        ("load", vec!["--reload"], "--partition"),
        ("load", vec!["--from-offset", "3"], "--partition"),
        ("stream", vec!["--partition", "1"], "--from-chain"),
        ("stream", vec!["--from-chain", "--follow"], "--follow"),
        (
            "stream",
            vec!["--from-chain", "--hand-over", "--partition", "1"],
            "--hand-over",
        ),
        (
            "stream",
            vec![
                "--from-chain",
                "--partition",
                "0",
                "--from-offset",
                "3",
                "--to-offset",
                "3",
            ],
            "--to-offset",
        ),
    ] {
        let ended = stage.task(task).args(words.iter().copied()).run()?;
        let error = ended.fails_with(2)?;
        ensure!(error.contains(said), "{words:?}: {error}");
    }
    Ok(())
}

/// Files that are missing are loaded, files that are there are replaced, nothing comes twice.
#[test]
fn a_backfill_brings_what_is_missing_and_replaces_what_it_is_told_to() -> anyhow::Result<()> {
    let stage = built("backfill", "30000")?;
    stage.dbt().succeed()?;
    let before = contents(&stage)?;
    let files = stage.number("select count(*) from ops.load_file where kafka_partition = 1")?;
    ensure!(files > 2, "{files} files are too few to select among");
    let middle = "select start_offset from ops.load_file
                  where kafka_partition = 1 order by start_offset offset 1 limit 1";
    let middle = stage.number(middle)?;
    let after = format!(
        "select next_offset from ops.load_file where kafka_partition = 1 and start_offset = {middle}"
    );
    let after = stage.number(&after)?;
    let (from, to) = ((middle + 5).to_string(), (after - 5).to_string());
    let range = [
        "--partition",
        "1",
        "--from-offset",
        &from,
        "--to-offset",
        &to,
    ];

    // nothing is missing: nothing to do
    let idle = stage.task("load").args(range).succeed()?;
    ensure!(idle["files"] == 0, "{idle}");
    // one is: the range finds it, though it begins before the range
    let load_id = format!(
        "select load_id from ops.load_file where kafka_partition = 1 and start_offset = {middle}"
    );
    let lost = stage.number(&load_id)?;
    for table in ["raw.log_event", "raw.reject", "ops.load_file"] {
        let delete = format!("delete from {table} where load_id = {lost}");
        stage.sql()?.execute(&delete, &[])?;
    }
    let other = stage
        .task("load")
        .args(["--partition", "1", "--to-offset", &middle.to_string()])
        .succeed()?;
    ensure!(other["files"] == 0, "a file beside the range: {other}");
    let brought = stage.task("load").args(range).succeed()?;
    ensure!(brought["files"] == 1, "{brought}");
    stage.dbt().succeed()?;
    ensure!(contents(&stage)? == before, "not as it was before the loss");

    // loaded anew, by two at once: a new load id, the same rows, the same star
    let loaded = stage.number(&load_id)?;
    let two = [
        stage.task("load").args(range).args(["--reload"]).start()?,
        stage.task("load").args(range).args(["--reload"]).start()?,
    ];
    let mut anew = 0;
    for reload in two {
        let ended = reload.finish()?;
        ensure!(ended.code == Some(0), "{ended:?}");
        anew += ended.summary()?["files"].as_i64().context("files")?;
    }
    // the second may have begun when the first was done
    ensure!((1..=2).contains(&anew), "{anew} files were loaded anew");
    ensure!(
        stage.number(&load_id)? > loaded,
        "the load id is the old one"
    );
    assert_ledger_agrees(&stage)?;
    stage.dbt().succeed()?;
    ensure!(contents(&stage)? == before, "a reload changed something");
    let unbuilt = "select count(*) from ops.load_file
                   where load_id not in (select load_id from intermediate.int_built_load)";
    ensure!(
        stage.number(unbuilt)? == 0,
        "the reloaded file is not built"
    );

    // a reload mends rows that are wrong; the star takes changed values with a full refresh
    stage.sql()?.execute(
        "update raw.log_event set geo_city = 'Nowhere' where kafka_partition = 2",
        &[],
    )?;
    stage
        .task("load")
        .args(["--reload", "--partition", "2"])
        .succeed()?;
    stage.dbt().args(["--full-refresh"]).succeed()?;
    ensure!(contents(&stage)? == before, "the reload did not mend it");

    // by time: everything is younger than 2020, nothing is older
    let by_time = |words: [&str; 3]| stage.task("load").args(words).succeed();
    let all = stage.raw_files()?.len();
    ensure!(by_time(["--reload", "--until", "2020-01-01"])?["files"] == 0);
    ensure!(by_time(["--reload", "--since", "2020-01-01"])?["files"] == all);
    stage.dbt().succeed()?;
    ensure!(
        contents(&stage)? == before,
        "a reload of all changed something"
    );
    Ok(())
}

#[test]
fn a_killed_reload_leaves_the_file_as_it_was_or_as_it_will_be() -> anyhow::Result<()> {
    let stage = built("reload_kill", "60000")?;
    let before = contents_of_raw(&stage)?;
    let newest = stage.number("select max(load_id) from ops.load_file")?;
    let anew = format!("select count(*) from ops.load_file where load_id > {newest}");
    let files = stage.raw_files()?.len() as i64;
    let words = ["--reload", "--since", "2020-01-01"];
    let mut reload = stage.task("load").args(words).start()?;
    wait_until("a file is loaded anew", || {
        Ok(stage.number(&anew)? > 0 || !reload.is_running()?)
    })?;
    reload.signal("KILL")?;
    reload.finish()?;
    let at_the_kill = stage.number(&anew)?;
    ensure!(
        at_the_kill > 0 && at_the_kill < files,
        "{at_the_kill} of {files} files: the kill proves nothing"
    );
    ensure!(
        contents_of_raw(&stage)? == before,
        "something is lost or twice"
    );
    assert_ledger_agrees(&stage)
}

#[test]
fn a_file_that_cannot_be_read_again_keeps_its_rows() -> anyhow::Result<()> {
    let stage = built("reload_cut", "9000")?;
    let before = contents_of_raw(&stage)?;
    let path = &stage.raw_files()?[0];
    let whole = stage.read_file(path)?;
    stage.replace_file(path, whole[..whole.len() - 1_000].to_vec())?;
    let words = ["--reload", "--partition", "0"];
    let error = stage.task("load").args(words).run()?.fails_with(2)?;
    ensure!(error.contains("stay as they were"), "{error}");
    ensure!(contents_of_raw(&stage)? == before, "rows were touched");
    stage.replace_file(path, whole)?;
    stage.task("load").args(words).succeed()?;
    ensure!(contents_of_raw(&stage)? == before);
    Ok(())
}

/// Everything in PostgreSQL that came from the chain goes, and comes again: the same, to the digest.
#[test]
fn postgres_is_rebuilt_from_the_raw_files_alone() -> anyhow::Result<()> {
    let stage = built("rebuild_pg", "20000")?;
    produce(&stage, "5000", "8")?;
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    let before = contents(&stage)?;
    let loader = stage
        .sql()?
        .batch_execute("set role loader; select ops.forget_topic('anything'); reset role");
    ensure!(loader.is_err(), "the loader may empty the warehouse");

    // Kafka has let go of everything
    for (partition, (_, next)) in stage.kafka.offsets(&stage.topic)?.iter().enumerate() {
        stage
            .kafka
            .delete_records(&stage.topic, partition as i32, *next)?;
    }
    let forget = format!("select ops.forget_topic('{}')", stage.topic);
    ensure!(stage.number(&forget)? == stage.raw_files()?.len() as i64);
    ensure!(
        stage.number("select count(*) from raw.log_event")? == 0 && rejects(&stage)? == 0,
        "something is left"
    );
    stage.task("load").succeed()?;
    stage.dbt().args(["--full-refresh"]).succeed()?;
    ensure!(contents(&stage)? == before, "the rebuilt one is another");

    // of two topics in one database only the one named goes
    stage.sql()?.execute(
        "insert into ops.load_file
         (topic, epoch, kafka_partition, start_offset, next_offset, path, record_count,
          event_count, reject_count, status)
         values ('another', 0, 0, 0, 0, '/another', 0, 0, 0, 'loaded')",
        &[],
    )?;
    stage.number(&forget)?;
    ensure!(stage.number("select count(*) from ops.load_file")? == 1);
    ensure!(stage.number("select count(*) from raw.log_event")? == 0);
    Ok(())
}

/// Rows with the time at which they count as written; of counts the time tells when they were
/// flushed, which no two runs do alike.
fn written_at(cassandra: &Cassandra) -> anyhow::Result<Vec<String>> {
    let mut lines = cassandra.lines(
        "SELECT event_type, event_id, kafka_partition, kafka_offset, writetime(user_id), \
         writetime(kafka_offset) FROM logs.ecomm_log",
    )?;
    lines.extend(
        cassandra.lines(
            "SELECT kafka_partition, kafka_offset, writetime(reason) FROM logs.rejected_log",
        )?,
    );
    Ok(lines)
}

fn truncate(cassandra: &Cassandra) -> anyhow::Result<()> {
    for table in ["ecomm_log", "ecomm_by_minute", "rejected_log"] {
        cassandra.execute(&cassandra.here(&format!("TRUNCATE logs.{table}")))?;
    }
    ensure!(
        cassandra.content()?.iter().all(Vec::is_empty),
        "something is left"
    );
    Ok(())
}

/// The tables are emptied while Kafka holds nothing any more; then the live stream goes on.
#[test]
fn cassandra_is_rebuilt_from_the_raw_files_and_the_live_stream_goes_on() -> anyhow::Result<()> {
    let stage = Stage::new("rebuild_cql", 2)?;
    let cassandra = stage.cassandra()?;
    // more than a block of 50,000 offsets a partition, ending in the middle of one
    produce(&stage, "120000", "21")?;
    streamed(&stage, &[])?;
    stage.task("archive").args(["--flush-mib", "4"]).succeed()?;
    let (before, times) = (cassandra.content()?, written_at(&cassandra)?);
    // Events reach Cassandra, and not the chain, before the tables are emptied: Kafka has them still.
    produce(&stage, "3000", "22")?;
    streamed(&stage, &[])?;

    truncate(&cassandra)?;
    let rebuilt = streamed(&stage, &["--from-chain", "--hand-over"])?;
    ensure!(
        rebuilt["records"] == stage.chain_records()?.len() && rebuilt["handed_over"] == true,
        "{rebuilt}"
    );
    ensure!(cassandra.content()? == before, "the rebuilt tables differ");
    ensure!(written_at(&cassandra)? == times, "write timestamps differ");

    // the live one goes on where the chain ends, in the middle of a block
    produce(&stage, "3000", "23")?;
    let live = streamed(&stage, &[])?;
    ensure!(live["read_again"].as_i64() > Some(0), "{live}");
    let went_on = cassandra.content()?;
    assert_as_a_run_from_the_start(&stage, &cassandra, &went_on)?;

    // a second rebuild over full tables, with and without a follower beside it, changes nothing
    stage.task("archive").succeed()?;
    streamed(&stage, &["--from-chain"])?;
    ensure!(
        cassandra.content()? == went_on,
        "a repeat changed something"
    );
    let follower = stage.task("stream").args(["--follow"]).start()?;
    wait_until("the follower is a member of its group", || {
        let refused = stage.task("stream").args(["--from-chain", "--hand-over"]);
        Ok(refused.run()?.code == Some(2))
    })?;
    streamed(&stage, &["--from-chain"])?;
    follower.signal("TERM")?;
    ensure!(follower.finish()?.code == Some(0));
    ensure!(
        cassandra.content()? == went_on,
        "two at once changed something"
    );

    // Kafka has let go of all of it: the chain alone is enough
    for (partition, (_, next)) in stage.kafka.offsets(&stage.topic)?.iter().enumerate() {
        stage
            .kafka
            .delete_records(&stage.topic, partition as i32, *next)?;
    }
    truncate(&cassandra)?;
    let words = ["--from-chain", "--hand-over"];
    streamed(&stage, &words)?;
    ensure!(cassandra.content()? == went_on, "the chain was not enough");
    // a part of a block that Kafka no longer holds is counted under a name of its own: no count twice
    let sent = produce(&stage, "2000", "24")?;
    streamed(&stage, &[])?;
    let counted = |content: &[Vec<String>]| content[0].len() as i64;
    let events = sent["events"].as_i64().context("events")?;
    ensure!(counted(&cassandra.content()?) == counted(&went_on) + events);
    let totals: i64 = cassandra
        .totals("events")?
        .iter()
        .map(|found| found.1)
        .sum();
    ensure!(
        totals == counted(&went_on) + events,
        "{totals} events are counted, {} are there",
        counted(&went_on) + events
    );
    Ok(())
}

/// What a group that knows of nothing makes of Kafka, in tables that were emptied.
fn assert_as_a_run_from_the_start(
    stage: &Stage,
    cassandra: &Cassandra,
    content: &[Vec<String>],
) -> anyhow::Result<()> {
    truncate(cassandra)?;
    let group = format!("{}_anew", stage.topic);
    streamed(stage, &["--group", &group])?;
    ensure!(
        cassandra.content()? == content,
        "a gap, or something counted twice"
    );
    Ok(())
}

/// A part of the tables is gone, and a part of the raw files brings it again.
#[test]
fn a_part_of_cassandra_is_backfilled() -> anyhow::Result<()> {
    let stage = Stage::new("backfill_cql", 1)?;
    let cassandra = stage.cassandra()?;
    produce(&stage, "110000", "31")?;
    streamed(&stage, &[])?;
    stage.task("archive").args(["--flush-mib", "2"]).succeed()?;
    let before = cassandra.content()?;
    truncate(&cassandra)?;
    // two of the three blocks, asked for by offsets within them
    let part = ["--from-chain", "--partition", "0", "--to-offset", "50001"];
    let written = streamed(&stage, &part)?;
    ensure!(written["records"] == 100_000, "{written}");
    ensure!(written["handed_over"] == false, "{written}");
    let rest = [
        "--from-chain",
        "--partition",
        "0",
        "--from-offset",
        "100500",
    ];
    let written = streamed(&stage, &rest)?;
    ensure!(written["read_again"] == 50_000, "{written}");
    ensure!(
        cassandra.content()? == before,
        "the parts are not the whole"
    );
    let none = ["--from-chain", "--until", "2020-01-01"];
    ensure!(streamed(&stage, &none)?["records"] == 0);
    let all = ["--from-chain", "--since", "2020-01-01"];
    let all = streamed(&stage, &all)?;
    ensure!(all["records"] == stage.chain_records()?.len(), "{all}");
    ensure!(cassandra.content()? == before);
    Ok(())
}

/// One that is killed is run again; what it wrote is written again.
#[test]
fn a_killed_rebuild_of_cassandra_is_run_again() -> anyhow::Result<()> {
    let stage = Stage::new("rebuild_kill", 2)?;
    let cassandra = stage.cassandra()?;
    produce(&stage, "60000", "41")?;
    streamed(&stage, &[])?;
    stage.task("archive").args(["--flush-mib", "2"]).succeed()?;
    let before = cassandra.content()?;
    let committed = stage.committed()?;
    truncate(&cassandra)?;
    let slowly = [
        "--from-chain",
        "--hand-over",
        "--batch-rows",
        "4",
        "--concurrency",
        "1",
    ];
    let rebuild = stage.task("stream").args(slowly).start()?;
    let rows = || -> anyhow::Result<i64> {
        let count = cassandra.rows("SELECT count(*) FROM logs.ecomm_log")?;
        count[0][0].as_i64().context("a count")
    };
    wait_until("the rebuild is in the middle", || Ok(rows()? > 1_000))?;
    rebuild.signal("KILL")?;
    ensure!(rebuild.finish()?.code.is_none(), "it ended by itself");
    ensure!(rows()? < before[0].len() as i64, "it was killed too late");
    ensure!(stage.committed()? == committed, "it handed over half of it");
    let words = ["--from-chain", "--hand-over"];
    streamed(&stage, &words)?;
    ensure!(cassandra.content()? == before, "not as it was");
    Ok(())
}

#[test]
fn an_unreadable_raw_file_is_said_and_the_other_partitions_are_written() -> anyhow::Result<()> {
    let stage = Stage::new("rebuild_cut", 2)?;
    let cassandra = stage.cassandra()?;
    produce(&stage, "9000", "51")?;
    streamed(&stage, &[])?;
    stage.task("archive").args(["--flush-mib", "1"]).succeed()?;
    let other = "SELECT event_id FROM logs.ecomm_log WHERE kafka_partition = 1 ALLOW FILTERING";
    let (before, other_before) = (cassandra.content()?, cassandra.lines(other)?);
    let path = &stage.raw_files()?[0];
    let whole = stage.read_file(path)?;
    stage.replace_file(path, whole[..whole.len() - 1_000].to_vec())?;
    truncate(&cassandra)?;
    let words = ["--from-chain", "--hand-over"];
    let ended = stage.task("stream").args(words).run()?;
    let error = ended.fails_with(2)?;
    ensure!(error.contains("cannot be read"), "{error}");
    ensure!(ended.summary()?["handed_over"] == false, "{ended:?}");
    ensure!(cassandra.content()? != before, "the file was not missed");
    ensure!(
        !other_before.is_empty() && cassandra.lines(other)? == other_before,
        "the other partition is not whole"
    );
    stage.replace_file(path, whole)?;
    streamed(&stage, &words)?;
    ensure!(cassandra.content()? == before, "not as it was");
    Ok(())
}
