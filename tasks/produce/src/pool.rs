//! Users and products as events need them: popularity, and every piece of JSON written once.

use std::path::Path;

use anyhow::Context;
use event::LONGEST_ID;
use frame::{PersonNeeded, person_needed};
use rand::rngs::ChaCha8Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::catalog;
use crate::config::{self, Config, DeviceType};
use crate::places;

/// One user. What is named `json` is quoted and escaped.
#[derive(Debug)]
pub struct User {
    /// The key of the user's records.
    pub id: String,
    /// `"user_1"`
    pub id_json: String,
    /// `{"country":"DE","city":"Berlin"}`
    pub geo_json: String,
    /// `"Hauptstraße 5, 10115 Berlin, DE"`
    pub address_json: String,
    /// The device of most visits, as an index into [`DeviceType::NAMES`].
    pub device: usize,
}

/// One product.
#[derive(Debug)]
pub struct Product {
    /// `"prod_00001"`
    pub id_json: String,
    /// Price of one, in cents.
    pub price_cents: u64,
    /// What people type who end up at it.
    pub queries_json: Vec<String>,
    /// The filters they set.
    pub filters_json: Vec<String>,
}

/// Things of which some are chosen more often.
#[derive(Debug)]
pub struct Popular<Thing> {
    things: Vec<Thing>,
    popularity: WeightedAliasIndex<f64>,
}

impl<Thing> Popular<Thing> {
    /// Ranks are dealt out by `rng`: the first in the list is not the most popular.
    fn new(things: Vec<Thing>, exponent: f64, rng: &mut ChaCha8Rng) -> anyhow::Result<Self> {
        let mut weights: Vec<f64> = (1..=things.len())
            .map(|rank| (rank as f64).powf(-exponent))
            .collect();
        weights.shuffle(rng);
        Ok(Popular {
            popularity: WeightedAliasIndex::new(weights).context("no popularity to choose by")?,
            things,
        })
    }

    /// The index of one of them.
    pub fn choose(&self, rng: &mut impl Rng) -> usize {
        self.popularity.sample(rng)
    }

    /// The thing of that index.
    pub fn get(&self, index: usize) -> &Thing {
        &self.things[index]
    }
}

/// Who visits, and what is sold.
#[derive(Debug)]
pub struct Pools {
    /// Who visits.
    pub users: Popular<User>,
    /// What is sold.
    pub products: Popular<Product>,
}

/// The fields of users.json that events need.
#[derive(Deserialize)]
struct UserRow {
    user_id: String,
    country: String,
    city: String,
}

/// The fields of products.json that events need.
#[derive(Deserialize)]
struct ProductRow {
    product_id: String,
    name: String,
    category: String,
    brand: String,
    price: f64,
}

impl Pools {
    /// Made, or read from files, as the configuration says.
    pub fn new(config: &Config) -> anyhow::Result<Pools> {
        let seed = config.catalog.seed;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(u64::MAX);
        let devices = WeightedAliasIndex::new(config.device_type.weights())?;
        let users = user_rows(&config.users, seed)?
            .into_iter()
            .map(|row| user(row, &devices, &mut rng))
            .collect::<anyhow::Result<Vec<User>>>()?;
        let products = product_rows(&config.products, seed)?
            .into_iter()
            .map(product)
            .collect::<anyhow::Result<Vec<Product>>>()?;
        Ok(Pools {
            users: Popular::new(users, config.users.zipf_exponent, &mut rng)?,
            products: Popular::new(products, config.products.zipf_exponent, &mut rng)?,
        })
    }
}

fn user_rows(pool: &config::Pool, seed: u64) -> anyhow::Result<Vec<UserRow>> {
    if !pool.file.as_os_str().is_empty() {
        return read_rows(&pool.file);
    }
    let rows = catalog::users(seed, pool.count)?;
    Ok(rows
        .into_iter()
        .map(|row| UserRow {
            user_id: row.user_id,
            country: row.country,
            city: row.city,
        })
        .collect())
}

fn product_rows(pool: &config::Pool, seed: u64) -> anyhow::Result<Vec<ProductRow>> {
    if !pool.file.as_os_str().is_empty() {
        return read_rows(&pool.file);
    }
    Ok(catalog::products(seed, pool.count)
        .into_iter()
        .map(|row| ProductRow {
            product_id: row.product_id,
            name: row.name,
            category: row.category,
            brand: row.brand,
            price: row.price,
        })
        .collect())
}

fn read_rows<Row: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<Row>> {
    let text = std::fs::read(path)
        .with_context(|| PersonNeeded(format!("cannot read the pool file {}", path.display())))?;
    let rows: Vec<Row> = serde_json::from_slice(&text).with_context(|| {
        PersonNeeded(format!(
            "{} is not an array like the ones that `produce --write-catalog` writes",
            path.display()
        ))
    })?;
    if rows.is_empty() {
        return Err(person_needed(format!("{} is empty", path.display())));
    }
    Ok(rows)
}

fn user(
    row: UserRow,
    devices: &WeightedAliasIndex<f64>,
    rng: &mut ChaCha8Rng,
) -> anyhow::Result<User> {
    let id_json = quoted_id(&row.user_id)?;
    let number = rng.random_range(1..=199);
    let address = match places::of_country(&row.country) {
        Some(place) => {
            let street = place.streets.choose(rng).copied().unwrap_or_default();
            let post_code = place
                .cities
                .iter()
                .find(|(city, _)| *city == row.city)
                .map_or("00000", |(_, post_code)| post_code);
            place.address(street, number, post_code, &row.city)
        }
        None => format!("Main Street {number}, {}, {}", row.city, row.country),
    };
    Ok(User {
        id_json,
        geo_json: format!(
            r#"{{"country":{},"city":{}}}"#,
            quoted(&row.country),
            quoted(&row.city)
        ),
        address_json: quoted(&address),
        device: devices.sample(rng),
        id: row.user_id,
    })
}

fn product(row: ProductRow) -> anyhow::Result<Product> {
    let cents = row.price * 100.0;
    if !(0.0..=1e9).contains(&cents) {
        let (id, price) = (row.product_id, row.price);
        return Err(person_needed(format!("{id}: no price is {price}")));
    }
    // the last word of a name is the thing itself
    let thing = row
        .name
        .rsplit(' ')
        .next()
        .unwrap_or(&row.name)
        .to_lowercase();
    let limit = (row.price / 50.0).ceil() * 50.0;
    Ok(Product {
        id_json: quoted_id(&row.product_id)?,
        price_cents: cents.round() as u64,
        queries_json: [
            thing.clone(),
            row.name.to_lowercase(),
            format!("{} {thing}", row.brand.to_lowercase()),
            format!("best {thing} under {limit}"),
        ]
        .map(|query| quoted(&query))
        .into(),
        filters_json: vec![
            "{}".to_owned(),
            format!(r#"{{"category":{}}}"#, quoted(&row.category)),
            format!(r#"{{"brand":{},"price_max":{limit}}}"#, quoted(&row.brand)),
            format!(r#"{{"price_max":{limit},"in_stock":true}}"#),
        ],
    })
}

fn quoted_id(id: &str) -> anyhow::Result<String> {
    if id.is_empty() || id.chars().count() > LONGEST_ID || id.contains('\0') {
        return Err(person_needed(format!(
            "no identifier in a pool may be {id:?}"
        )));
    }
    Ok(quoted(id))
}

/// A JSON string.
fn quoted(text: &str) -> String {
    // U+0000 is refused by the contract
    serde_json::Value::from(text.replace('\0', " ")).to_string()
}

/// The name of a device.
pub fn device_name(device: usize) -> &'static str {
    DeviceType::NAMES[device]
}
