//! Duplicates: an event that was sent again soon after.
//!
//! Offsets are divided into blocks, the same for every run. An event is a duplicate when its id
//! stood in its own block or the one before, at a lower offset. That depends on the log alone, so a
//! run that reads from one block earlier comes to the same verdicts as the run before it.

use std::collections::HashSet;

use cassandra::{BLOCK_OFFSETS, block_start};
use xxhash_rust::xxh3::xxh3_64;

/// Ids of the block before and of the current one, as 64-bit hashes: of a hundred thousand ids, two
/// have the same hash in one of four thousand million cases.
#[derive(Debug, Default)]
pub struct Window {
    start: i64,
    before: HashSet<u64>,
    current: HashSet<u64>,
}

impl Window {
    /// Nothing seen yet.
    pub fn new() -> Window {
        Window {
            start: i64::MIN,
            ..Window::default()
        }
    }

    /// Notes the event; whether it was seen before. Offsets only grow.
    pub fn is_duplicate(&mut self, offset: i64, event_id: &str) -> bool {
        let start = block_start(offset);
        if start != self.start {
            let old = std::mem::take(&mut self.current);
            // after a hole in the log the old block may not be the one just before
            self.before = if self.start == start - BLOCK_OFFSETS {
                old
            } else {
                HashSet::new()
            };
            self.start = start;
        }
        let hash = xxh3_64(event_id.as_bytes());
        // noted either way: the next block looks for it here
        let is_new = self.current.insert(hash);
        !is_new || self.before.contains(&hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeat_is_seen_within_its_block_and_the_next() {
        let mut window = Window::new();
        assert!(!window.is_duplicate(10, "a"));
        assert!(window.is_duplicate(11, "a"));
        assert!(!window.is_duplicate(BLOCK_OFFSETS - 1, "b"));
        assert!(window.is_duplicate(BLOCK_OFFSETS, "b"));
        assert!(window.is_duplicate(2 * BLOCK_OFFSETS - 1, "a"));
        // the repeat before it stood one block back
        assert!(window.is_duplicate(2 * BLOCK_OFFSETS, "a"));
        assert!(!window.is_duplicate(3 * BLOCK_OFFSETS, "b"));
    }

    #[test]
    fn a_run_that_reads_from_one_block_earlier_agrees() {
        let ids: Vec<String> = (0..3 * BLOCK_OFFSETS)
            .map(|offset| format!("e{}", offset % 70_001))
            .collect();
        let verdicts = |from: i64, mut window: Window| -> Vec<bool> {
            (from..3 * BLOCK_OFFSETS)
                .map(|offset| window.is_duplicate(offset, &ids[offset as usize]))
                .collect()
        };
        let whole = verdicts(0, Window::new());
        let resumed = verdicts(BLOCK_OFFSETS, Window::new());
        let common = BLOCK_OFFSETS as usize;
        assert_eq!(whole[2 * common..], resumed[common..]);
    }
}
