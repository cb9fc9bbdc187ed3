//! An event as the columns of `raw.log_event`, under whose names `.expect` files speak of it.

use std::collections::BTreeMap;

use event::{Details, Event};
use serde_json::{Value, json};

/// Columns that the event fills; times in microseconds since 1970, `items` as JSON.
pub type Columns = BTreeMap<String, Value>;

/// What `event` says, column by column.
pub fn columns(event: &Event<'_>) -> Columns {
    let mut columns = Columns::new();
    let mut put = |name: &str, value: Value| {
        columns.insert(name.to_owned(), value);
    };
    if let Some(event_id) = &event.event_id {
        put("event_id", json!(**event_id));
    }
    put("event_time", json!(event.time));
    put("event_type", json!(event.event_type.name()));
    put("level", json!(*event.level));
    put("user_id", json!(*event.user_id));
    put("session_id", json!(*event.session_id));
    put("product_id", json!(*event.product_id));
    put("session_duration", json!(event.session_duration));
    put("device_type", json!(*event.device_type));
    put("geo_country", json!(*event.geo.country));
    put("geo_city", json!(*event.geo.city));
    if let Some(items) = event.details.items() {
        let mut basket = Vec::new();
        event::write_basket(items, &mut basket);
        let basket = serde_json::from_slice(&basket).expect("every store takes it for JSON");
        let quantity: i32 = items.iter().map(|item| item.quantity).sum();
        put("items", basket);
        put("quantity", json!(quantity));
    }
    match &event.details {
        Details::Purchase {
            amount,
            payment_method,
            shipping_address,
            ..
        } => {
            put("amount", json!(amount));
            put("payment_method", json!(**payment_method));
            put("shipping_address", json!(**shipping_address));
        }
        Details::Search {
            query,
            results_count,
            filters,
            searched_at,
        } => {
            put("query", json!(**query));
            put("results_count", json!(results_count));
            if let Some(filters) = filters {
                put("filters", json!(filters));
            }
            put("searched_at", json!(searched_at));
        }
        Details::OrderComplete {
            order_id,
            amount,
            shipping_method,
            delivery_estimate,
            completed_at,
            ..
        } => {
            put("order_id", json!(**order_id));
            put("amount", json!(amount));
            put("shipping_method", json!(**shipping_method));
            put("delivery_estimate", json!(**delivery_estimate));
            put("completed_at", json!(completed_at));
        }
        Details::OrderFailed {
            order_id,
            attempted_amount,
            failed_at,
        } => {
            put("order_id", json!(**order_id));
            put("attempted_amount", json!(attempted_amount));
            put("failed_at", json!(failed_at));
        }
        Details::Error {
            error_code,
            message,
            error_at,
        } => {
            put("error_code", json!(**error_code));
            put("message", json!(**message));
            put("error_at", json!(error_at));
        }
    }
    columns
}
