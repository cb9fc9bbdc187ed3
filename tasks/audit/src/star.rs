//! Whether the star holds the events of a load, each id once, and nothing else.

use postgres::{Client, Transaction};

use crate::canonical::ID_HASH;
use crate::ranges::Ranges;
use crate::raw_rows::{Entry, wrap};
use crate::verdict::{State, Store, Unit, Verdict};

/// Compares `marts.fact_event` with the ids of a load that is built.
pub fn compare_facts(
    transaction: &mut Transaction<'_>,
    entry: &Entry,
    unit: Unit,
) -> anyhow::Result<Verdict> {
    let row = transaction
        .query_one(
            &format!(
                "select count(*), count(fact.event_id), coalesce(sum(hash), 0)::text,
                    coalesce(sum(hash) filter (where fact.event_id is not null), 0)::text,
                    coalesce(sum(times - 1), 0)::bigint
                 from (select event_id, {ID_HASH} as hash, count(*) as times
                       from raw.log_event where load_id = $1 group by event_id) as loaded
                 left join marts.fact_event as fact using (event_id)"
            ),
            &[&entry.load_id],
        )
        .map_err(warehouse::explain)?;
    let mut verdict = Verdict::new(unit, Store::Star, State::Ok);
    verdict.expected = row.get(0);
    verdict.found = row.get(1);
    verdict.digest_expected = wrap(row.get(2))?;
    verdict.digest_found = wrap(row.get(3))?;
    verdict.duplicates = row.get(4);
    if verdict.expected == verdict.found {
        return Ok(verdict);
    }
    let missing = transaction
        .query(
            "select min(kafka_offset) from raw.log_event where load_id = $1 and not exists (
                select from marts.fact_event as fact where fact.event_id = log_event.event_id)
             group by event_id order by 1",
            &[&entry.load_id],
        )
        .map_err(warehouse::explain)?;
    let offsets: Ranges = missing.iter().map(|row| row.get::<_, i64>(0)).collect();
    verdict.state = State::Different;
    Ok(verdict.because(format!(
        "marts.fact_event lacks {} events that load {} brought: {offsets}",
        offsets.count(),
        entry.load_id
    )))
}

/// Facts of which nothing in raw knows: the other direction, for the star as a whole.
pub fn compare_whole(client: &mut Client) -> anyhow::Result<Verdict> {
    let unit = Unit {
        epoch: 0,
        partition: -1,
        start: 0,
        next: 0,
    };
    let rows = client
        .query(
            "select event_id from marts.fact_event as fact where not exists (
                select from raw.log_event as event where event.event_id = fact.event_id)
             order by event_id limit 4",
            &[],
        )
        .map_err(warehouse::explain)?;
    let verdict = Verdict::new(unit, Store::Star, State::Ok);
    if rows.is_empty() {
        return Ok(verdict);
    }
    let mut ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let more = if ids.len() > 3 { " and more" } else { "" };
    ids.truncate(3);
    Ok(Verdict {
        state: State::Different,
        ..verdict
    }
    .because(format!(
        "marts.fact_event holds events that no row of raw.log_event has: {}{more}",
        ids.join(", ")
    )))
}
