//! The JSON of an event, written by hand into a buffer that is used again and again.

use chrono::{DateTime, Datelike};
use event::{EventType, SERVICE};
use rand::{Rng, RngExt};
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use uuid::Builder;

use crate::config::{Config, PaymentMethod, ShippingMethod};
use crate::pool::{Pools, device_name};
use crate::traffic::Millis;
use crate::visit::{Line, Visit};

const DAY: Millis = 24 * 3_600_000;

/// What the shop itself says when it fails.
const ERRORS: &[(&str, &str)] = &[
    ("ERR-1001", "payment gateway timed out after 30 s"),
    ("ERR-1002", "card declined by issuer"),
    ("ERR-2001", "inventory service answered 503"),
    ("ERR-2002", "stock of product changed during checkout"),
    ("ERR-3001", "session expired"),
    ("ERR-3002", "user could not be authenticated"),
    ("ERR-4001", "search index is being rebuilt"),
    ("ERR-4004", "product page not found"),
    ("ERR-5000", "unhandled exception in \\\"checkout\\\""),
    ("ERR-5003", "upstream closed the connection"),
];

/// Writes events.
#[derive(Debug)]
pub struct Writer<'a> {
    pools: &'a Pools,
    /// What all session and order numbers of a run begin with.
    run_tag: u32,
    payments: WeightedAliasIndex<f64>,
    shippings: WeightedAliasIndex<f64>,
    dates: Dates,
}

impl<'a> Writer<'a> {
    /// `run_tag` keeps the sessions and orders of one run apart from those of others.
    pub fn new(config: &Config, pools: &'a Pools, run_tag: u32) -> anyhow::Result<Writer<'a>> {
        Ok(Writer {
            pools,
            run_tag: run_tag % 100_000_000,
            payments: WeightedAliasIndex::new(config.payment_method.weights())?,
            shippings: WeightedAliasIndex::new(config.shipping_method.weights())?,
            dates: Dates::default(),
        })
    }

    /// Writes the event that `visit` leaves at `time`, its session `duration` seconds old.
    pub fn write(
        &mut self,
        out: &mut Vec<u8>,
        event_type: EventType,
        visit: &Visit,
        time: Millis,
        duration: i64,
        rng: &mut impl Rng,
    ) {
        let user = self.pools.users.get(visit.user);
        let product = self.pools.products.get(visit.product);
        out.clear();
        text(out, r#"{"timestamp":"#);
        self.dates.push_time(out, time);
        text(out, r#","level":""#);
        text(out, event_type.level());
        text(out, r#"","service":""#);
        text(out, SERVICE);
        text(out, r#"","event_type":""#);
        text(out, event_type.name());
        text(out, r#"","event_id":""#);
        push_event_id(out, time, rng);
        text(out, r#"","user_id":"#);
        text(out, &user.id_json);
        text(out, r#","session_id":"sess_"#);
        push_padded(out, u64::from(self.run_tag), 8);
        push_padded(out, visit.session, 5);
        text(out, r#"","product_id":"#);
        text(out, &product.id_json);
        text(out, r#","session_duration":"#);
        push_padded(out, duration.max(0) as u64, 1);
        text(out, r#","device_type":""#);
        text(out, device_name(visit.device));
        text(out, r#"","geo_location":"#);
        text(out, &user.geo_json);
        match event_type {
            EventType::Search => {
                text(out, r#","details":{"query":"#);
                let which = rng.random_range(0..product.queries_json.len());
                text(out, &product.queries_json[which]);
                text(out, r#","results_count":"#);
                push_padded(out, rng.random_range(0..=240), 1);
                text(out, r#","filters":"#);
                let which = rng.random_range(0..product.filters_json.len());
                text(out, &product.filters_json[which]);
                text(out, r#","searched_at":"#);
                self.dates.push_time(out, time);
                out.push(b'}');
            }
            EventType::Purchase => {
                text(out, r#","details":{"amount":"#);
                push_cents(out, visit.amount_cents);
                text(out, r#","payment_method":""#);
                text(out, PaymentMethod::NAMES[self.payments.sample(rng)]);
                text(out, r#"","items":"#);
                self.push_items(out, &visit.basket);
                text(out, r#","shipping_address":"#);
                text(out, &user.address_json);
                out.push(b'}');
            }
            EventType::OrderComplete => {
                let shipping = self.shippings.sample(rng);
                self.push_order(out, visit);
                text(out, r#","amount":"#);
                push_cents(out, visit.amount_cents);
                text(out, r#","items":"#);
                self.push_items(out, &visit.basket);
                text(out, r#","shipping_method":""#);
                text(out, ShippingMethod::NAMES[shipping]);
                text(out, r#"","delivery_estimate":""#);
                self.dates
                    .push_date(out, time + delivery_days(shipping, rng) * DAY);
                text(out, r#"","completed_at":"#);
                self.dates.push_time(out, time);
                out.push(b'}');
            }
            EventType::OrderFailed => {
                self.push_order(out, visit);
                text(out, r#","attempted_amount":"#);
                push_cents(out, visit.amount_cents);
                text(out, r#","failed_at":"#);
                self.dates.push_time(out, time);
                out.push(b'}');
            }
            EventType::Error => {
                let (code, message) = ERRORS[rng.random_range(0..ERRORS.len())];
                text(out, r#","error_code":""#);
                text(out, code);
                text(out, r#"","message":""#);
                text(out, message);
                text(out, r#"","error_at":"#);
                self.dates.push_time(out, time);
            }
        }
        out.push(b'}');
    }

    fn push_order(&self, out: &mut Vec<u8>, visit: &Visit) {
        text(out, r#","details":{"order_id":"ord_"#);
        push_padded(out, u64::from(self.run_tag), 8);
        push_padded(out, visit.order.unwrap_or(0), 6);
        out.push(b'"');
    }

    fn push_items(&self, out: &mut Vec<u8>, basket: &[Line]) {
        let mut before = b'[';
        for (product, quantity) in basket {
            out.push(before);
            text(out, r#"{"product_id":"#);
            text(out, &self.pools.products.get(*product).id_json);
            text(out, r#","quantity":"#);
            push_padded(out, u64::from(*quantity), 1);
            out.push(b'}');
            before = b',';
        }
        out.push(b']');
    }
}

fn delivery_days(shipping: usize, rng: &mut impl Rng) -> Millis {
    match ShippingMethod::NAMES[shipping] {
        "standard" => rng.random_range(3..=7),
        "express" => rng.random_range(1..=2),
        _ => rng.random_range(0..=1),
    }
}

fn text(out: &mut Vec<u8>, piece: &str) {
    out.extend_from_slice(piece.as_bytes());
}

/// UUIDv7: the event's own time, and chance for the rest.
fn push_event_id(out: &mut Vec<u8>, time: Millis, rng: &mut impl Rng) {
    let mut chance = [0; 10];
    rng.fill_bytes(&mut chance);
    let id = Builder::from_unix_timestamp_millis(time.max(0) as u64, &chance).into_uuid();
    let mut letters = uuid::Uuid::encode_buffer();
    text(out, id.hyphenated().encode_lower(&mut letters));
}

/// `number` in at least `width` digits.
fn push_padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    while number > 0 {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

/// Cents as a decimal number: 1205 is 12.05.
fn push_cents(out: &mut Vec<u8>, cents: u64) {
    push_padded(out, cents / 100, 1);
    out.push(b'.');
    push_padded(out, cents % 100, 2);
}

/// Writes times; remembers the date it wrote last, which is mostly the next one too.
#[derive(Debug, Default)]
struct Dates {
    day: Millis,
    date: Vec<u8>,
}

impl Dates {
    /// `"2026-01-01T00:00:00.000Z"`, quotes and all.
    fn push_time(&mut self, out: &mut Vec<u8>, time: Millis) {
        let in_day = time.rem_euclid(DAY) as u64;
        out.push(b'"');
        self.push_date(out, time);
        out.push(b'T');
        push_padded(out, in_day / 3_600_000, 2);
        out.push(b':');
        push_padded(out, in_day / 60_000 % 60, 2);
        out.push(b':');
        push_padded(out, in_day / 1000 % 60, 2);
        out.push(b'.');
        push_padded(out, in_day % 1000, 3);
        out.extend_from_slice(b"Z\"");
    }

    /// `2026-01-01`
    fn push_date(&mut self, out: &mut Vec<u8>, time: Millis) {
        let day = time.div_euclid(DAY);
        if day != self.day || self.date.is_empty() {
            self.day = day;
            self.date.clear();
            let date = DateTime::from_timestamp_millis(time).unwrap_or_default();
            push_padded(&mut self.date, date.year().max(0) as u64, 4);
            self.date.push(b'-');
            push_padded(&mut self.date, u64::from(date.month()), 2);
            self.date.push(b'-');
            push_padded(&mut self.date, u64::from(date.day()), 2);
        }
        out.extend_from_slice(&self.date);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn numbers() {
        assert_eq!(written(|out| push_padded(out, 0, 1)), "0");
        assert_eq!(written(|out| push_padded(out, 7, 5)), "00007");
        assert_eq!(written(|out| push_padded(out, 123_456, 5)), "123456");
        assert_eq!(
            written(|out| push_padded(out, u64::MAX, 1)),
            u64::MAX.to_string()
        );
        assert_eq!(written(|out| push_cents(out, 1205)), "12.05");
        assert_eq!(written(|out| push_cents(out, 9)), "0.09");
    }

    #[test]
    fn times_are_those_of_chrono() {
        let mut dates = Dates::default();
        for time in [
            0,
            -1,
            951_782_400_000,
            1_767_225_599_999,
            1_767_225_600_000,
            4_102_444_799_007,
        ] {
            let chrono = DateTime::from_timestamp_millis(time)
                .expect("a time")
                .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            assert_eq!(
                written(|out| dates.push_time(out, time)),
                format!("\"{chrono}\"")
            );
        }
    }
}
