//! Keys that stand twice in one object, at any depth.
//!
//! Serde notices them among the fields that it keeps alone; other parsers, which take the first or
//! the last, would tell another story of the same bytes. The walk has no recursion, because a legal
//! text may be nested deeper than the stack.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::LONGEST_ID;

/// Where the walk stands in one array or object: 500,000 of them fit in a record.
enum Level {
    Array {
        index: u32,
    },
    Object {
        /// Tells its keys from those of other objects.
        number: u32,
        /// Where its latest key starts.
        key: u32,
        awaits_key: bool,
    },
}

/// The path of the first key that repeats another of its object. `json` is a JSON text: on
/// anything else the answer means nothing.
pub(crate) fn repeated(json: &str) -> Option<String> {
    let bytes = json.as_bytes();
    let mut seen: HashSet<(u32, Cow<'_, str>)> = HashSet::new();
    let mut levels: Vec<Level> = Vec::new();
    let mut objects = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'[' => levels.push(Level::Array { index: 0 }),
            b'{' => {
                objects += 1;
                levels.push(Level::Object {
                    number: objects,
                    key: 0,
                    awaits_key: true,
                });
            }
            b']' | b'}' => {
                levels.pop();
            }
            b',' => match levels.last_mut() {
                Some(Level::Array { index }) => *index += 1,
                Some(Level::Object { awaits_key, .. }) => *awaits_key = true,
                None => {}
            },
            b'"' => {
                if let Some(Level::Object {
                    number,
                    key,
                    awaits_key: awaits_key @ true,
                }) = levels.last_mut()
                {
                    *awaits_key = false;
                    *key = u32::try_from(at).ok()?;
                    if !seen.insert((*number, key_at(json, at))) {
                        return Some(path(json, &levels));
                    }
                }
                at = end_of_string(bytes, at);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// One after the quote that closes the string that starts at `start`.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(rest) = bytes.get(at..)
        && let Some(found) = memchr::memchr2(b'"', b'\\', rest)
    {
        if rest[found] == b'"' {
            return at + found + 1;
        }
        at += found + 2; // what a backslash escapes closes nothing
    }
    bytes.len()
}

/// The key that starts at `start`, its escapes resolved: `"a"` and `"\u0061"` are one key.
fn key_at(json: &str, start: usize) -> Cow<'_, str> {
    let quoted = &json[start..end_of_string(json.as_bytes(), start)];
    if quoted.contains('\\')
        && let Ok(key) = serde_json::from_str::<String>(quoted)
    {
        return Cow::Owned(key);
    }
    Cow::Borrowed(quoted.trim_matches('"'))
}

/// `details.items[0].quantity`. Keys are the sender's, so it is cut where no honest path is longer.
fn path(json: &str, levels: &[Level]) -> String {
    let mut path = String::new();
    for level in levels {
        match level {
            Level::Array { index } => path.push_str(&format!("[{index}]")),
            Level::Object { key, .. } => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&key_at(json, *key as usize));
            }
        }
        if path.len() > 4 * LONGEST_ID {
            break;
        }
    }
    path.chars().take(LONGEST_ID).collect()
}

#[cfg(test)]
mod tests {
    use super::repeated;

    #[test]
    fn a_repeated_key_is_found_where_it_stands() {
        for (json, path) in [
            (r#"{"a":1,"a":2}"#, "a"),
            (r#"{"a":1,"\u0061":2}"#, "a"),
            (r#"{"a":{"b":[0,{"c":1,"d":"x","c":2}]}}"#, "a.b[1].c"),
            (r#"{"":1,"":2}"#, ""),
            (r#"{ "a\"" : 1 , "a\"" : 2 }"#, "a\""),
            (r#"{"a":{"x":1},"b":{},"a":[]}"#, "a"),
        ] {
            assert_eq!(repeated(json).as_deref(), Some(path), "{json}");
        }
    }

    #[test]
    fn equal_keys_of_different_objects_and_equal_values_are_none() {
        for json in [
            r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#,
            r#"{"a":"a","b":"a","c":["a","a",",\"a\":"]}"#,
            r#"{"a":1,"A":1,"a ":1,"\\u0061":1}"#,
            "[]",
            "7",
        ] {
            assert_eq!(repeated(json), None, "{json}");
        }
    }

    #[test]
    fn depth_and_length_have_no_limit_but_the_path_has() {
        let deep = format!("{}{}", r#"{"k":["#.repeat(100_000), "]}".repeat(100_000));
        assert_eq!(repeated(&deep), None);
        let key = "é".repeat(70_000);
        let path = repeated(&format!(r#"{{"{key}":1,"{key}":2}}"#)).expect("a path");
        assert_eq!(path, "é".repeat(128));
    }
}
