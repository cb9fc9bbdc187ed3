//! Where a partition resumes: pure, from what the group committed and what Kafka holds.

use cassandra::{BLOCK_OFFSETS, block_start};
use frame::person_needed;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// First offset to read: what comes before `write_from` only rebuilds counts and identities.
    pub read_from: i64,
    /// First offset to write.
    pub write_from: i64,
    /// Offsets that Kafka no longer held when they came next, and an operator accepted it.
    pub gap: Option<(i64, i64)>,
    /// First offset to count. What comes before is counted already, or never will be.
    pub count_from: i64,
    /// The name under which the counts of the first block are kept: its start, unless an earlier
    /// run counted records under that name which Kafka no longer holds.
    pub first_block: i64,
    /// That is so, and records which a killed run wrote after its last commit count twice.
    pub is_partial: bool,
}

/// Kafka holds `first..next`; the group has committed `committed`.
///
/// # Errors
/// A person is needed where records are lost to retention, or the topic is not the one that the
/// group read, unless `accept_gap`.
pub fn start(
    partition: i32,
    committed: Option<i64>,
    (first, next): (i64, i64),
    accept_gap: bool,
) -> anyhow::Result<Start> {
    let fresh = Start {
        read_from: first,
        write_from: first,
        gap: None,
        count_from: first,
        first_block: block_start(first),
        is_partial: false,
    };
    let Some(committed) = committed else {
        return Ok(fresh);
    };
    if committed < first {
        if accept_gap {
            return Ok(Start {
                gap: Some((committed, first)),
                first_block: first,
                ..fresh
            });
        }
        return Err(person_needed(format!(
            "partition {partition}: Kafka no longer holds the offsets {committed}..{first}, which \
             come next: they are lost to Cassandra. Accept it with --accept-gap, which notes the \
             gap in rejected_log, or fill the tables from the raw files: --from-chain --hand-over"
        )));
    }
    if committed > next {
        if accept_gap {
            return Ok(fresh);
        }
        return Err(person_needed(format!(
            "partition {partition} ends at {next}, but {committed} was written: the topic was made \
             anew. Begin with its first record by --accept-gap, and raise --epoch to that of the \
             raw chain"
        )));
    }
    let block = block_start(committed);
    let is_partial = first > block;
    let first_block = if is_partial { committed } else { block };
    Ok(Start {
        read_from: (block - BLOCK_OFFSETS).max(first),
        write_from: committed,
        gap: None,
        count_from: first_block,
        first_block,
        is_partial,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(committed: Option<i64>, held: (i64, i64)) -> Start {
        start(0, committed, held, false).expect("a start")
    }

    #[test]
    fn a_new_group_begins_with_what_kafka_holds() {
        let start = at(None, (7, 9));
        assert_eq!((start.read_from, start.write_from), (7, 7));
    }

    #[test]
    fn a_known_one_reads_from_a_block_earlier() {
        let start = at(Some(3 * BLOCK_OFFSETS + 5), (0, 4 * BLOCK_OFFSETS));
        assert_eq!(start.read_from, 2 * BLOCK_OFFSETS);
        assert_eq!(start.write_from, 3 * BLOCK_OFFSETS + 5);
        assert!(!start.is_partial);
        assert_eq!(at(Some(5), (0, 9)).read_from, 0);
    }

    #[test]
    fn a_block_whose_start_is_gone_is_said_to_be_partial() {
        assert!(at(Some(500), (100, 900)).is_partial);
        assert!(!at(Some(500), (0, 900)).is_partial);
        let partial = at(Some(500), (100, 900));
        assert_eq!((partial.count_from, partial.first_block), (500, 500));
        let whole = at(Some(500), (0, 900));
        assert_eq!((whole.count_from, whole.first_block), (0, 0));
    }

    #[test]
    fn lost_records_and_another_topic_ask_for_a_person() {
        let lost = start(0, Some(5), (7, 9), false).expect_err("a gap");
        assert!(frame::is_person_needed(&lost));
        let anew = start(0, Some(50), (0, 9), false).expect_err("another topic");
        assert!(frame::is_person_needed(&anew));
        let accepted = start(0, Some(5), (7, 9), true).expect("accepted");
        assert_eq!((accepted.write_from, accepted.gap), (7, Some((5, 7))));
        assert_eq!(accepted.first_block, 7);
        assert_eq!(
            start(0, Some(50), (0, 9), true)
                .expect("accepted")
                .write_from,
            0
        );
    }
}
