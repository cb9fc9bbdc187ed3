//! What a person reads: a line per partition and store, and the totals.

use std::fmt::Write;

use crate::book::Total;
use crate::options::Options;
use crate::verdict::{State, Store};

/// The table, with the lag of the chain behind Kafka.
pub fn render(totals: &[Total], options: &Options, lag: &[(i32, i64)]) -> String {
    let mut text = format!(
        "{:<10} {:<10} {:>12} {:>12} {:>9} {:>10}  {:<8} {:<8}  state\n",
        "partition", "store", "expected", "found", "rejects", "duplicates", "digest", "found"
    );
    let mut sums: Vec<Total> = Vec::new();
    for total in totals {
        let place = if total.epoch == 0 {
            total.partition.to_string()
        } else {
            format!("{} ({})", total.partition, total.epoch)
        };
        line(&mut text, &place, total, options);
        match sums.iter_mut().find(|sum| sum.store == total.store) {
            Some(sum) => sum.add(total),
            None => sums.push(total.clone()),
        }
    }
    sums.sort_by_key(|sum| sum.store);
    for sum in &sums {
        line(&mut text, "total", sum, options);
    }
    for store in Store::BY_FILE {
        if !options.asks(store) {
            let _ = writeln!(text, "{:<10} {:<10} not asked", "total", store.name());
        }
    }
    for (partition, records) in lag.iter().filter(|(_, records)| *records > 0) {
        let _ = writeln!(
            text,
            "{partition:<10} {:<10} {records} records are not archived yet",
            "kafka"
        );
    }
    text
}

fn line(text: &mut String, place: &str, total: &Total, options: &Options) {
    if !options.asks(total.store) {
        return;
    }
    let states: Vec<String> = total
        .states
        .iter()
        .map(|(state, count)| match state {
            State::Ok if total.states.len() == 1 => "ok".to_owned(),
            _ => format!("{count} {}", state.name()),
        })
        .collect();
    // a String takes everything
    let _ = writeln!(
        text,
        "{place:<10} {:<10} {:>12} {:>12} {:>9} {:>10}  {:<8} {:<8}  {}",
        total.store.name(),
        total.expected,
        total.found,
        total.rejects,
        total.duplicates,
        short(total.digest_expected),
        short(total.digest_found),
        states.join(", ")
    );
}

/// The first eight digits of a digest.
fn short(digest: u64) -> String {
    let mut text = format!("{digest:016x}");
    text.truncate(8);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn total(partition: i32, store: Store, found: i64, state: State) -> Total {
        Total {
            epoch: 0,
            partition,
            store,
            expected: 10,
            found,
            rejects: 1,
            duplicates: 2,
            digest_expected: 0xabcd_0000_0000_0000,
            digest_found: 0xabcd_0000_0000_0000,
            states: vec![(state, 1)],
        }
    }

    #[test]
    fn partitions_are_summed_and_what_is_not_asked_is_said() {
        let options = Options::parse_from(["audit", "--stores", "kafka,postgres"]);
        let totals = [
            total(0, Store::Chain, 10, State::Ok),
            total(0, Store::Postgres, 10, State::Ok),
            total(1, Store::Chain, 10, State::Ok),
            total(1, Store::Postgres, 9, State::Different),
            total(1, Store::Cassandra, 9, State::Different),
        ];
        let text = render(&totals, &options, &[(0, 0), (1, 5)]);
        let found = |start: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(start));
            line.unwrap_or_default().to_owned()
        };
        let sum = found("total      postgres");
        assert!(sum.contains(" 20 ") && sum.contains(" 19 "), "{sum}");
        assert!(sum.ends_with("1 ok, 1 different"), "{sum}");
        assert!(
            found("total      cassandra").ends_with("not asked"),
            "{text}"
        );
        assert!(!text.contains("1          cassandra"), "{text}");
        assert!(text.contains("5 records are not archived yet"), "{text}");
        assert!(found("0          chain").contains("abcd0000"), "{text}");
    }
}
