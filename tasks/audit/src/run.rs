//! The loop: list the chain, take each raw file that is not clean yet, hold it against every store,
//! note the verdicts; then say what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use chain::{Hdfs, Raw, RawFileName};
use frame::{Outcome, Progress, Stop};
use log::{error, info, warn};
use metrics::gauge;
use postgres::Client;
use serde::Serialize;

use crate::book::{self, Run};
use crate::chain_files::{self, Break, ChainFile, Walk};
use crate::examine::Situation;
use crate::kafka::Kafka;
use crate::log_rows::Cassandra;
use crate::minutes::Blocks;
use crate::options::Options;
use crate::raw_rows;
use crate::star;
use crate::table;
use crate::verdict::{State, Store, Unit, Verdict};

/// Differences that the error names.
const NAMED: usize = 3;

/// The summary line.
#[derive(Debug, Default, Serialize)]
struct Summary {
    topic: String,
    run_id: i64,
    full: bool,
    stores: Vec<&'static str>,
    not_asked: Vec<&'static str>,
    /// Raw files looked at, and those found clean before.
    files: u64,
    files_clean_before: u64,
    files_left: u64,
    /// Records of the chain that were read.
    records: u64,
    /// Files and stores that are not there yet.
    pending: u64,
    accepted: u64,
    /// Records in Kafka that are not archived yet.
    lag_records: i64,
    differences: u64,
    /// Digest of the whole chain, as far as it was ever audited.
    digest: String,
}

/// Audits what is not clean yet, or everything.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    let topic = options.kafka.kafka_topic.as_str();
    frame::reads(options.hdfs.dataset(topic));
    frame::reads(options.kafka.dataset());
    for table in ["raw.log_event", "raw.reject", "marts.fact_event"] {
        frame::reads(options.warehouse.dataset(table));
    }
    frame::reads(options.cassandra.dataset("ecomm_log"));
    frame::writes(options.warehouse.dataset("ops.audit"), "");
    let mut client =
        warehouse::connect_as(&options.warehouse, Some(&options.postgres_user), "audit")?;
    let hdfs = Hdfs::connect(&options.hdfs, stop)?;
    let kafka = Kafka::new(options)?;
    let cassandra = match options.asks(Store::Cassandra) {
        true => Some(Cassandra::connect(&options.cassandra, topic, stop)?),
        false => None,
    };
    let raw = Raw::new(&options.hdfs.raw_root);
    // Listed first: what is archived, loaded or streamed while this runs is for the next run.
    let files = chain_files::list(&hdfs, &raw, topic)?;
    let held = kafka.held()?;
    let partitions: Vec<i32> = held.keys().copied().collect();
    let situation = Situation {
        topic,
        hdfs: &hdfs,
        files: &files,
        streamed: kafka.streamed(&partitions)?,
        held,
        kafka: options.asks(Store::Kafka).then_some(&kafka),
        cassandra: cassandra.as_ref(),
        ledger: raw_rows::ledger(&mut client, topic)?,
        newest_epoch: files.iter().map(|file| file.name.epoch).max().unwrap_or(0),
    };
    let mut audit = Audit {
        options,
        known: book::known(&mut client, topic)?,
        run_id: book::begin(&mut client)?,
        client: &mut client,
        walk: Walk::default(),
        blocks: Blocks::new(options.full && situation.newest_epoch == 0),
        holes: Vec::new(),
        differences: Vec::new(),
        summary: Summary {
            topic: topic.to_owned(),
            full: options.full,
            files_left: files.len() as u64,
            ..Summary::default()
        },
        situation,
    };
    audit.all_files(stop)?;
    audit.missing_files()?;
    if options.full && !stop.is_set() {
        audit.as_a_whole(&kafka)?;
    }
    audit.end()
}

struct Audit<'a> {
    options: &'a Options,
    client: &'a mut Client,
    situation: Situation<'a>,
    known: std::collections::HashMap<RawFileName, book::Known>,
    run_id: i64,
    walk: Walk,
    blocks: Blocks,
    holes: Vec<Unit>,
    differences: Vec<Verdict>,
    summary: Summary,
}

impl Audit<'_> {
    fn all_files(&mut self, stop: &Stop) -> anyhow::Result<()> {
        let progress = Progress::new(Some(self.situation.files.len() as u64), "files");
        for file in self.situation.files {
            if stop.is_set() {
                return Ok(());
            }
            self.one_file(file, &progress)?;
            self.summary.files_left -= 1;
        }
        Ok(())
    }

    fn one_file(&mut self, file: &ChainFile, progress: &Progress) -> anyhow::Result<()> {
        let entry = self.situation.ledger.get(&file.name);
        let known = self.known.get(&file.name);
        let open: Vec<Store> = Store::BY_FILE
            .into_iter()
            .filter(|store| self.options.asks(*store))
            .filter(|store| {
                let settled = known.is_some_and(|known| known.is_settled(*store, file, entry));
                self.options.full || !settled
            })
            .collect();
        if open.is_empty() {
            self.summary.files_clean_before += 1;
            return self.step(file, known.map(|known| known.next));
        }
        let records = known.map_or(0, |known| known.records);
        let examined = self
            .situation
            .examine(self.client, file, &open, known, &mut self.blocks)?;
        let read = examined
            .verdicts
            .iter()
            .find(|verdict| verdict.store == Store::Chain)
            .map_or(records, |chain| chain.found);
        self.summary.files += 1;
        self.summary.records += read as u64;
        let mut words = Vec::new();
        for mut verdict in examined.verdicts {
            // what was told without reading the file must still account for its records
            let is_unread = matches!(
                verdict.state,
                State::Pending | State::Quarantined | State::Expired
            );
            if verdict.expected == 0 && is_unread {
                verdict.expected = read;
            }
            words.push(format!("{} {}", verdict.store.name(), verdict.state.name()));
            self.note(verdict, Some(file))?;
        }
        progress.batch(
            1,
            format_args!("{}: {}", file.stored.path, words.join(", ")),
        );
        self.step(file, examined.next)
    }

    /// Whether the chain goes on where it was.
    fn step(&mut self, file: &ChainFile, next: Option<i64>) -> anyhow::Result<()> {
        match self.walk.step(&file.name, next) {
            Some(Break::Hole(unit)) => self.hole(unit, "no raw file covers them"),
            Some(Break::Overlap(unit)) => {
                let verdict = Verdict::new(unit, Store::Chain, State::Different);
                self.note(verdict.because("two raw files cover them"), None)
            }
            None => Ok(()),
        }
    }

    fn hole(&mut self, unit: Unit, why: &str) -> anyhow::Result<()> {
        self.holes.push(unit);
        let name = RawFileName {
            topic: self.situation.topic.to_owned(),
            epoch: unit.epoch,
            partition: unit.partition,
            start: unit.start,
        };
        if self
            .known
            .get(&name)
            .is_some_and(|known| known.is_accepted_hole)
        {
            return Ok(());
        }
        let mut verdict = Verdict::new(unit, Store::Chain, State::Different);
        verdict.expected = self.known.get(&name).map_or(0, |known| known.records);
        self.note(verdict.because(why), None)
    }

    /// Files that the ledger loaded and that are not there.
    fn missing_files(&mut self) -> anyhow::Result<()> {
        let there: BTreeSet<&RawFileName> =
            self.situation.files.iter().map(|file| &file.name).collect();
        let gone: Vec<(Unit, i64)> = self
            .situation
            .ledger
            .iter()
            .filter(|(name, _)| !there.contains(name))
            .map(|(name, entry)| {
                let unit = Unit {
                    epoch: name.epoch,
                    partition: name.partition,
                    start: name.start,
                    next: entry.next.unwrap_or(name.start),
                };
                (unit, entry.load_id)
            })
            .collect();
        for (unit, load_id) in gone {
            let is_said = self.holes.iter().any(|hole| {
                (hole.epoch, hole.partition) == (unit.epoch, unit.partition)
                    && (hole.start..hole.next).contains(&unit.start)
            });
            if !is_said {
                self.hole(unit, &format!("the raw file of load {load_id} is gone"))?;
            }
        }
        Ok(())
    }

    /// What only a look at everything can tell.
    fn as_a_whole(&mut self, kafka: &Kafka<'_>) -> anyhow::Result<()> {
        if let Some(cassandra) = self.situation.cassandra {
            let keyspace = &self.options.cassandra.cassandra_keyspace;
            let verdicts = self.blocks.compare(
                cassandra,
                keyspace,
                self.walk.ends(),
                &self.situation.streamed,
                || kafka.held(),
            )?;
            for verdict in verdicts {
                self.note(verdict, None)?;
            }
        }
        let is_built = self.situation.ledger.values().any(|entry| entry.is_built);
        if self.options.asks(Store::Star) && is_built {
            let verdict = star::compare_whole(self.client)?;
            self.note(verdict, None)?;
        }
        Ok(())
    }

    fn note(&mut self, mut verdict: Verdict, file: Option<&ChainFile>) -> anyhow::Result<()> {
        match verdict.state {
            State::Different if self.options.accept => {
                warn!("accepted: {}", verdict.in_words());
                verdict.state = State::Accepted;
                self.summary.accepted += 1;
            }
            State::Different => {
                error!("{}", verdict.in_words());
                self.differences.push(verdict.clone());
            }
            State::Pending | State::Replay | State::Quarantined => {
                info!("{}: {}", verdict.state.name(), verdict.in_words());
                self.summary.pending += 1;
            }
            _ => {}
        }
        let entry = file.and_then(|file| self.situation.ledger.get(&file.name));
        let topic = self.situation.topic;
        book::note(self.client, self.run_id, topic, &verdict, file, entry)
    }

    /// Records that Kafka has and the chain has not, by partition.
    fn lag(&self) -> Vec<(i32, i64)> {
        let epoch = self.situation.newest_epoch;
        self.situation
            .held
            .iter()
            .map(|(partition, held)| {
                let end = self.walk.end(epoch, *partition).unwrap_or(held.first);
                (*partition, (held.next - end).max(0))
            })
            .collect()
    }

    fn end(mut self) -> anyhow::Result<Outcome> {
        let totals = book::totals(self.client, self.situation.topic)?;
        let lag = self.lag();
        print!("{}", table::render(&totals, self.options, &lag));
        let (asked, not_asked): (Vec<Store>, Vec<Store>) = Store::BY_FILE
            .into_iter()
            .partition(|store| self.options.asks(*store));
        let names = |stores: &[Store]| stores.iter().map(|store| store.name()).collect::<Vec<_>>();
        self.summary.stores = names(&asked);
        self.summary.not_asked = names(&not_asked);
        self.summary.run_id = self.run_id;
        self.summary.lag_records = lag.iter().map(|(_, records)| records).sum();
        self.summary.differences = self.differences.len() as u64;
        let digest = totals
            .iter()
            .filter(|total| total.store == Store::Chain)
            .fold(0_u64, |sum, total| sum.wrapping_add(total.digest_found));
        self.summary.digest = format!("{digest:016x}");
        self.show(&totals);
        book::end(
            self.client,
            &Run {
                run_id: self.run_id,
                topic: self.situation.topic,
                stores: &self.summary.stores.join(","),
                is_full: self.options.full,
                files: self.summary.files as i64,
                records: self.summary.records as i64,
                pending: self.summary.pending as i64,
                differences: self.summary.differences as i64,
            },
        )?;
        if self.differences.is_empty() {
            return Outcome::done(&self.summary);
        }
        Outcome::needs_person(&self.summary, advice(&self.differences))
    }

    /// Metrics, of what all runs together found.
    fn show(&self, totals: &[book::Total]) {
        let mut found: BTreeMap<&'static str, i64> = BTreeMap::new();
        let mut pending: BTreeMap<&'static str, i64> = BTreeMap::new();
        for total in totals {
            *found.entry(total.store.name()).or_default() += total.found;
            let waiting = total
                .states
                .iter()
                .filter(|(state, _)| matches!(state, State::Pending | State::Replay))
                .map(|(_, count)| count);
            *pending.entry(total.store.name()).or_default() += waiting.sum::<i64>();
        }
        for store in Store::ALL
            .into_iter()
            .filter(|store| self.options.asks(*store))
        {
            let name = store.name();
            let number = |from: &BTreeMap<&'static str, i64>| from.get(name).copied().unwrap_or(0);
            let differences = self
                .differences
                .iter()
                .filter(|verdict| verdict.store == store)
                .count();
            gauge!("pipeline_audit_records", "store" => name).set(number(&found) as f64);
            gauge!("pipeline_audit_pending_files", "store" => name).set(number(&pending) as f64);
            gauge!("pipeline_audit_differences", "store" => name).set(differences as f64);
        }
        if self.differences.is_empty() && self.summary.files_left == 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            gauge!("pipeline_audit_last_clean_timestamp_seconds")
                .set(now.unwrap_or_default().as_secs_f64());
        }
    }
}

/// One line: what differs, and what to do.
fn advice(differences: &[Verdict]) -> String {
    let said: Vec<String> = differences
        .iter()
        .take(NAMED)
        .map(Verdict::in_words)
        .collect();
    let rest = differences.len().saturating_sub(NAMED);
    let more = if rest > 0 {
        format!(" | and {rest} more")
    } else {
        String::new()
    };
    let mut stores = BTreeSet::new();
    let what: Vec<String> = differences
        .iter()
        .filter(|difference| stores.insert(difference.store))
        .map(|difference| format!("{}: {}", difference.store.name(), difference.advice()))
        .collect();
    format!(
        "{}{more}. To do: {}. Or audit --accept, which keeps them on record",
        said.join(" | "),
        what.join("; ")
    )
    .replace('\n', " ")
}
