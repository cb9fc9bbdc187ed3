//! Counts by the minute, of one block of one Kafka partition.
//!
//! A cell holds the block's count so far as an absolute value. It is written again as the block
//! grows, each time with a higher write timestamp, so that whatever is repeated, and by whomever,
//! the newest value stands.

use std::collections::HashMap;

use cassandra::BLOCK_OFFSETS;
use event::{Details, Event, Micros};

/// What is counted: `metric` in ecomm_by_minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    Events,
    Product,
    Country,
    Device,
    ErrorCode,
    Rejects,
    Duplicates,
}

impl Metric {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Events => "events",
            Metric::Product => "product",
            Metric::Country => "country",
            Metric::Device => "device",
            Metric::ErrorCode => "error_code",
            Metric::Rejects => "rejects",
            Metric::Duplicates => "duplicates",
        }
    }
}

const MINUTE: Micros = 60_000_000;

#[derive(Debug, Default)]
struct Sum {
    count: i64,
    amount: f64,
    dirty: bool,
}

/// One cell that changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell<'a> {
    /// Of what.
    pub metric: Metric,
    /// Start of the minute.
    pub minute: Micros,
    /// The member.
    pub dim: &'a str,
    /// So many in this block.
    pub count: i64,
    /// And so much money.
    pub amount: f64,
}

/// The counts of one block.
#[derive(Debug)]
pub struct Block {
    start: i64,
    /// `batch_start_offset` in the table.
    pub name: i64,
    base: Micros,
    last: i64,
    sums: HashMap<(Metric, Micros), HashMap<Box<str>, Sum>>,
    /// First offset whose counts are not handed out yet.
    dirty_since: Option<i64>,
}

impl Block {
    /// The block at `start`; `base` is the Kafka time of its first record.
    pub fn new(start: i64, name: i64, base: Micros) -> Block {
        Block {
            start,
            name,
            base,
            last: start,
            sums: HashMap::new(),
            dirty_since: None,
        }
    }

    /// Whether the offset belongs to this block.
    pub fn holds(&self, offset: i64) -> bool {
        (self.start..self.start + BLOCK_OFFSETS).contains(&offset)
    }

    /// Counts an event.
    pub fn event(&mut self, offset: i64, event: &Event<'_>, written: bool) {
        let minute = event.time - event.time.rem_euclid(MINUTE);
        let amount = match &event.details {
            Details::Purchase { amount, .. } | Details::OrderComplete { amount, .. } => *amount,
            Details::OrderFailed {
                attempted_amount, ..
            } => *attempted_amount,
            Details::Search { .. } | Details::Error { .. } => 0.0,
        };
        let revenue = match &event.details {
            Details::OrderComplete { amount, .. } => *amount,
            _ => 0.0,
        };
        let name = event.event_type.name();
        self.add(Metric::Events, minute, name, amount, written);
        self.add(
            Metric::Country,
            minute,
            &event.geo.country,
            revenue,
            written,
        );
        self.add(Metric::Device, minute, &event.device_type, revenue, written);
        match &event.details {
            Details::OrderComplete { .. } => {
                self.add(Metric::Product, minute, &event.product_id, revenue, written);
            }
            Details::Error { error_code, .. } => {
                self.add(Metric::ErrorCode, minute, error_code, 0.0, written);
            }
            _ => {}
        }
        self.counted(offset, written);
    }

    /// Counts what is no event, or one more copy of one.
    pub fn other(&mut self, offset: i64, metric: Metric, time: Micros, dim: &str, written: bool) {
        self.add(metric, time - time.rem_euclid(MINUTE), dim, 0.0, written);
        self.counted(offset, written);
    }

    fn add(&mut self, metric: Metric, minute: Micros, dim: &str, amount: f64, written: bool) {
        let sums = self.sums.entry((metric, minute)).or_default();
        if !sums.contains_key(dim) {
            sums.insert(dim.into(), Sum::default());
        }
        if let Some(sum) = sums.get_mut(dim) {
            sum.count += 1;
            sum.amount += amount;
            sum.dirty |= !written;
        }
    }

    fn counted(&mut self, offset: i64, written: bool) {
        self.last = offset;
        if !written {
            self.dirty_since.get_or_insert(offset);
        }
    }

    /// First offset whose counts are not handed out yet.
    pub fn dirty_since(&self) -> Option<i64> {
        self.dirty_since
    }

    /// The write timestamp of the cells as they are now: grows with each record of the block, is the
    /// same in every run, and stays near Kafka's time, by which Cassandra sorts rows into files.
    pub fn write_timestamp(&self) -> Micros {
        self.base + (self.last - self.start)
    }

    /// Hands out the cells that changed since the last call, those of one metric and day together.
    pub fn take_dirty(&mut self, mut hand_out: impl FnMut(Cell<'_>)) {
        if self.dirty_since.take().is_none() {
            return;
        }
        let mut minutes: Vec<(Metric, Micros)> = self.sums.keys().copied().collect();
        minutes.sort_unstable();
        for key in minutes {
            let (metric, minute) = key;
            let Some(sums) = self.sums.get_mut(&key) else {
                continue;
            };
            for (dim, sum) in sums.iter_mut().filter(|(_, sum)| sum.dirty) {
                sum.dirty = false;
                hand_out(Cell {
                    metric,
                    minute,
                    dim,
                    count: sum.count,
                    amount: sum.amount,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirty(block: &mut Block) -> Vec<(Metric, String, i64, f64)> {
        let mut cells = Vec::new();
        block.take_dirty(|cell| {
            cells.push((cell.metric, cell.dim.to_owned(), cell.count, cell.amount));
        });
        cells.sort_by(|left, right| (left.0, &left.1).cmp(&(right.0, &right.1)));
        cells
    }

    const ORDER: &str = r#"{"timestamp":"2026-01-01T00:01:30Z","level":"INFO","service":"ecommerce-platform","event_type":"order_complete","event_id":"e1","user_id":"user_1","session_id":"sess_00001","product_id":"prod_00001","session_duration":5,"device_type":"mobile","geo_location":{"country":"DE","city":"Berlin"},"details":{"order_id":"o1","amount":12.5,"items":[{"product_id":"prod_00001","quantity":2}],"shipping_method":"express","delivery_estimate":"soon","completed_at":"2026-01-01T00:01:30Z"}}"#;

    #[test]
    fn cells_are_absolute_and_handed_out_once() {
        let order = event::parse(Some(ORDER.as_bytes()), 1_767_225_700_000_000).expect("an event");
        let mut block = Block::new(0, 0, 1_000_000);
        block.event(0, &order, false);
        assert_eq!(block.dirty_since(), Some(0));
        let expected = |count: i64| {
            let amount = 12.5 * count as f64;
            vec![
                (Metric::Events, "order_complete".to_owned(), count, amount),
                (Metric::Product, "prod_00001".to_owned(), count, amount),
                (Metric::Country, "DE".to_owned(), count, amount),
                (Metric::Device, "mobile".to_owned(), count, amount),
            ]
        };
        assert_eq!(dirty(&mut block), expected(1));
        assert_eq!(dirty(&mut block), []);
        let early = block.write_timestamp();
        block.event(7, &order, false);
        assert_eq!(dirty(&mut block), expected(2));
        assert!(block.write_timestamp() > early);
    }

    #[test]
    fn what_an_earlier_run_wrote_is_counted_and_not_written_again() {
        let order = event::parse(Some(ORDER.as_bytes()), 1_767_225_700_000_000).expect("an event");
        let mut block = Block::new(0, 0, 0);
        block.event(0, &order, true);
        assert_eq!(dirty(&mut block), []);
        block.other(1, Metric::Rejects, 61_000_000, "empty", false);
        assert_eq!(
            dirty(&mut block),
            [(Metric::Rejects, "empty".to_owned(), 1, 0.0)]
        );
        block.event(2, &order, false);
        assert_eq!(dirty(&mut block)[0].2, 2);
    }
}
