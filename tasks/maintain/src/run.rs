//! The task: prune, refresh, say what is there; then pack.

use frame::{Outcome, Stop};
use log::{info, warn};
use metrics::{counter, gauge};
use serde::Serialize;

use crate::compaction;
use crate::options::Options;
use crate::prune::{self, Pruned};
use crate::tables::{self, Table};

/// The role of this task, whatever user `POSTGRES_URL` names.
const ROLE: &str = "maintainer";

/// The last line.
#[derive(Debug, Serialize)]
struct Summary {
    #[serde(flatten)]
    pruned: Pruned,
    dry_run: bool,
    tables_refreshed: u64,
    tables: Vec<Table>,
    /// Raw files on HDFS; none if they are not to be packed.
    #[serde(flatten)]
    compacted: Option<chain::Compacted>,
}

/// The task.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    let mut client = warehouse::connect_as(&options.warehouse, Some(ROLE), "maintain")?;
    let pruned = prune::prune(&mut client, options.keep_audit_days, options.dry_run)?;
    info!(
        "{} verdicts and {} runs of audit {}",
        pruned.verdicts_deleted,
        pruned.audit_runs_deleted,
        if options.dry_run {
            "would be deleted"
        } else {
            "deleted"
        }
    );
    let tables = tables::tables(&mut client)?;
    let tables_refreshed = if options.dry_run {
        0
    } else {
        tables::refresh(&mut client, &tables, stop)?
    };
    for table in &tables {
        if table.is_neglected() {
            warn!(
                "{} has {} dead rows beside {} live ones: does autovacuum run, and does an old \
                 transaction hold it up?",
                table.table, table.dead, table.live
            );
        }
        gauge!("pipeline_table_dead_rows", "table" => table.table.clone()).set(table.dead as f64);
        gauge!("pipeline_table_bytes", "table" => table.table.clone()).set(table.bytes as f64);
    }
    if !options.dry_run {
        counter!("pipeline_rows_deleted_total", "table" => "audit")
            .increment(pruned.verdicts_deleted.unsigned_abs());
    }
    let compacted = match options.compact {
        true => Some(compaction::compact(options, stop)?),
        false => None,
    };
    let unreadable = compacted.as_ref().map_or(0, |done| done.files_unreadable);
    let summary = Summary {
        pruned,
        dry_run: options.dry_run,
        tables_refreshed,
        tables,
        compacted,
    };
    if unreadable > 0 {
        let advice = format!(
            "{unreadable} raw files cannot be read, and stay as they are: the log names them; \
             restore them"
        );
        return Outcome::needs_person(&summary, advice);
    }
    Outcome::done(&summary)
}
