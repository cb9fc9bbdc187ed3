//! The task: read and check both files, then one transaction each.

use chrono::{Datelike, Utc};
use frame::{Dataset, Outcome, Progress, Stop, failpoint};
use metrics::counter;
use serde::Serialize;

use crate::change;
use crate::options::Options;
use crate::rows::{Product, User};
use crate::source;
use crate::upsert::{self, Counts};

/// The last line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    users: Counts,
    products: ProductCounts,
    #[serde(skip_serializing_if = "Option::is_none")]
    change_seed: Option<u64>,
    stopped: bool,
}

#[derive(Debug, Default, Serialize)]
struct ProductCounts {
    #[serde(flatten)]
    counts: Counts,
    /// Given another price or stock on request.
    changed: u64,
}

/// The task.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    for (file, table, rows) in [
        (&options.users, "raw.user_profile", "/users/inserted"),
        (&options.products, "raw.product", "/products/inserted"),
    ] {
        frame::reads(Dataset::new("file", file.display().to_string()));
        frame::writes(options.warehouse.dataset(table), rows);
    }
    // both are checked before anything is written
    let users: Vec<User> = source::read(&options.users)?;
    let products: Vec<Product> = source::read(&options.products)?;
    let progress = Progress::new(Some((users.len() + products.len()) as u64), "rows");
    let mut client = warehouse::connect(&options.warehouse, "catalog")?;
    let mut summary = Summary::default();

    let mut transaction = client.transaction().map_err(warehouse::explain)?;
    summary.users = upsert::upsert(&mut transaction, &users)?;
    failpoint("catalog.before_commit");
    transaction.commit().map_err(warehouse::explain)?;
    failpoint("catalog.after_commit");
    progress.batch(
        users.len() as u64,
        format_args!("users: {:?}", summary.users),
    );
    if stop.is_set() {
        summary.stopped = true;
        return Outcome::done(summary);
    }

    let mut transaction = client.transaction().map_err(warehouse::explain)?;
    summary.products.counts = upsert::upsert(&mut transaction, &products)?;
    if options.change_ratio > 0.0 {
        let seed = options.change_seed.unwrap_or_else(today);
        let changes = change::draw(&products, options.change_ratio, seed);
        summary.products.changed = upsert::apply(&mut transaction, &changes)?;
        summary.change_seed = Some(seed);
    }
    failpoint("catalog.before_commit");
    transaction.commit().map_err(warehouse::explain)?;
    failpoint("catalog.after_commit");
    progress.batch(
        products.len() as u64,
        format_args!("products: {:?}", summary.products),
    );
    let products = &summary.products.counts;
    for (table, counts) in [("user_profile", &summary.users), ("product", products)] {
        let records = counts.inserted + counts.updated + counts.unchanged;
        counter!("pipeline_records_total").increment(records);
        let rows = counts.inserted + counts.updated;
        counter!("pipeline_rows_total", "table" => table).increment(rows);
    }
    Outcome::done(summary)
}

/// 20260131
fn today() -> u64 {
    let today = Utc::now().date_naive();
    u64::from(today.year_ce().1) * 10_000 + u64::from(today.month() * 100 + today.day())
}
