//! The members of an event's JSON, for tests that change one of them.

use serde_json::Value;

/// Where a member of an object is.
#[derive(Debug, Clone)]
pub struct Place {
    /// As serde_json takes it.
    pub pointer: String,
    /// As a reject says it.
    pub path: String,
}

/// Every member of every object, filters included.
pub fn places(json: &Value) -> Vec<Place> {
    fn walk(json: &Value, pointer: &str, path: &str, places: &mut Vec<Place>) {
        match json {
            Value::Object(members) => {
                for (key, value) in members {
                    let pointer = format!("{pointer}/{key}");
                    let path = if path.is_empty() {
                        key.clone()
                    } else {
                        format!("{path}.{key}")
                    };
                    walk(value, &pointer, &path, places);
                    places.push(Place { pointer, path });
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    let (pointer, path) =
                        (format!("{pointer}/{index}"), format!("{path}[{index}]"));
                    walk(value, &pointer, &path, places);
                }
            }
            _ => {}
        }
    }
    let mut all = Vec::new();
    walk(json, "", "", &mut all);
    all
}

/// Those of the contract: all but the members of filters, of which it says nothing.
pub fn contract_places(json: &Value) -> Vec<Place> {
    let mut places = places(json);
    places.retain(|place| !place.path.starts_with("details.filters."));
    places
}

/// Those that an event cannot be without.
pub fn required_places(json: &Value) -> Vec<Place> {
    let error = json["event_type"] == "error";
    let mut places = contract_places(json);
    places.retain(|place| match place.path.as_str() {
        "event_id" | "details.filters" => false,
        "details" => !error,
        _ => true,
    });
    places
}

/// The object that holds the member, and its key.
pub fn holder<'a, 'b>(json: &'a mut Value, place: &'b Place) -> (&'a mut Value, &'b str) {
    let (parent, key) = place.pointer.rsplit_once('/').expect("a pointer");
    (json.pointer_mut(parent).expect("an object"), key)
}
