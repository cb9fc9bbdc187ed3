//! The tables that tasks write: their statistics, and what of them is dead.

use anyhow::Context;
use frame::Stop;
use postgres::Client;
use serde::Serialize;

/// A table, as PostgreSQL counts it.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Table {
    /// With its schema.
    pub table: String,
    /// Rows.
    pub live: i64,
    /// Versions of rows that nobody sees, and whose space is not free yet.
    pub dead: i64,
    /// With its indexes.
    pub bytes: i64,
}

/// A table with fewer dead rows is nobody's business.
const DEAD_ROWS_WORTH_SAYING: i64 = 10_000;

impl Table {
    /// Whether autovacuum is behind: more than a third of it is dead.
    pub fn is_neglected(&self) -> bool {
        self.dead >= DEAD_ROWS_WORTH_SAYING && self.dead * 2 > self.live
    }
}

/// The tables of raw and ops.
pub fn tables(client: &mut Client) -> anyhow::Result<Vec<Table>> {
    let rows = client
        .query(
            "select schemaname || '.' || relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid)
             from pg_stat_user_tables where schemaname in ('raw', 'ops') order by 1",
            &[],
        )
        .map_err(warehouse::explain)
        .context("listing the tables")?;
    rows.iter()
        .map(|row| {
            Ok(Table {
                table: row.try_get(0)?,
                live: row.try_get(1)?,
                dead: row.try_get(2)?,
                bytes: row.try_get(3)?,
            })
        })
        .collect()
}

/// Brings the statistics of each table up to date, one transaction each; how many.
pub fn refresh(client: &mut Client, tables: &[Table], stop: &Stop) -> anyhow::Result<u64> {
    let mut refreshed = 0;
    for Table { table, .. } in tables {
        if stop.is_set() {
            break;
        }
        client
            .execute("select ops.refresh_statistics($1)", &[table])
            .map_err(warehouse::explain)
            .with_context(|| format!("statistics of {table}"))?;
        refreshed += 1;
    }
    Ok(refreshed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(live: i64, dead: i64) -> Table {
        Table {
            table: "raw.log_event".to_owned(),
            live,
            dead,
            bytes: 0,
        }
    }

    #[test]
    fn only_a_table_that_is_mostly_dead_is_neglected() {
        assert!(table(20_000, 10_001).is_neglected());
        assert!(!table(20_002, 10_001).is_neglected());
        assert!(!table(0, 9_999).is_neglected());
        assert!(table(0, 10_000).is_neglected());
    }
}
