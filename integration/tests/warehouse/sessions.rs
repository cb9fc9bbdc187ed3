//! Sessions, and how far they came.

use std::collections::BTreeMap;

use event::EventType;

use crate::calendar::date_sk;
use crate::shop::{Occurrence, Shop, cents, moment, row};

/// A session, and its row.
pub struct Session {
    /// As in fact_session.
    pub row: String,
    day: i64,
    device: String,
    country: String,
    steps: [bool; 3],
}

impl Shop {
    /// All sessions.
    pub fn sessions(&self) -> Vec<Session> {
        let mut sessions: BTreeMap<(&str, &str), Vec<&Occurrence>> = BTreeMap::new();
        for event in &self.events {
            let session = (event.user.as_str(), event.session.as_str());
            sessions.entry(session).or_default().push(event);
        }
        sessions.into_values().map(session).collect()
    }

    /// Their steps by day, device and country.
    pub fn funnel(&self) -> Vec<String> {
        let mut counts: BTreeMap<(i64, String, String), [i64; 4]> = BTreeMap::new();
        for session in self.sessions() {
            let place = (session.day, session.device, session.country);
            let count = counts.entry(place).or_default();
            count[0] += 1;
            for step in 0..3 {
                count[step + 1] += i64::from(session.steps[step]);
            }
        }
        let row = |((day, device, country), count): ((i64, String, String), [i64; 4])| {
            row(&[
                &day, &device, &country, &count[0], &count[1], &count[2], &count[3],
            ])
        };
        counts.into_iter().map(row).collect()
    }
}

fn session(mut events: Vec<&Occurrence>) -> Session {
    events.sort_by_key(|event| moment(event));
    let first = events[0];
    let last = events[events.len() - 1];
    let count = |kind| events.iter().filter(|event| event.kind == kind).count();
    // the steps as a person would follow them: each from where the one before it was taken
    let next = |kind, since: i64| {
        let found = events
            .iter()
            .find(|event| event.kind == kind && event.at >= since);
        found.map(|event| event.at)
    };
    let search = next(EventType::Search, i64::MIN);
    let purchase = search.and_then(|since| next(EventType::Purchase, since));
    let completion = purchase.and_then(|since| next(EventType::OrderComplete, since));
    let steps = [search.is_some(), purchase.is_some(), completion.is_some()];
    let revenue: i128 = events
        .iter()
        .filter(|event| event.kind == EventType::OrderComplete)
        .map(|event| cents(event.amount.unwrap_or(0.0)))
        .sum();
    let seconds = ((last.at - first.at) as f64 / 1_000_000.0).round() as i64;
    Session {
        row: row(&[
            &first.user,
            &first.session,
            &date_sk(first.at),
            &first.at,
            &last.at,
            &seconds,
            &first.device,
            &first.country,
            &first.city,
            &events.len(),
            &count(EventType::Search),
            &count(EventType::Purchase),
            &count(EventType::OrderComplete),
            &count(EventType::OrderFailed),
            &count(EventType::Error),
            &steps[0],
            &steps[1],
            &steps[2],
            &revenue,
        ]),
        day: date_sk(first.at),
        device: first.device.clone(),
        country: first.country.clone(),
        steps,
    }
}
