//! The ledger: which raw files are in PostgreSQL. Its key makes a second load of a file impossible.

use std::collections::{BTreeSet, HashMap};

use chain::{Footer, RawFileName};
use metrics::gauge;
use postgres::{Client, Transaction};

/// The place of a file in the chain, within its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Known {
    pub epoch: i32,
    pub partition: i32,
    pub start: i64,
}

impl Known {
    /// Of a file name.
    pub fn of(name: &RawFileName) -> Known {
        Known {
            epoch: name.epoch as i32,
            partition: name.partition,
            start: name.start,
        }
    }
}

/// Files that the ledger holds. `with_quarantined`: those that could not be read count as held.
pub fn known(
    client: &mut Client,
    topic: &str,
    with_quarantined: bool,
) -> anyhow::Result<BTreeSet<Known>> {
    let rows = client
        .query(
            "select epoch, kafka_partition, start_offset from ops.load_file
             where topic = $1 and (status = 'loaded' or $2)",
            &[&topic, &with_quarantined],
        )
        .map_err(warehouse::explain)?;
    Ok(rows
        .iter()
        .map(|row| Known {
            epoch: row.get(0),
            partition: row.get(1),
            start: row.get(2),
        })
        .collect())
}

/// Files that are loaded, and the load id of each.
pub fn loaded(client: &mut Client, topic: &str) -> anyhow::Result<HashMap<Known, i64>> {
    let rows = client
        .query(
            "select epoch, kafka_partition, start_offset, load_id from ops.load_file
             where topic = $1 and status = 'loaded'",
            &[&topic],
        )
        .map_err(warehouse::explain)?;
    let known = |row: &postgres::Row| Known {
        epoch: row.get(0),
        partition: row.get(1),
        start: row.get(2),
    };
    Ok(rows.iter().map(|row| (known(row), row.get(3))).collect())
}

/// Files in quarantine.
pub fn quarantined(client: &mut Client, topic: &str) -> anyhow::Result<i64> {
    let row = client
        .query_one(
            "select count(*) from ops.load_file where topic = $1 and status = 'quarantined'",
            &[&topic],
        )
        .map_err(warehouse::explain)?;
    Ok(row.get(0))
}

/// Shows what the ledger holds, of all topics.
pub fn show(client: &mut Client) -> anyhow::Result<()> {
    let row = client
        .query_one(
            "select count(*) filter (where status = 'loaded'),
                    count(*) filter (where status = 'quarantined'),
                    coalesce(sum(event_count), 0)::bigint, coalesce(sum(reject_count), 0)::bigint
             from ops.load_file",
            &[],
        )
        .map_err(warehouse::explain)?;
    let number = |index: usize| row.get::<_, i64>(index) as f64;
    gauge!("pipeline_warehouse_files", "status" => "loaded").set(number(0));
    gauge!("pipeline_warehouse_files", "status" => "quarantined").set(number(1));
    gauge!("pipeline_warehouse_rows", "table" => "log_event").set(number(2));
    gauge!("pipeline_warehouse_rows", "table" => "reject").set(number(3));
    Ok(())
}

/// What the ledger keeps of a file beside its place.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub name: &'a RawFileName,
    pub path: &'a str,
    pub file_bytes: u64,
}

/// Claims a file inside a transaction: waits for another run that is loading it, and gives its
/// load id, or `None` when it is loaded already.
pub fn claim(
    transaction: &mut Transaction<'_>,
    entry: Entry<'_>,
    footer: &Footer,
) -> anyhow::Result<Option<i64>> {
    let name = entry.name;
    let row = transaction
        .query_opt(
            "insert into ops.load_file as known
                (topic, epoch, kafka_partition, start_offset, next_offset, path, file_bytes,
                 record_count, event_count, reject_count, status, error)
             values ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0, 'loaded', $8)
             on conflict (topic, epoch, kafka_partition, start_offset) do update
                set next_offset = excluded.next_offset, file_bytes = excluded.file_bytes,
                    status = 'loaded', error = excluded.error, loaded_at = now()
                where known.status = 'quarantined'
             returning load_id",
            &[
                &name.topic,
                &(name.epoch as i32),
                &name.partition,
                &name.start,
                &footer.next,
                &entry.path,
                &(entry.file_bytes as i64),
                &footer.gap,
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(row.map(|row| row.get(0)))
}

/// Takes the rows of a loaded file out again, inside a transaction, and gives its new load id:
/// `None` when another run was quicker to load it anew.
pub fn claim_anew(
    transaction: &mut Transaction<'_>,
    load_id: i64,
    entry: Entry<'_>,
    footer: &Footer,
) -> anyhow::Result<Option<i64>> {
    let row = transaction
        .query_one("select ops.begin_reload($1)", &[&load_id])
        .map_err(warehouse::explain)?;
    let Some(new_load_id) = row.get::<_, Option<i64>>(0) else {
        return Ok(None);
    };
    transaction
        .execute(
            "update ops.load_file set next_offset = $2, file_bytes = $3, error = $4
             where load_id = $1",
            &[
                &new_load_id,
                &footer.next,
                &(entry.file_bytes as i64),
                &footer.gap,
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(Some(new_load_id))
}

/// Completes the entry of a claimed file.
pub fn complete(
    transaction: &mut Transaction<'_>,
    load_id: i64,
    event_count: u64,
    reject_count: u64,
) -> anyhow::Result<()> {
    transaction
        .execute(
            "update ops.load_file
             set record_count = $2, event_count = $3, reject_count = $4 where load_id = $1",
            &[
                &load_id,
                &((event_count + reject_count) as i64),
                &(event_count as i64),
                &(reject_count as i64),
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(())
}

/// Puts a file that cannot be read into quarantine, unless the ledger holds it already.
pub fn quarantine(client: &mut Client, entry: Entry<'_>, error: &str) -> anyhow::Result<()> {
    let name = entry.name;
    client
        .execute(
            "insert into ops.load_file
                (topic, epoch, kafka_partition, start_offset, next_offset, path, file_bytes,
                 record_count, event_count, reject_count, status, error)
             values ($1, $2, $3, $4, null, $5, $6, 0, 0, 0, 'quarantined', $7)
             on conflict (topic, epoch, kafka_partition, start_offset) do nothing",
            &[
                &name.topic,
                &(name.epoch as i32),
                &name.partition,
                &name.start,
                &entry.path,
                &(entry.file_bytes as i64),
                &error,
            ],
        )
        .map_err(warehouse::explain)?;
    Ok(())
}
