//! The rows of both files, and what each must keep.

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The longest identifier, as in the event contract.
const LONGEST_ID: usize = 128;

/// A row of one of the files.
pub trait Row: DeserializeOwned {
    /// The table it goes to.
    const TABLE: &'static str;
    /// The columns of the file, the identifier first.
    const COLUMNS: &'static [&'static str];

    /// The value of each column, in that order, as PostgreSQL reads it.
    fn values(&self) -> Vec<Cow<'_, str>>;

    /// What is wrong with the row, if something is.
    fn fault(&self) -> Option<String>;

    /// The identifier.
    fn id(&self) -> &str;
}

/// A user.
#[derive(Debug, Clone, Deserialize)]
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

impl Row for User {
    const TABLE: &'static str = "raw.user_profile";
    const COLUMNS: &'static [&'static str] = &[
        "user_id",
        "username",
        "email",
        "full_name",
        "first_name",
        "last_name",
        "sex",
        "age",
        "country",
        "city",
        "signup_date",
    ];

    fn values(&self) -> Vec<Cow<'_, str>> {
        vec![
            (&self.user_id).into(),
            (&self.username).into(),
            (&self.email).into(),
            (&self.full_name).into(),
            (&self.first_name).into(),
            (&self.last_name).into(),
            (&self.sex).into(),
            self.age.to_string().into(),
            (&self.country).into(),
            (&self.city).into(),
            (&self.signup_date).into(),
        ]
    }

    fn fault(&self) -> Option<String> {
        fault_of_id(&self.user_id)
            .or_else(|| fault_of_date("signup_date", &self.signup_date))
            .or_else(|| (!(0..=150).contains(&self.age)).then(|| format!("age is {}", self.age)))
    }

    fn id(&self) -> &str {
        &self.user_id
    }
}

/// A product.
#[derive(Debug, Clone, Deserialize)]
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

impl Row for Product {
    const TABLE: &'static str = "raw.product";
    const COLUMNS: &'static [&'static str] = &[
        "product_id",
        "name",
        "category",
        "subcategory",
        "price",
        "brand",
        "description",
        "stock",
        "rating",
        "date_added",
        "weight",
    ];

    fn values(&self) -> Vec<Cow<'_, str>> {
        vec![
            (&self.product_id).into(),
            (&self.name).into(),
            (&self.category).into(),
            (&self.subcategory).into(),
            self.price.to_string().into(),
            (&self.brand).into(),
            (&self.description).into(),
            self.stock.to_string().into(),
            self.rating.to_string().into(),
            (&self.date_added).into(),
            (&self.weight).into(),
        ]
    }

    fn fault(&self) -> Option<String> {
        fault_of_id(&self.product_id)
            .or_else(|| fault_of_date("date_added", &self.date_added))
            .or_else(|| fault_of_number("price", self.price))
            .or_else(|| fault_of_number("rating", self.rating))
            .or_else(|| (self.stock < 0).then(|| format!("stock is {}", self.stock)))
    }

    fn id(&self) -> &str {
        &self.product_id
    }
}

fn fault_of_id(id: &str) -> Option<String> {
    if id.is_empty() {
        return Some("its identifier is empty".to_owned());
    }
    let length = id.chars().count();
    (length > LONGEST_ID)
        .then(|| format!("its identifier has {length} characters, more than {LONGEST_ID}"))
}

fn fault_of_date(column: &str, text: &str) -> Option<String> {
    // chrono also reads dates without leading zeros, which is not what the file should have
    let date = text.len() == 10 && text.parse::<NaiveDate>().is_ok();
    (!date).then(|| format!("{column} is {text:?}, not a date like 2026-01-31"))
}

fn fault_of_number(column: &str, number: f64) -> Option<String> {
    (!(0.0..=1e12).contains(&number)).then(|| format!("{column} is {number}"))
}
