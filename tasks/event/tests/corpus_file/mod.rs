//! The hostile corpus: records, and what must become of each in every store.
//!
//! `NAME.bin` is a payload, byte for byte. `NAME.expect` is the verdict on it, as text: lines that
//! begin with `#` say why, the first other line is `reject REASON [FIELD]` or `event`, and below
//! `event` stands a line `column = JSON` for every column of `raw.log_event` that the event fills
//! (times in microseconds since 1970, `items` as a list). An event without a line `event_id` brought
//! none. A tombstone has no payload, hence no `.bin`. Payloads too large for a file are in [`large`].

mod large;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

/// The Kafka time of every record, in microseconds: 2026-01-01T00:00:00Z.
pub const RECORD_TIME: i64 = 1_767_225_600_000_000;

/// One record.
#[derive(Debug, Clone)]
pub struct Case {
    /// What is wrong, or odd, with it.
    pub name: String,
    /// Its key in Kafka, where that is part of the case.
    pub key: Option<Vec<u8>>,
    /// Its value in Kafka: none for a tombstone.
    pub payload: Option<Vec<u8>>,
    /// What must become of it.
    pub verdict: Verdict,
}

/// What must become of a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// A reject.
    Reject {
        /// Name of the reason.
        reason: String,
        /// The field at fault, where one is.
        field: Option<String>,
    },
    /// An event, which fills these columns and no others.
    Event(BTreeMap<String, Value>),
}

/// Every case, in the order of names; `directory` holds the files.
pub fn cases(directory: &Path) -> Result<Vec<Case>, String> {
    let mut cases = stored(directory)?;
    let large = large::cases(&cases);
    cases.extend(large);
    Ok(cases)
}

/// The cases that are files. A file without its other half is an error.
pub fn stored(directory: &Path) -> Result<Vec<Case>, String> {
    let at = |error: std::io::Error| format!("{}: {error}", directory.display());
    let (mut payloads, mut verdicts) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(directory).map_err(at)? {
        let file = entry.map_err(at)?.file_name();
        match file.to_string_lossy().rsplit_once('.') {
            Some((name, "bin")) => payloads.insert(name.to_owned()),
            Some((name, "expect")) => verdicts.insert(name.to_owned()),
            Some(("", "gitattributes")) => continue,
            _ => return Err(format!("{file:?} is neither a .bin nor a .expect")),
        };
    }
    if let Some(name) = payloads.difference(&verdicts).next() {
        return Err(format!("{name}.bin has no {name}.expect"));
    }
    let mut cases = Vec::new();
    for name in verdicts {
        let path = directory.join(format!("{name}.expect"));
        let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
        let verdict = verdict(&text).map_err(|error| format!("{name}.expect: {error}"))?;
        let tombstone = matches!(&verdict, Verdict::Reject { reason, .. } if reason == "tombstone");
        let payload = match (payloads.contains(&name), tombstone) {
            (true, false) => Some(fs::read(directory.join(format!("{name}.bin"))).map_err(at)?),
            (false, true) => None,
            (true, true) => return Err(format!("{name}.bin: a tombstone has no payload")),
            (false, false) => return Err(format!("{name}.expect has no {name}.bin")),
        };
        cases.push(Case {
            name,
            key: None,
            payload,
            verdict,
        });
    }
    Ok(cases)
}

/// Reads the text of a `.expect` file.
fn verdict(text: &str) -> Result<Verdict, String> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let first = lines.next().ok_or("no verdict")?;
    let mut words = first.splitn(3, ' ');
    match (words.next(), words.next()) {
        (Some("reject"), Some(reason)) => {
            if let Some(line) = lines.next() {
                return Err(format!("a reject has no columns: {line}"));
            }
            Ok(Verdict::Reject {
                reason: reason.to_owned(),
                field: words.next().map(str::to_owned),
            })
        }
        (Some("event"), None) => {
            let mut columns = BTreeMap::new();
            for line in lines {
                let (name, value) = line.split_once(" = ").ok_or(line)?;
                let value =
                    serde_json::from_str(value).map_err(|error| format!("{line}: {error}"))?;
                if columns.insert(name.to_owned(), value).is_some() {
                    return Err(format!("{name} stands twice"));
                }
            }
            Ok(Verdict::Event(columns))
        }
        _ => Err(format!(
            "neither `reject REASON [FIELD]` nor `event`: {first}"
        )),
    }
}
