//! The shop to play: one TOML file over the defaults of `produce.toml`, unknown keys refused.

use std::path::{Path, PathBuf};

use anyhow::Context;
use event::EventType;
use frame::{PersonNeeded, person_needed};
use serde::Deserialize;
use toml::{Table, Value};

/// The defaults, as `--print-config` shows them.
pub const DEFAULTS: &str = include_str!("../produce.toml");

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How much of each event type.
    pub share: Share,
    /// Who visits.
    pub users: Pool,
    /// What is sold.
    pub products: Pool,
    /// What users and products are made from.
    pub catalog: Catalog,
    /// What a visit looks like.
    pub visit: Visit,
    /// The simulated clock.
    pub clock: Clock,
    /// How late the late ones are.
    pub late: Late,
    /// Weights of the device types.
    pub device_type: DeviceType,
    /// Weights of the payment methods.
    pub payment_method: PaymentMethod,
    /// Weights of the shipping methods.
    pub shipping_method: ShippingMethod,
}

/// Weights of the event types.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // the names are those of the contract
pub struct Share {
    pub purchase: f64,
    pub search: f64,
    pub order_complete: f64,
    pub order_failed: f64,
    pub error: f64,
}

impl Share {
    /// The weight of one type.
    pub fn of(&self, event_type: EventType) -> f64 {
        match event_type {
            EventType::Purchase => self.purchase,
            EventType::Search => self.search,
            EventType::OrderComplete => self.order_complete,
            EventType::OrderFailed => self.order_failed,
            EventType::Error => self.error,
        }
    }
}

/// Users or products.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// How many are made, when `file` is empty.
    pub count: u32,
    /// A file like data/users.json or data/products.json, or nothing.
    pub file: PathBuf,
    /// How much more the popular ones are chosen; 0: all alike.
    pub zipf_exponent: f64,
}

/// What users and products are made from.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    /// Another seed, other people and other goods.
    pub seed: u64,
}

/// What a visit looks like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Visit {
    /// Rounds of search, purchase, order in one visit, on average; at least 1.
    pub rounds_mean: f64,
    /// Share of the visits that only look around: they search, and buy nothing.
    pub browse_ratio: f64,
    /// From one event of a visit to the next, on average.
    pub pause_seconds_mean: f64,
    /// Share of the further tries at an order that come hours later.
    pub retry_later_ratio: f64,
    /// How much later, on average.
    pub retry_later_hours_mean: f64,
    /// Most lines of a basket.
    pub basket_lines_max: usize,
    /// Most of one product in a basket.
    pub quantity_max: u32,
}

/// The simulated clock.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Events in a simulated second, averaged over a day.
    pub events_per_second: f64,
    /// How busy each hour of the day is.
    pub hours: [f64; 24],
}

/// How late the late ones are; spread evenly over the orders of magnitude between.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Late {
    pub minutes_min: f64,
    pub minutes_max: f64,
}

macro_rules! weights {
    ($(#[$doc:meta])* $name:ident { $($field:ident),+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[allow(missing_docs)]
        pub struct $name { $(pub $field: f64),+ }

        impl $name {
            /// The names on the wire, in the order of [`Self::weights`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];

            /// The weight of each name.
            pub fn weights(&self) -> Vec<f64> {
                vec![$(self.$field),+]
            }
        }
    };
}

weights!(
    /// Weights of the device types.
    DeviceType { desktop, mobile, tablet }
);
weights!(
    /// Weights of the payment methods.
    PaymentMethod { credit_card, paypal, bank_transfer }
);
weights!(
    /// Weights of the shipping methods.
    ShippingMethod { standard, express, pickup }
);

impl Config {
    /// The defaults, and over them what `path` says.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Config> {
        let Some(path) = path else {
            return Config::over_defaults("").context("the defaults in produce.toml");
        };
        let text = std::fs::read_to_string(path).with_context(|| {
            PersonNeeded(format!(
                "cannot read the configuration file {}",
                path.display()
            ))
        })?;
        Config::over_defaults(&text).with_context(|| {
            PersonNeeded(format!("mend the configuration file {}", path.display()))
        })
    }

    /// The defaults, and over them `text`.
    pub fn over_defaults(text: &str) -> anyhow::Result<Config> {
        let mut table: Table = DEFAULTS.parse()?;
        merge(&mut table, text.parse()?);
        let config: Config = Value::Table(table).try_into()?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        let shares: Vec<f64> = EventType::ALL.map(|kind| self.share.of(kind)).into();
        check_weights("share", &shares)?;
        check_weights("clock.hours", &self.clock.hours)?;
        check_weights("device_type", &self.device_type.weights())?;
        check_weights("payment_method", &self.payment_method.weights())?;
        check_weights("shipping_method", &self.shipping_method.weights())?;
        let visit = &self.visit;
        for (name, value, least, most) in [
            ("users.count", f64::from(self.users.count), 1.0, 1e7),
            ("users.zipf_exponent", self.users.zipf_exponent, 0.0, 10.0),
            ("products.count", f64::from(self.products.count), 1.0, 1e7),
            (
                "products.zipf_exponent",
                self.products.zipf_exponent,
                0.0,
                10.0,
            ),
            ("visit.rounds_mean", visit.rounds_mean, 1.0, 100.0),
            ("visit.browse_ratio", visit.browse_ratio, 0.0, 0.99),
            (
                "visit.pause_seconds_mean",
                visit.pause_seconds_mean,
                0.001,
                86_400.0,
            ),
            ("visit.retry_later_ratio", visit.retry_later_ratio, 0.0, 1.0),
            (
                "visit.retry_later_hours_mean",
                visit.retry_later_hours_mean,
                0.0,
                24.0,
            ),
            (
                "visit.basket_lines_max",
                visit.basket_lines_max as f64,
                1.0,
                10_000.0,
            ),
            (
                "visit.quantity_max",
                f64::from(visit.quantity_max),
                1.0,
                1000.0,
            ),
            (
                "clock.events_per_second",
                self.clock.events_per_second,
                1e-6,
                1e6,
            ),
            (
                "late.minutes_min",
                self.late.minutes_min,
                0.0,
                self.late.minutes_max,
            ),
            ("late.minutes_max", self.late.minutes_max, 0.0, 525_600.0),
        ] {
            if !(least..=most).contains(&value) {
                return Err(person_needed(format!(
                    "{name} = {value} is not between {least} and {most}"
                )));
            }
        }
        Ok(())
    }
}

fn check_weights(name: &str, weights: &[f64]) -> anyhow::Result<()> {
    let sound = weights.iter().all(|weight| (0.0..=1e9).contains(weight));
    if !sound || weights.iter().sum::<f64>() < 1e-9 {
        return Err(person_needed(format!(
            "the weights of {name} must be between 0 and 1e9, and not all 0"
        )));
    }
    Ok(())
}

/// Puts `upper` over `lower`, table by table.
fn merge(lower: &mut Table, upper: Table) {
    for (key, value) in upper {
        match (lower.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => {
                lower.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_only_what_differs() {
        let config = Config::over_defaults("[share]\nerror = 0\n").expect("a configuration");
        assert_eq!(config.share.error, 0.0);
        assert_eq!(config.share.purchase, 25.0);
    }

    #[test]
    fn unknown_keys_and_senseless_values_are_refused_by_name() {
        for (text, named) in [
            ("[share]\nrefund = 5\n", "refund"),
            ("[colour]\n", "colour"),
            ("[share]\nerror = -1\n", "share"),
            ("[clock]\nhours = [1, 2]\n", "hours"),
            ("[visit]\nquantity_max = 0\n", "visit.quantity_max"),
            ("[visit]\nbrowse_ratio = 1\n", "visit.browse_ratio"),
            ("[users]\ncount = 0\n", "users.count"),
            ("nonsense", "nonsense"),
        ] {
            let failure = Config::over_defaults(text).expect_err(text);
            assert!(format!("{failure:#}").contains(named), "{failure:#}");
        }
    }
}
