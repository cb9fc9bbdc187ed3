//! Changes on request: other prices and stocks for a share of the products.
//!
//! New values follow from the seed and from the row in the file, never from what the warehouse
//! holds, so that the same change made twice is made once.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::rows::Product;

/// Another price and another stock.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Price, with two digits.
    pub price: f64,
    /// Stock.
    pub stock: i32,
}

/// The changes to a `ratio` of the products, by their identifiers.
pub fn draw(products: &[Product], ratio: f64, seed: u64) -> BTreeMap<&str, Change> {
    let mut lots: Vec<(u64, &Product)> = products
        .iter()
        .map(|product| {
            let lot = xxh3_64_with_seed(product.product_id.as_bytes(), seed);
            (lot, product)
        })
        .collect();
    lots.sort_by_key(|(lot, product)| (*lot, &product.product_id));
    lots.truncate((products.len() as f64 * ratio).round() as usize);
    lots.into_iter()
        .map(|(lot, product)| (product.product_id.as_str(), change(lot, product)))
        .collect()
}

fn change(lot: u64, product: &Product) -> Change {
    // who is drawn first has a small lot, so that the values need another throw
    let throw = xxh3_64_with_seed(&lot.to_le_bytes(), 1);
    let cents = (product.price * 100.0).round();
    // from 80 % to 120 %, and never the same
    let factor = 0.8 + (throw % 401) as f64 / 1000.0;
    let mut changed = (cents * factor).round();
    if changed == cents {
        changed += 1.0;
    }
    Change {
        price: changed / 100.0,
        stock: (throw >> 32) as i32 & 511,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn products() -> Vec<Product> {
        (0..1000)
            .map(|number| Product {
                product_id: format!("prod_{number:05}"),
                name: String::new(),
                category: String::new(),
                subcategory: String::new(),
                price: f64::from(number) / 7.0,
                brand: String::new(),
                description: String::new(),
                stock: 1,
                rating: 1.0,
                date_added: String::new(),
                weight: String::new(),
            })
            .collect()
    }

    #[test]
    fn a_seed_changes_its_share_and_always_to_the_same() {
        let products = products();
        let changes = draw(&products, 0.05, 7);
        assert_eq!(changes.len(), 50);
        assert_eq!(changes, draw(&products, 0.05, 7));
        assert_ne!(changes, draw(&products, 0.05, 8));
        assert_eq!(draw(&products, 0.0, 7).len(), 0);
        assert_eq!(draw(&products, 1.0, 7).len(), 1000);
    }

    #[test]
    fn a_change_is_one_and_stays_sound() {
        let products = products();
        for (id, change) in draw(&products, 1.0, 3) {
            let product = products.iter().find(|product| product.product_id == id);
            let price = product.expect("a product").price;
            assert_ne!(change.price, (price * 100.0).round() / 100.0);
            assert!(change.price >= 0.0 && change.stock >= 0);
            assert!(change.price <= price * 1.21 + 0.02);
        }
    }
}
