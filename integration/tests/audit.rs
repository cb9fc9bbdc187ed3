//! The audit: clean where all is well, once per raw file; and every kind of damage, done by hand in
//! each store, is named with store, partition and offset.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use chain::{Encoder, Raw, RawFile, Record};
use integration::{Cassandra, Stage, Task, password, setting};
use postgres::NoTls;
use serde_json::Value;

/// Each kind of noise: events sent again, events that come late, records that are none.
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

fn archive(stage: &Stage) -> anyhow::Result<Value> {
    stage.task("archive").args(["--flush-mib", "1"]).succeed()
}

/// Streams to the end. Whether Cassandra, busy with keyspaces of other tests, kept it waiting is no
/// matter here: what it wrote is.
fn stream(stage: &Stage) -> anyhow::Result<()> {
    let finished = stage.task("stream").args(["--accept-gap"]).run()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    ensure!(finished.summary()?["caught_up"] == true, "{finished:?}");
    Ok(())
}

fn audit(stage: &Stage) -> Task {
    stage.task("audit")
}

/// Events in every store, the star too.
fn whole(name: &str, count: &str) -> anyhow::Result<(Stage, Cassandra, Value)> {
    let stage = Stage::new(name, 3)?;
    let cassandra = stage.cassandra()?;
    let sent = produce(&stage, count, "17")?;
    archive(&stage)?;
    stream(&stage)?;
    stage.task("load").succeed()?;
    stage.dbt().succeed()?;
    Ok((stage, cassandra, sent))
}

fn number(value: &Value, field: &str) -> anyhow::Result<i64> {
    value[field]
        .as_i64()
        .with_context(|| format!("no {field} in {value}"))
}

/// Sum of a column over the newest verdicts of a store.
fn noted(stage: &Stage, column: &str, store: &str) -> anyhow::Result<i64> {
    stage.number(&format!(
        "select coalesce(sum({column}), 0)::bigint from ops.audit_latest where store = '{store}'"
    ))
}

/// The states of a store's newest verdicts.
fn states(stage: &Stage, store: &str) -> anyhow::Result<BTreeSet<String>> {
    let query = format!("select state from ops.audit_latest where store = '{store}'");
    Ok(stage.texts(&query)?.into_iter().collect())
}

fn only(state: &str) -> BTreeSet<String> {
    BTreeSet::from([state.to_owned()])
}

#[test]
fn a_whole_pipeline_is_clean_and_each_file_is_audited_until_it_is() -> anyhow::Result<()> {
    let stage = Stage::new("audit", 3)?;
    let _cassandra = stage.cassandra()?;
    let sent = produce(&stage, "12000", "17")?;
    archive(&stage)?;
    let files = stage.raw_files()?.len() as i64;
    ensure!(files >= 3, "only {files} raw files");
    let records = number(&sent, "records")?;

    // nothing is loaded, streamed or built yet: explained, and looked at again
    let early = audit(&stage).succeed()?;
    ensure!(number(&early, "files")? == files, "{early}");
    ensure!(number(&early, "records")? == records, "{early}");
    ensure!(number(&early, "pending")? == 3 * files, "{early}");
    for store in ["postgres", "cassandra", "star"] {
        ensure!(states(&stage, store)? == only("pending"), "{store}");
    }

    stream(&stage)?;
    stage.task("load").succeed()?;
    // between load and dbt, as in the DAG
    let middle = audit(&stage).succeed()?;
    ensure!(number(&middle, "pending")? == files, "{middle}");
    ensure!(states(&stage, "star")? == only("pending"));
    stage.dbt().succeed()?;
    let late = audit(&stage).succeed()?;
    ensure!(number(&late, "pending")? == 0, "{late}");

    // every store accounts for every record, with the same digest
    let malformed = number(&sent, "malformed")?;
    for store in ["chain", "kafka", "postgres", "cassandra"] {
        ensure!(states(&stage, store)? == only("ok"), "{store}");
        for column in ["expected", "found"] {
            let found = noted(&stage, column, store)?;
            ensure!(found == records, "{store}: {found} of {records} {column}");
        }
    }
    for store in ["chain", "postgres", "cassandra"] {
        ensure!(noted(&stage, "rejects", store)? == malformed, "{store}");
    }
    ensure!(states(&stage, "star")? == only("ok"));
    let unequal = "select count(*) from ops.audit_latest where digest_expected <> digest_found";
    ensure!(stage.number(unequal)? == 0, "digests differ");
    let trivial = "select count(*) from ops.audit_latest where digest_found = 0";
    ensure!(stage.number(trivial)? == 0, "a digest of nothing");

    // clean is clean: nothing is read again, and nothing noted
    let rows = "select count(*) from ops.audit";
    let before = stage.number(rows)?;
    let again = audit(&stage).succeed()?;
    ensure!(number(&again, "files")? == 0, "{again}");
    ensure!(number(&again, "files_clean_before")? == files, "{again}");
    ensure!(again["digest"] == late["digest"], "{again}");
    // unless everything is asked for
    let finished = audit(&stage).args(["--full"]).run()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    finished.assert_calm()?;
    let full = finished.summary()?;
    ensure!(number(&full, "files")? == files, "{full}");
    ensure!(number(&full, "differences")? == 0, "{full}");
    ensure!(full["digest"] == late["digest"], "{full}");
    ensure!(states(&stage, "minutes")? == only("ok"));
    ensure!(noted(&stage, "found", "minutes")? == records);
    let new = "select count(*) from ops.audit where store not in ('minutes', 'star')";
    let unchanged = stage.number("select count(distinct (kafka_partition, start_offset, store)) from ops.audit where store not in ('minutes', 'star')")?;
    ensure!(
        stage.number(new)? <= 2 * unchanged && stage.number(rows)? >= before,
        "verdicts that did not change are noted again"
    );

    // the table is for people, and stands before the summary
    let total = |store: &str| -> anyhow::Result<String> {
        let begin = format!("total      {store} ");
        let line = finished
            .stdout
            .lines()
            .find(|line| line.starts_with(&begin));
        Ok(line
            .with_context(|| format!("no {store}: {finished:?}"))?
            .to_owned())
    };
    for store in ["chain", "kafka", "postgres", "cassandra", "minutes"] {
        let line = total(store)?;
        ensure!(line.matches(&format!(" {records} ")).count() == 2, "{line}");
        ensure!(line.ends_with(" ok"), "{line}");
    }

    // what is new is audited, and nothing else
    produce(&stage, "2000", "18")?;
    archive(&stage)?;
    let added = stage.raw_files()?.len() as i64 - files;
    stage.task("load").succeed()?;
    stream(&stage)?;
    let next = audit(&stage).succeed()?;
    ensure!(number(&next, "files")? == added, "{next}");
    ensure!(number(&next, "files_clean_before")? == files, "{next}");
    Ok(())
}

/// What the error of a full audit must say, and nothing else than that may differ.
fn assert_named(stage: &Stage, differences: i64, words: &[String]) -> anyhow::Result<()> {
    let finished = audit(stage).args(["--full"]).run()?;
    let error = finished.fails_with(2)?;
    for word in words {
        ensure!(error.contains(word), "no {word:?} in {error}");
    }
    let found = number(&finished.summary()?, "differences")?;
    ensure!(found == differences, "{found} differences: {error}");
    // an audit that is not full looks again at what is not clean
    audit(stage).run()?.fails_with(2)?;
    Ok(())
}

fn assert_clean(stage: &Stage) -> anyhow::Result<()> {
    let full = audit(stage).args(["--full"]).succeed()?;
    ensure!(number(&full, "differences")? == 0, "{full}");
    ensure!(number(&full, "pending")? == 0, "{full}");
    Ok(())
}

/// Partition and offset of a row in the middle of a table.
fn some_row(stage: &Stage, table: &str, condition: &str) -> anyhow::Result<(i32, i64)> {
    let query = format!(
        "select kafka_partition, kafka_offset from {table} where {condition}
         order by kafka_partition, kafka_offset offset (select count(*) / 2 from {table} where {condition})
         limit 1"
    );
    let row = stage.sql()?.query_one(&query, &[])?;
    Ok((row.get(0), row.get(1)))
}

#[test]
fn damage_in_postgresql_and_the_star_is_named() -> anyhow::Result<()> {
    let (stage, _cassandra, _) = whole("audit_sql", "6000")?;
    assert_clean(&stage)?;
    let mut sql = stage.sql()?;
    let mut with_saved = |table: &str,
                          row: (i32, i64),
                          damage: &str,
                          check: &dyn Fn() -> anyhow::Result<()>|
     -> anyhow::Result<()> {
        let (partition, offset) = row;
        let at = format!("kafka_partition = {partition} and kafka_offset = {offset}");
        sql.batch_execute(&format!(
            "create table public.saved as select * from {table} where {at}"
        ))?;
        sql.batch_execute(&format!("{damage} {at}"))?;
        check()?;
        sql.batch_execute(&format!(
            "delete from {table} where {at};
             insert into {table} select * from public.saved; drop table public.saved"
        ))?;
        assert_clean(&stage)
    };

    // an event is lost; the star then holds one that raw does not know
    let once =
        "event_id in (select event_id from raw.log_event group by event_id having count(*) = 1)";
    let row = some_row(&stage, "raw.log_event", once)?;
    let says = |row: (i32, i64), what: &str| {
        [
            format!("postgres partition {} ", row.0),
            format!("offset {} is {what}", row.1),
        ]
    };
    with_saved(
        "raw.log_event",
        row,
        "delete from raw.log_event where",
        &|| assert_named(&stage, 2, &says(row, "missing")),
    )?;
    // an amount is changed by the least bit
    let row = some_row(&stage, "raw.log_event", "amount > 1")?;
    let change = "update raw.log_event set amount = amount * 1.0000000000000002220446::double precision where";
    with_saved("raw.log_event", row, change, &|| {
        assert_named(&stage, 1, &says(row, "changed"))
    })?;
    // any other column
    let row = some_row(&stage, "raw.log_event", "message is not null")?;
    let change = "update raw.log_event set message = message || ' ' where";
    with_saved("raw.log_event", row, change, &|| {
        assert_named(&stage, 1, &says(row, "changed"))
    })?;
    // an event is there twice
    let row = some_row(&stage, "raw.log_event", "true")?;
    let twice = "insert into raw.log_event select * from raw.log_event where";
    with_saved("raw.log_event", row, twice, &|| {
        assert_named(&stage, 1, &says(row, "too many"))
    })?;
    // a reject is lost
    let row = some_row(&stage, "raw.reject", "true")?;
    with_saved("raw.reject", row, "delete from raw.reject where", &|| {
        assert_named(&stage, 1, &says(row, "missing"))
    })?;

    // the star lacks an event, and holds one that nobody sent
    let row = some_row(&stage, "raw.log_event", once)?;
    let mut sql = stage.sql()?;
    sql.batch_execute(&format!(
        "create table public.saved as select * from marts.fact_event where event_id in
            (select event_id from raw.log_event where kafka_partition = {} and kafka_offset = {});
         delete from marts.fact_event where event_id in (select event_id from public.saved)",
        row.0, row.1
    ))?;
    let words = [
        format!("star partition {} ", row.0),
        "lacks 1 events that load".to_owned(),
        format!(": offset {}", row.1),
    ];
    assert_named(&stage, 1, &words)?;
    sql.batch_execute(
        "insert into marts.fact_event select * from public.saved;
         update public.saved set event_id = 'nobody sent this';
         insert into marts.fact_event select * from public.saved",
    )?;
    let words = [
        "star: marts.fact_event holds".to_owned(),
        "nobody sent this".to_owned(),
    ];
    let finished = audit(&stage).args(["--full"]).run()?;
    let error = finished.fails_with(2)?;
    for word in words {
        ensure!(error.contains(&word), "no {word:?} in {error}");
    }
    sql.batch_execute("delete from marts.fact_event where event_id = 'nobody sent this'")?;
    assert_clean(&stage)
}

/// Days since 1970, as CQL writes a date.
fn cql_date(days: &Value) -> anyhow::Result<i64> {
    Ok(days.as_i64().context("no date")? + (1 << 31))
}

#[test]
fn damage_in_cassandra_is_named() -> anyhow::Result<()> {
    let (stage, cassandra, _) = whole("audit_cql", "6000")?;
    assert_clean(&stage)?;
    let rows = cassandra.rows(
        "SELECT event_date, shard, timestamp, event_id, kafka_partition, kafka_offset \
         FROM logs.ecomm_log WHERE event_type = 'purchase'",
    )?;
    let row = &rows[rows.len() / 2];
    let key = format!(
        "event_type = 'purchase' AND event_date = {} AND shard = {} AND timestamp = {} AND event_id = {}",
        cql_date(&row[0])?,
        row[1],
        row[2],
        row[3].to_string().replace('"', "'")
    );
    let (partition, offset) = (&row[4], &row[5]);
    let says = |what: &str| {
        [
            format!("cassandra partition {partition} "),
            format!("ecomm_log: offset {offset} is {what}"),
        ]
    };
    // the write timestamps are Kafka's, in the past: what is done now stands over them
    let run = |statement: &str| cassandra.execute(&cassandra.here(statement));
    run(&format!(
        "UPDATE logs.ecomm_log SET details_amount = 0.01 WHERE {key}"
    ))?;
    assert_named(&stage, 1, &says("changed"))?;
    run(&format!("DELETE FROM logs.ecomm_log WHERE {key}"))?;
    assert_named(&stage, 1, &says("missing"))?;
    // accepted, it is on record and fails no later run
    let accepted = audit(&stage).args(["--accept"]).run()?;
    ensure!(accepted.code == Some(0), "{accepted:?}");
    ensure!(
        number(&accepted.summary()?, "accepted")? == 1,
        "{accepted:?}"
    );
    ensure!(states(&stage, "cassandra")?.contains("accepted"));
    let after = audit(&stage).succeed()?;
    ensure!(number(&after, "files")? == 0, "{after}");

    // a row that no record asks for, beside one that is asked for
    let other = &rows[rows.len() / 3];
    let stray = format!(
        "INSERT INTO logs.ecomm_log (event_type, event_date, shard, timestamp, event_id, \
         kafka_partition, kafka_offset) VALUES ('purchase', {}, {}, {}, 'stray', {}, {})",
        cql_date(&other[0])?,
        other[1],
        other[2],
        other[4],
        other[5]
    );
    run(&stray)?;
    let finished = audit(&stage).args(["--full"]).run()?;
    let error = finished.fails_with(2)?;
    for word in [
        format!("cassandra partition {} ", other[4]),
        format!("offset {} is too many", other[5]),
    ] {
        ensure!(error.contains(&word), "no {word:?} in {error}");
    }
    let accept = audit(&stage).args(["--accept", "--full"]).run()?;
    ensure!(accept.code == Some(0), "{accept:?}");

    // a reject is lost
    let rejects = cassandra.rows(
        "SELECT reject_date, shard, kafka_time, kafka_partition, kafka_offset FROM logs.rejected_log",
    )?;
    let reject = &rejects[rejects.len() / 2];
    run(&format!(
        "DELETE FROM logs.rejected_log WHERE reject_date = {} AND shard = {} AND kafka_time = {} \
         AND kafka_partition = {} AND kafka_offset = {}",
        cql_date(&reject[0])?,
        reject[1],
        reject[2],
        reject[3],
        reject[4]
    ))?;
    let error = audit(&stage).args(["--full"]).run()?.fails_with(2)?;
    let word = format!("rejected_log: offset {} is missing", reject[4]);
    ensure!(error.contains(&word), "no {word:?} in {error}");

    // a count is lost
    let cells = cassandra.rows(
        "SELECT metric, event_date, minute, dim, kafka_partition, batch_start_offset \
         FROM logs.ecomm_by_minute",
    )?;
    let cell = cells
        .iter()
        .find(|cell| cell[0] == "events")
        .context("no counts")?;
    run(&format!(
        "DELETE FROM logs.ecomm_by_minute WHERE metric = 'events' AND event_date = {} AND minute = {} \
         AND dim = '{}' AND kafka_partition = {} AND batch_start_offset = {}",
        cql_date(&cell[1])?,
        cell[2],
        cell[3].as_str().context("no dim")?,
        cell[4],
        cell[5]
    ))?;
    let finished = audit(&stage).args(["--full"]).run()?;
    finished.fails_with(2)?;
    let place = format!("minutes partition {} offsets {}..", cell[4], cell[5]);
    ensure!(
        finished.stderr.contains(&place),
        "no {place:?}: {finished:?}"
    );
    Ok(())
}

/// The raw file with one byte of one payload changed; gives the offset of that record.
fn with_another_payload(stage: &Stage, path: &str) -> anyhow::Result<(i64, Vec<u8>)> {
    let file = RawFile::new(stage.read_file(path)?.into())?;
    let footer = &file.footer;
    let chain = Raw::new(&stage.raw_root).chain(&footer.topic, footer.epoch, footer.partition);
    let mut encoder = Encoder::new()?;
    let middle = footer.records / 2;
    let (mut index, mut changed) = (0, None);
    file.for_each(|record| {
        let mut value = record.value.map(<[u8]>::to_vec);
        let is_event = || event::parse(record.value, record.timestamp_millis * 1_000).is_ok();
        if index >= middle && changed.is_none() && is_event() {
            // another user: still an event
            let text = String::from_utf8_lossy(value.as_deref().unwrap_or_default()).into_owned();
            let other = text.replacen("\"user_id\":\"user_", "\"user_id\":\"user_9", 1);
            if other != text {
                changed = Some(record.offset);
                value = Some(other.into_bytes());
            }
        }
        index += 1;
        encoder.push(&Record {
            value: value.as_deref(),
            ..record
        })
    })?;
    let data = encoder.finish(&chain, footer.start, footer.next, None)?;
    Ok((changed.context("no event to change")?, data.to_vec()))
}

#[test]
fn damage_in_the_raw_files_is_named() -> anyhow::Result<()> {
    let (stage, _cassandra, _) = whole("audit_raw", "9000")?;
    assert_clean(&stage)?;
    let files = stage.raw_files()?;
    let raw = Raw::new(&stage.raw_root);
    let place = |path: &str| -> anyhow::Result<(i32, i64, i64)> {
        let file = RawFile::new(stage.read_file(path)?.into())?;
        Ok((file.footer.partition, file.footer.start, file.footer.next))
    };

    // a payload is changed
    let path = &files[1];
    let original = stage.read_file(path)?;
    let (partition, start, next) = place(path)?;
    let (offset, changed) = with_another_payload(&stage, path)?;
    stage.replace_file(path, changed)?;
    // not even a full audit is needed: the file is not the one that was found clean
    let finished = audit(&stage).run()?;
    let error = finished.fails_with(2)?;
    let here = format!("partition {partition} offsets {start}..{next}: ");
    for word in [
        format!("chain {here}{path} holds other records than when it was found clean"),
        format!("kafka {here}offset {offset} is changed"),
        format!("postgres {here}raw.log_event: offset {offset} is changed"),
    ] {
        ensure!(error.contains(&word), "no {word:?} in {error}");
    }
    // and again: it does not become the new truth
    audit(&stage).run()?.fails_with(2)?;
    stage.replace_file(path, original.clone())?;
    assert_clean(&stage)?;

    // a file in the middle is gone
    let middle = files
        .iter()
        .find(|path| {
            let name = raw.parse(path);
            let later = |other: &String| {
                let other = raw.parse(other);
                other.zip(name.clone()).is_some_and(|(other, name)| {
                    other.partition == name.partition && other.start > name.start
                })
            };
            files.iter().any(later)
        })
        .context("no file in the middle")?;
    let newest = files.last().context("no file")?;
    for path in [middle, newest] {
        let (partition, start, next) = place(path)?;
        let original = stage.read_file(path)?;
        stage.delete_file(path)?;
        let error = audit(&stage).run()?.fails_with(2)?;
        let word = format!("chain partition {partition} offsets {start}..{next}: ");
        ensure!(error.contains(&word), "no {word:?} in {error}");
        // an operator may say that it is lost for good
        let accepted = audit(&stage).args(["--accept"]).run()?;
        ensure!(accepted.code == Some(0), "{accepted:?}");
        ensure!(number(&audit(&stage).succeed()?, "differences")? == 0);
        stage.replace_file(path, original)?;
        assert_clean(&stage)?;
    }

    // a file cannot be read, and the ledger does not know
    let whole = stage.read_file(middle)?;
    stage.replace_file(middle, whole[..whole.len() - 500].to_vec())?;
    let error = audit(&stage).run()?.fails_with(2)?;
    ensure!(error.contains(middle.as_str()), "{error}");
    stage.replace_file(middle, whole)?;
    assert_clean(&stage)
}

#[test]
fn what_is_behind_expired_or_in_quarantine_is_explained() -> anyhow::Result<()> {
    let stage = Stage::new("audit_late", 1)?;
    let cassandra = stage.cassandra()?;
    produce(&stage, "4000", "5")?;
    archive(&stage)?;
    stage.task("load").succeed()?;
    let files = stage.raw_files()?;
    ensure!(files.len() >= 2, "{files:?}");

    // stream has never run: behind, and not failed
    let first = audit(&stage).succeed()?;
    ensure!(number(&first, "differences")? == 0, "{first}");
    ensure!(states(&stage, "cassandra")? == only("pending"));
    // what is not asked is said to be so, and not to be fine
    let finished = audit(&stage).args(["--stores", "postgres"]).run()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    let summary = finished.summary()?;
    ensure!(
        summary["not_asked"] == serde_json::json!(["kafka", "cassandra", "star"]),
        "{summary}"
    );
    let silent = finished
        .stdout
        .lines()
        .filter(|line| line.ends_with("not asked"));
    ensure!(silent.count() == 3, "{finished:?}");
    stream(&stage)?;
    audit(&stage).succeed()?;
    ensure!(states(&stage, "cassandra")? == only("ok"));

    // Kafka has more than the chain, and then less
    produce(&stage, "300", "6")?;
    let lagging = audit(&stage).succeed()?;
    ensure!(number(&lagging, "lag_records")? >= 300, "{lagging}");
    let (_, end) = stage.kafka.offsets(&stage.topic)?[0];
    let chained = end - number(&lagging, "lag_records")?;
    stage.kafka.delete_records(&stage.topic, 0, chained - 10)?;
    let full = audit(&stage).args(["--full"]).succeed()?;
    ensure!(number(&full, "differences")? == 0, "{full}");
    ensure!(states(&stage, "kafka")?.contains("expired"));
    let held = "select sum(found)::bigint from ops.audit_latest where store = 'kafka'";
    ensure!(
        stage.number(held)? == 10,
        "Kafka holds ten records of the chain"
    );

    // records lost to retention are a gap that was accepted
    stage.kafka.delete_records(&stage.topic, 0, chained + 100)?;
    let archived = stage.task("archive").args(["--accept-gap"]).run()?;
    ensure!(archived.code == Some(0), "{archived:?}");
    stage.task("load").succeed()?;
    stream(&stage)?;
    let gap = audit(&stage).run()?;
    ensure!(gap.code == Some(0), "{gap:?}");
    ensure!(states(&stage, "chain")?.contains("gap"));

    // a truncated file is in quarantine
    produce(&stage, "300", "7")?;
    archive(&stage)?;
    let newest = stage.raw_files()?.pop().context("no file")?;
    let bytes = stage.read_file(&newest)?;
    stage.replace_file(&newest, bytes[..bytes.len() - 500].to_vec())?;
    stage.task("load").run()?.fails_with(2)?;
    let known = audit(&stage).run()?;
    ensure!(known.code == Some(0), "{known:?}");
    ensure!(states(&stage, "postgres")?.contains("quarantined"));
    stage.replace_file(&newest, bytes)?;
    stage.task("load").args(["--retry-quarantined"]).succeed()?;
    stream(&stage)?;
    audit(&stage).succeed()?;
    ensure!(!states(&stage, "postgres")?.contains("quarantined"));
    drop(cassandra);
    Ok(())
}

/// A reject of a record that is an event by now waits for its replay; one that is lost does not.
#[test]
fn a_reject_of_an_earlier_parser_waits_for_its_replay() -> anyhow::Result<()> {
    let stage = Stage::new("audit_replay", 1)?;
    let _cassandra = stage.cassandra()?;
    produce(&stage, "500", "9")?;
    archive(&stage)?;
    stream(&stage)?;
    stage.task("load").succeed()?;
    let (_, offset) = some_row(&stage, "raw.log_event", "true")?;
    let records = stage.chain_records()?;
    let payload = records
        .iter()
        .find(|record| record.1 == offset)
        .and_then(|record| record.2.clone())
        .context("no payload")?;
    let mut sql = stage.sql()?;
    let key: String = sql
        .query_one(
            "select user_id from raw.log_event where kafka_offset = $1",
            &[&offset],
        )?
        .get(0);
    sql.execute(
        "with moved as (delete from raw.log_event where kafka_offset = $1 returning *)
         insert into raw.reject (load_id, kafka_partition, kafka_offset, kafka_time, reason, field, key, payload)
         select load_id, kafka_partition, kafka_offset, kafka_time, 'wrong_type', 'user_id', $2, $3 from moved",
        &[&offset, &key.as_bytes(), &payload],
    )?;
    audit(&stage).succeed()?;
    ensure!(states(&stage, "postgres")?.contains("replay"));
    let detail = "select detail from ops.audit_latest where state = 'replay'";
    let said = stage.texts(detail)?;
    ensure!(
        said.len() == 1 && said[0].starts_with(&format!("offset {offset} ")),
        "{said:?}"
    );
    // with other bytes it is no record of the chain, and the record itself is lost
    sql.execute(
        "update raw.reject set payload = payload || ' ' where kafka_offset = $1",
        &[&offset],
    )?;
    let error = audit(&stage).run()?.fails_with(2)?;
    ensure!(
        error.contains(&format!("offset {offset} is missing")),
        "{error}"
    );
    Ok(())
}

/// An event id that comes again with another time: one row in Cassandra while `stream` remembers the
/// first, and rightly so.
#[test]
fn a_repeat_that_looks_otherwise_is_no_loss() -> anyhow::Result<()> {
    let stage = Stage::new("audit_repeat", 1)?;
    let cassandra = stage.cassandra()?;
    let search = |id: &str, second: u32| {
        format!(
            r#"{{"timestamp":"2026-01-01T00:00:{second:02}Z","level":"INFO","service":"ecommerce-platform","event_type":"search","event_id":"{id}","user_id":"user_1","session_id":"s","product_id":"p","session_duration":5,"device_type":"mobile","geo_location":{{"country":"DE","city":"B"}},"details":{{"query":"q","results_count":1,"searched_at":"2026-01-01T00:00:00Z"}}}}"#
        )
    };
    let first = [search("a", 1), search("b", 2), search("a", 3)];
    let second = [search("b", 4), search("c", 5)];
    for payloads in [first.as_slice(), second.as_slice()] {
        let payloads: Vec<Option<&[u8]>> = payloads
            .iter()
            .map(|payload| Some(payload.as_bytes()))
            .collect();
        stage.kafka.send(&stage.topic, 0, &payloads)?;
        stage.task("archive").succeed()?;
    }
    ensure!(stage.raw_files()?.len() == 2);
    stream(&stage)?;
    stage.task("load").succeed()?;
    ensure!(cassandra.rows("SELECT event_id FROM logs.ecomm_log")?.len() == 3);
    audit(&stage).succeed()?;
    ensure!(states(&stage, "cassandra")? == only("ok"));
    ensure!(noted(&stage, "duplicates", "cassandra")? == 2);
    // the same, without the copy that explains it
    cassandra.execute(&cassandra.here("TRUNCATE logs.ecomm_log"))?;
    let error = audit(&stage).args(["--full"]).run()?.fails_with(2)?;
    ensure!(error.contains("offsets 0 to 1 are missing (2)"), "{error}");
    ensure!(error.contains("offset 4 is missing"), "{error}");
    Ok(())
}

#[test]
fn a_server_that_does_not_answer_is_worth_a_retry_and_the_role_may_change_nothing()
-> anyhow::Result<()> {
    let stage = Stage::new("audit_role", 1)?;
    let _cassandra = stage.cassandra()?;
    for (variable, value, also) in [
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            "127.0.0.1:1",
            ("KAFKA_TIMEOUT_SECONDS", "1"),
        ),
        (
            "HDFS_URL",
            "hdfs://127.0.0.1:1",
            ("HDFS_PATIENCE_SECONDS", "1"),
        ),
        (
            "CASSANDRA_CONTACT_POINTS",
            "127.0.0.1:1",
            ("CASSANDRA_TIMEOUT_SECONDS", "1"),
        ),
        (
            "POSTGRES_URL",
            "postgresql://loader@127.0.0.1:1/airflow",
            ("POSTGRES_CONNECT_TIMEOUT_SECONDS", "1"),
        ),
    ] {
        let task = audit(&stage).env(variable, value).env(also.0, also.1);
        task.run()?.fails_with(1).context(variable)?;
    }
    let wrong = audit(&stage).env("POSTGRES_PASSWORD", "wrong").run()?;
    wrong.fails_with(2)?;

    let place = setting("POSTGRES_PLACE", "postgres:5432");
    let mut config: postgres::Config =
        format!("postgresql://auditor@{place}/{}", stage.database).parse()?;
    config.password(password("AUDITOR_PASSWORD"));
    let mut auditor = config.connect(NoTls)?;
    for statement in [
        "delete from raw.log_event",
        "insert into raw.reject (load_id) values (1)",
        "update ops.load_file set status = 'loaded'",
        "update ops.audit set state = 'ok'",
        "delete from ops.audit",
        "delete from ops.audit_run",
        "select * from raw.user_profile",
        "create table marts.mine (a int)",
    ] {
        let refused = auditor.batch_execute(statement);
        let code = refused.err().and_then(|failure| failure.code().cloned());
        ensure!(
            code == Some(postgres::error::SqlState::INSUFFICIENT_PRIVILEGE),
            "{statement}: {code:?}"
        );
    }
    Ok(())
}
