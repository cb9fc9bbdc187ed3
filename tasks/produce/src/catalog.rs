//! Users and products made from a seed: the rows of data/users.json and data/products.json.
//!
//! Row N is the same whatever the number of rows, so a larger pool begins with the smaller one.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use chrono::{Days, NaiveDate};
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::Distribution;
use rand_distr::weighted::WeightedAliasIndex;
use serde::Serialize;

use crate::goods::{BRANDS, COLOURS, QUALITIES, SHELVES};
use crate::places::PLACES;

/// A row of users.json: the columns of dim_user.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // the columns say it
pub struct User {
    pub user_id: String,
    pub username: String,
    pub email: String,
    pub full_name: String,
    pub first_name: String,
    pub last_name: String,
    pub sex: String,
    pub age: i32,
    pub country: String,
    pub city: String,
    pub signup_date: String,
}

/// A row of products.json: the columns of dim_product.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)]
pub struct Product {
    pub product_id: String,
    pub name: String,
    pub category: String,
    pub subcategory: String,
    pub price: f64,
    pub brand: String,
    pub description: String,
    pub stock: i32,
    pub rating: f64,
    pub date_added: String,
    pub weight: String,
}

/// The day on which the catalog was drawn up: nobody signed up and nothing was added after it.
const DRAWN_UP: NaiveDate = NaiveDate::from_ymd_opt(2026, 1, 1).expect("a date");

/// `count` users.
pub fn users(seed: u64, count: u32) -> anyhow::Result<Vec<User>> {
    let countries = WeightedAliasIndex::new(PLACES.iter().map(|place| place.weight).collect())?;
    Ok((1..=count)
        .map(|number| user(&mut row_rng(seed, 0, number), &countries, number))
        .collect())
}

fn user(rng: &mut ChaCha8Rng, countries: &WeightedAliasIndex<f64>, number: u32) -> User {
    let place = &PLACES[countries.sample(rng)];
    let sex = rng.random_range(0..2);
    let first_name = pick(place.first_names[sex], rng);
    let last_name = pick(place.last_names, rng);
    let (city, _) = pick(place.cities, rng);
    let username = format!("{}.{}{number}", ascii(first_name), ascii(last_name));
    let host = pick(&["example.com", "example.org", "example.net"], rng);
    // two throws: more people in the middle than at the ends
    let age = 18 + rng.random_range(0..=31) + rng.random_range(0..=31);
    User {
        user_id: format!("user_{number}"),
        email: format!("{username}@{host}"),
        username,
        full_name: format!("{first_name} {last_name}"),
        first_name: first_name.to_owned(),
        last_name: last_name.to_owned(),
        sex: ["female", "male"][sex].to_owned(),
        age,
        country: place.country.to_owned(),
        city: city.to_owned(),
        signup_date: days_before(rng.random_range(1..=2000)),
    }
}

/// `count` products.
pub fn products(seed: u64, count: u32) -> Vec<Product> {
    (1..=count)
        .map(|number| product(&mut row_rng(seed, 1, number), number))
        .collect()
}

fn product(rng: &mut ChaCha8Rng, number: u32) -> Product {
    let shelf = &SHELVES[rng.random_range(0..SHELVES.len())];
    let thing = pick(shelf.things, rng);
    let quality = pick(QUALITIES, rng);
    let colour = pick(COLOURS, rng);
    let brand = pick(BRANDS, rng);
    let (cheapest, dearest) = shelf.price_cents;
    // prices end in 99 or 49, and cheap things outnumber dear ones
    let price_cents = between(rng, cheapest, dearest) / 50 * 50 + 49;
    let (lightest, heaviest) = shelf.weight_grams;
    let weight_grams = between(rng, lightest, heaviest) / 10 * 10 + 10;
    let rating_tenths = 50 - rng.random_range(0..=12) - rng.random_range(0..=12);
    Product {
        product_id: product_id(number),
        name: format!("{brand} {quality} {thing}"),
        category: shelf.category.to_owned(),
        subcategory: shelf.subcategory.to_owned(),
        price: f64::from(price_cents) / 100.0,
        brand: brand.to_owned(),
        description: format!("{quality} {} in {colour} by {brand}.", thing.to_lowercase()),
        stock: rng.random_range(0..=500),
        rating: f64::from(rating_tenths) / 10.0,
        date_added: days_before(rng.random_range(1..=1500)),
        weight: format!("{}.{:02} kg", weight_grams / 1000, weight_grams % 1000 / 10),
    }
}

/// The name of product `number`.
pub fn product_id(number: u32) -> String {
    format!("prod_{number:05}")
}

/// The date so many days before the catalog was drawn up.
fn days_before(days: u64) -> String {
    (DRAWN_UP - Days::new(days)).to_string()
}

/// A generator of its own for each row, so that no row depends on those before it.
fn row_rng(seed: u64, table: u64, number: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(table << 32 | u64::from(number));
    rng
}

fn pick<Thing: Copy>(things: &[Thing], rng: &mut impl Rng) -> Thing {
    *things.choose(rng).expect("the tables have no empty lists")
}

/// Evenly over the orders of magnitude between `least` and `most`.
fn between(rng: &mut impl Rng, least: u32, most: u32) -> u32 {
    let (least, most) = (f64::from(least), f64::from(most));
    (least * (most / least).powf(rng.random::<f64>())) as u32
}

/// A name in the small letters of an e-mail address.
fn ascii(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    for letter in name.to_lowercase().chars() {
        match letter {
            'a'..='z' => plain.push(letter),
            'ä' => plain.push_str("ae"),
            'ö' => plain.push_str("oe"),
            'ü' => plain.push_str("ue"),
            'á' | 'ã' | 'à' | 'ą' => plain.push('a'),
            'ç' | 'ć' => plain.push('c'),
            'é' | 'è' | 'ê' => plain.push('e'),
            'í' => plain.push('i'),
            'ł' => plain.push('l'),
            'ñ' | 'ń' => plain.push('n'),
            'ó' | 'ò' | 'ô' => plain.push('o'),
            'ú' => plain.push('u'),
            _ => {}
        }
    }
    plain
}

/// Writes users.json and products.json into `folder`.
pub fn write(folder: &Path, users: &[User], products: &[Product]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    write_rows(&folder.join("users.json"), users)?;
    write_rows(&folder.join("products.json"), products)
}

/// One JSON array, one row a line, so that a change of a row is a change of a line.
fn write_rows(path: &Path, rows: &[impl Serialize]) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let mut file = BufWriter::new(fs::File::create(path)?);
        for (index, row) in rows.iter().enumerate() {
            file.write_all(if index == 0 { b"[\n" } else { b",\n" })?;
            serde_json::to_writer(&mut file, row)?;
        }
        file.write_all(b"\n]\n")?;
        Ok(file.flush()?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn rows_do_not_depend_on_how_many_there_are() {
        let few = serde_json::to_string(&products(1, 10)).expect("JSON");
        let many = serde_json::to_string(&products(1, 50)[..10]).expect("JSON");
        assert_eq!(few, many);
        let other = serde_json::to_string(&products(2, 10)).expect("JSON");
        assert_ne!(few, other);
    }

    #[test]
    fn the_catalog_is_sound() {
        let users = users(1, 2000).expect("users");
        let ids: HashSet<&str> = users.iter().map(|user| user.user_id.as_str()).collect();
        let mails: HashSet<&str> = users.iter().map(|user| user.email.as_str()).collect();
        assert_eq!((ids.len(), mails.len()), (2000, 2000));
        assert!(
            users
                .iter()
                .all(|user| user.email.is_ascii() && (18..=80).contains(&user.age))
        );
        for product in products(1, 10_000) {
            assert!(
                product.price >= 2.99 && product.price < 2000.0,
                "{product:?}"
            );
            assert!((2.6..=5.0).contains(&product.rating), "{product:?}");
            assert!(product.weight.ends_with(" kg") && product.stock >= 0);
        }
    }

    #[test]
    fn the_committed_files_are_what_the_defaults_make() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data");
        if !data.exists() {
            // an image builds from the sources alone
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        write(
            folder.path(),
            &users(1, 2000).expect("users"),
            &products(1, 10_000),
        )
        .expect("files");
        for name in ["users.json", "products.json"] {
            let made = fs::read(folder.path().join(name)).expect("a file");
            let kept = fs::read(data.join(name)).expect("a file");
            assert!(
                made == kept,
                "data/{name} is not what `produce --write-catalog data` writes"
            );
        }
    }
}
