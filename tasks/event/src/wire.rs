//! The record as serde reads it, before anything is required of it.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::keys;
use crate::parse::Geo;
use crate::text::{Object, Text};

/// Every field of the contract, nothing yet required.
#[derive(Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Wire<'a> {
    #[serde(borrow)]
    pub timestamp: Option<Text<'a>>,
    #[serde(borrow)]
    pub level: Option<Text<'a>>,
    #[serde(borrow)]
    pub service: Option<Text<'a>>,
    #[serde(borrow)]
    pub event_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub event_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub user_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub session_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub product_id: Option<Text<'a>>,
    pub session_duration: Option<i64>,
    #[serde(borrow)]
    pub device_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub geo_location: Option<Object<Geo<'a>>>,
    #[serde(borrow)]
    pub details: Option<Object<WireDetails<'a>>>,
    #[serde(borrow)]
    pub error_code: Option<Text<'a>>,
    #[serde(borrow)]
    pub message: Option<Text<'a>>,
    #[serde(borrow)]
    pub error_at: Option<Text<'a>>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub(crate) struct WireDetails<'a> {
    pub amount: Option<f64>,
    #[serde(borrow)]
    pub payment_method: Option<Text<'a>>,
    #[serde(borrow)]
    pub items: Option<Vec<Object<WireItem<'a>>>>,
    #[serde(borrow)]
    pub shipping_address: Option<Text<'a>>,
    #[serde(borrow)]
    pub query: Option<Text<'a>>,
    pub results_count: Option<i64>,
    #[serde(borrow, default, deserialize_with = "as_received")]
    pub filters: Option<&'a str>,
    #[serde(borrow)]
    pub searched_at: Option<Text<'a>>,
    #[serde(borrow)]
    pub order_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub shipping_method: Option<Text<'a>>,
    #[serde(borrow)]
    pub delivery_estimate: Option<Text<'a>>,
    #[serde(borrow)]
    pub completed_at: Option<Text<'a>>,
    pub attempted_amount: Option<f64>,
    #[serde(borrow)]
    pub failed_at: Option<Text<'a>>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(crate) struct WireItem<'a> {
    #[serde(borrow)]
    pub product_id: Text<'a>,
    pub quantity: i64,
}

/// The text of any value but null.
fn as_received<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de str>, D::Error> {
    Ok(Option::<&RawValue>::deserialize(deserializer)?.map(RawValue::get))
}

impl Wire<'_> {
    /// The path of a key that stands twice in an object of `text`, of which this was read. Serde
    /// has seen to the fields of the contract; what is left are unknown ones, and filters.
    pub fn repeated_key(&self, text: &str) -> Option<String> {
        // A walk over all keys takes longer than the parser did. Few records need it: those with so
        // many more quotation marks than the contract accounts for that two keys can be among them.
        let marks = memchr::memchr_iter(b'"', text.as_bytes()).count();
        if marks >= self.quotes() + 4 {
            return keys::repeated(text);
        }
        let filters = self.details.as_ref()?.0.filters?;
        if !filters.contains(',') {
            return None;
        }
        keys::repeated(filters).map(|path| format!("details.filters.{path}"))
    }

    /// The quotation marks around the keys and strings that were kept.
    fn quotes(&self) -> usize {
        let texts = [
            &self.timestamp,
            &self.level,
            &self.service,
            &self.event_type,
            &self.event_id,
            &self.user_id,
            &self.session_id,
            &self.product_id,
            &self.device_type,
            &self.error_code,
            &self.message,
            &self.error_at,
        ];
        let details = self.details.as_ref();
        4 * present(&texts)
            + 2 * usize::from(self.session_duration.is_some())
            + 10 * usize::from(self.geo_location.is_some())
            + details.map_or(0, |Object(details)| 2 + details.quotes())
    }
}

impl WireDetails<'_> {
    fn quotes(&self) -> usize {
        let texts = [
            &self.payment_method,
            &self.shipping_address,
            &self.query,
            &self.searched_at,
            &self.order_id,
            &self.shipping_method,
            &self.delivery_estimate,
            &self.completed_at,
            &self.failed_at,
        ];
        let numbers = [
            self.amount.is_some(),
            self.attempted_amount.is_some(),
            self.results_count.is_some(),
        ];
        let filters = self.filters.map(str::as_bytes);
        4 * present(&texts)
            + 2 * numbers.into_iter().filter(|present| *present).count()
            + self.items.as_ref().map_or(0, |items| 2 + 6 * items.len())
            + filters.map_or(0, |raw| 2 + memchr::memchr_iter(b'"', raw).count())
    }
}

fn present(texts: &[&Option<Text<'_>>]) -> usize {
    texts.iter().filter(|text| text.is_some()).count()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Forgetting a field here hides that it was forgotten in `quotes` and in the fast path.
    pub(crate) const EVERY_FIELD: &str = r#"{"timestamp":"","level":"","service":"","event_type":"",
        "event_id":"","user_id":"","session_id":"","product_id":"","session_duration":0,"device_type":"",
        "geo_location":{"country":"","city":""},"details":{"amount":0,"payment_method":"",
        "items":[{"product_id":"","quantity":1},{"product_id":"","quantity":1}],
        "shipping_address":"","query":"","results_count":0,"filters":{"a":"b","c":1},
        "searched_at":"","order_id":"","shipping_method":"","delivery_estimate":"",
        "completed_at":"","attempted_amount":0,"failed_at":""},
        "error_code":"","message":"","error_at":""}"#;

    /// A field forgotten in `quotes` would cost every record the walk, and nobody would notice.
    #[test]
    fn fields_of_the_contract_account_for_every_quotation_mark() {
        let wire: Wire = serde_json::from_str(EVERY_FIELD).expect("every field");
        assert_eq!(EVERY_FIELD.matches('"').count(), wire.quotes());
        let less: Wire = serde_json::from_str("{}").expect("no field");
        assert_eq!(less.quotes(), 0);
    }
}
