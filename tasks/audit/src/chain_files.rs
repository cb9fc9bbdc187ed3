//! The raw files of a topic, and whether each begins where the one before it ends.

use std::collections::BTreeMap;

use chain::{Files, Raw, RawFileName, Stored, raw_files};

use crate::verdict::Unit;

/// A raw file as the listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainFile {
    /// Its place in the chain.
    pub name: RawFileName,
    /// Where it is.
    pub stored: Stored,
}

/// Every raw file of a topic, oldest first within each chain.
pub fn list(files: &dyn Files, raw: &Raw, topic: &str) -> anyhow::Result<Vec<ChainFile>> {
    let found = raw_files(files, raw, topic, |_| false)?.into_iter();
    Ok(found
        .map(|(name, stored)| ChainFile { name, stored })
        .collect())
}

/// A break in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// No raw file covers the range.
    Hole(Unit),
    /// Two raw files cover the range.
    Overlap(Unit),
}

/// Walks the chains of a topic, file by file.
#[derive(Debug, Default)]
pub struct Walk {
    /// Where each chain has come to; `None` after a file whose end nobody knows.
    ends: BTreeMap<(u32, i32), Option<i64>>,
}

impl Walk {
    /// The next file covers `start..next`; `next` is `None` when it cannot be read.
    pub fn step(&mut self, name: &RawFileName, next: Option<i64>) -> Option<Break> {
        let key = (name.epoch, name.partition);
        let before = self.ends.insert(key, next).flatten();
        let unit = |start: i64, next: i64| Unit {
            epoch: name.epoch,
            partition: name.partition,
            start,
            next,
        };
        let end = before?;
        // an end that was reached stays reached
        if let Some(next) = next.filter(|next| *next < end) {
            self.ends.insert(key, Some(end));
            return Some(Break::Overlap(unit(name.start, next)));
        }
        match name.start {
            start if start > end => Some(Break::Hole(unit(end, start))),
            start if start < end => Some(Break::Overlap(unit(start, end))),
            _ => None,
        }
    }

    /// Where a chain ends, if that is known.
    pub fn end(&self, epoch: u32, partition: i32) -> Option<i64> {
        self.ends.get(&(epoch, partition)).copied().flatten()
    }

    /// The chains walked, each with its end.
    pub fn ends(&self) -> &BTreeMap<(u32, i32), Option<i64>> {
        &self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(partition: i32, start: i64) -> RawFileName {
        RawFileName {
            topic: "T".to_owned(),
            epoch: 0,
            partition,
            start,
        }
    }

    fn unit(start: i64, next: i64) -> Unit {
        Unit {
            epoch: 0,
            partition: 1,
            start,
            next,
        }
    }

    #[test]
    fn files_that_follow_one_another_are_whole() {
        let mut walk = Walk::default();
        assert_eq!(walk.step(&name(1, 40), Some(50)), None);
        assert_eq!(walk.step(&name(1, 50), Some(50)), None);
        assert_eq!(walk.step(&name(1, 50), Some(60)), None);
        assert_eq!(walk.step(&name(2, 0), Some(9)), None);
        assert_eq!(walk.end(0, 1), Some(60));
    }

    #[test]
    fn holes_and_overlaps_are_named() {
        let mut walk = Walk::default();
        assert_eq!(walk.step(&name(1, 0), Some(10)), None);
        assert_eq!(
            walk.step(&name(1, 15), Some(20)),
            Some(Break::Hole(unit(10, 15)))
        );
        assert_eq!(
            walk.step(&name(1, 18), Some(30)),
            Some(Break::Overlap(unit(18, 20)))
        );
        assert_eq!(
            walk.step(&name(1, 22), Some(25)),
            Some(Break::Overlap(unit(22, 25)))
        );
        assert_eq!(walk.end(0, 1), Some(30));
    }

    #[test]
    fn after_an_unreadable_file_the_next_one_is_believed() {
        let mut walk = Walk::default();
        assert_eq!(walk.step(&name(1, 0), None), None);
        assert_eq!(walk.step(&name(1, 15), Some(20)), None);
    }
}
