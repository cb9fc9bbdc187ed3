//! The ledger, and the rows of PostgreSQL that belong to a raw file.

use std::collections::{BTreeMap, HashMap};

use anyhow::Context;
use chain::{RawFileName, Record};
use postgres::{Client, Transaction};

use crate::canonical::{EVENT_HASH, REJECT_HASH};
use crate::expect::{Expected, record_hash};
use crate::ranges::{Ranges, compare, digest};
use crate::verdict::{State, Store, Unit, Verdict};

/// What the ledger says of a raw file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The id of its rows.
    pub load_id: i64,
    /// Grows when its rows are loaded anew or rejects of it are healed.
    pub version: i64,
    /// Where it ends; `None` in quarantine.
    pub next: Option<i64>,
    /// None of it is in PostgreSQL, because it cannot be read.
    pub is_quarantined: bool,
    /// Whether the star has built all of it.
    pub is_built: bool,
}

/// The ledger of a topic.
pub fn ledger(client: &mut Client, topic: &str) -> anyhow::Result<BTreeMap<RawFileName, Entry>> {
    // dbt makes the table when it first runs
    let built: bool = client
        .query_one(
            "select to_regclass('intermediate.int_built_load') is not null
                and to_regclass('marts.fact_event') is not null",
            &[],
        )
        .map_err(warehouse::explain)?
        .get(0);
    let is_built = if built {
        "not exists (
            select from unnest(array[file.load_id] || array_agg(replay.replay_id)) as version
            where version is not null and not exists (
                select from intermediate.int_built_load as built where built.load_id = version))"
    } else {
        "false"
    };
    let rows = client
        .query(
            &format!(
                "select file.epoch, file.kafka_partition, file.start_offset, file.next_offset,
                    file.load_id, greatest(file.load_id, max(replay.replay_id)), file.status, {is_built}
                 from ops.load_file as file left join ops.replay as replay using (load_id)
                 where file.topic = $1 group by file.load_id"
            ),
            &[&topic],
        )
        .map_err(warehouse::explain)?;
    let entries = rows.iter().map(|row| {
        let name = RawFileName {
            topic: topic.to_owned(),
            epoch: row.get::<_, i32>(0) as u32,
            partition: row.get(1),
            start: row.get(2),
        };
        let is_quarantined = row.get::<_, String>(6) == "quarantined";
        let entry = Entry {
            next: row.get(3),
            load_id: row.get(4),
            version: row.get(5),
            is_quarantined,
            is_built: row.get::<_, bool>(7) && !is_quarantined,
        };
        (name, entry)
    });
    Ok(entries.collect())
}

/// Compares the rows of a file with what its records ask for.
pub fn compare_rows(
    transaction: &mut Transaction<'_>,
    entry: &Entry,
    unit: Unit,
    expected: &Expected,
) -> anyhow::Result<Verdict> {
    let mut verdict = Verdict::new(unit, Store::Postgres, State::Ok);
    let (events, event_digest) = count(transaction, "raw.log_event", EVENT_HASH, entry.load_id)?;
    let (rejects, reject_digest) = count(transaction, "raw.reject", REJECT_HASH, entry.load_id)?;
    verdict.expected = expected.records.len() as i64;
    verdict.found = events + rejects;
    verdict.rejects = rejects;
    verdict.duplicates = duplicates(transaction, entry.load_id)?;
    verdict.digest_expected = digest(&expected.events).wrapping_add(digest(&expected.rejects));
    verdict.digest_found = event_digest.wrapping_add(reject_digest);
    let same = events == expected.events.len() as i64
        && event_digest == digest(&expected.events)
        && rejects == expected.rejects.len() as i64
        && reject_digest == digest(&expected.rejects);
    if same {
        return Ok(verdict);
    }
    if version(transaction, entry.load_id)? != Some(entry.version) {
        verdict.state = State::Pending;
        return Ok(verdict.because("its rows are being loaded anew, or healed"));
    }
    explain(transaction, entry.load_id, expected, verdict)
}

/// What the ledger says now; `None` when the rows went to another load id.
fn version(transaction: &mut Transaction<'_>, load_id: i64) -> anyhow::Result<Option<i64>> {
    let row = transaction
        .query_one(
            "select (select greatest(load_id, (select max(replay_id) from ops.replay as replay
                                               where replay.load_id = file.load_id))
                     from ops.load_file as file where load_id = $1)",
            &[&load_id],
        )
        .map_err(warehouse::explain)?;
    Ok(row.get(0))
}

fn count(
    transaction: &mut Transaction<'_>,
    table: &str,
    hash: &str,
    load_id: i64,
) -> anyhow::Result<(i64, u64)> {
    let row = transaction
        .query_one(
            &format!(
                "select count(*), coalesce(sum({hash}), 0)::text from {table} where load_id = $1"
            ),
            &[&load_id],
        )
        .map_err(warehouse::explain)?;
    Ok((row.get(0), wrap(row.get(1))?))
}

/// A sum that PostgreSQL computed exactly, as one that wraps.
pub fn wrap(sum: &str) -> anyhow::Result<u64> {
    let exact: i128 = sum.parse().with_context(|| format!("{sum} is no sum"))?;
    Ok(exact as u64)
}

fn duplicates(transaction: &mut Transaction<'_>, load_id: i64) -> anyhow::Result<i64> {
    let row = transaction
        .query_one(
            "select count(*) - count(distinct event_id) from raw.log_event where load_id = $1",
            &[&load_id],
        )
        .map_err(warehouse::explain)?;
    Ok(row.get(0))
}

/// The counts or digests differ: goes down to the offsets.
fn explain(
    transaction: &mut Transaction<'_>,
    load_id: i64,
    expected: &Expected,
    mut verdict: Verdict,
) -> anyhow::Result<Verdict> {
    let events = hashes(transaction, "raw.log_event", EVENT_HASH, load_id)?;
    let rejects = hashes(transaction, "raw.reject", REJECT_HASH, load_id)?;
    let outdated = outdated(transaction, load_id, verdict.unit, expected)?;
    // a reject of an earlier parser is there once, and waits for its replay
    let without = |list: &[(i64, u64)]| -> Vec<(i64, u64)> {
        let kept = list
            .iter()
            .filter(|(offset, _)| !outdated.contains_key(offset));
        kept.copied().collect()
    };
    let event_differences = compare(&without(&expected.events), &events);
    let reject_differences = compare(&without(&expected.rejects), &without(&rejects));
    let mut said = Vec::new();
    if !event_differences.is_empty() {
        said.push(format!("raw.log_event: {event_differences}"));
    }
    if !reject_differences.is_empty() {
        said.push(format!("raw.reject: {reject_differences}"));
    }
    if said.is_empty() {
        anyhow::ensure!(
            !outdated.is_empty(),
            "the digests of load {load_id} differ and its rows do not: did it change meanwhile?"
        );
        let mut offsets: Vec<i64> = outdated.into_keys().collect();
        offsets.sort_unstable();
        let ranges: Ranges = offsets.into_iter().collect();
        verdict.state = State::Replay;
        return Ok(verdict.because(format!(
            "{ranges} would be judged otherwise by this parser: run load --replay-rejects"
        )));
    }
    verdict.state = State::Different;
    Ok(verdict.because(format!("{} (load {load_id})", said.join("; "))))
}

/// Offset and hash of every row, by offset.
fn hashes(
    transaction: &mut Transaction<'_>,
    table: &str,
    hash: &str,
    load_id: i64,
) -> anyhow::Result<Vec<(i64, u64)>> {
    let rows = transaction
        .query(
            &format!(
                "select kafka_offset, {hash} from {table} where load_id = $1 order by kafka_offset"
            ),
            &[&load_id],
        )
        .map_err(warehouse::explain)?;
    let pairs = rows
        .iter()
        .map(|row| (row.get(0), row.get::<_, i64>(1) as u64));
    Ok(pairs.collect())
}

/// Rejects that hold a record of the file as it was received, under a verdict that this parser
/// does not come to.
fn outdated(
    transaction: &mut Transaction<'_>,
    load_id: i64,
    unit: Unit,
    expected: &Expected,
) -> anyhow::Result<HashMap<i64, ()>> {
    let records: HashMap<i64, u64> = expected.records.iter().copied().collect();
    let verdicts: HashMap<i64, u64> = expected.rejects.iter().copied().collect();
    let rows = transaction
        .query(
            &format!(
                "select kafka_offset, (extract(epoch from kafka_time) * 1000)::bigint, key, payload,
                    {REJECT_HASH}, kafka_partition
                 from raw.reject where load_id = $1"
            ),
            &[&load_id],
        )
        .map_err(warehouse::explain)?;
    let mut outdated = HashMap::new();
    for row in rows {
        let offset: i64 = row.get(0);
        let record = record_hash(&Record {
            offset,
            timestamp_millis: row.get(1),
            key: row.get(2),
            value: row.get(3),
        });
        let is_received =
            records.get(&offset) == Some(&record) && row.get::<_, i32>(5) == unit.partition;
        let is_current = verdicts.get(&offset) == Some(&(row.get::<_, i64>(4) as u64));
        if is_received && !is_current && outdated.insert(offset, ()).is_some() {
            // twice: not what a replay would mend
            outdated.remove(&offset);
        }
    }
    Ok(outdated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_sums_wrap_as_ours_do() {
        let (large, small) = (u64::MAX >> 4, 7_u64);
        let exact = i128::from(large) * 40 + i128::from(small);
        let ours = (0..40).fold(small, |sum: u64, _| sum.wrapping_add(large));
        assert_eq!(wrap(&exact.to_string()).expect("a sum"), ours);
        assert!(wrap("many").is_err());
    }
}
