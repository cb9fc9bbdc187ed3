//! The contract, rule by rule, and what must hold for any bytes.

use event::{Details, EventType, Reason, Reject, parse};
use proptest::prelude::*;

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600_000_000;

fn base(kind: &str, level: &str, details: &str, more: &str) -> String {
    format!(
        r#"{{"timestamp":"2026-01-01T00:00:00Z","level":"{level}","service":"ecommerce-platform","event_type":"{kind}","event_id":"e1","user_id":"user_1","session_id":"sess_00001","product_id":"prod_00001","session_duration":5,"device_type":"mobile","geo_location":{{"country":"DE","city":"Berlin"}},"details":{details}{more}}}"#
    )
}

const TIME: &str = r#""2026-01-01T00:00:00Z""#;

fn purchase() -> String {
    base(
        "purchase",
        "INFO",
        r#"{"amount":19.99,"payment_method":"paypal","items":[{"product_id":"prod_00001","quantity":2}],"shipping_address":"1 Main St"}"#,
        "",
    )
}

fn search() -> String {
    base(
        "search",
        "INFO",
        &format!(
            r#"{{"query":"Q","results_count":3,"filters":{{"brand":"B"}},"searched_at":{TIME}}}"#
        ),
        "",
    )
}

fn order_complete() -> String {
    base(
        "order_complete",
        "INFO",
        &format!(
            r#"{{"order_id":"order_1","amount":1,"items":[{{"product_id":"prod_00001","quantity":1}}],"shipping_method":"express","delivery_estimate":"2026-01-05","completed_at":{TIME}}}"#
        ),
        "",
    )
}

fn order_failed() -> String {
    base(
        "order_failed",
        "ERROR",
        &format!(r#"{{"order_id":"order_1","attempted_amount":0,"failed_at":{TIME}}}"#),
        "",
    )
}

fn error() -> String {
    base(
        "error",
        "ERROR",
        "{}",
        &format!(r#","error_code":"ERR-1000","message":"m","error_at":{TIME}"#),
    )
}

fn every_type() -> [(EventType, String); 5] {
    [
        (EventType::Purchase, purchase()),
        (EventType::Search, search()),
        (EventType::OrderComplete, order_complete()),
        (EventType::OrderFailed, order_failed()),
        (EventType::Error, error()),
    ]
}

/// The reject that a payload becomes.
fn reject(payload: &str) -> Reject {
    parse(Some(payload.as_bytes()), NOW)
        .err()
        .unwrap_or_else(|| panic!("accepted: {payload}"))
}

fn assert_reject(payload: &str, reason: Reason, field: Option<&str>) {
    let found = reject(payload);
    assert_eq!(
        (found.reason, found.field.as_deref()),
        (reason, field),
        "{payload}"
    );
}

/// Replaces a part that must be there.
fn with(payload: &str, from: &str, to: &str) -> String {
    assert!(payload.contains(from), "{from} is not in {payload}");
    payload.replacen(from, to, 1)
}

#[test]
fn every_type_parses() {
    for (kind, payload) in every_type() {
        let event = parse(Some(payload.as_bytes()), NOW).expect("an event");
        assert_eq!(event.event_type, kind);
        assert_eq!((&*event.user_id, event.time), ("user_1", NOW));
    }
}

#[test]
fn text_without_escapes_is_borrowed_and_with_escapes_is_right() {
    let payload = with(&search(), "\"Q\"", r#""a\"\\\n\u00e9\ud83d\ude00""#);
    let event = parse(Some(payload.as_bytes()), NOW).expect("an event");
    assert!(matches!(event.user_id.0, std::borrow::Cow::Borrowed(_)));
    let Details::Search { query, filters, .. } = event.details else {
        panic!("a search");
    };
    assert_eq!(&*query, "a\"\\\né😀");
    assert_eq!(filters, Some(r#"{"brand":"B"}"#));
}

/// Leaves out each key of an object in turn.
fn without_each_key(
    object: &serde_json::Map<String, serde_json::Value>,
) -> Vec<(String, serde_json::Map<String, serde_json::Value>)> {
    object
        .keys()
        .map(|key| {
            let mut rest = object.clone();
            rest.remove(key);
            (key.clone(), rest)
        })
        .collect()
}

#[test]
fn every_required_field_is_missed_by_name() {
    for (kind, payload) in every_type() {
        let whole: serde_json::Value = serde_json::from_str(&payload).expect("JSON");
        let whole = whole.as_object().expect("an object");
        for (key, rest) in without_each_key(whole) {
            let payload = serde_json::Value::Object(rest).to_string();
            let optional = key == "event_id" || (kind == EventType::Error && key == "details");
            if optional {
                assert!(parse(Some(payload.as_bytes()), NOW).is_ok(), "{key}");
            } else {
                assert_reject(&payload, Reason::MissingField, Some(&key));
            }
        }
        let details = whole["details"].as_object().expect("an object");
        for (key, rest) in without_each_key(details) {
            let mut payload = whole.clone();
            payload.insert("details".to_owned(), rest.into());
            let payload = serde_json::Value::Object(payload).to_string();
            if key == "filters" {
                assert!(parse(Some(payload.as_bytes()), NOW).is_ok());
            } else {
                assert_reject(
                    &payload,
                    Reason::MissingField,
                    Some(&format!("details.{key}")),
                );
            }
        }
    }
}

#[test]
fn values_outside_the_contract_are_named() {
    use Reason::*;
    let cases = [
        (purchase(), "19.99", "-0.01", OutOfRange, "details.amount"),
        (
            purchase(),
            "19.99",
            "\"19.99\"",
            WrongType,
            "details.amount",
        ),
        (
            purchase(),
            "\"quantity\":2",
            "\"quantity\":0",
            OutOfRange,
            "details.items[0].quantity",
        ),
        (
            purchase(),
            "\"quantity\":2",
            "\"quantity\":-1",
            OutOfRange,
            "details.items[0].quantity",
        ),
        (
            purchase(),
            "\"quantity\":2",
            "\"quantity\":1.5",
            WrongType,
            "details.items[0].quantity",
        ),
        (
            purchase(),
            "\"quantity\":2",
            "\"quantity\":2147483648",
            OutOfRange,
            "details.items[0].quantity",
        ),
        (
            purchase(),
            "[{\"product_id\":\"prod_00001\",\"quantity\":2}]",
            "[]",
            OutOfRange,
            "details.items",
        ),
        (
            purchase(),
            "{\"product_id\":\"prod_00001\",\"quantity\":2}",
            "[\"prod_00001\",2]",
            WrongType,
            "details.items[0]",
        ),
        (
            purchase(),
            "paypal",
            "cash",
            OutOfRange,
            "details.payment_method",
        ),
        (
            order_complete(),
            "express",
            "drone",
            OutOfRange,
            "details.shipping_method",
        ),
        (
            order_complete(),
            "\"completed_at\":\"2026-01-01T00:00:00Z\"",
            "\"completed_at\":\"yesterday\"",
            BadTimestamp,
            "details.completed_at",
        ),
        (
            order_failed(),
            "\"order_1\"",
            "\"\"",
            OutOfRange,
            "details.order_id",
        ),
        (
            search(),
            "{\"brand\":\"B\"}",
            "[]",
            WrongType,
            "details.filters",
        ),
        (
            search(),
            "\"results_count\":3",
            "\"results_count\":-1",
            OutOfRange,
            "details.results_count",
        ),
        (
            search(),
            "\"session_duration\":5",
            "\"session_duration\":18446744073709551616",
            WrongType,
            "session_duration",
        ),
        (
            search(),
            "{\"country\":\"DE\",\"city\":\"Berlin\"}",
            "[\"DE\",\"Berlin\"]",
            WrongType,
            "geo_location",
        ),
        (
            search(),
            "\"DE\"",
            Box::leak(format!("\"{}\"", "D".repeat(129)).into_boxed_str()),
            OutOfRange,
            "geo_location.country",
        ),
        (search(), "\"INFO\"", "\"WARN\"", OutOfRange, "level"),
        (search(), "mobile", "fridge", OutOfRange, "device_type"),
        (
            search(),
            "ecommerce-platform",
            "other",
            OutOfRange,
            "service",
        ),
        (
            search(),
            "\"search\"",
            "\"SEARCH\"",
            UnknownEventType,
            "event_type",
        ),
        (
            search(),
            "\"query\":\"Q\"",
            "\"query\":\"Q\",\"query\":\"Q\"",
            DuplicateKey,
            "details.query",
        ),
        (
            search(),
            "\"level\":\"INFO\"",
            "\"level\":\"INFO\",\"level\":\"INFO\"",
            DuplicateKey,
            "level",
        ),
        (
            search(),
            "\"timestamp\":\"2026-01-01T00:00:00Z\"",
            "\"timestamp\":\"1999-12-31T23:59:59Z\"",
            OutOfRange,
            "timestamp",
        ),
        (
            search(),
            "\"timestamp\":\"2026-01-01T00:00:00Z\"",
            "\"timestamp\":\"2026-01-02T00:00:00.000001Z\"",
            OutOfRange,
            "timestamp",
        ),
        (
            search(),
            "\"timestamp\":\"2026-01-01T00:00:00Z\"",
            "\"timestamp\":\"2026-01-01T00:00:00\"",
            BadTimestamp,
            "timestamp",
        ),
    ];
    for (payload, from, to, reason, field) in cases {
        assert_reject(&with(&payload, from, to), reason, Some(field));
    }
}

#[test]
fn limits_are_where_the_contract_says() {
    let id = |length: usize| with(&search(), "user_1", &"é".repeat(length));
    assert!(parse(Some(id(128).as_bytes()), NOW).is_ok());
    assert_reject(&id(129), Reason::OutOfRange, Some("user_id"));
    let ahead = "\"timestamp\":\"2026-01-02T00:00:00Z\"";
    let last = with(&search(), "\"timestamp\":\"2026-01-01T00:00:00Z\"", ahead);
    assert!(parse(Some(last.as_bytes()), NOW).is_ok());
    let items = vec![r#"{"product_id":"p","quantity":1}"#; 10_000].join(",");
    let one = "{\"product_id\":\"prod_00001\",\"quantity\":2}";
    assert!(parse(Some(with(&purchase(), one, &items).as_bytes()), NOW).is_ok());
    let negative_zero = with(&purchase(), "19.99", "-0");
    let event = parse(Some(negative_zero.as_bytes()), NOW).expect("an event");
    let Details::Purchase { amount, .. } = event.details else {
        panic!("a purchase");
    };
    assert!(amount == 0.0 && amount.is_sign_positive());
}

#[test]
fn what_is_no_object_is_told_apart() {
    for (payload, reason) in [
        ("", Reason::Empty),
        (" \n", Reason::Empty),
        ("7", Reason::NotAnObject),
        ("\"text\"", Reason::NotAnObject),
        (" [{}]", Reason::NotAnObject),
        ("[{}", Reason::NotJson),
        ("{\"a\"", Reason::NotJson),
        ("{} {}", Reason::NotJson),
        ("NaN", Reason::NotJson),
        ("{\"a\":\"\\u00", Reason::NotJson),
        ("{\"a\":\"\\", Reason::NotJson),
    ] {
        assert_reject(payload, reason, None);
    }
    assert_eq!(
        parse(None, NOW).expect_err("a reject").reason,
        Reason::Tombstone
    );
    assert_eq!(
        parse(Some(b"\xff"), NOW).expect_err("a reject").reason,
        Reason::NotUtf8
    );
}

#[test]
fn bad_escapes_are_found_in_fields_that_nobody_reads() {
    for (escape, reason) in [
        ("\\u0000", Reason::NulCharacter),
        ("\\ud800", Reason::LoneSurrogate),
        ("\\udc00", Reason::LoneSurrogate),
        ("\\ud800\\u0041", Reason::LoneSurrogate),
    ] {
        let unknown = format!("\"unknown\":\"{escape}\",\"level\"");
        assert_reject(&with(&search(), "\"level\"", &unknown), reason, None);
    }
    // a backslash that is itself escaped starts no escape
    let escaped = with(
        &search(),
        "\"level\"",
        "\"unknown\":\"\\\\u0000\",\"level\"",
    );
    assert!(parse(Some(escaped.as_bytes()), NOW).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(Some(&bytes), NOW);
    }

    /// One byte changed, anywhere: an event or a reject, never a panic.
    #[test]
    fn a_damaged_event_is_an_event_or_a_reject(
        kind in 0..5usize, at in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = every_type()[kind].1.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = parse(Some(&bytes), NOW);
    }

    /// Any text that JSON can carry and PostgreSQL can hold comes through unchanged.
    #[test]
    fn free_text_comes_through(text in "[^\\x00]{0,80}") {
        let quoted = serde_json::to_string(&text).expect("JSON");
        let payload = with(&search(), "\"Q\"", &quoted);
        let event = parse(Some(payload.as_bytes()), NOW).expect("an event");
        let Details::Search { query, .. } = event.details else { panic!("a search") };
        prop_assert_eq!(&*query, text.as_str());
    }
}
