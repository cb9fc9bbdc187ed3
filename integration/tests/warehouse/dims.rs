//! The dimensions: what the catalog says, and a placeholder for whoever it does not know.

use std::collections::BTreeSet;

use event::EventType;

use crate::calendar::{civil, iso_week, weekday};
use crate::shop::{Product, Shop, row};

impl Shop {
    /// Every version that the catalog had.
    pub fn dim_product_history(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for versions in self.versions.values() {
            for (index, version) in versions.iter().enumerate() {
                let number = index + 1;
                let next = versions.get(number);
                rows.push(row(&[
                    &format!("{}:{number}", version.id),
                    &version.id,
                    &number,
                    &version.columns.join("|"),
                    &version.since,
                    &next.map_or_else(|| "-".to_owned(), |next| next.since.to_string()),
                    &next.is_none(),
                    &false,
                ]));
            }
        }
        rows
    }

    /// Products as they are now.
    pub fn dim_product(&self) -> Vec<String> {
        let latest = |versions: &Vec<Product>| versions.last().cloned();
        let known = self.versions.values().filter_map(latest);
        let mut rows: Vec<String> = known
            .map(|product| row(&[&product.id, &product.columns.join("|")]))
            .collect();
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for event in &self.events {
            named.insert(&event.product);
            // of a purchase nothing is sold yet
            if event.kind == EventType::OrderComplete {
                named.extend(event.items.iter().map(|(product, _)| product.as_str()));
            }
        }
        for product in named {
            if !self.versions.contains_key(product) {
                rows.push(format!(
                    "{product}|Unknown|Unknown|Unknown|-|Unknown|-|-|-|-|-"
                ));
            }
        }
        rows.push("unknown|No product|Unknown|Unknown|-|Unknown|-|-|-|-|-".to_owned());
        rows
    }

    /// Users as they are now.
    pub fn dim_user(&self) -> Vec<String> {
        let known = self.users.iter();
        let mut rows: Vec<String> = known
            .map(|(id, columns)| row(&[id, &columns.join("|")]))
            .collect();
        let named: BTreeSet<&str> = self
            .events
            .iter()
            .map(|event| event.user.as_str())
            .collect();
        for user in named {
            if !self.users.contains_key(user) {
                rows.push(format!("{user}|-|-|Unknown|-|-|-|-|Unknown|Unknown|-"));
            }
        }
        rows
    }
}

/// Every day from 2000-01-01 to the end of a year.
pub fn dim_date(last_year: i64) -> Vec<String> {
    // of 2000-01-01
    let first = 10_957;
    (first..)
        .map(|days| (days, civil(days)))
        .take_while(|(_, (year, _, _))| *year <= last_year)
        .map(|(days, (year, month, day))| {
            row(&[
                &(year * 10_000 + month * 100 + day),
                &days,
                &year,
                &month,
                &day,
                &weekday(days),
                &iso_week(days),
                &((month + 2) / 3),
            ])
        })
        .collect()
}
