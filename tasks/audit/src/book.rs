//! `ops.audit`: what was found of each raw file in each store. Only ever appended to, and only when
//! something is other than it was.

use std::collections::HashMap;

use anyhow::Context;
use chain::RawFileName;
use postgres::Client;

use crate::chain_files::ChainFile;
use crate::raw_rows::{Entry, wrap};
use crate::verdict::{State, Store, Verdict};

/// What earlier runs found of a file.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Where it ends.
    pub next: i64,
    /// Its records.
    pub records: i64,
    /// The digest of its records when it was last as it should be.
    pub chain_digest: Option<u64>,
    /// An operator accepted that the file is not there.
    pub is_accepted_hole: bool,
    settled: Vec<Store>,
    postgres_version: Option<i64>,
    star_version: Option<i64>,
    file: Option<(i64, i64)>,
}

impl Known {
    /// Whether a store need not be looked at again.
    pub fn is_settled(&self, store: Store, file: &ChainFile, entry: Option<&Entry>) -> bool {
        let version = entry.map(|entry| entry.version);
        let is_current = match store {
            Store::Postgres => version == self.postgres_version,
            Store::Star => version == self.star_version,
            _ => true,
        };
        // a file that was written again may hold anything
        let is_same_file = self.file == Some(stamp(file));
        is_current && is_same_file && self.settled.contains(&store)
    }
}

/// What the listing shows of a file's content.
fn stamp(file: &ChainFile) -> (i64, i64) {
    (file.stored.bytes as i64, file.stored.modified_millis as i64)
}

/// Everything that earlier runs found of a topic.
pub fn known(client: &mut Client, topic: &str) -> anyhow::Result<HashMap<RawFileName, Known>> {
    let rows = client
        .query(
            "select epoch, kafka_partition, start_offset,
                max(next_offset) filter (where store = 'chain'),
                array_agg(store || ' ' || state),
                max(load_version) filter (where store = 'postgres'),
                max(load_version) filter (where store = 'star'),
                max(file_bytes) filter (where store = 'chain'),
                max(file_modified) filter (where store = 'chain'),
                max(case state when 'accepted' then digest_found else digest_expected end)
                    filter (where store = 'chain'),
                coalesce(bool_or(state = 'accepted' and file_bytes is null)
                    filter (where store = 'chain'), false),
                max(found) filter (where store = 'chain')
             from ops.audit_latest
             where topic = $1 and kafka_partition >= 0 and store <> 'minutes'
             group by epoch, kafka_partition, start_offset",
            &[&topic],
        )
        .map_err(warehouse::explain)?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in rows {
        let name = RawFileName {
            topic: topic.to_owned(),
            epoch: row.get::<_, i32>(0) as u32,
            partition: row.get(1),
            start: row.get(2),
        };
        let verdicts: Vec<String> = row.get(4);
        let digest: Option<i64> = row.get(9);
        let found = Known {
            next: row.get::<_, Option<i64>>(3).unwrap_or(name.start),
            settled: verdicts
                .iter()
                .filter_map(|verdict| settled_store(verdict))
                .collect(),
            postgres_version: row.get(5),
            star_version: row.get(6),
            file: row.get::<_, Option<i64>>(7).zip(row.get(8)),
            chain_digest: digest.filter(|digest| *digest != 0).map(|bits| bits as u64),
            is_accepted_hole: row.get(10),
            records: row.get::<_, Option<i64>>(11).unwrap_or(0),
        };
        known.insert(name, found);
    }
    Ok(known)
}

/// The store of `store state`, if it need not be looked at again.
fn settled_store(verdict: &str) -> Option<Store> {
    let (store, state) = verdict.split_once(' ')?;
    let is_settled = State::from_name(state)?.is_settled();
    Store::from_name(store).filter(|_| is_settled)
}

/// The number of a new run.
pub fn begin(client: &mut Client) -> anyhow::Result<i64> {
    let row = client
        .query_one("select nextval('ops.audit_run_id')", &[])
        .map_err(warehouse::explain)?;
    Ok(row.get(0))
}

/// Appends a verdict, unless the newest one of its file and store says the same.
pub fn note(
    client: &mut Client,
    run_id: i64,
    topic: &str,
    verdict: &Verdict,
    file: Option<&ChainFile>,
    entry: Option<&Entry>,
) -> anyhow::Result<()> {
    let stamp = file.map(stamp);
    let version = entry
        .filter(|_| matches!(verdict.store, Store::Postgres | Store::Star))
        .map(|entry| entry.version);
    client
        .execute(
            "insert into ops.audit
                (run_id, topic, epoch, kafka_partition, start_offset, next_offset, store, state,
                 expected, found, rejects, duplicates, digest_expected, digest_found,
                 load_version, file_bytes, file_modified, detail)
             select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18
             where not exists (
                select from (
                    select next_offset, state, expected, found, rejects, duplicates,
                        digest_expected, digest_found, load_version, file_bytes, file_modified, detail
                    from ops.audit
                    where topic = $2 and epoch = $3 and kafka_partition = $4
                        and start_offset = $5 and store = $7
                    order by audit_id desc limit 1
                ) as newest
                where newest is not distinct from
                    row($6::bigint, $8::text, $9::bigint, $10::bigint, $11::bigint, $12::bigint,
                        $13::bigint, $14::bigint, $15::bigint, $16::bigint, $17::bigint, $18::text))",
            &[
                &run_id,
                &topic,
                &(verdict.unit.epoch as i32),
                &verdict.unit.partition,
                &verdict.unit.start,
                &verdict.unit.next,
                &verdict.store.name(),
                &verdict.state.name(),
                &verdict.expected,
                &verdict.found,
                &verdict.rejects,
                &verdict.duplicates,
                &(verdict.digest_expected as i64),
                &(verdict.digest_found as i64),
                &version,
                &stamp.map(|stamp| stamp.0),
                &stamp.map(|stamp| stamp.1),
                &verdict.detail,
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(())
}

/// How a run ended.
#[derive(Debug)]
pub struct Run<'a> {
    pub run_id: i64,
    pub topic: &'a str,
    pub stores: &'a str,
    pub is_full: bool,
    pub files: i64,
    pub records: i64,
    pub pending: i64,
    pub differences: i64,
}

/// Appends the run.
pub fn end(client: &mut Client, run: &Run<'_>) -> anyhow::Result<()> {
    client
        .execute(
            "insert into ops.audit_run
                (run_id, topic, stores, is_full, files, records, pending, differences)
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &run.run_id,
                &run.topic,
                &run.stores,
                &run.is_full,
                &run.files,
                &run.records,
                &run.pending,
                &run.differences,
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(())
}

/// What all runs together found in one store, of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    pub epoch: u32,
    pub partition: i32,
    pub store: Store,
    pub expected: i64,
    pub found: i64,
    pub rejects: i64,
    pub duplicates: i64,
    pub digest_expected: u64,
    pub digest_found: u64,
    /// How many files, or blocks, are in each state.
    pub states: Vec<(State, i64)>,
}

/// The totals of a topic, by partition and store.
pub fn totals(client: &mut Client, topic: &str) -> anyhow::Result<Vec<Total>> {
    let rows = client
        .query(
            "select epoch, kafka_partition, store, state, count(*),
                sum(expected)::bigint, sum(found)::bigint, sum(rejects)::bigint,
                sum(duplicates)::bigint, sum(digest_expected)::text, sum(digest_found)::text
             from ops.audit_latest where topic = $1 and kafka_partition >= 0
             group by epoch, kafka_partition, store, state
             order by epoch, kafka_partition",
            &[&topic],
        )
        .map_err(warehouse::explain)?;
    let mut totals: Vec<Total> = Vec::new();
    for row in rows {
        let (store, state): (String, String) = (row.get(2), row.get(3));
        let store = Store::from_name(&store).with_context(|| format!("no store {store}"))?;
        let state = State::from_name(&state).with_context(|| format!("no state {state}"))?;
        let one = Total {
            epoch: row.get::<_, i32>(0) as u32,
            partition: row.get(1),
            store,
            expected: row.get(5),
            found: row.get(6),
            rejects: row.get(7),
            duplicates: row.get(8),
            digest_expected: wrap(row.get(9))?,
            digest_found: wrap(row.get(10))?,
            states: vec![(state, row.get(4))],
        };
        let same = totals.iter_mut().find(|total| {
            (total.epoch, total.partition, total.store) == (one.epoch, one.partition, one.store)
        });
        match same {
            Some(total) => total.add(&one),
            None => totals.push(one),
        }
    }
    totals.sort_by_key(|total| (total.epoch, total.partition, total.store));
    Ok(totals)
}

impl Total {
    /// Takes in another.
    pub fn add(&mut self, other: &Total) {
        self.expected += other.expected;
        self.found += other.found;
        self.rejects += other.rejects;
        self.duplicates += other.duplicates;
        self.digest_expected = self.digest_expected.wrapping_add(other.digest_expected);
        self.digest_found = self.digest_found.wrapping_add(other.digest_found);
        for (state, count) in &other.states {
            match self.states.iter_mut().find(|(known, _)| known == state) {
                Some((_, sum)) => *sum += count,
                None => self.states.push((*state, *count)),
            }
        }
        self.states.sort_unstable();
    }
}
