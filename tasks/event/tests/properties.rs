//! What must hold for any event and any JSON: no panic, nothing lost on the way, and for one thing
//! wrong one reject, which names it.

#[path = "columns/mod.rs"]
mod columns;
#[path = "places/mod.rs"]
mod places;
#[path = "valid/mod.rs"]
mod valid;

use event::{Reason, parse, parse_by_serde};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use columns::columns;
use places::{contract_places, holder, places, required_places};
use valid::valid;

/// 2026-01-01T00:00:00Z
const NOW: i64 = 1_767_225_600_000_000;

/// The keys of the contract, on any level.
const KEYS: [&str; 32] = [
    "timestamp",
    "level",
    "service",
    "event_type",
    "event_id",
    "user_id",
    "session_id",
    "product_id",
    "session_duration",
    "device_type",
    "geo_location",
    "country",
    "city",
    "details",
    "amount",
    "payment_method",
    "items",
    "quantity",
    "shipping_address",
    "query",
    "results_count",
    "filters",
    "searched_at",
    "order_id",
    "shipping_method",
    "delivery_estimate",
    "completed_at",
    "attempted_amount",
    "failed_at",
    "error_code",
    "message",
    "error_at",
];

/// What makes JSON of another kind of it, or none.
const TOKENS: &[&str] = &[
    "",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\n",
    "\t",
    " ",
    "  ",
    "\0",
    "\u{7f}",
    "é",
    "null",
    "true",
    "false",
    "tru",
    "-",
    "+",
    ".",
    "0",
    "00",
    "1",
    "9",
    "e5",
    "1e400",
    "12345678901234567890",
    "0.1234567890123456789",
    "{}",
    "[]",
    "\"\"",
    "\"a\":1",
    "\"a\":1,",
    ",\"a\":1",
    "\"level\":\"INFO\",",
    "\"country\":\"DE\",",
    "\"quantity\":1,",
    "\"filters\":{\"a\":1,\"a\":2},",
    "\"filters\":null,",
];

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 1_000,
        // the test image has no place to keep what failed; the output names it
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// JSON of any shape, in which keys of the contract are frequent.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("2026-01-01T00:00:00Z")),
        prop::sample::select(
            &[
                "purchase",
                "search",
                "order_complete",
                "order_failed",
                "error"
            ][..]
        )
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        4 => prop::sample::select(&KEYS[..]).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    leaf.prop_recursive(5, 200, 20, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..20)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A value of another JSON type than the contract's. For whole numbers a fraction is one, too.
fn other_type(value: &Value, pick: Index) -> Value {
    let all = [
        json!("text"),
        json!(7),
        json!(1.5),
        json!(true),
        json!([]),
        json!({}),
    ];
    let others: Vec<&Value> = all
        .iter()
        .filter(|other| match value {
            Value::String(_) => !other.is_string(),
            Value::Number(number) if number.is_f64() => !other.is_number(),
            Value::Number(_) => *other != &json!(7),
            Value::Array(_) => !other.is_array(),
            _ => !other.is_object(),
        })
        .collect();
    (*pick.get(&others)).clone()
}

/// The same JSON with every character beyond ASCII, and some within, as an escape.
fn escaped(json: &str) -> String {
    let mut text = String::new();
    for character in json.chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04X}"));
            }
        }
    }
    text
}

/// The same JSON without the escapes in its strings, and with the spaces that some senders write.
fn usual(json: &str, spaces: bool) -> String {
    let mut text = String::new();
    let mut characters = json.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            _ => text.push(character),
        }
    }
    match spaces {
        true => text.replace("\":", "\": ").replace(",\"", ", \""),
        false => text,
    }
}

/// Puts `token` in the place of `removed` bytes of `payload`.
fn edit(payload: &mut Vec<u8>, (at, removed, token): &(Index, usize, &str)) {
    let start = at.index(payload.len() + 1);
    let end = payload.len().min(start + removed);
    payload.splice(start..end, token.bytes());
}

fn assert_reject(payload: &str, reason: Reason, field: Option<&str>) -> Result<(), TestCaseError> {
    let reject = match parse(Some(payload.as_bytes()), NOW) {
        Err(reject) => reject,
        Ok(event) => return Err(TestCaseError::fail(format!("{event:?} of {payload}"))),
    };
    prop_assert_eq!(reject.reason, reason, "{}", payload);
    prop_assert_eq!(reject.field.as_deref(), field, "{}", payload);
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_json_and_no_record_time_panic(json in any_json(), record_time in any::<i64>()) {
        let _ = parse(Some(json.to_string().as_bytes()), record_time);
    }

    /// Text that looks like JSON from afar: more of it gets past the first check than of any bytes.
    #[test]
    fn no_tokens_panic(
        tokens in prop::collection::vec(prop_oneof![
            prop::sample::select(&["{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "\\u0000",
                "\\ud83d", "\\ude00", "null", "-", "0", "1e400", " ", "\n", "\0", "\u{feff}", "é"][..]),
            prop::sample::select(&KEYS[..]),
        ], 0..60)
    ) {
        let _ = parse(Some(tokens.concat().as_bytes()), NOW);
        let _ = parse(Some(format!("{{\"{}\"}}", tokens.concat()).as_bytes()), NOW);
    }

    #[test]
    fn an_event_comes_through_unchanged(valid in valid(NOW)) {
        let compact = valid.json.to_string();
        let event = parse(Some(compact.as_bytes()), NOW);
        let event = event.map_err(|reject| TestCaseError::fail(format!("{reject}: {compact}")))?;
        prop_assert_eq!(columns(&event), valid.columns.clone());

        // written in other ways it is the same event, but for filters, which stay as received
        let without_filters = |mut columns: columns::Columns| {
            columns.remove("filters");
            columns
        };
        let pretty = serde_json::to_string_pretty(&valid.json).expect("JSON");
        for payload in [pretty, escaped(&compact), format!("\n{compact}\r\n ")] {
            let event = parse(Some(payload.as_bytes()), NOW);
            let event = event.map_err(|reject| TestCaseError::fail(format!("{reject}: {payload}")))?;
            prop_assert_eq!(without_filters(columns(&event)), without_filters(valid.columns.clone()));
        }
    }

    /// What is read by the fast path, and what it leaves to serde_json, is the same in the end.
    #[test]
    fn the_fast_path_changes_no_verdict(
        valid in valid(NOW),
        spaces: bool,
        edits in prop::collection::vec((any::<Index>(), 0..3usize, prop::sample::select(TOKENS)), 0..4),
        twice in prop::option::of((any::<Index>(), any::<Index>())),
    ) {
        let mut payload = usual(&valid.json.to_string(), spaces).into_bytes();
        if let Some((start, end)) = twice {
            // a part of it stands twice, such as a key and its value
            let (start, end) = (start.index(payload.len()), end.index(payload.len()));
            let part = payload[start.min(end)..end].to_vec();
            payload.splice(end..end, part);
        }
        for one in &edits {
            edit(&mut payload, one);
        }
        let found = parse(Some(&payload), NOW);
        let expected = parse_by_serde(Some(&payload), NOW);
        prop_assert_eq!(found, expected, "{}", String::from_utf8_lossy(&payload));
    }

    /// Whatever else is in it, an event that has all that it must have stays the event that it is.
    #[test]
    fn unknown_fields_change_nothing(valid in valid(NOW), pick in any::<Index>(), value in any_json()) {
        let mut objects: Vec<String> = places(&valid.json)
            .into_iter()
            .filter(|place| !place.path.starts_with("details.filters"))
            .map(|place| place.pointer)
            .filter(|pointer| valid.json.pointer(pointer).is_some_and(Value::is_object))
            .collect();
        objects.push(String::new());
        let mut json = valid.json.clone();
        let unknown = value.to_string();
        json.pointer_mut(pick.get(&objects).as_str()).expect("an object")["unknown"] = value;
        let payload = json.to_string();
        match parse(Some(payload.as_bytes()), NOW) {
            Ok(event) => prop_assert_eq!(columns(&event), valid.columns),
            // the one thing that is looked for everywhere, and that a `Value` can hold
            Err(reject) => {
                prop_assert_eq!(reject.reason, Reason::NulCharacter);
                prop_assert!(unknown.contains("\\u0000"));
            }
        }
    }

    #[test]
    fn a_field_left_out_or_null_is_missing(valid in valid(NOW), pick in any::<Index>(), null: bool) {
        let place = pick.get(&required_places(&valid.json)).clone();
        let mut json = valid.json;
        let (object, key) = holder(&mut json, &place);
        if null {
            object[key] = Value::Null;
        } else {
            object.as_object_mut().expect("an object").remove(key);
        }
        assert_reject(&json.to_string(), Reason::MissingField, Some(&place.path))?;
    }

    #[test]
    fn another_type_is_wrong(valid in valid(NOW), pick in any::<Index>(), other in any::<Index>()) {
        let place = pick.get(&contract_places(&valid.json)).clone();
        let mut json = valid.json;
        let (object, key) = holder(&mut json, &place);
        object[key] = other_type(&object[key], other);
        // a sum in whole units is a whole number here, but any number for the contract
        let number = object[key].is_number() && key.ends_with("amount");
        let payload = json.to_string();
        if number {
            prop_assert!(parse(Some(payload.as_bytes()), NOW).is_ok(), "{}", payload);
        } else {
            assert_reject(&payload, Reason::WrongType, Some(&place.path))?;
        }
    }

    /// In any object, filters and unknown ones included, with the same value or another.
    #[test]
    fn a_key_that_stands_twice_is_named(
        valid in valid(NOW), pick in any::<Index>(), same: bool, unknown: bool
    ) {
        let mut json = valid.json;
        if unknown {
            json["unknown"] = json!({"a": [1, {"b": "c", "d": null}]});
        }
        let place = pick.get(&places(&json)).clone();
        let (object, key) = holder(&mut json, &place);
        object[format!("twice {key}")] = if same { object[key].clone() } else { Value::Null };
        let payload = json.to_string().replace("\"twice ", "\"");
        assert_reject(&payload, Reason::DuplicateKey, Some(&place.path))?;
    }

    #[test]
    fn text_behind_it_makes_it_no_json(valid in valid(NOW), text in "[^ \\t\\r\\n\\\\]{1,20}") {
        assert_reject(&format!("{}{text}", valid.json), Reason::NotJson, None)?;
        assert_reject(&format!("{} {}", valid.json, valid.json), Reason::NotJson, None)?;
    }

    #[test]
    fn cut_off_it_is_no_event(valid in valid(NOW), at in any::<Index>()) {
        let payload = valid.json.to_string();
        let cut = &payload.as_bytes()[..at.index(payload.len())];
        let reason = parse(Some(cut), NOW).expect_err("a reject").reason;
        let reasons = [Reason::Empty, Reason::NotUtf8, Reason::NotJson];
        prop_assert!(reasons.contains(&reason), "{} of {:?}", reason, cut);
    }

    #[test]
    fn a_number_out_of_range_is_named(valid in valid(NOW), pick in any::<Index>(), huge: bool) {
        let mut places = contract_places(&valid.json);
        places.retain(|place| valid.json.pointer(&place.pointer).is_some_and(Value::is_number));
        let place = pick.get(&places);
        let mut json = valid.json.clone();
        let (object, key) = holder(&mut json, place);
        object[key] = json!("HERE");
        let number = if huge { "1e400" } else { "-1" };
        let payload = json.to_string().replace("\"HERE\"", number);
        assert_reject(&payload, Reason::OutOfRange, Some(&place.path))?;
    }
}
