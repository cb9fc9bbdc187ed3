//! The parser: bytes of a record to an [`Event`] or a [`Reject`].
//!
//! A record written the usual way is read once, by [`fast`]; any other by serde_json, which borrows
//! from the payload too. A second time is read one that fails, to name the field at fault, and one
//! with fields of its own, for keys that stand twice.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::error::Category;

use crate::fast;
use crate::reject::{Reason, Reject};
use crate::text::{Object, Text};
use crate::time::{EARLIEST_EVENT_TIME, LATEST_AHEAD, Micros, micros};
use crate::wire::{Wire, WireDetails, WireItem};
use crate::{EventType, LONGEST_ID, SERVICE};

/// A record that keeps the contract, flattened. Text borrows from the payload.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    /// `event_id`, when the record brought one.
    pub event_id: Option<Text<'a>>,
    /// `timestamp`: when it happened, by the sender's clock.
    pub time: Micros,
    /// `level`: INFO or ERROR.
    pub level: Text<'a>,
    /// `event_type`.
    pub event_type: EventType,
    /// `user_id`.
    pub user_id: Text<'a>,
    /// `session_id`.
    pub session_id: Text<'a>,
    /// `product_id`: the product looked at, bought or failed on.
    pub product_id: Text<'a>,
    /// `session_duration`, in seconds.
    pub session_duration: i32,
    /// `device_type`: desktop, mobile or tablet.
    pub device_type: Text<'a>,
    /// `geo_location`.
    pub geo: Geo<'a>,
    /// `details`, or the top-level fields of an error.
    pub details: Details<'a>,
}

/// `geo_location`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Geo<'a> {
    /// Country code, such as `DE`.
    #[serde(borrow)]
    pub country: Text<'a>,
    /// City.
    #[serde(borrow)]
    pub city: Text<'a>,
}

/// One line of a basket.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Item<'a> {
    /// What.
    #[serde(borrow)]
    pub product_id: Text<'a>,
    /// How many: at least one.
    pub quantity: i32,
}

/// Appends a basket as the JSON that every store keeps: `[{"product_id":"p","quantity":1}]`.
pub fn write_basket(items: &[Item<'_>], json: &mut Vec<u8>) {
    let mut separator = b'[';
    for item in items {
        json.push(separator);
        separator = b',';
        json.extend_from_slice(b"{\"product_id\":");
        let product_id = serde_json::Value::from(&*item.product_id).to_string();
        json.extend_from_slice(product_id.as_bytes());
        json.extend_from_slice(format!(",\"quantity\":{}}}", item.quantity).as_bytes());
    }
    json.push(b']');
}

/// What an event of each type tells beyond the fields that all share.
#[derive(Debug, Clone, PartialEq)]
pub enum Details<'a> {
    /// `purchase`
    Purchase {
        /// Sum paid.
        amount: f64,
        /// credit_card, paypal or bank_transfer.
        payment_method: Text<'a>,
        /// The basket: at least one line.
        items: Vec<Item<'a>>,
        /// Where to.
        shipping_address: Text<'a>,
    },
    /// `search`
    Search {
        /// What was typed.
        query: Text<'a>,
        /// Hits shown.
        results_count: i32,
        /// Filters set, a JSON object as received.
        filters: Option<&'a str>,
        /// When.
        searched_at: Micros,
    },
    /// `order_complete`
    OrderComplete {
        /// The order.
        order_id: Text<'a>,
        /// Sum paid.
        amount: f64,
        /// The basket: at least one line.
        items: Vec<Item<'a>>,
        /// standard, express or pickup.
        shipping_method: Text<'a>,
        /// When it should arrive, as the shop wrote it.
        delivery_estimate: Text<'a>,
        /// When it went through.
        completed_at: Micros,
    },
    /// `order_failed`
    OrderFailed {
        /// The order; a later attempt may complete it.
        order_id: Text<'a>,
        /// Sum that was not paid.
        attempted_amount: f64,
        /// When it failed.
        failed_at: Micros,
    },
    /// `error`
    Error {
        /// `ERR-NNNN`.
        error_code: Text<'a>,
        /// For people.
        message: Text<'a>,
        /// When.
        error_at: Micros,
    },
}

impl Details<'_> {
    /// The basket, where the type has one.
    pub fn items(&self) -> Option<&[Item<'_>]> {
        match self {
            Details::Purchase { items, .. } | Details::OrderComplete { items, .. } => Some(items),
            _ => None,
        }
    }
}

/// Reads one record. `record_time` is its Kafka time: an event may run at most [`LATEST_AHEAD`]
/// ahead of it.
///
/// # Errors
/// A [`Reject`] for everything that the contract does not allow; it names the field at fault.
pub fn parse(payload: Option<&[u8]>, record_time: Micros) -> Result<Event<'_>, Reject> {
    let text = utf8(payload)?;
    match fast::wire(text) {
        Some(wire) => build(wire, record_time),
        None => parse_text(text, record_time),
    }
}

/// [`parse`] without its fast path: what tests hold it against.
#[doc(hidden)]
pub fn parse_by_serde(payload: Option<&[u8]>, record_time: Micros) -> Result<Event<'_>, Reject> {
    parse_text(utf8(payload)?, record_time)
}

fn utf8(payload: Option<&[u8]>) -> Result<&str, Reject> {
    let payload = payload.ok_or(Reject::whole(Reason::Tombstone))?;
    std::str::from_utf8(payload).map_err(|_| Reject::whole(Reason::NotUtf8))
}

fn parse_text(text: &str, record_time: Micros) -> Result<Event<'_>, Reject> {
    let start = text.trim_ascii_start();
    if start.is_empty() {
        return Err(Reject::whole(Reason::Empty));
    }
    check_escapes(text.as_bytes()).map_err(Reject::whole)?;
    let wire = match serde_json::from_str::<Object<Wire>>(text) {
        Ok(Object(wire)) => wire,
        Err(error) => return Err(explain(text, start, &error)),
    };
    if let Some(path) = wire.repeated_key(text) {
        return Err(Reject::at(Reason::DuplicateKey, path));
    }
    build(wire, record_time)
}

/// Refuses `\u0000` and unpaired surrogates in any string, known field or not: serde reads
/// escapes only in the fields it keeps.
fn check_escapes(payload: &[u8]) -> Result<(), Reason> {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &payload[at..]) {
        at += found;
        if payload.get(at + 1) != Some(&b'u') {
            at += 2;
            if at >= payload.len() {
                return Ok(());
            }
            continue;
        }
        match code_unit(payload, at) {
            Some(0) => return Err(Reason::NulCharacter),
            Some(0xD800..=0xDBFF) => match code_unit(payload, at + 6) {
                Some(0xDC00..=0xDFFF) => at += 12,
                _ => return Err(Reason::LoneSurrogate),
            },
            Some(0xDC00..=0xDFFF) => return Err(Reason::LoneSurrogate),
            // not four hexadecimal digits: the JSON parser says so
            _ => at += 2,
        }
        if at >= payload.len() {
            return Ok(());
        }
    }
    Ok(())
}

/// The code unit of the escape `\uXXXX` that starts at `at`, if one does.
fn code_unit(payload: &[u8], at: usize) -> Option<u16> {
    let digits = payload.get(at..at + 6)?.strip_prefix(b"\\u")?;
    let digits = std::str::from_utf8(digits).ok()?;
    if digits.starts_with('+') {
        return None; // a sign that Rust takes and JSON does not
    }
    u16::from_str_radix(digits, 16).ok()
}

/// The slow path: what was wrong, and where.
#[cold]
fn explain(text: &str, start: &str, error: &serde_json::Error) -> Reject {
    let message = error.to_string();
    // serde_json counts it among the errors of syntax, but 1e400 is JSON
    let too_large = message.starts_with("number out of range");
    if error.classify() != Category::Data && !too_large {
        return Reject::whole(Reason::NotJson);
    }
    if !start.starts_with('{') {
        // an array or a scalar, unless what follows it is not JSON
        return Reject::whole(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Reason::NotAnObject,
            Err(_) => Reason::NotJson,
        });
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let path = match serde_path_to_error::deserialize::<_, Object<Wire>>(&mut json) {
        Err(located) => located.path().to_string(),
        Ok(_) => ".".to_owned(),
    };
    let quoted = message.split('`').nth(1).unwrap_or_default();
    if message.starts_with("duplicate field") {
        return Reject::at(Reason::DuplicateKey, join(&path, quoted));
    }
    if message.starts_with("missing field") {
        return Reject::at(Reason::MissingField, join(&path, quoted));
    }
    if message.starts_with("invalid type: null") && !path.ends_with(']') {
        return Reject::at(Reason::MissingField, path);
    }
    if too_large || message.starts_with("invalid value: integer") {
        return Reject::at(Reason::OutOfRange, path);
    }
    Reject::at(Reason::WrongType, path)
}

/// `path.field`, where `path` may be the root or end in the field already.
fn join(path: &str, field: &str) -> String {
    if path == "." || path.is_empty() {
        field.to_owned()
    } else if path == field || path.ends_with(&format!(".{field}")) {
        path.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// Requires what the contract requires and checks every range.
fn build(wire: Wire<'_>, record_time: Micros) -> Result<Event<'_>, Reject> {
    let kind = required(wire.event_type, "event_type")?;
    let event_type = EventType::from_name(&kind)
        .ok_or_else(|| Reject::at(Reason::UnknownEventType, "event_type"))?;
    let time = moment(wire.timestamp, "timestamp")?;
    if !(EARLIEST_EVENT_TIME..=record_time.saturating_add(LATEST_AHEAD)).contains(&time) {
        return Err(Reject::at(Reason::OutOfRange, "timestamp"));
    }
    one_of(wire.service, "service", &[SERVICE])?;
    let event_id = wire.event_id.map(|text| id(text, "event_id")).transpose()?;
    let geo = required(wire.geo_location, "geo_location")?.0;
    place(&geo.country, "geo_location.country")?;
    place(&geo.city, "geo_location.city")?;
    let details = wire.details.map(|object| object.0);
    let details = match event_type {
        EventType::Error => Details::Error {
            error_code: id(required(wire.error_code, "error_code")?, "error_code")?,
            message: required(wire.message, "message")?,
            error_at: moment(wire.error_at, "error_at")?,
        },
        _ => build_details(event_type, required(details, "details")?)?,
    };
    Ok(Event {
        event_id,
        time,
        level: one_of(wire.level, "level", &["INFO", "ERROR"])?,
        event_type,
        user_id: id(required(wire.user_id, "user_id")?, "user_id")?,
        session_id: id(required(wire.session_id, "session_id")?, "session_id")?,
        product_id: id(required(wire.product_id, "product_id")?, "product_id")?,
        session_duration: count(wire.session_duration, "session_duration", 0)?,
        device_type: one_of(
            wire.device_type,
            "device_type",
            &["desktop", "mobile", "tablet"],
        )?,
        geo,
        details,
    })
}

fn build_details(event_type: EventType, wire: WireDetails<'_>) -> Result<Details<'_>, Reject> {
    Ok(match event_type {
        EventType::Purchase => Details::Purchase {
            amount: amount(wire.amount, "details.amount")?,
            payment_method: one_of(
                wire.payment_method,
                "details.payment_method",
                &["credit_card", "paypal", "bank_transfer"],
            )?,
            items: basket(wire.items)?,
            shipping_address: required(wire.shipping_address, "details.shipping_address")?,
        },
        EventType::Search => Details::Search {
            query: required(wire.query, "details.query")?,
            results_count: count(wire.results_count, "details.results_count", 0)?,
            filters: wire.filters.map(filters).transpose()?,
            searched_at: moment(wire.searched_at, "details.searched_at")?,
        },
        EventType::OrderComplete => Details::OrderComplete {
            order_id: id(
                required(wire.order_id, "details.order_id")?,
                "details.order_id",
            )?,
            amount: amount(wire.amount, "details.amount")?,
            items: basket(wire.items)?,
            shipping_method: one_of(
                wire.shipping_method,
                "details.shipping_method",
                &["standard", "express", "pickup"],
            )?,
            delivery_estimate: required(wire.delivery_estimate, "details.delivery_estimate")?,
            completed_at: moment(wire.completed_at, "details.completed_at")?,
        },
        EventType::OrderFailed => Details::OrderFailed {
            order_id: id(
                required(wire.order_id, "details.order_id")?,
                "details.order_id",
            )?,
            attempted_amount: amount(wire.attempted_amount, "details.attempted_amount")?,
            failed_at: moment(wire.failed_at, "details.failed_at")?,
        },
        EventType::Error => unreachable!("an error's fields stand at the top level"),
    })
}

fn required<T>(value: Option<T>, field: &str) -> Result<T, Reject> {
    value.ok_or_else(|| Reject::at(Reason::MissingField, field))
}

fn id<'a>(text: Text<'a>, field: &str) -> Result<Text<'a>, Reject> {
    // a string of at most LONGEST_ID bytes has at most as many characters
    let fits = text.len() <= LONGEST_ID || text.chars().count() <= LONGEST_ID;
    if text.is_empty() || !fits {
        return Err(Reject::at(Reason::OutOfRange, field));
    }
    Ok(text)
}

/// A country or a city: may be empty, but a dashboard must be able to index it.
fn place(text: &Text<'_>, field: &str) -> Result<(), Reject> {
    if text.len() <= LONGEST_ID || text.chars().count() <= LONGEST_ID {
        return Ok(());
    }
    Err(Reject::at(Reason::OutOfRange, field))
}

fn one_of<'a>(
    value: Option<Text<'a>>,
    field: &str,
    allowed: &[&'static str],
) -> Result<Text<'a>, Reject> {
    let text = required(value, field)?;
    match allowed.iter().find(|name| **name == &*text) {
        Some(name) => Ok(Text(Cow::Borrowed(name))),
        None => Err(Reject::at(Reason::OutOfRange, field)),
    }
}

fn moment(value: Option<Text<'_>>, field: &str) -> Result<Micros, Reject> {
    micros(&required(value, field)?).ok_or_else(|| Reject::at(Reason::BadTimestamp, field))
}

fn amount(value: Option<f64>, field: &str) -> Result<f64, Reject> {
    let amount = required(value, field)?;
    if !amount.is_finite() || amount < 0.0 {
        return Err(Reject::at(Reason::OutOfRange, field));
    }
    Ok(amount + 0.0) // -0 becomes 0
}

fn count(value: Option<i64>, field: &str, least: i32) -> Result<i32, Reject> {
    i32::try_from(required(value, field)?)
        .ok()
        .filter(|number| *number >= least)
        .ok_or_else(|| Reject::at(Reason::OutOfRange, field))
}

fn basket(wire: Option<Vec<Object<WireItem<'_>>>>) -> Result<Vec<Item<'_>>, Reject> {
    let wire = required(wire, "details.items")?;
    if wire.is_empty() {
        return Err(Reject::at(Reason::OutOfRange, "details.items"));
    }
    let mut items = Vec::with_capacity(wire.len());
    let mut total: i64 = 0;
    for (index, Object(item)) in wire.into_iter().enumerate() {
        let field = |name| format!("details.items[{index}].{name}");
        let quantity = count(Some(item.quantity), "", 1)
            .map_err(|_| Reject::at(Reason::OutOfRange, field("quantity")))?;
        let product_id = id(item.product_id, "")
            .map_err(|_| Reject::at(Reason::OutOfRange, field("product_id")))?;
        total += i64::from(quantity);
        items.push(Item {
            product_id,
            quantity,
        });
    }
    if i32::try_from(total).is_err() {
        return Err(Reject::at(Reason::OutOfRange, "details.items"));
    }
    Ok(items)
}

fn filters(raw: &str) -> Result<&str, Reject> {
    if raw.starts_with('{') {
        Ok(raw)
    } else {
        Err(Reject::at(Reason::WrongType, "details.filters"))
    }
}
