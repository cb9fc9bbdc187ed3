//! Arbitrary events that keep the contract, as JSON, and the columns that must come of each.

use chrono::{DateTime, FixedOffset, SecondsFormat};
use event::{EARLIEST_EVENT_TIME, EventType, LATEST_AHEAD, SERVICE};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::columns::Columns;

/// An event as it is sent, and as every store must hold it.
#[derive(Debug, Clone)]
pub struct Valid {
    /// What is sent.
    pub json: Value,
    /// What is held.
    pub columns: Columns,
}

/// A value as it is sent and as it is held.
type Pair = (Value, Value);

fn same(value: Value) -> Pair {
    (value.clone(), value)
}

/// Any characters but NUL.
fn text() -> impl Strategy<Value = Pair> {
    "[^\\x00]{0,40}".prop_map(|text| same(json!(text)))
}

fn id() -> impl Strategy<Value = Pair> {
    prop_oneof!["[^\\x00]{1,20}", "[^\\x00]{128}"].prop_map(|id| same(json!(id)))
}

fn number() -> impl Strategy<Value = Pair> {
    prop_oneof![0..100i32, 0..=i32::MAX].prop_map(|number| same(json!(number)))
}

fn one_of(names: &'static [&'static str]) -> impl Strategy<Value = Pair> {
    prop::sample::select(names).prop_map(|name| same(json!(name)))
}

/// Cents, up to where doubles hold all of them; written with a point or without one.
fn amount() -> impl Strategy<Value = Pair> {
    let decimal = (0..=99_999_999_999_999i64).prop_map(|cents| cents as f64 / 100.0);
    prop_oneof![
        decimal.prop_map(|amount| same(json!(amount))),
        any::<u32>().prop_map(|whole| (json!(whole), json!(f64::from(whole)))),
    ]
}

/// A moment within `bounds`, in any zone and with up to nine digits.
fn moment(bounds: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Pair> {
    let formats = prop::sample::select(vec![SecondsFormat::Micros, SecondsFormat::Nanos]);
    let zone = prop_oneof![Just(0), -1439..=1439i32];
    (bounds, 0..1000i64, zone, formats).prop_map(|(micros, nanos, minutes, format)| {
        let zone = FixedOffset::east_opt(minutes * 60).expect("less than a day");
        let time = DateTime::from_timestamp_micros(micros).expect("within the years of chrono")
            + chrono::TimeDelta::nanoseconds(nanos);
        let text = time
            .with_timezone(&zone)
            .to_rfc3339_opts(format, minutes == 0);
        (json!(text), json!(micros))
    })
}

/// From year 2 to year 9998: times beside the event's own have no bounds but those of four digits.
fn any_moment() -> impl Strategy<Value = Pair> {
    moment(-62_000_000_000_000_000..=253_300_000_000_000_000)
}

/// Members under which `columns` of that name arise.
type Fields = Vec<(&'static str, &'static str, Pair)>;

fn fields<const N: usize>(
    names: [(&'static str, &'static str); N],
    strategies: [BoxedStrategy<Pair>; N],
) -> BoxedStrategy<Fields> {
    let strategies = Vec::from(strategies);
    let named = move |pairs: Vec<Pair>| {
        let pairs = names.into_iter().zip(pairs);
        pairs
            .map(|((field, column), pair)| (field, column, pair))
            .collect()
    };
    strategies.prop_map(named).boxed()
}

/// `items`, and `quantity`, which is held and not sent.
fn basket() -> impl Strategy<Value = (Value, Value, i32)> {
    vec((id(), 1..1000i32), 1..6).prop_map(|items| {
        let total = items.iter().map(|(_, quantity)| quantity).sum();
        let items = items.into_iter().map(
            |((product_id, _), quantity)| json!({"product_id": product_id, "quantity": quantity}),
        );
        let items: Value = items.collect();
        (items.clone(), items, total)
    })
}

/// `filters`: an object, held as the text that it was sent as.
fn filters() -> impl Strategy<Value = Option<Value>> {
    let value = prop_oneof![
        "[^\\x00]{0,8}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!(["a", {"b": null}])),
    ];
    let members = btree_map("[a-z]{1,8}", value, 0..4);
    prop::option::of(members.prop_map(|members| Value::Object(members.into_iter().collect())))
}

fn details(kind: EventType) -> BoxedStrategy<Fields> {
    match kind {
        EventType::Purchase => fields(
            [
                ("amount", "amount"),
                ("payment_method", "payment_method"),
                ("shipping_address", "shipping_address"),
            ],
            [
                amount().boxed(),
                one_of(&["credit_card", "paypal", "bank_transfer"]).boxed(),
                text().boxed(),
            ],
        ),
        EventType::Search => fields(
            [
                ("query", "query"),
                ("results_count", "results_count"),
                ("searched_at", "searched_at"),
            ],
            [text().boxed(), number().boxed(), any_moment().boxed()],
        ),
        EventType::OrderComplete => fields(
            [
                ("order_id", "order_id"),
                ("amount", "amount"),
                ("shipping_method", "shipping_method"),
                ("delivery_estimate", "delivery_estimate"),
                ("completed_at", "completed_at"),
            ],
            [
                id().boxed(),
                amount().boxed(),
                one_of(&["standard", "express", "pickup"]).boxed(),
                text().boxed(),
                any_moment().boxed(),
            ],
        ),
        EventType::OrderFailed => fields(
            [
                ("order_id", "order_id"),
                ("attempted_amount", "attempted_amount"),
                ("failed_at", "failed_at"),
            ],
            [id().boxed(), amount().boxed(), any_moment().boxed()],
        ),
        EventType::Error => fields(
            [
                ("error_code", "error_code"),
                ("message", "message"),
                ("error_at", "error_at"),
            ],
            [id().boxed(), text().boxed(), any_moment().boxed()],
        ),
    }
}

/// The fields that all types share; `record_time` bounds the event's own time.
fn shared(record_time: i64) -> BoxedStrategy<Fields> {
    fields(
        [
            ("timestamp", "event_time"),
            ("level", "level"),
            ("user_id", "user_id"),
            ("session_id", "session_id"),
            ("product_id", "product_id"),
            ("session_duration", "session_duration"),
            ("device_type", "device_type"),
            ("country", "geo_country"),
            ("city", "geo_city"),
        ],
        [
            moment(EARLIEST_EVENT_TIME..=record_time + LATEST_AHEAD - 1).boxed(),
            one_of(&["INFO", "ERROR"]).boxed(),
            id().boxed(),
            id().boxed(),
            id().boxed(),
            number().boxed(),
            one_of(&["desktop", "mobile", "tablet"]).boxed(),
            text().boxed(),
            text().boxed(),
        ],
    )
}

/// An event of any type, sent in a record of that time.
pub fn valid(record_time: i64) -> impl Strategy<Value = Valid> {
    let kind = prop::sample::select(EventType::ALL.to_vec());
    let parts = move |kind| {
        let event_id = prop::option::of(id());
        let own = (details(kind), basket(), filters());
        (Just(kind), shared(record_time), event_id, own)
    };
    kind.prop_flat_map(parts)
        .prop_map(|(kind, shared, event_id, own)| {
            let (own, (items, held_items, quantity), filters) = own;
            let mut columns = Columns::new();
            let (mut top, mut geo, mut details) = (Map::new(), Map::new(), Map::new());
            top.insert("service".to_owned(), json!(SERVICE));
            top.insert("event_type".to_owned(), json!(kind.name()));
            columns.insert("event_type".to_owned(), json!(kind.name()));
            if let Some((sent, held)) = event_id {
                top.insert("event_id".to_owned(), sent);
                columns.insert("event_id".to_owned(), held);
            }
            for (field, column, (sent, held)) in shared {
                let object = if ["country", "city"].contains(&field) {
                    &mut geo
                } else {
                    &mut top
                };
                object.insert(field.to_owned(), sent);
                columns.insert(column.to_owned(), held);
            }
            let object = if kind == EventType::Error {
                &mut top
            } else {
                &mut details
            };
            for (field, column, (sent, held)) in own {
                object.insert(field.to_owned(), sent);
                columns.insert(column.to_owned(), held);
            }
            if [EventType::Purchase, EventType::OrderComplete].contains(&kind) {
                details.insert("items".to_owned(), items);
                columns.insert("items".to_owned(), held_items);
                columns.insert("quantity".to_owned(), json!(quantity));
            }
            if let (EventType::Search, Some(filters)) = (kind, filters) {
                columns.insert("filters".to_owned(), json!(filters.to_string()));
                details.insert("filters".to_owned(), filters);
            }
            top.insert("geo_location".to_owned(), Value::Object(geo));
            top.insert("details".to_owned(), Value::Object(details));
            let json = Value::Object(top);
            Valid { json, columns }
        })
}
