//! The hostile corpus: every record becomes the reject or the event that its `.expect` names.

#[path = "columns/mod.rs"]
mod columns;
#[path = "corpus_file/mod.rs"]
mod corpus_file;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use columns::columns;
use corpus_file::{Case, RECORD_TIME, Verdict};
use event::{EventType, Reason, parse, parse_by_serde};
use serde_json::Value;

/// Relative to the crate, where its tests run.
const DIRECTORY: &str = "tests/corpus";

fn cases() -> Vec<Case> {
    corpus_file::cases(Path::new(DIRECTORY)).expect("a corpus in order")
}

fn verdict(payload: Option<&[u8]>) -> Verdict {
    match parse(payload, RECORD_TIME) {
        Ok(event) => Verdict::Event(columns(&event)),
        Err(reject) => Verdict::Reject {
            reason: reject.reason.name().to_owned(),
            field: reject.field,
        },
    }
}

/// A verdict in words: unlike values, they tell -0 from 0. Cut, because some are a megabyte.
fn words(verdict: &Verdict) -> String {
    let cut = |text: String| match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    };
    match verdict {
        Verdict::Reject { reason, field } => format!("reject {reason} {field:?}"),
        Verdict::Event(columns) => columns
            .iter()
            .map(|(name, value)| cut(format!("{name} = {value}")))
            .collect::<Vec<String>>()
            .join("\n"),
    }
}

#[test]
fn the_fast_path_changes_no_verdict() {
    for case in cases() {
        let payload = case.payload.as_deref();
        let expected = parse_by_serde(payload, RECORD_TIME);
        assert!(parse(payload, RECORD_TIME) == expected, "{}", case.name);
    }
}

#[test]
fn every_record_becomes_what_is_expected() {
    let mut wrong = Vec::new();
    for case in cases() {
        let found = verdict(case.payload.as_deref());
        if found != case.verdict || words(&found) != words(&case.verdict) {
            let (found, expected) = (words(&found), words(&case.verdict));
            wrong.push(format!(
                "{}\n-- expected\n{expected}\n-- found\n{found}\n",
                case.name
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// No payload that Kafka takes holds the others up: the longest is read in some milliseconds, and the
/// bound leaves room for a busy machine.
#[test]
fn no_record_takes_long() {
    for case in cases() {
        let begun = Instant::now();
        let _ = verdict(case.payload.as_deref());
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "{}: {took:?}", case.name);
    }
}

#[test]
fn the_corpus_is_whole() {
    let cases = cases();
    assert!(cases.len() >= 400, "{} cases", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases of one name");
    let kinds = cases.iter().filter_map(|case| match &case.verdict {
        Verdict::Event(columns) => columns.get("event_type").and_then(Value::as_str),
        Verdict::Reject { .. } => None,
    });
    let kinds: BTreeSet<&str> = kinds.collect();
    assert_eq!(kinds, EventType::ALL.map(EventType::name).into());
    let reasons = cases.iter().filter_map(|case| match &case.verdict {
        Verdict::Reject { reason, .. } => Some(reason.as_str()),
        Verdict::Event(_) => None,
    });
    let reasons: BTreeSet<&str> = reasons.collect();
    assert_eq!(reasons, Reason::ALL.map(Reason::name).into());
    assert!(cases.iter().any(|case| case.key.is_some()));
}

/// The list of hostile events that the project was given, each by the beginning of its cases' names.
#[test]
fn every_shape_of_the_list_has_a_case() {
    let cases = cases();
    for shape in [
        "tombstone",
        "empty",
        "white_space",
        "null",
        "array",
        "number",
        "truncated",
        "bom",
        "invalid_utf8",
        "newline",
        "nul_raw",
        "nul_escaped",
        "lone_surrogate",
        "nested_100000",
        "string_1_mb",
        "key_part_64_kb",
        "kafka_key_64_kb",
        "duplicate",
        "unknown_field",
        "event_type",
        "missing",
        "wrong_type",
        "amount_1e400",
        "amount_nan",
        "amount_negative_zero",
        "amount_2_to_63",
        "quantity_2_to_63",
        "amount_negative",
        "amount_zero",
        "quantity_negative",
        "quantity_zero",
        "items_empty",
        "items_10000",
        "time_without_zone",
        "time_nanoseconds",
        "time_hour_24",
        "sql_injection",
        "cql_injection",
        "copy_end",
        "copy_null",
        "formula",
        "terminal",
        "right_to_left",
        "combining_characters",
        "emoji",
        "two_objects",
        "trailing_text",
        "time_1970",
        "time_9999",
        "time_one_day",
        "time_zone",
        "id_129",
        "event_type_capitals",
        "unknown_user",
        "unknown_product",
        "control_characters",
    ] {
        assert!(
            cases.iter().any(|case| case.name.starts_with(shape)),
            "{shape}"
        );
    }
}

/// The reader of the format refuses what it would otherwise leave out.
#[test]
fn half_a_case_is_refused() {
    let directory = std::env::temp_dir().join(format!("corpus-{}", std::process::id()));
    let refused = |files: &[(&str, &str)]| {
        fs::create_dir_all(&directory).expect("a directory");
        for (file, text) in files {
            fs::write(directory.join(file), text).expect("a file");
        }
        let result = corpus_file::stored(&directory);
        fs::remove_dir_all(&directory).expect("our own directory");
        result.err()
    };
    let whole = [
        ("a.bin", "{}"),
        ("a.expect", "# why\nreject missing_field event_type\n"),
    ];
    assert_eq!(refused(&whole), None);
    assert_eq!(refused(&[("a.expect", "reject tombstone\n")]), None);
    for files in [
        &[("a.bin", "{}")][..],
        &[("a.expect", "reject empty\n")],
        &[("a.expect", "event\n")],
        &[("a.bin", ""), ("a.expect", "reject tombstone\n")],
        &[("a.bin", ""), ("a.expect", "")],
        &[("a.bin", ""), ("a.expect", "rejected\n")],
        &[("a.bin", ""), ("a.expect", "event\nlevel: 1\n")],
        &[("a.bin", ""), ("a.expect", "event\nlevel = INFO\n")],
        &[("a.bin", ""), ("a.expect", "reject empty\nlevel = 1\n")],
        &[("a.txt", "")],
    ] {
        assert!(refused(files).is_some(), "{files:?}");
    }
}
