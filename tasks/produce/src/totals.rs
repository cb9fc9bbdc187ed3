//! The totals: what was sent, as later stages must find it again.

use chrono::{DateTime, SecondsFormat};
use event::EventType;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::traffic::{Millis, Moment};
use crate::visit::Visit;

/// Counts over the distinct valid events: each once, however often it was sent.
#[derive(Debug, Default)]
pub struct Totals {
    by_type: [u64; 5],
    amount_cents: [u64; 5],
    quantity: [u64; 5],
    late: u64,
    orders: u64,
    completed: u64,
    first: Option<Millis>,
    last: Option<Millis>,
}

/// How the orders went.
#[derive(Debug, Serialize, PartialEq)]
pub struct Orders {
    /// Orders that at least one event tells of.
    pub distinct: u64,
    /// Those of which an order_complete was sent.
    pub completed: u64,
    /// The others.
    pub failed_only: u64,
}

impl Totals {
    /// One more event, at `time` by its own clock.
    pub fn add(&mut self, moment: &Moment, visit: &Visit, time: Millis) {
        let kind = moment.event_type as usize;
        self.by_type[kind] += 1;
        match moment.event_type {
            EventType::Purchase | EventType::OrderComplete => {
                self.amount_cents[kind] += visit.amount_cents;
                self.quantity[kind] += visit
                    .basket
                    .iter()
                    .map(|(_, quantity)| u64::from(*quantity))
                    .sum::<u64>();
            }
            EventType::OrderFailed => self.amount_cents[kind] += visit.amount_cents,
            EventType::Search | EventType::Error => {}
        }
        self.late += u64::from(visit.late_by > 0);
        self.orders += u64::from(moment.opens_order);
        self.completed += u64::from(moment.event_type == EventType::OrderComplete);
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    /// Distinct valid events.
    pub fn events(&self) -> u64 {
        self.by_type.iter().sum()
    }

    /// Of them, those older than the stream.
    pub fn late(&self) -> u64 {
        self.late
    }

    /// Of each type.
    pub fn by_type(&self) -> Map<String, Value> {
        self.named(&EventType::ALL, &self.by_type)
    }

    /// Sums of `amount`, and of `attempted_amount` for failed orders, in cents.
    pub fn amount_cents(&self) -> Map<String, Value> {
        let kinds = [
            EventType::Purchase,
            EventType::OrderComplete,
            EventType::OrderFailed,
        ];
        self.named(&kinds, &self.amount_cents)
    }

    /// Sums of the quantities of all items.
    pub fn quantity(&self) -> Map<String, Value> {
        self.named(
            &[EventType::Purchase, EventType::OrderComplete],
            &self.quantity,
        )
    }

    fn named(&self, kinds: &[EventType], values: &[u64; 5]) -> Map<String, Value> {
        kinds
            .iter()
            .map(|kind| (kind.name().to_owned(), values[*kind as usize].into()))
            .collect()
    }

    /// How the orders went.
    pub fn orders(&self) -> Orders {
        Orders {
            distinct: self.orders,
            completed: self.completed,
            failed_only: self.orders - self.completed,
        }
    }

    /// The oldest and the newest event, by their own clocks.
    pub fn span(&self) -> (Option<String>, Option<String>) {
        (self.first.map(iso), self.last.map(iso))
    }
}

/// `2026-01-01T00:00:00.000Z`
pub fn iso(time: Millis) -> String {
    DateTime::from_timestamp_millis(time)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Millis, true)
}
