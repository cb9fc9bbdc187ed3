//! What must hold of a chain, as functions of what is seen from outside. The numbers are those of
//! the design. The exhaustive model and the simulation ask the same questions.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// One file of a chain, as a reader finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link<Content> {
    /// The first position covered.
    pub start: i64,
    /// The position after the last one covered.
    pub next: i64,
    /// Whether it says that its records are missing, with an operator's consent.
    pub gap: bool,
    /// Offsets and contents.
    pub records: Vec<(i64, Content)>,
}

/// Whether a chain is sound at any moment, whatever its writers are in the middle of.
///
/// `log` is all that Kafka ever held of the partition, by offset. Of it, retention has taken what
/// is before `oldest`.
pub fn check<Content: PartialEq + Debug>(
    chain: &[Link<Content>],
    log: &[(i64, Content)],
    oldest: i64,
) -> Result<(), String> {
    let mut expected = 0;
    for link in chain {
        let (start, next) = (link.start, link.next);
        if start != expected {
            let kind = if start < expected { "overlap" } else { "hole" };
            return Err(format!(
                "I2: {kind}: a file starts at {start}, and {expected} was due"
            ));
        }
        if next <= start {
            return Err(format!("I2: the file at {start} ends at {next}"));
        }
        if link.gap {
            if !link.records.is_empty() {
                return Err(format!("I7: the gap at {start} has records"));
            }
            if next > oldest {
                return Err(format!(
                    "I7: the gap {start}..{next} gives up records that Kafka holds from {oldest}"
                ));
            }
        } else {
            let from = log.partition_point(|(offset, _)| *offset < start);
            let to = log.partition_point(|(offset, _)| *offset < next);
            if log.get(from..to) != Some(link.records.as_slice()) {
                return Err(format!(
                    "I1, I4: the file {start}..{next} holds {:?}",
                    link.records
                ));
            }
        }
        expected = next;
    }
    Ok(())
}

/// Whether a chain holds everything up to `end`, and all its writers know it.
pub fn check_complete<Content>(
    chain: &[Link<Content>],
    end: i64,
    positions: &[i64],
) -> Result<(), String> {
    let next = chain.last().map_or(0, |link| link.next);
    if next != end {
        return Err(format!(
            "I8: all is quiet, and the chain ends at {next} instead of {end}"
        ));
    }
    match positions.iter().find(|position| **position != end) {
        Some(position) => Err(format!(
            "I8: the chain ends at {end}, a writer at {position}"
        )),
        None => Ok(()),
    }
}

/// Whether every file that was there is there as it was.
pub fn check_unchanged<Name: Ord + Debug, File: PartialEq>(
    before: &BTreeMap<Name, File>,
    after: &BTreeMap<Name, File>,
) -> Result<(), String> {
    match before
        .iter()
        .find(|(name, file)| after.get(*name) != Some(*file))
    {
        Some((name, _)) => Err(format!("I1: the file {name:?} was changed or taken away")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(start: i64, next: i64) -> Link<()> {
        Link {
            start,
            next,
            gap: false,
            records: (start..next).map(|offset| (offset, ())).collect(),
        }
    }

    fn gap(start: i64, next: i64) -> Link<()> {
        Link {
            gap: true,
            records: vec![],
            ..link(start, next)
        }
    }

    #[test]
    fn a_broken_chain_is_named_by_what_is_wrong_with_it() {
        let log: Vec<(i64, ())> = (0..6).map(|offset| (offset, ())).collect();
        let mut forgetful = link(2, 4);
        forgetful.records.pop();
        for (chain, complaint) in [
            (vec![link(0, 2), link(3, 4)], "hole"),
            (vec![link(0, 2), link(1, 4)], "overlap"),
            (vec![link(0, 2), link(2, 2)], "ends at"),
            (vec![link(0, 2), forgetful], "holds"),
            (vec![link(0, 7)], "holds"),
            (vec![gap(0, 3)], "gives up"),
        ] {
            let found = check(&chain, &log, 2).expect_err(complaint);
            assert!(found.contains(complaint), "{found}");
        }
        assert_eq!(check(&[gap(0, 2), link(2, 6)], &log, 2), Ok(()));
        assert_eq!(check_complete(&[link(0, 6)], 6, &[6, 6]), Ok(()));
        assert!(check_complete(&[link(0, 6)], 6, &[6, 5]).is_err());
        assert!(check_complete(&[link(0, 5)], 6, &[5, 5]).is_err());
    }

    #[test]
    fn a_file_that_changes_or_goes_is_noticed() {
        let before = BTreeMap::from([(0, "a"), (2, "b")]);
        let more = BTreeMap::from([(0, "a"), (2, "b"), (3, "c")]);
        assert_eq!(check_unchanged(&before, &more), Ok(()));
        assert!(check_unchanged(&more, &before).is_err());
        assert!(check_unchanged(&before, &BTreeMap::from([(0, "a"), (2, "x")])).is_err());
    }
}
