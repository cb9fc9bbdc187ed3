//! Verdicts of `audit` that nobody reads any more.

use anyhow::Context;
use postgres::Client;
use serde::Serialize;

/// What went, or would go.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub struct Pruned {
    /// Replaced by newer ones.
    pub verdicts_deleted: i64,
    /// Runs of audit of which no verdict is left.
    pub audit_runs_deleted: i64,
}

/// Deletes them in one transaction. A dry run does the same, and takes it back.
pub fn prune(client: &mut Client, keep_days: i32, dry_run: bool) -> anyhow::Result<Pruned> {
    let mut transaction = client.transaction().map_err(warehouse::explain)?;
    let row = transaction
        .query_one(
            "select verdicts, runs from ops.prune_audit($1)",
            &[&keep_days],
        )
        .map_err(warehouse::explain)
        .context("deleting verdicts")?;
    let pruned = Pruned {
        verdicts_deleted: row.try_get(0)?,
        audit_runs_deleted: row.try_get(1)?,
    };
    if dry_run {
        transaction.rollback().map_err(warehouse::explain)?;
    } else {
        transaction.commit().map_err(warehouse::explain)?;
    }
    Ok(pruned)
}
