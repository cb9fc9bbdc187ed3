//! One raw file, held against every store that is asked.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use chain::{Hdfs, RawFile, RawFileName, is_unreadable};
use postgres::Client;

use crate::book::Known;
use crate::chain_files::ChainFile;
use crate::expect::{Expected, event_id};
use crate::kafka::{Held, Kafka};
use crate::log_rows::Cassandra;
use crate::minutes::Blocks;
use crate::ranges::{compare, digest};
use crate::raw_rows::{self, Entry};
use crate::star;
use crate::verdict::{State, Store, Unit, Verdict};

/// What the stores were like when the run began.
pub struct Situation<'a> {
    /// The topic.
    pub topic: &'a str,
    /// HDFS.
    pub hdfs: &'a Hdfs,
    /// Every raw file of the topic.
    pub files: &'a [ChainFile],
    /// Kafka, if it is asked.
    pub kafka: Option<&'a Kafka<'a>>,
    /// What Kafka holds, after the files were listed.
    pub held: BTreeMap<i32, Held>,
    /// What `stream` has committed.
    pub streamed: BTreeMap<i32, i64>,
    /// Cassandra, if it is asked.
    pub cassandra: Option<&'a Cassandra>,
    /// The ledger.
    pub ledger: BTreeMap<RawFileName, Entry>,
    /// The life of the topic that Kafka has.
    pub newest_epoch: u32,
}

/// What came of a file.
pub struct Examined {
    /// Where it ends, if that is known.
    pub next: Option<i64>,
    /// One for each store that was looked at.
    pub verdicts: Vec<Verdict>,
}

impl Situation<'_> {
    /// Looks at the stores named, of which an earlier run found `known`.
    pub fn examine(
        &self,
        client: &mut Client,
        file: &ChainFile,
        stores: &[Store],
        known: Option<&Known>,
        blocks: &mut Blocks,
    ) -> anyhow::Result<Examined> {
        let entry = self.ledger.get(&file.name);
        let known_next = known.map(|known| known.next);
        let mut verdicts = Vec::new();
        let mut open = Vec::new();
        for store in stores {
            let unit = self.unit(file, known_next.or(entry.and_then(|entry| entry.next)));
            match self.not_yet(*store, unit, entry) {
                Some(verdict) => verdicts.push(verdict),
                None => open.push(*store),
            }
        }
        // the star is held against PostgreSQL alone
        let needs_file = open.iter().any(|store| *store != Store::Star);
        if !needs_file {
            let next = known_next.or(entry.and_then(|entry| entry.next));
            let unit = self.unit(file, next);
            if open.contains(&Store::Star)
                && let Some(entry) = entry
            {
                let mut transaction = client.transaction().map_err(warehouse::explain)?;
                verdicts.push(star::compare_facts(&mut transaction, entry, unit)?);
            }
            return Ok(Examined { next, verdicts });
        }
        let read = RawFile::open(self.hdfs, &file.stored).and_then(|raw_file| {
            let unit = self.unit(file, Some(raw_file.footer.next));
            let mut expected = Expected::default();
            raw_file.for_each(|record| {
                expected.take(self.topic, unit, &record);
                Ok(())
            })?;
            Ok((raw_file, unit, expected))
        });
        let (raw_file, unit, expected) = match read {
            Ok(read) => read,
            Err(failure) if is_unreadable(&failure, self.hdfs, &file.stored.path)? => {
                let (next, verdict) = self.unreadable(file, entry, known, &failure);
                verdicts.push(verdict);
                return Ok(Examined { next, verdicts });
            }
            Err(failure) => return Err(failure),
        };
        blocks.count(unit, &expected);
        for store in open {
            // now that the end of the file is known
            if let Some(verdict) = self.not_yet(store, unit, entry) {
                verdicts.push(verdict);
                continue;
            }
            let verdict = match store {
                Store::Chain => chain_verdict(file, &raw_file, unit, &expected, known),
                Store::Kafka => self.in_kafka(unit, &expected)?,
                Store::Postgres => {
                    let Some(entry) = entry else { continue };
                    let mut transaction = client.transaction().map_err(warehouse::explain)?;
                    raw_rows::compare_rows(&mut transaction, entry, unit, &expected)?
                }
                Store::Cassandra => {
                    let Some(cassandra) = self.cassandra else {
                        continue;
                    };
                    let mut seen_before = |questions: &[(i64, Arc<str>)]| {
                        self.seen_before(&file.name, &expected, questions)
                    };
                    cassandra.compare_rows(self.topic, unit, &expected, &mut seen_before)?
                }
                Store::Star => {
                    let Some(entry) = entry else { continue };
                    let mut transaction = client.transaction().map_err(warehouse::explain)?;
                    star::compare_facts(&mut transaction, entry, unit)?
                }
                Store::Minutes => continue,
            };
            verdicts.push(verdict);
        }
        Ok(Examined {
            next: Some(unit.next),
            verdicts,
        })
    }

    fn unit(&self, file: &ChainFile, next: Option<i64>) -> Unit {
        Unit {
            epoch: file.name.epoch,
            partition: file.name.partition,
            start: file.name.start,
            next: next.unwrap_or(file.name.start),
        }
    }

    /// Why a store cannot hold the file yet, or never will; told without reading anything.
    fn not_yet(&self, store: Store, unit: Unit, entry: Option<&Entry>) -> Option<Verdict> {
        let say = |state, why: &str| Some(Verdict::new(unit, store, state).because(why));
        match store {
            Store::Chain | Store::Minutes => None,
            Store::Kafka if unit.epoch < self.newest_epoch => {
                say(State::Expired, "the topic was made anew since")
            }
            Store::Kafka => None,
            Store::Postgres | Store::Star => match entry {
                None => say(State::Pending, "not loaded yet"),
                Some(entry) if entry.is_quarantined => {
                    say(State::Quarantined, "the ledger has the file in quarantine")
                }
                Some(entry) if store == Store::Star && !entry.is_built => {
                    say(State::Pending, "dbt has not built the load yet")
                }
                Some(_) => None,
            },
            Store::Cassandra if unit.epoch < self.newest_epoch => None,
            Store::Cassandra => {
                let streamed = self.streamed.get(&unit.partition).copied().unwrap_or(0);
                // the start alone, where the end is not known before the file is read
                let behind = streamed <= unit.start || streamed < unit.next;
                let is_empty = unit.start == unit.next && streamed >= unit.start;
                if behind && !is_empty {
                    let why = format!("stream has come to {streamed}");
                    return say(State::Pending, &why);
                }
                None
            }
        }
    }

    /// A file that is there and cannot be read.
    fn unreadable(
        &self,
        file: &ChainFile,
        entry: Option<&Entry>,
        known: Option<&Known>,
        failure: &anyhow::Error,
    ) -> (Option<i64>, Verdict) {
        let next = entry.and_then(|entry| entry.next);
        let unit = self.unit(file, next);
        let is_known = entry.is_some_and(|entry| entry.is_quarantined);
        let state = if is_known {
            State::Quarantined
        } else {
            State::Different
        };
        let mut verdict = Verdict::new(unit, Store::Chain, state);
        // once it is put back, it must be what it was
        verdict.digest_expected = known.and_then(|known| known.chain_digest).unwrap_or(0);
        let why = format!("{}: {failure:#}", file.stored.path);
        (next, verdict.because(why))
    }

    fn in_kafka(&self, unit: Unit, expected: &Expected) -> anyhow::Result<Verdict> {
        let mut verdict = Verdict::new(unit, Store::Kafka, State::Ok);
        verdict.expected = expected.records.len() as i64;
        let Some(kafka) = self.kafka else {
            return Ok(verdict);
        };
        let end = self.held.get(&unit.partition).map_or(0, |held| held.next);
        if end < unit.next {
            verdict.state = State::Different;
            return Ok(verdict.because(format!(
                "Kafka ends at {end}, and the chain at {} or later: was the topic made anew?",
                unit.next
            )));
        }
        let (first, found) = kafka.read(unit.partition, unit.start, unit.next)?;
        let kept = expected
            .records
            .partition_point(|(offset, _)| *offset < first);
        let kept = &expected.records[kept..];
        verdict.found = found.len() as i64;
        verdict.digest_expected = digest(kept);
        verdict.digest_found = digest(&found);
        let differences = compare(kept, &found);
        if !differences.is_empty() {
            verdict.state = State::Different;
            return Ok(verdict.because(differences.to_string()));
        }
        // what is not held any more cannot be compared, and is not said to be equal
        if kept.len() < expected.records.len() {
            verdict.state = State::Expired;
            return Ok(verdict.because(format!("Kafka holds {first}.. by now")));
        }
        Ok(verdict)
    }

    /// Which of these events had a copy before them that `stream` still knew: in the same block of
    /// offsets or the one before.
    fn seen_before(
        &self,
        name: &RawFileName,
        expected: &Expected,
        questions: &[(i64, Arc<str>)],
    ) -> anyhow::Result<HashSet<i64>> {
        let reach = |offset: i64| cassandra::block_start(offset) - cassandra::BLOCK_OFFSETS;
        let Some(from) = questions.iter().map(|(offset, _)| reach(*offset)).min() else {
            return Ok(HashSet::new());
        };
        let mut copies: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (_, event_id) in questions {
            copies.insert(event_id, Vec::new());
        }
        for row in expected.log_rows.values().flatten() {
            if let Some(offsets) = copies.get_mut(&*row.event_id) {
                offsets.push(row.offset);
            }
        }
        let mut earlier: Vec<&ChainFile> = self
            .files
            .iter()
            .filter(|file| {
                (file.name.epoch, file.name.partition) == (name.epoch, name.partition)
                    && file.name.start < name.start
            })
            .collect();
        while let Some(file) = earlier.pop() {
            let raw_file = RawFile::open(self.hdfs, &file.stored)?;
            let unit = self.unit(file, Some(raw_file.footer.next));
            raw_file.for_each(|record| {
                let time = record.timestamp_millis.saturating_mul(1_000);
                if let Ok(event) = event::parse(record.value, time) {
                    let id = event_id(self.topic, unit, record.offset, &event);
                    if let Some(offsets) = copies.get_mut(id.as_str()) {
                        offsets.push(record.offset);
                    }
                }
                Ok(())
            })?;
            if file.name.start <= from {
                break;
            }
        }
        let repeats = questions.iter().filter(|(offset, event_id)| {
            copies.get(&**event_id).is_some_and(|offsets| {
                offsets
                    .iter()
                    .any(|copy| copy < offset && *copy >= reach(*offset))
            })
        });
        Ok(repeats.map(|(offset, _)| *offset).collect())
    }
}

fn chain_verdict(
    file: &ChainFile,
    raw_file: &RawFile<'_>,
    unit: Unit,
    expected: &Expected,
    known: Option<&Known>,
) -> Verdict {
    let footer = &raw_file.footer;
    let mut verdict = Verdict::new(unit, Store::Chain, State::Ok);
    verdict.expected = footer.records as i64;
    verdict.found = expected.records.len() as i64;
    verdict.rejects = expected.rejects.len() as i64;
    verdict.duplicates = expected.duplicates();
    verdict.digest_found = digest(&expected.records);
    // where the file was found clean before, it must be what it was
    let before = known.and_then(|known| known.chain_digest);
    verdict.digest_expected = before.unwrap_or(verdict.digest_found);
    let is_its_own = (
        footer.epoch,
        footer.partition,
        footer.start,
        footer.topic.as_str(),
    ) == (
        file.name.epoch,
        file.name.partition,
        file.name.start,
        file.name.topic.as_str(),
    );
    if !is_its_own {
        verdict.state = State::Different;
        return verdict.because(format!(
            "{} says in its footer that it starts at {} of partition {} of {}",
            file.stored.path, footer.start, footer.partition, footer.topic
        ));
    }
    if verdict.expected != verdict.found {
        verdict.state = State::Different;
        let (found, said) = (verdict.found, verdict.expected);
        return verdict.because(format!(
            "{} holds {found} records, and its footer says {said}",
            file.stored.path
        ));
    }
    if verdict.digest_expected != verdict.digest_found {
        verdict.state = State::Different;
        return verdict.because(format!(
            "{} holds other records than when it was found clean",
            file.stored.path
        ));
    }
    match &footer.gap {
        Some(gap) => {
            verdict.state = State::Gap;
            verdict.because(gap.clone())
        }
        None => verdict,
    }
}
