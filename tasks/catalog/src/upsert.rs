//! Rows into a table: what is new or differs from what the file had before, and nothing else.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context;
use postgres::Transaction;
use serde::Serialize;

use crate::change::Change;
use crate::rows::{Product, Row};

/// What became of the rows of a file.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
pub struct Counts {
    /// Not there before.
    pub inserted: u64,
    /// Written anew because the file has another row than before.
    pub updated: u64,
    /// Left as they are.
    pub unchanged: u64,
}

/// Upserts all rows within `transaction`.
pub fn upsert<Source: Row>(
    transaction: &mut Transaction<'_>,
    rows: &[Source],
) -> anyhow::Result<Counts> {
    let table = Source::TABLE;
    let columns = Source::COLUMNS.join(", ");
    transaction
        .batch_execute(&format!(
            "create temporary table incoming on commit drop as select {columns} from {table} with no data"
        ))
        .map_err(warehouse::explain)?;
    copy(transaction, &columns, rows).with_context(|| format!("copying the rows of {table}"))?;
    let (inserted, updated) = merge::<Source>(transaction, &columns)
        .with_context(|| format!("writing the rows of {table}"))?;
    Ok(Counts {
        inserted,
        updated,
        unchanged: rows.len() as u64 - inserted - updated,
    })
}

fn copy<Source: Row>(
    transaction: &mut Transaction<'_>,
    columns: &str,
    rows: &[Source],
) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for row in rows {
        push_line(&mut text, &row.values());
    }
    let mut writer = transaction
        .copy_in(&format!("copy incoming ({columns}) from stdin"))
        .map_err(warehouse::explain)?;
    writer.write_all(&text)?;
    writer.finish().map_err(warehouse::explain)?;
    Ok(())
}

/// One line of PostgreSQL's text format.
fn push_line<Value: AsRef<str>>(text: &mut Vec<u8>, values: &[Value]) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(b'\t');
        }
        for byte in value.as_ref().bytes() {
            match byte {
                b'\\' => text.extend_from_slice(b"\\\\"),
                b'\t' => text.extend_from_slice(b"\\t"),
                b'\n' => text.extend_from_slice(b"\\n"),
                b'\r' => text.extend_from_slice(b"\\r"),
                _ => text.push(byte),
            }
        }
    }
    text.push(b'\n');
}

/// How many rows were inserted, and how many updated.
fn merge<Source: Row>(
    transaction: &mut Transaction<'_>,
    columns: &str,
) -> anyhow::Result<(u64, u64)> {
    let table = Source::TABLE;
    let id = Source::COLUMNS[0];
    let content = &Source::COLUMNS[1..];
    let list = |prefix: &str| {
        let named: Vec<String> = content
            .iter()
            .map(|name| format!("{prefix}.{name}"))
            .collect();
        named.join(", ")
    };
    let (kept, new) = (list("kept"), list("excluded"));
    let assignments: Vec<String> = content
        .iter()
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    // in the order of the identifiers, so that two runs at once wait for each other rather than
    // deadlock; xmax is 0 in a row version that an insert made
    let statement = format!(
        "with written as (
            insert into {table} as kept ({columns}, file_hash)
            select {columns}, md5(incoming::text) from incoming order by {id}
            on conflict ({id}) do update set
                {assignments},
                file_hash = excluded.file_hash,
                updated_at = case when ({kept}) is distinct from ({new})
                    then excluded.updated_at else kept.updated_at end
            where kept.file_hash is distinct from excluded.file_hash
            returning xmax = 0 as inserted
        )
        select
            count(*) filter (where inserted) as inserted,
            count(*) filter (where not inserted) as updated
        from written",
        assignments = assignments.join(", "),
    );
    let row = transaction
        .query_one(&statement, &[])
        .map_err(warehouse::explain)?;
    let (inserted, updated): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok((inserted.unsigned_abs(), updated.unsigned_abs()))
}

/// Gives products their changed prices and stocks; how many rows are now other than before.
pub fn apply(
    transaction: &mut Transaction<'_>,
    changes: &BTreeMap<&str, Change>,
) -> anyhow::Result<u64> {
    let ids: Vec<&str> = changes.keys().copied().collect();
    let prices: Vec<f64> = changes.values().map(|change| change.price).collect();
    let stocks: Vec<i32> = changes.values().map(|change| change.stock).collect();
    let table = Product::TABLE;
    transaction
        .execute(
            &format!(
                "update {table} as kept
                set price = changed.price, stock = changed.stock, updated_at = now()
                from unnest($1::text[], $2::float8[], $3::int[]) as changed (product_id, price, stock)
                where kept.product_id = changed.product_id
                    and (kept.price, kept.stock) is distinct from (changed.price, changed.stock)"
            ),
            &[&ids, &prices, &stocks],
        )
        .map_err(warehouse::explain)
        .with_context(|| format!("changing rows of {table}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_break_out_of_their_column() {
        let mut text = Vec::new();
        push_line(&mut text, &["a\tb", "c\nd\r", "\\N", "\\.", "Zoë"]);
        assert_eq!(text, "a\\tb\tc\\nd\\r\t\\\\N\t\\\\.\tZoë\n".as_bytes());
    }
}
