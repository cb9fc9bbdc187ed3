//! Any bytes become an event that keeps the contract, or a reject with a reason; never a panic. The fast path of the
//! parser changes nothing of it.

#![no_main]

use event::{Details, EARLIEST_EVENT_TIME, Event, LATEST_AHEAD, LONGEST_ID, Reject, Text};
use libfuzzer_sys::fuzz_target;

/// 2026-01-01T00:00:00Z, the record time of the corpus.
const RECORD_TIME: i64 = 1_767_225_600_000_000;

fuzz_target!(|payload: &[u8]| {
    let verdict = event::parse(Some(payload), RECORD_TIME);
    assert_eq!(verdict, event::parse_by_serde(Some(payload), RECORD_TIME));
    match verdict {
        Ok(event) => check_event(&event),
        Err(reject) => check_reject(&reject),
    }
});

fn check_event(event: &Event<'_>) {
    assert!(event.time >= EARLIEST_EVENT_TIME && event.time <= RECORD_TIME + LATEST_AHEAD);
    assert!(event.session_duration >= 0);
    for id in [&event.user_id, &event.session_id, &event.product_id] {
        check_id(id);
    }
    if let Some(event_id) = &event.event_id {
        check_id(event_id);
    }
    assert!(["INFO", "ERROR"].contains(&&*event.level));
    assert!(["desktop", "mobile", "tablet"].contains(&&*event.device_type));
    for place in [&event.geo.country, &event.geo.city] {
        check_text(place);
        assert!(place.chars().count() <= LONGEST_ID);
    }
    check_details(&event.details);
    if let Some(items) = event.details.items() {
        assert!(!items.is_empty());
        for item in items {
            check_id(&item.product_id);
            assert!(item.quantity >= 1);
        }
        let total: i64 = items.iter().map(|item| i64::from(item.quantity)).sum();
        assert!(i32::try_from(total).is_ok(), "every store sums them up");
    }
}

fn check_details(details: &Details<'_>) {
    match details {
        Details::Purchase {
            amount,
            shipping_address,
            ..
        } => {
            check_amount(*amount);
            check_text(shipping_address);
        }
        Details::Search {
            query,
            results_count,
            filters,
            ..
        } => {
            check_text(query);
            assert!(*results_count >= 0);
            if let Some(filters) = filters {
                assert!(filters.starts_with('{') && filters.ends_with('}'));
                assert!(!filters.contains('\0'));
            }
        }
        Details::OrderComplete {
            order_id,
            amount,
            delivery_estimate,
            ..
        } => {
            check_id(order_id);
            check_amount(*amount);
            check_text(delivery_estimate);
        }
        Details::OrderFailed {
            order_id,
            attempted_amount,
            ..
        } => {
            check_id(order_id);
            check_amount(*attempted_amount);
        }
        Details::Error {
            error_code,
            message,
            ..
        } => {
            check_id(error_code);
            check_text(message);
        }
    }
}

fn check_reject(reject: &Reject) {
    assert!(!reject.reason.name().is_empty());
    if let Some(field) = &reject.field {
        assert!(!field.contains('\0'));
        // the path of a repeated key quotes what the sender wrote, cut
        assert!(field.chars().count() <= "details.filters.".len() + LONGEST_ID);
    }
}

fn check_id(id: &Text<'_>) {
    check_text(id);
    assert!(!id.is_empty() && id.chars().count() <= LONGEST_ID);
}

fn check_text(text: &Text<'_>) {
    assert!(!text.contains('\0'));
}

fn check_amount(amount: f64) {
    assert!(amount.is_finite() && amount >= 0.0 && amount.is_sign_positive());
}
