//! What every mart must hold, from the events and the catalog alone, in plain code: no SQL, and none of dbt's.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use anyhow::Context;
use event::{Details, EventType};

use crate::calendar::{HOUR, date_sk};

/// An event that keeps the contract, of its copies the first.
#[derive(Debug, Clone)]
pub struct Occurrence {
    pub id: String,
    /// Microseconds since 1970.
    pub at: i64,
    pub kind: EventType,
    pub user: String,
    pub session: String,
    pub product: String,
    pub device: String,
    pub country: String,
    pub city: String,
    pub order: Option<String>,
    pub amount: Option<f64>,
    pub items: Vec<(String, i64)>,
    pub address: Option<String>,
    pub shipping: Option<(String, String)>,
    pub ended_at: Option<i64>,
    pub error_code: Option<String>,
}

/// A product as the catalog had it.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// Its key.
    pub id: String,
    /// name, category, subcategory, price, brand, description, stock, rating, date_added, weight.
    pub columns: Vec<String>,
    /// The price among them.
    pub price: f64,
    /// Since when, in microseconds.
    pub since: i64,
}

/// All that happened, and all that the catalog said.
#[derive(Default)]
pub struct Shop {
    pub events: Vec<Occurrence>,
    known: HashSet<String>,
    /// Columns of the users that the catalog knows.
    pub users: BTreeMap<String, Vec<String>>,
    pub versions: BTreeMap<String, Vec<Product>>,
}

impl Shop {
    /// Takes in payloads; those that `wanted` refuses by their event id stay out.
    pub fn receive(
        &mut self,
        payloads: &[Vec<u8>],
        now: i64,
        wanted: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        for payload in payloads {
            let Ok(event) = event::parse(Some(payload), now) else {
                continue; // a reject is in no mart
            };
            let id = event.event_id.as_ref().context("no event id")?.to_string();
            if wanted(&id) && self.known.insert(id.clone()) {
                self.events.push(occurrence(id, &event));
            }
        }
        Ok(())
    }

    /// Takes in the catalog as a run of dbt finds it.
    pub fn browse(&mut self, products: Vec<Product>) {
        for product in products {
            let versions = self.versions.entry(product.id.clone()).or_default();
            if versions.last().map(|last| last.since) != Some(product.since) {
                versions.push(product);
            }
        }
    }

    /// The rows of a table, sorted.
    pub fn rows(&self, table: &str) -> anyhow::Result<Vec<String>> {
        let mut rows = match table {
            "fact_event" => self.fact_event(),
            "fact_order" => self.fact_order(),
            "fact_order_item" => self.fact_order_item(),
            "dim_product_history" => self.dim_product_history(),
            "dim_product" => self.dim_product(),
            "dim_user" => self.dim_user(),
            "fact_session" => self.sessions().into_iter().map(|found| found.row).collect(),
            "funnel" => self.funnel(),
            "daily_revenue" => self.daily_revenue(),
            "cohort_retention" => self.cohort_retention(),
            "failures_by_hour" => self.failures_by_hour(),
            "product_performance" => self.product_performance(),
            _ => anyhow::bail!("no such table: {table}"),
        };
        rows.sort();
        Ok(rows)
    }

    fn fact_event(&self) -> Vec<String> {
        let row = |event: &Occurrence| {
            row(&[
                &event.id,
                &event.user,
                &event.product,
                &date_sk(event.at),
                &event.kind.name(),
                &event.session,
                &event.device,
                &event.country,
                &event.city,
            ])
        };
        self.events.iter().map(row).collect()
    }

    fn failures_by_hour(&self) -> Vec<String> {
        let mut hours: BTreeMap<(i64, &str), (i64, BTreeSet<&str>, i128)> = BTreeMap::new();
        for event in &self.events {
            let failure = match event.kind {
                EventType::OrderFailed => "order_failed",
                EventType::Error => event.error_code.as_deref().unwrap_or_default(),
                _ => continue,
            };
            let hour = event.at.div_euclid(HOUR) * HOUR;
            let found = hours.entry((hour, failure)).or_default();
            found.0 += 1;
            found.1.insert(&event.user);
            found.2 += event.amount.map_or(0, cents);
        }
        let row =
            |((hour, failure), (count, users, cents)): ((i64, &str), (i64, BTreeSet<_>, _))| {
                row(&[
                    &hour,
                    &failure,
                    &date_sk(hour),
                    &count,
                    &users.len(),
                    &cents,
                ])
            };
        hours.into_iter().map(row).collect()
    }
}

fn occurrence(id: String, event: &event::Event<'_>) -> Occurrence {
    let mut found = Occurrence {
        id,
        at: event.time,
        kind: event.event_type,
        user: event.user_id.to_string(),
        session: event.session_id.to_string(),
        product: event.product_id.to_string(),
        device: event.device_type.to_string(),
        country: event.geo.country.to_string(),
        city: event.geo.city.to_string(),
        order: None,
        amount: None,
        items: Vec::new(),
        address: None,
        shipping: None,
        ended_at: None,
        error_code: None,
    };
    let basket = event.details.items().unwrap_or_default().iter();
    found.items = basket
        .map(|item| (item.product_id.to_string(), i64::from(item.quantity)))
        .collect();
    match &event.details {
        Details::Purchase {
            amount,
            shipping_address,
            ..
        } => {
            found.amount = Some(*amount);
            found.address = Some(shipping_address.to_string());
        }
        Details::OrderComplete {
            order_id,
            amount,
            shipping_method,
            delivery_estimate,
            completed_at,
            ..
        } => {
            found.order = Some(order_id.to_string());
            found.amount = Some(*amount);
            found.shipping = Some((shipping_method.to_string(), delivery_estimate.to_string()));
            found.ended_at = Some(*completed_at);
        }
        Details::OrderFailed {
            order_id,
            attempted_amount,
            failed_at,
        } => {
            found.order = Some(order_id.to_string());
            found.amount = Some(*attempted_amount);
            found.ended_at = Some(*failed_at);
        }
        Details::Error { error_code, .. } => found.error_code = Some(error_code.to_string()),
        Details::Search { .. } => {}
    }
    found
}

/// Which of two events of an order or a session comes later.
pub fn moment(event: &Occurrence) -> (i64, &str) {
    (event.at, &event.id)
}

pub fn cents(amount: f64) -> i128 {
    (amount * 100.0).round() as i128
}

pub fn row(columns: &[&dyn std::fmt::Display]) -> String {
    let texts: Vec<String> = columns.iter().map(ToString::to_string).collect();
    texts.join("|")
}

pub fn maybe(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
