//! Rows of PostgreSQL as one text each, the same in Rust and in SQL, so that a digest tells whether
//! every column of every row is what the raw file asks for.
//!
//! The columns are joined by U+001F, and U+001E stands for null. The hash of a row is the first 60
//! bits of the MD5 of that text: what PostgreSQL computes without an extension. It guards against
//! accidents, not against somebody who means to deceive.

use std::fmt::Write;

use event::{Details, Event, Micros, Reject};
use md5::{Digest, Md5};

/// Between columns.
const SEPARATOR: char = '\u{1f}';
/// Instead of null.
const NULL: char = '\u{1e}';

/// The hash of a row of `raw.log_event`, in SQL; as [`event_hash`].
pub const EVENT_HASH: &str = "('x' || left(md5(array_to_string(array[
    kafka_partition::text, kafka_offset::text, (extract(epoch from kafka_time) * 1000000)::bigint::text,
    event_id, (extract(epoch from event_time) * 1000000)::bigint::text, level, service, event_type,
    user_id, session_id, product_id, session_duration::text, device_type, geo_country, geo_city,
    encode(float8send(amount), 'hex'), payment_method, items, quantity::text, shipping_address,
    query, results_count::text, filters, (extract(epoch from searched_at) * 1000000)::bigint::text,
    order_id, shipping_method, delivery_estimate,
    (extract(epoch from completed_at) * 1000000)::bigint::text,
    encode(float8send(attempted_amount), 'hex'),
    (extract(epoch from failed_at) * 1000000)::bigint::text, error_code, message,
    (extract(epoch from error_at) * 1000000)::bigint::text
    ], chr(31), chr(30))), 15))::bit(60)::bigint";

/// The hash of a row of `raw.reject`, in SQL; as [`reject_hash`].
pub const REJECT_HASH: &str = "('x' || left(md5(array_to_string(array[
    kafka_partition::text, kafka_offset::text, (extract(epoch from kafka_time) * 1000000)::bigint::text,
    reason, field, md5(key), md5(payload)
    ], chr(31), chr(30))), 15))::bit(60)::bigint";

/// The hash of an event id, in SQL; as [`text_hash`].
pub const ID_HASH: &str = "('x' || left(md5(event_id), 15))::bit(60)::bigint";

/// Where a record came from.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// Kafka time.
    pub record_time: Micros,
}

/// The hash of a text.
pub fn text_hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(first) >> 4
}

/// The hash of the row that an event becomes.
pub fn event_hash(origin: Origin, event_id: &str, event: &Event<'_>) -> u64 {
    let mut row = Row::begin(origin);
    row.text(event_id);
    row.number(event.time);
    for text in [&*event.level, event::SERVICE, event.event_type.name()] {
        row.text(text);
    }
    for text in [&event.user_id, &event.session_id, &event.product_id] {
        row.text(text);
    }
    row.number(event.session_duration);
    for text in [&event.device_type, &event.geo.country, &event.geo.city] {
        row.text(text);
    }
    row.details(&event.details);
    text_hash(&row.text)
}

/// The hash of the row that a reject becomes.
pub fn reject_hash(
    origin: Origin,
    reject: &Reject,
    key: Option<&[u8]>,
    payload: Option<&[u8]>,
) -> u64 {
    let mut row = Row::begin(origin);
    row.text(reject.reason.name());
    match &reject.field {
        // as `load` writes it, because PostgreSQL's text takes no NUL
        Some(field) => row.text(&field.replace('\0', "\u{fffd}")),
        None => row.nulls(1),
    }
    for bytes in [key, payload] {
        match bytes {
            Some(bytes) => row.text(&hexadecimal(&Md5::digest(bytes))),
            None => row.nulls(1),
        }
    }
    text_hash(&row.text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a String takes everything
        text
    })
}

struct Row {
    text: String,
}

impl Row {
    fn begin(origin: Origin) -> Row {
        let text = format!(
            "{}{SEPARATOR}{}{SEPARATOR}{}",
            origin.partition, origin.offset, origin.record_time
        );
        Row { text }
    }

    fn text(&mut self, text: &str) {
        self.text.push(SEPARATOR);
        self.text.push_str(text);
    }

    fn number(&mut self, number: impl std::fmt::Display) {
        let _ = write!(self.text, "{SEPARATOR}{number}"); // a String takes everything
    }

    fn double(&mut self, number: f64) {
        let _ = write!(self.text, "{SEPARATOR}{:016x}", number.to_bits());
    }

    fn nulls(&mut self, count: usize) {
        for _ in 0..count {
            self.text.push(SEPARATOR);
            self.text.push(NULL);
        }
    }

    fn basket(&mut self, items: &[event::Item<'_>]) {
        let mut json = Vec::new();
        event::write_basket(items, &mut json);
        self.text(&String::from_utf8_lossy(&json));
        self.number(items.iter().map(|item| item.quantity).sum::<i32>());
    }

    /// The columns from `amount` to `error_at`.
    fn details(&mut self, details: &Details<'_>) {
        match details {
            Details::Purchase {
                amount,
                payment_method,
                items,
                shipping_address,
            } => {
                self.double(*amount);
                self.text(payment_method);
                self.basket(items);
                self.text(shipping_address);
                self.nulls(13);
            }
            Details::Search {
                query,
                results_count,
                filters,
                searched_at,
            } => {
                self.nulls(5);
                self.text(query);
                self.number(results_count);
                match filters {
                    Some(json) => self.text(json),
                    None => self.nulls(1),
                }
                self.number(searched_at);
                self.nulls(9);
            }
            Details::OrderComplete {
                order_id,
                amount,
                items,
                shipping_method,
                delivery_estimate,
                completed_at,
            } => {
                self.double(*amount);
                self.nulls(1);
                self.basket(items);
                self.nulls(5);
                self.text(order_id);
                self.text(shipping_method);
                self.text(delivery_estimate);
                self.number(completed_at);
                self.nulls(5);
            }
            Details::OrderFailed {
                order_id,
                attempted_amount,
                failed_at,
            } => {
                self.nulls(9);
                self.text(order_id);
                self.nulls(3);
                self.double(*attempted_amount);
                self.number(failed_at);
                self.nulls(3);
            }
            Details::Error {
                error_code,
                message,
                error_at,
            } => {
                self.nulls(15);
                self.text(error_code);
                self.text(message);
                self.number(error_at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_first_fifteen_digits_of_the_md5() {
        // select ('x' || left(md5('a'), 15))::bit(60)::bigint; md5 is 0cc175b9c0f1b6a831c399e269772661
        assert_eq!(text_hash("a"), 0x00cc_175b_9c0f_1b6a);
    }

    #[test]
    fn every_type_has_as_many_columns_as_the_sql() {
        let columns = EVENT_HASH.split(&['[', ']'][..]).nth(1).expect("an array");
        let mut depth = 0;
        let mut count = 1;
        for letter in columns.chars() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                ',' if depth == 0 => count += 1,
                _ => {}
            }
        }
        let time = r#""2026-01-01T00:00:00Z""#;
        let cases = [
            (
                "purchase",
                r#"{"amount":1.5,"payment_method":"paypal","items":[{"product_id":"p","quantity":2}],"shipping_address":"h"}"#.to_owned(),
            ),
            (
                "search",
                format!(r#"{{"query":"q","results_count":0,"searched_at":{time}}}"#),
            ),
            (
                "order_complete",
                format!(
                    r#"{{"order_id":"o","amount":1,"items":[{{"product_id":"p","quantity":2}}],"shipping_method":"express","delivery_estimate":"s","completed_at":{time}}}"#
                ),
            ),
            (
                "order_failed",
                format!(r#"{{"order_id":"o","attempted_amount":1,"failed_at":{time}}}"#),
            ),
            (
                "error",
                format!(r#"{{}},"error_code":"ERR-1000","message":"m","error_at":{time}"#),
            ),
        ];
        let origin = Origin {
            partition: 1,
            offset: 2,
            record_time: 1_767_225_600_000_000,
        };
        for (kind, details) in cases {
            let json = format!(
                r#"{{"timestamp":{time},"level":"INFO","service":"ecommerce-platform","event_type":"{kind}","user_id":"user_1","session_id":"s","product_id":"p","session_duration":5,"device_type":"mobile","geo_location":{{"country":"DE","city":"B"}},"details":{details}}}"#
            );
            let event = event::parse(Some(json.as_bytes()), origin.record_time).expect("an event");
            let mut row = Row::begin(origin);
            row.text("id");
            row.number(event.time);
            for _ in 0..3 + 3 + 1 + 3 {
                row.text("x");
            }
            row.details(&event.details);
            assert_eq!(row.text.split(SEPARATOR).count(), count, "{kind}");
        }
    }
}
