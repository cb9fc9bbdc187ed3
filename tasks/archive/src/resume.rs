//! Where a partition resumes, and whether Kafka still holds the topic that the chain was read from.

use chain::{Appended, ChainPath, Encoder, Files, Raw, append, hash_record, tail};
use frame::failpoint;
use log::warn;

/// First and next offset that Kafka holds of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The oldest offset still there.
    pub first: i64,
    /// The offset that the next record will get.
    pub next: i64,
}

/// What the record before the resume point must be: proof that the topic was not made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Its offset.
    pub offset: i64,
    hash: u64,
}

/// Where a partition resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// Its chain.
    pub chain: ChainPath,
    /// The first position that is not in the chain.
    pub next: i64,
    /// The record to compare first, where Kafka still holds it.
    pub handshake: Option<Handshake>,
}

impl Resume {
    /// The offset to ask Kafka for first.
    pub fn consume_from(&self) -> i64 {
        self.handshake.map_or(self.next, |known| known.offset)
    }
}

/// Reads the end of a chain and holds it against what Kafka has, which `ask` tells.
///
/// # Errors
/// Asks for a person when going on would lose records or mix two topics in one chain.
pub fn resume(
    files: &dyn Files,
    raw: &Raw,
    chain: ChainPath,
    ask: &dyn Fn() -> anyhow::Result<Held>,
    accept_gap: bool,
) -> anyhow::Result<(Resume, Held)> {
    let partition = chain.partition;
    // The chain first: one that another writer makes longer meanwhile must not look longer than Kafka.
    let tail = tail(files, raw, &chain)?;
    let held = ask()?;
    if tail.is_none() {
        files.make_directory(&chain.directory)?;
    }
    // Every chain begins at 0, whatever Kafka holds: two first runs then agree on the first name.
    let next = tail.as_ref().map_or(0, |tail| tail.newest.next);
    if held.next < next {
        return Err(frame::person_needed(format!(
            "partition {partition} of {} ends at {} in Kafka and at {next} in the chain: the topic \
             was made anew, or lost records. If it was made anew, run archive --new-epoch {}",
            chain.topic,
            held.next,
            chain.epoch + 1
        )));
    }
    if held.first > next {
        // what was gone before there was a chain was never ours to keep: nobody is asked
        let accepted = accept_gap || tail.is_none();
        return match append_gap(files, raw, &chain, next, held.first, accepted)? {
            Appended::Won => Ok((
                Resume {
                    chain,
                    next: held.first,
                    handshake: None,
                },
                held,
            )),
            // another writer was faster: what it wrote there says where to go on
            Appended::Lost => resume(files, raw, chain, ask, accept_gap),
        };
    }
    let newest_with_records = tail.and_then(|tail| tail.newest_with_records);
    let handshake = newest_with_records.and_then(|footer| {
        let known = footer.last_offset.zip(footer.last_hash);
        known.map(|(offset, hash)| Handshake { offset, hash })
    });
    // retention may have taken the record itself; nothing is missing then
    let handshake = handshake.filter(|known| known.offset >= held.first);
    Ok((
        Resume {
            chain,
            next,
            handshake,
        },
        held,
    ))
}

/// Retention was faster than the archive: notes it in the chain.
fn append_gap(
    files: &dyn Files,
    raw: &Raw,
    chain: &ChainPath,
    next: i64,
    first: i64,
    accept_gap: bool,
) -> anyhow::Result<Appended> {
    let partition = chain.partition;
    if !accept_gap {
        return Err(frame::person_needed(format!(
            "partition {partition} of {}: Kafka no longer holds the records {next} to {}, which are \
             not archived yet. Raise the topic's retention; to go on without them and keep the gap \
             on record, run archive --accept-gap once",
            chain.topic,
            first - 1
        )));
    }
    warn!(
        "partition {partition}: records {next} to {} are a gap",
        first - 1
    );
    let gap = format!("Kafka no longer held the records {next} to {}", first - 1);
    let data = Encoder::new()?.finish(chain, next, first, Some(gap))?;
    failpoint("archive.gap_file");
    append(files, raw, chain, next, data)
}

/// Compares the record at the end of the chain with what Kafka now holds in its place.
///
/// # Errors
/// Asks for a person when it is another record.
pub fn shake_hands(
    known: Handshake,
    chain: &ChainPath,
    offset: i64,
    timestamp_millis: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> anyhow::Result<()> {
    if offset == known.offset && hash_record(timestamp_millis, key, value) == known.hash {
        return Ok(());
    }
    Err(frame::person_needed(format!(
        "partition {} of {}: the record at {} is not the one that was archived, so the topic was \
         made anew. Run archive --new-epoch {} to archive it beside the old one",
        chain.partition,
        chain.topic,
        known.offset,
        chain.epoch + 1
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::{Memory, Record};
    use frame::is_person_needed;

    fn raw() -> Raw {
        Raw::new("/raw")
    }

    fn chain_path() -> ChainPath {
        raw().chain("LogEvents", 0, 3)
    }

    /// A chain that holds the records `0..next`.
    fn archived(next: i64) -> Memory {
        let files = Memory::default();
        append_records(&files, 0, next);
        files
    }

    fn resume_with(files: &Memory, first: i64, next: i64, gap: bool) -> anyhow::Result<Resume> {
        let ask = || Ok(Held { first, next });
        Ok(resume(files, &raw(), chain_path(), &ask, gap)?.0)
    }

    /// Another writer's file of the records `start..next`.
    fn append_records(files: &Memory, start: i64, next: i64) {
        let mut encoder = Encoder::new().expect("an encoder");
        for offset in start..next {
            let record = Record {
                offset,
                timestamp_millis: 1,
                key: None,
                value: Some(b"v"),
            };
            encoder.push(&record).expect("room");
        }
        let data = encoder
            .finish(&chain_path(), start, next, None)
            .expect("a file");
        let won = append(files, &raw(), &chain_path(), start, data).expect("an answer");
        assert_eq!(won, Appended::Won);
    }

    #[test]
    fn a_gap_whose_place_another_writer_takes_begins_behind_it() {
        let files = archived(10);
        let asked = std::cell::Cell::new(false);
        let ask = || {
            if !asked.replace(true) {
                append_records(&files, 10, 12);
            }
            Ok(Held {
                first: 15,
                next: 20,
            })
        };
        let (resumed, _) = resume(&files, &raw(), chain_path(), &ask, true).expect("a start");
        assert_eq!(resumed.next, 15);
        let newest = tail(&files, &raw(), &chain_path())
            .expect("a chain")
            .expect("a file")
            .newest;
        assert_eq!((newest.start, newest.next), (12, 15));
    }

    #[test]
    fn a_chain_that_another_writer_makes_longer_is_not_taken_for_another_topic() {
        let files = archived(10);
        let ask = || {
            append_records(&files, 10, 12);
            Ok(Held { first: 0, next: 12 })
        };
        let (resumed, _) = resume(&files, &raw(), chain_path(), &ask, false).expect("a start");
        assert_eq!(resumed.next, 10);
    }

    #[test]
    fn what_kafka_forgot_before_there_was_a_chain_is_its_first_gap() {
        let files = Memory::default();
        let resumed = resume_with(&files, 7, 9, false).expect("a start");
        assert_eq!((resumed.next, resumed.consume_from()), (7, 7));
        let newest = tail(&files, &raw(), &chain_path())
            .expect("a chain")
            .expect("a file")
            .newest;
        assert_eq!((newest.start, newest.next, newest.records), (0, 7, 0));
    }

    #[test]
    fn two_first_runs_between_which_kafka_forgets_begin_one_chain() {
        let files = Memory::default();
        let ask = || {
            // the other one saw two records more
            if files.paths().is_empty() {
                resume_with(&files, 5, 9, false)?;
                append_records(&files, 5, 9);
            }
            Ok(Held { first: 7, next: 9 })
        };
        let (resumed, _) = resume(&files, &raw(), chain_path(), &ask, false).expect("a start");
        assert_eq!(resumed.next, 9);
    }

    #[test]
    fn a_chain_resumes_behind_its_end_and_compares_its_last_record_first() {
        let files = archived(10);
        let resume = resume_with(&files, 0, 12, false).expect("a start");
        assert_eq!((resume.next, resume.consume_from()), (10, 9));
        let known = resume.handshake.expect("a handshake");
        let shake =
            |offset, value: &[u8]| shake_hands(known, &chain_path(), offset, 1, None, Some(value));
        assert!(shake(9, b"v").is_ok());
        assert!(is_person_needed(
            &shake(9, b"w").expect_err("another record")
        ));
        assert!(is_person_needed(
            &shake(11, b"v").expect_err("another place")
        ));
    }

    #[test]
    fn a_last_record_that_retention_took_is_not_compared() {
        let resume = resume_with(&archived(10), 10, 12, false).expect("a start");
        assert_eq!((resume.next, resume.handshake), (10, None));
    }

    #[test]
    fn a_topic_shorter_than_the_chain_asks_for_a_person() {
        let failure = resume_with(&archived(10), 0, 9, true).expect_err("an error");
        assert!(is_person_needed(&failure), "{failure:#}");
    }

    #[test]
    fn a_gap_is_refused_until_it_is_accepted_and_then_on_record() {
        let files = archived(10);
        let failure = resume_with(&files, 15, 20, false).expect_err("an error");
        assert!(is_person_needed(&failure), "{failure:#}");
        let resumed = resume_with(&files, 15, 20, true).expect("a start");
        assert_eq!((resumed.next, resumed.handshake), (15, None));
        let newest = tail(&files, &raw(), &chain_path())
            .expect("a chain")
            .expect("a file")
            .newest;
        assert_eq!((newest.start, newest.next, newest.records), (10, 15, 0));
        assert!(newest.gap.is_some());
        // accepted once is accepted for good
        assert_eq!(
            resume_with(&files, 15, 20, false).expect("a start").next,
            15
        );
    }
}
