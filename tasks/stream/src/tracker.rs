//! Which offset may be committed: writes are acknowledged in any order, offsets are committed in
//! one.

use std::collections::BTreeSet;

/// What one partition has under way. Everything below [`Tracker::position`] is in Cassandra.
#[derive(Debug)]
pub struct Tracker {
    next: i64,
    /// First offset and number of each write that is not acknowledged.
    open: BTreeSet<(i64, u64)>,
    opened: u64,
}

/// A write under way: hand it back when it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    first: i64,
    number: u64,
}

impl Tracker {
    /// Nothing under way; `next` is the first offset to write.
    pub fn new(next: i64) -> Tracker {
        Tracker {
            next,
            open: BTreeSet::new(),
            opened: 0,
        }
    }

    /// The record at `offset` was taken in: what it asks to be written is already opened.
    pub fn taken(&mut self, offset: i64) {
        self.next = self.next.max(offset + 1);
    }

    /// A write begins that holds nothing below `first`.
    pub fn open(&mut self, first: i64) -> Ticket {
        let number = self.opened;
        self.opened += 1;
        self.open.insert((first, number));
        Ticket { first, number }
    }

    /// The write is acknowledged.
    pub fn close(&mut self, ticket: Ticket) {
        self.open.remove(&(ticket.first, ticket.number));
    }

    /// The offset to commit: every record below it is written, whole.
    pub fn position(&self) -> i64 {
        self.open.first().map_or(self.next, |(first, _)| *first)
    }

    /// Nothing is under way.
    pub fn is_level(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_open_write_holds_the_position() {
        let mut tracker = Tracker::new(10);
        let early = tracker.open(10);
        let late = tracker.open(11);
        tracker.taken(12);
        tracker.close(late);
        assert_eq!(tracker.position(), 10);
        tracker.close(early);
        assert_eq!(tracker.position(), 13);
        assert!(tracker.is_level());
    }

    #[test]
    fn two_writes_may_begin_at_one_offset() {
        let mut tracker = Tracker::new(0);
        let row = tracker.open(0);
        let counts = tracker.open(0);
        tracker.taken(0);
        tracker.close(row);
        assert_eq!(tracker.position(), 0);
        tracker.close(counts);
        assert_eq!(tracker.position(), 1);
    }

    #[test]
    fn closing_twice_changes_nothing() {
        let mut tracker = Tracker::new(0);
        let ticket = tracker.open(0);
        tracker.taken(4);
        tracker.close(ticket);
        tracker.close(ticket);
        assert_eq!(tracker.position(), 5);
    }
}
