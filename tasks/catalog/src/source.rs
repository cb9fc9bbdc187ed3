//! Reading a file: all rows of it, or one line that says which row to mend.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use frame::{PersonNeeded, person_needed};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rows::Row;

/// The rows of a file.
///
/// # Errors
/// A file that cannot be read, and any row that is not sound: both ask for a person.
pub fn read<Source: Row>(path: &Path) -> anyhow::Result<Vec<Source>> {
    let file = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| PersonNeeded(format!("cannot read {file}: name another file")))?;
    let raw: Vec<&RawValue> = serde_json::from_str(&text)
        .with_context(|| PersonNeeded(format!("{file} is not a JSON array of objects")))?;
    let mut rows = Vec::with_capacity(raw.len());
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let number = index + 1;
        let row = sound::<Source>(raw).map_err(|fault| {
            let id = id_of::<Source>(raw);
            person_needed(format!("{file}: record {number}{id}: {fault}"))
        })?;
        if let Some(first) = seen.insert(row.id().to_owned(), number) {
            return Err(person_needed(format!(
                "{file}: record {number} ({}): record {first} has the same {}",
                row.id(),
                Source::COLUMNS[0]
            )));
        }
        rows.push(row);
    }
    Ok(rows)
}

fn sound<Source: Row>(raw: &RawValue) -> Result<Source, String> {
    if !raw.get().starts_with('{') {
        return Err("it is not an object".to_owned());
    }
    let row: Source = serde_json::from_str(raw.get()).map_err(|failure| {
        // the position is that in the record, and would mislead
        let text = failure.to_string();
        text.split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned()
    })?;
    if let Some(fault) = row.fault() {
        return Err(fault);
    }
    if row.values().iter().any(|value| value.contains('\0')) {
        return Err("it holds U+0000, which PostgreSQL refuses".to_owned());
    }
    Ok(row)
}

/// ` (prod_00001)`, if the record has an identifier at all.
fn id_of<Source: Row>(raw: &RawValue) -> String {
    let fields = HashMap::<String, serde_json::Value>::deserialize(raw).unwrap_or_default();
    match fields.get(Source::COLUMNS[0]) {
        Some(serde_json::Value::String(id)) => format!(" ({id})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{Product, User};

    const GOOD: &str = r#"{"product_id":"prod_1","name":"n","category":"c","subcategory":"s",
        "price":1.5,"brand":"b","description":"d","stock":3,"rating":4.5,
        "date_added":"2025-01-31","weight":"1.25 kg","further":"ignored"}"#;

    fn fault(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("products.json");
        std::fs::write(&path, text).expect("a file");
        let failure = read::<Product>(&path).expect_err("an error");
        assert!(frame::is_person_needed(&failure), "{failure:#}");
        let line = format!("{failure:#}");
        assert!(line.contains("products.json"), "{line}");
        line
    }

    #[test]
    fn what_is_wrong_is_said_with_the_record() {
        let other = |from: &str, to: &str| {
            fault(&format!(
                "[{},{}]",
                GOOD.replace("prod_1", "prod_0"),
                GOOD.replace(from, to)
            ))
        };
        for (from, to, named) in [
            (
                r#""price":1.5,"#,
                "",
                "record 2 (prod_1): missing field `price`",
            ),
            ("1.5", "-0.01", "record 2 (prod_1): price is -0.01"),
            (
                "1.5",
                "\"dear\"",
                "record 2 (prod_1): invalid type: string \"dear\"",
            ),
            ("4.5", "null", "invalid type: null"),
            ("\"stock\":3", "\"stock\":-3", "stock is -3"),
            ("2025-01-31", "31.01.2025", "date_added"),
            ("2025-01-31", "2025-02-30", "date_added"),
            (
                "prod_1",
                "prod_0",
                "record 2 (prod_0): record 1 has the same product_id",
            ),
            ("prod_1", "", "its identifier is empty"),
            ("\"d\"", "\"a\\u0000b\"", "U+0000"),
        ] {
            let line = other(from, to);
            assert!(line.contains(named), "{line}");
        }
    }

    #[test]
    fn what_is_no_array_of_objects_is_refused() {
        for text in ["", "{}", "[1]", "[", "null", "[{}]"] {
            fault(text);
        }
        let absent = read::<User>(Path::new("/nowhere/users.json"));
        assert!(format!("{:#}", absent.expect_err("an error")).contains("/nowhere/users.json"));
    }

    #[test]
    fn good_rows_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("products.json");
        std::fs::write(&path, format!("[{GOOD}]")).expect("a file");
        let rows = read::<Product>(&path).expect("rows");
        assert_eq!(rows[0].values()[4], "1.5");
    }
}
