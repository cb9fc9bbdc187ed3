//! Orders, their lines, and what is summed up over them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use event::EventType;

use crate::calendar::{date_sk, monday};
use crate::shop::{Occurrence, Shop, cents, maybe, moment, row};

/// An order, put together from its events.
struct Order<'a> {
    complete: Option<&'a Occurrence>,
    failed: Option<&'a Occurrence>,
    sessions: BTreeSet<(&'a str, &'a str)>,
}

impl<'a> Order<'a> {
    /// The event that says who, what, where and when.
    fn decisive(&self) -> &'a Occurrence {
        self.complete
            .or(self.failed)
            .expect("an order has an outcome")
    }
}

/// A line of an order and what it brought.
struct Line<'a> {
    order: &'a str,
    number: usize,
    event: &'a Occurrence,
    product: &'a str,
    quantity: i64,
    version: Option<(usize, i128)>,
    cents: i128,
}

impl Shop {
    fn orders(&self) -> BTreeMap<&str, Order<'_>> {
        let mut orders: BTreeMap<&str, Order<'_>> = BTreeMap::new();
        for event in &self.events {
            let Some(id) = &event.order else { continue };
            let order = orders.entry(id).or_insert(Order {
                complete: None,
                failed: None,
                sessions: BTreeSet::new(),
            });
            order.sessions.insert((&event.user, &event.session));
            let outcome = match event.kind {
                EventType::OrderComplete => &mut order.complete,
                _ => &mut order.failed,
            };
            if outcome.is_none_or(|other| moment(other) < moment(event)) {
                *outcome = Some(event);
            }
        }
        orders
    }

    pub fn fact_order(&self) -> Vec<String> {
        let mut purchases: HashMap<(&str, &str), Vec<&Occurrence>> = HashMap::new();
        for event in &self.events {
            if event.kind == EventType::Purchase {
                let session = (event.user.as_str(), event.session.as_str());
                purchases.entry(session).or_default().push(event);
            }
        }
        let row = |(id, order): (&str, Order<'_>)| {
            let decisive = order.decisive();
            let address = order
                .sessions
                .iter()
                .filter(|(user, _)| *user == decisive.user)
                .filter_map(|session| purchases.get(session))
                .flatten()
                .filter(|purchase| purchase.at <= decisive.at)
                .max_by_key(|purchase| moment(purchase))
                .and_then(|purchase| purchase.address.clone());
            let shipping = order.complete.and_then(|event| event.shipping.clone());
            let (method, estimate) = shipping.unzip();
            row(&[
                &id,
                &decisive.user,
                &decisive.product,
                &date_sk(decisive.at),
                &maybe(order.complete.and_then(|event| event.amount)),
                &maybe(order.complete.map(pieces)),
                &maybe(address),
                &maybe(method),
                &maybe(estimate),
                &maybe(order.complete.and_then(|event| event.ended_at)),
                &maybe(order.failed.and_then(|event| event.amount)),
                &maybe(order.failed.and_then(|event| event.ended_at)),
                &decisive.device,
                &decisive.country,
                &decisive.city,
            ])
        };
        self.orders().into_iter().map(row).collect()
    }

    /// The number of the version in force, and its price in cents.
    fn version(&self, product: &str, at: i64) -> Option<(usize, i128)> {
        let versions = self.versions.get(product)?;
        let begun = versions
            .iter()
            .filter(|version| version.since <= at)
            .count();
        let number = begun.max(1);
        Some((number, cents(versions[number - 1].price)))
    }

    fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        for (id, order) in self.orders() {
            let Some(event) = order.complete else {
                continue;
            };
            let versions: Vec<Option<(usize, i128)>> = event
                .items
                .iter()
                .map(|(product, _)| self.version(product, event.at))
                .collect();
            let by_price: Option<Vec<i128>> = versions
                .iter()
                .zip(&event.items)
                .map(|(version, (_, quantity))| Some(version.as_ref()?.1 * i128::from(*quantity)))
                .collect();
            let weights = by_price
                .filter(|weights| weights.iter().sum::<i128>() > 0)
                .unwrap_or_else(|| {
                    let by_piece = event.items.iter().map(|item| i128::from(item.1));
                    by_piece.collect()
                });
            let paid = cents(event.amount.unwrap_or(0.0));
            let whole: i128 = weights.iter().sum();
            // what is due for all lines so far, to the nearest cent
            let due = |so_far: i128| (2 * paid * so_far + whole) / (2 * whole);
            let mut so_far = 0;
            for (index, (product, quantity)) in event.items.iter().enumerate() {
                let before = due(so_far);
                so_far += weights[index];
                lines.push(Line {
                    order: id,
                    number: index + 1,
                    event,
                    product,
                    quantity: *quantity,
                    version: versions[index],
                    cents: due(so_far) - before,
                });
            }
        }
        lines
    }

    pub fn fact_order_item(&self) -> Vec<String> {
        let row = |line: &Line<'_>| {
            let version = line
                .version
                .map(|(number, _)| format!("{}:{number}", line.product));
            row(&[
                &line.order,
                &line.number,
                &line.event.user,
                &line.product,
                &maybe(version),
                &date_sk(line.event.at),
                &line.quantity,
                &maybe(line.version.map(|(_, price)| price)),
                &line.cents,
            ])
        };
        self.lines().iter().map(row).collect()
    }

    pub fn daily_revenue(&self) -> Vec<String> {
        #[derive(Default)]
        struct Day<'a> {
            orders: i64,
            customers: BTreeSet<&'a str>,
            quantity: i64,
            cents: i128,
            lost_orders: i64,
            lost_cents: i128,
        }
        let mut days: BTreeMap<i64, Day<'_>> = BTreeMap::new();
        for order in self.orders().into_values() {
            let decisive = order.decisive();
            let day = days.entry(date_sk(decisive.at)).or_default();
            let worth = cents(decisive.amount.unwrap_or(0.0));
            if order.complete.is_some() {
                day.orders += 1;
                day.customers.insert(&decisive.user);
                day.quantity += pieces(decisive);
                day.cents += worth;
            } else {
                day.lost_orders += 1;
                day.lost_cents += worth;
            }
        }
        let row = |(date_sk, day): (i64, Day<'_>)| {
            row(&[
                &date_sk,
                &day.orders,
                &day.customers.len(),
                &day.quantity,
                &day.cents,
                &day.lost_orders,
                &day.lost_cents,
            ])
        };
        days.into_iter().map(row).collect()
    }

    pub fn cohort_retention(&self) -> Vec<String> {
        // of every user, the weeks with an order
        let mut users: BTreeMap<&str, BTreeMap<i64, (i64, i128)>> = BTreeMap::new();
        for order in self.orders().into_values() {
            if let Some(event) = order.complete {
                let weeks = users.entry(&event.user).or_default();
                let week = weeks.entry(monday(event.at)).or_default();
                week.0 += 1;
                week.1 += cents(event.amount.unwrap_or(0.0));
            }
        }
        let mut sizes: BTreeMap<i64, i64> = BTreeMap::new();
        let mut cells: BTreeMap<(i64, i64), (i64, i64, i128)> = BTreeMap::new();
        for weeks in users.values() {
            let Some(first) = weeks.keys().next() else {
                continue;
            };
            *sizes.entry(*first).or_default() += 1;
            for (week, (orders, cents)) in weeks {
                let cell = cells.entry((*first, (week - first) / 7)).or_default();
                cell.0 += 1;
                cell.1 += orders;
                cell.2 += cents;
            }
        }
        let row = |((cohort, since), (customers, orders, cents)): (_, (i64, i64, i128))| {
            row(&[
                &cohort,
                &since,
                &sizes[&cohort],
                &customers,
                &orders,
                &cents,
            ])
        };
        cells.into_iter().map(row).collect()
    }

    pub fn product_performance(&self) -> Vec<String> {
        #[derive(Default)]
        struct Sales<'a> {
            named: [i64; 4],
            orders: BTreeSet<&'a str>,
            quantity: i64,
            cents: i128,
        }
        let mut products: BTreeMap<(&str, i64), Sales<'_>> = BTreeMap::new();
        for event in &self.events {
            let column = match event.kind {
                EventType::Search => 0,
                EventType::Purchase => 1,
                EventType::OrderFailed => 2,
                EventType::Error => 3,
                EventType::OrderComplete => continue,
            };
            let place = (event.product.as_str(), date_sk(event.at));
            products.entry(place).or_default().named[column] += 1;
        }
        for line in self.lines() {
            let place = (line.product, date_sk(line.event.at));
            let sales = products.entry(place).or_default();
            sales.orders.insert(line.order);
            sales.quantity += line.quantity;
            sales.cents += line.cents;
        }
        let row = |((product, day), sales): ((&str, i64), Sales<'_>)| {
            row(&[
                &product,
                &day,
                &sales.named[0],
                &sales.named[1],
                &sales.named[2],
                &sales.named[3],
                &sales.orders.len(),
                &sales.quantity,
                &sales.cents,
            ])
        };
        products.into_iter().map(row).collect()
    }
}

fn pieces(event: &Occurrence) -> i64 {
    event.items.iter().map(|(_, quantity)| quantity).sum()
}
