//! The event contract: what one Kafka record on `LogEvents` may be, and what becomes of one that is not.
//!
//! [`parse`] is the only parser of the pipeline. It turns the bytes of a record into an [`Event`]
//! or a [`Reject`], never panics and does no I/O, so that every store holds the same verdict on
//! the same record.
//!
//! ```
//! let verdict = event::parse(Some(b"{}"), 1_767_225_600_000_000);
//! assert_eq!(verdict.unwrap_err().reason, event::Reason::MissingField);
//! ```

mod fast;
mod keys;
mod parse;
mod reject;
mod text;
mod time;
mod wire;

pub use parse::{Details, Event, Geo, Item, parse, parse_by_serde, write_basket};
pub use reject::{Reason, Reject};
pub use text::Text;
pub use time::{EARLIEST_EVENT_TIME, LATEST_AHEAD, Micros};

/// The one `service` of the contract.
pub const SERVICE: &str = "ecommerce-platform";

/// The longest identifier (user, session, product, order, event, error code), country or city, in
/// characters.
pub const LONGEST_ID: usize = 128;

/// What happened: the closed set of `event_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// A visitor searched the catalogue.
    Search,
    /// A visitor paid for a basket.
    Purchase,
    /// An order went through.
    OrderComplete,
    /// An attempt at an order failed; a later one may complete it.
    OrderFailed,
    /// The shop itself failed.
    Error,
}

impl EventType {
    /// Every type, in the order of the contract.
    pub const ALL: [EventType; 5] = [
        EventType::Purchase,
        EventType::Search,
        EventType::OrderComplete,
        EventType::OrderFailed,
        EventType::Error,
    ];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            EventType::Search => "search",
            EventType::Purchase => "purchase",
            EventType::OrderComplete => "order_complete",
            EventType::OrderFailed => "order_failed",
            EventType::Error => "error",
        }
    }

    /// The type of that name, letter for letter.
    pub fn from_name(name: &str) -> Option<EventType> {
        EventType::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The `level` that the generator writes for the type.
    pub fn level(self) -> &'static str {
        match self {
            EventType::OrderFailed | EventType::Error => "ERROR",
            _ => "INFO",
        }
    }
}

/// The identity of an event that brought none: its Kafka coordinates. From the second epoch on the
/// epoch is part of it, because a topic made anew counts its offsets from 0 again.
pub fn event_id_from_coordinates(topic: &str, epoch: u32, partition: i32, offset: i64) -> String {
    match epoch {
        0 => format!("{topic}:{partition}:{offset}"),
        _ => format!("{topic}~{epoch}:{partition}:{offset}"),
    }
}
