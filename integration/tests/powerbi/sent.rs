//! What every measure comes to, counted from the lines of `produce --stdout` and the files of the catalog.
//! It knows nothing of the model, the warehouse or their SQL.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use serde_json::Value;

/// An event as it was sent.
struct Event {
    id: String,
    kind: String,
    at: String,
    user: String,
    session: String,
    product: Option<String>,
    order: String,
    amount: f64,
    items: Vec<(String, i64)>,
}

impl Event {
    fn read(line: &str) -> anyhow::Result<Event> {
        let whole: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let details = &whole["details"];
        let text = |field: &str| {
            let text = whole[field].as_str().map(str::to_owned);
            text.with_context(|| format!("no {field}: {line}"))
        };
        let mut items = Vec::new();
        for item in details["items"].as_array().unwrap_or(&Vec::new()) {
            let product = item["product_id"].as_str().context("an item of nothing")?;
            items.push((
                product.to_owned(),
                item["quantity"].as_i64().context("no quantity")?,
            ));
        }
        let amount = details["amount"]
            .as_f64()
            .or(details["attempted_amount"].as_f64());
        let at = text("timestamp")?;
        // compared as texts below
        ensure!(
            at.len() == "2026-01-01T00:00:00.000Z".len(),
            "another form of time: {at}"
        );
        Ok(Event {
            id: text("event_id")?,
            kind: text("event_type")?,
            user: text("user_id")?,
            session: text("session_id")?,
            product: whole["product_id"].as_str().map(str::to_owned),
            order: details["order_id"].as_str().unwrap_or_default().to_owned(),
            amount: amount.unwrap_or_default(),
            at,
            items,
        })
    }

    fn day(&self) -> &str {
        &self.at[..10]
    }
}

/// An order: its latest completion and its latest failure.
#[derive(Default)]
struct Order<'a> {
    complete: Option<&'a Event>,
    failed: Option<&'a Event>,
}

fn latest<'a>(place: &mut Option<&'a Event>, event: &'a Event) {
    if place.is_none_or(|held| (&held.at, &held.id) < (&event.at, &event.id)) {
        *place = Some(event);
    }
}

/// Days since 1970-01-01, counted month by month.
fn day_number(day: &str) -> anyhow::Result<i64> {
    let part = |from: usize, to: usize| day[from..to].parse::<i64>();
    let (year, month, of_month) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut days = of_month - 1;
    for earlier in 1970..year {
        days += if leap(earlier) { 366 } else { 365 };
    }
    for earlier in 1..month {
        days += match earlier {
            2 if leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
    }
    Ok(days)
}

/// Weeks since the Monday before 1970-01-01, which was a Thursday.
fn week_number(day: &str) -> anyhow::Result<i64> {
    Ok((day_number(day)? + 3).div_euclid(7))
}

fn ids(file: &str, field: &str) -> anyhow::Result<BTreeSet<String>> {
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let ids = rows
        .iter()
        .map(|row| row[field].as_str().map(str::to_owned));
    ids.collect::<Option<_>>()
        .with_context(|| format!("a row of {file} has no {field}"))
}

/// How many sessions there are, and how many searched, then purchased, then completed.
fn steps(events: &[Event]) -> [f64; 4] {
    let mut sessions: BTreeMap<(&str, &str), Vec<&Event>> = BTreeMap::new();
    for event in events {
        sessions
            .entry((&event.user, &event.session))
            .or_default()
            .push(event);
    }
    let mut reached = [0.0; 4];
    for session in sessions.values() {
        reached[0] += 1.0;
        let mut since = "";
        for (step, kind) in ["search", "purchase", "order_complete"].iter().enumerate() {
            let times = session
                .iter()
                .filter(|event| event.kind == *kind && *event.at >= *since);
            let Some(first) = times.map(|event| event.at.as_str()).min() else {
                break;
            };
            since = first;
            reached[step + 1] += 1.0;
        }
    }
    reached
}

/// Every measure's value by its name. `users` and `products` are the catalog's files.
pub fn measures(lines: &str, users: &str, products: &str) -> anyhow::Result<BTreeMap<String, f64>> {
    let mut seen = BTreeSet::new();
    let mut events = Vec::new();
    for line in lines.lines() {
        let event = Event::read(line)?;
        if seen.insert(event.id.clone()) {
            events.push(event);
        }
    }
    let mut found = BTreeMap::new();
    let mut put = |name: &str, value: f64| {
        found.insert(name.to_owned(), value);
    };

    // orders
    let mut orders: BTreeMap<&str, Order> = BTreeMap::new();
    for event in &events {
        match event.kind.as_str() {
            "order_complete" => {
                latest(&mut orders.entry(&event.order).or_default().complete, event)
            }
            "order_failed" => latest(&mut orders.entry(&event.order).or_default().failed, event),
            _ => {}
        }
    }
    let completed: Vec<&Event> = orders.values().filter_map(|order| order.complete).collect();
    let lost: Vec<&Event> = orders
        .values()
        .filter(|order| order.complete.is_none())
        .filter_map(|order| order.failed)
        .collect();
    let recovered: Vec<&Event> = orders
        .values()
        .filter(|order| order.failed.is_some())
        .filter_map(|order| order.complete)
        .collect();
    let worth = |events: &[&Event]| events.iter().map(|event| event.amount).sum::<f64>();
    let count = |events: &[&Event]| events.len() as f64;
    let baskets: Vec<&(String, i64)> = completed.iter().flat_map(|event| &event.items).collect();
    let pieces = baskets.iter().map(|item| item.1 as f64).sum::<f64>();
    let days: BTreeSet<&str> = completed
        .iter()
        .chain(&lost)
        .map(|event| event.day())
        .collect();
    put("Revenue", worth(&completed));
    put("Orders", orders.len() as f64);
    put("Completed orders", count(&completed));
    put("Average order value", worth(&completed) / count(&completed));
    put("Items sold", pieces);
    put("Items per order", pieces / count(&completed));
    put("Revenue per day", worth(&completed) / days.len() as f64);
    put("Completion rate", count(&completed) / orders.len() as f64);
    put("Failed orders", count(&lost));
    put("Lost revenue", worth(&lost));
    put("Recovered orders", count(&recovered));
    put("Recovered revenue", worth(&recovered));
    put(
        "Recovery rate",
        count(&recovered) / (count(&recovered) + count(&lost)),
    );

    // events and sessions
    let of = |kind: &str| events.iter().filter(|event| event.kind == kind).count() as f64;
    let everybody: BTreeSet<&String> = events.iter().map(|event| &event.user).collect();
    let [sessions, searched, purchased, done] = steps(&events);
    put("Sessions", sessions);
    put("Searching sessions", searched);
    put("Purchasing sessions", purchased);
    put("Completing sessions", done);
    put("Search to purchase", purchased / searched);
    put("Purchase to completion", done / purchased);
    put("Conversion", done / sessions);
    put("Events", events.len() as f64);
    put("Active users", everybody.len() as f64);
    put("Errors", of("error"));
    put("Error rate", of("error") / events.len() as f64);
    put("Failed attempts", of("order_failed"));
    put("Completions", of("order_complete"));
    put(
        "Failure rate",
        of("order_failed") / (of("order_failed") + of("order_complete")),
    );
    put("Failures", of("order_failed") + of("error"));

    // customers
    let mut known = ids(users, "user_id")?;
    known.extend(events.iter().map(|event| event.user.clone()));
    let mut per_buyer: BTreeMap<&str, f64> = BTreeMap::new();
    let mut day_buyers = BTreeSet::new();
    let mut week_buyers = BTreeSet::new();
    for event in &completed {
        *per_buyer.entry(&event.user).or_default() += 1.0;
        day_buyers.insert((event.day(), &event.user));
        week_buyers.insert((week_number(event.day())?, &event.user));
    }
    let buyers = per_buyer.len() as f64;
    let again = per_buyer.values().filter(|orders| **orders > 1.0).count() as f64;
    put("Users", known.len() as f64);
    put("Buyers", buyers);
    put("Share of buyers", buyers / known.len() as f64);
    put("Repeat buyers", again);
    put("Repeat rate", again / buyers);
    put("Revenue per buyer", worth(&completed) / buyers);
    put("Orders per buyer", count(&completed) / buyers);
    put(
        "Customers per day",
        day_buyers.len() as f64 / days.len() as f64,
    );
    put("New customers", buyers);
    put("Cohort customers", week_buyers.len() as f64);
    put("Retention", week_buyers.len() as f64 / buyers);

    // products
    let mut catalog = ids(products, "product_id")?;
    catalog.extend(events.iter().filter_map(|event| event.product.clone()));
    catalog.extend(baskets.iter().map(|item| item.0.clone()));
    let sold: BTreeSet<&String> = baskets.iter().map(|item| &item.0).collect();
    let with: BTreeSet<(&String, &String)> = completed
        .iter()
        .flat_map(|event| event.items.iter().map(|item| (&event.order, &item.0)))
        .collect();
    put("Products", catalog.len() as f64);
    put("Products sold", sold.len() as f64);
    put(
        "Share of products sold",
        sold.len() as f64 / catalog.len() as f64,
    );
    put("Product revenue", worth(&completed));
    put("Pieces sold", pieces);
    put("Orders with the product", with.len() as f64);
    put("Product searches", of("search"));
    put("Product purchases", of("purchase"));
    Ok(found)
}
