//! Cases that would be large files: made of the ordinary events among the stored ones. None is
//! larger than a record may be in Kafka, 1 MB with all that is around the payload.

use serde_json::{Value, json};

use super::{Case, Verdict};

const MEGABYTE: usize = 1_000_000;
/// The length of a part of a key at which Cassandra refuses a row.
const KEY_PART: usize = 65_536;
const DEEP: usize = 100_000;

/// All of them.
pub fn cases(stored: &[Case]) -> Vec<Case> {
    let ordinary = |name: &str| {
        let case = stored.iter().find(|case| case.name == name);
        Draft::of(case.unwrap_or_else(|| panic!("{name} is not among the stored cases")))
    };
    let search = || ordinary("plain_search");
    let purchase = || ordinary("plain_purchase");
    let mut cases = Vec::new();

    let long = "x".repeat(MEGABYTE);
    let wide = "é".repeat(MEGABYTE / 2);
    let quoted = |text: &str| format!("\"{text}\"");
    let note = |json: &str| format!("\"note\":{json},\"level\"");
    cases.extend([
        search()
            .with("\"red shoes\"", &quoted(&long))
            .event("string_1_mb", &[("query", json!(long))]),
        purchase().with("1 Main St", &wide).event(
            "string_1_mb_of_two_bytes",
            &[("shipping_address", json!(wide))],
        ),
        search()
            .with("red shoes", &"\\n".repeat(MEGABYTE / 2))
            .event(
                "string_1_mb_of_escapes",
                &[("query", json!("\n".repeat(MEGABYTE / 2)))],
            ),
        search()
            .with("\"level\"", &note(&quoted(&long)))
            .event("string_1_mb_in_unknown_field", &[]),
        search()
            .with("red shoes\"", &long)
            .reject("string_1_mb_unclosed", "not_json", None),
        search()
            .with("user_1", &long)
            .reject("string_1_mb_as_id", "out_of_range", Some("user_id")),
        search().with("\"search\"", &quoted(&long)).reject(
            "string_1_mb_as_type",
            "unknown_event_type",
            Some("event_type"),
        ),
        search()
            .replaced(" ".repeat(MEGABYTE))
            .reject("blank_1_mb", "empty", None),
        search()
            .replaced("\0".repeat(MEGABYTE))
            .reject("nul_1_mb", "not_json", None),
    ]);

    let key_part = "k".repeat(KEY_PART);
    for (field, from) in [
        ("event_id", "plain_search"),
        ("user_id", "user_1"),
        ("product_id", "prod_00001"),
        ("geo_location.country", "DE"),
    ] {
        let name = format!("key_part_64_kb_{}", field.replace('.', "_"));
        let draft = search().with(&quoted(from), &quoted(&key_part));
        cases.push(draft.reject(&name, "out_of_range", Some(field)));
    }
    let mut event = search().event("kafka_key_64_kb", &[]);
    event.key = Some(key_part.clone().into_bytes());
    let mut reject =
        search()
            .replaced(String::new())
            .reject("kafka_key_64_kb_of_reject", "empty", None);
    reject.key = Some(key_part.into_bytes());
    cases.extend([event, reject]);

    let arrays = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let objects = format!("{}1{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP));
    let twice = format!(
        "{}{{\"a\":1,\"a\":2}}{}",
        "[".repeat(DEEP),
        "]".repeat(DEEP)
    );
    let path: String = format!("note{}", "[0]".repeat(DEEP))
        .chars()
        .take(128)
        .collect();
    cases.extend([
        search()
            .with("\"level\"", &note(&arrays))
            .event("nested_100000_arrays", &[]),
        search()
            .with("\"level\"", &note(&objects))
            .event("nested_100000_objects", &[]),
        search()
            .with("{\"brand\":\"B\"}", &objects)
            .event("nested_100000_in_filters", &[("filters", json!(objects))]),
        search().with("\"level\"", &note(&"[".repeat(DEEP))).reject(
            "nested_100000_unclosed",
            "not_json",
            None,
        ),
        search().with("\"user_1\"", &arrays).reject(
            "nested_100000_as_id",
            "wrong_type",
            Some("user_id"),
        ),
        purchase()
            .with("[{\"product_id\":\"prod_00001\",\"quantity\":2}]", &arrays)
            .reject(
                "nested_100000_as_items",
                "wrong_type",
                Some("details.items[0]"),
            ),
        search()
            .replaced(arrays.clone())
            .reject("nested_100000_alone", "not_an_object", None),
        search()
            .with(
                "\"level\"",
                &format!("\"level\":\"INFO\",{}", note(&arrays)),
            )
            .reject(
                "nested_100000_before_a_duplicate",
                "duplicate_key",
                Some("level"),
            ),
        search().with("\"level\"", &note(&twice)).reject(
            "nested_100000_around_a_duplicate",
            "duplicate_key",
            Some(&path),
        ),
    ]);

    let keys: Vec<String> = (0..50_000).map(|key| format!("\"key_{key}\":0")).collect();
    let keys = keys.join(",");
    cases.extend([
        search()
            .with("\"level\"", &format!("{keys},\"level\""))
            .event("unknown_fields_50000", &[]),
        search()
            .with("\"level\"", &format!("{keys},\"key_0\":0,\"level\""))
            .reject(
                "unknown_fields_50000_and_a_duplicate",
                "duplicate_key",
                Some("key_0"),
            ),
    ]);

    let item = "{\"product_id\":\"prod_00001\",\"quantity\":2}";
    let items = vec![item; 10_000].join(",");
    let list: Value = vec![json!({"product_id": "prod_00001", "quantity": 2}); 10_000].into();
    cases.extend([
        purchase().with(item, &items).event(
            "items_10000",
            &[("items", list), ("quantity", json!(20_000))],
        ),
        purchase()
            .with(item, &items.replace(":2}", ":214749}"))
            .reject(
                "items_10000_of_too_many",
                "out_of_range",
                Some("details.items"),
            ),
        purchase()
            .with(item, &format!("{items},{}", item.replace(":2}", ":0}")))
            .reject(
                "items_10001_last_is_zero",
                "out_of_range",
                Some("details.items[10000].quantity"),
            ),
    ]);
    cases
}

/// An ordinary event on its way to become a case.
struct Draft {
    case: Case,
    text: String,
}

impl Draft {
    fn of(case: &Case) -> Draft {
        let payload = case.payload.clone().unwrap_or_default();
        Draft {
            case: case.clone(),
            text: String::from_utf8_lossy(&payload).into_owned(),
        }
    }

    /// Puts `to` in the place of the first `from`, which must be there.
    fn with(mut self, from: &str, to: &str) -> Draft {
        assert!(
            self.text.contains(from),
            "{from} is not in {}",
            self.case.name
        );
        self.text = self.text.replacen(from, to, 1);
        self
    }

    fn replaced(mut self, text: String) -> Draft {
        self.text = text;
        self
    }

    /// Each event has an id of its own, so that no store takes it for another's repetition.
    fn named(mut self, name: &str) -> Case {
        let own_id = format!("\"event_id\":\"{name}\"");
        let id = format!("\"event_id\":\"{}\"", self.case.name);
        self.case.payload = Some(self.text.replacen(&id, &own_id, 1).into_bytes());
        self.case.name = name.to_owned();
        self.case
    }

    fn reject(self, name: &str, reason: &str, field: Option<&str>) -> Case {
        let mut case = self.named(name);
        case.verdict = Verdict::Reject {
            reason: reason.to_owned(),
            field: field.map(str::to_owned),
        };
        case
    }

    /// The event of the ordinary case, but for these columns.
    fn event(self, name: &str, other: &[(&str, Value)]) -> Case {
        let mut case = self.named(name);
        if let Verdict::Event(columns) = &mut case.verdict {
            columns.insert("event_id".to_owned(), json!(name));
            for (column, value) in other {
                columns.insert((*column).to_owned(), value.clone());
            }
        }
        case
    }
}
