//! The command line of `catalog`.

use std::path::PathBuf;

use clap::Parser;

/// Brings users.json and products.json into PostgreSQL (raw.user_profile, raw.product).
///
/// A row is written when it is new, or when its row in the file is not the one that was written
/// last; running it again changes nothing. Rows that the file no longer has stay. Users and products
/// are one transaction each; a file with a single bad row is not loaded at all.
///
/// The last line on stdout is a JSON summary. Exit codes: 0 done; 1 failed, try again; 2 a person is
/// needed, the last line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    /// Users: a JSON array of objects with the columns of dim_user
    #[arg(
        long,
        env = "CATALOG_USERS",
        value_name = "FILE",
        default_value = "/data/users.json"
    )]
    pub users: PathBuf,

    /// Products: a JSON array of objects with the columns of dim_product
    #[arg(
        long,
        env = "CATALOG_PRODUCTS",
        value_name = "FILE",
        default_value = "/data/products.json"
    )]
    pub products: PathBuf,

    /// Give this share of the products another price and stock, to have a history to look at. The
    /// changes stay until the product's row in the file changes
    #[arg(long, env = "CATALOG_CHANGE_RATIO", value_name = "SHARE", default_value_t = 0.0, value_parser = ratio)]
    pub change_ratio: f64,

    /// Which products change, and to what: the same seed changes the same ones to the same values,
    /// so that a second try changes nothing more [default: the number of today's date, as 20260131]
    #[arg(long, env = "CATALOG_CHANGE_SEED", value_name = "SEED")]
    pub change_seed: Option<u64>,

    #[command(flatten)]
    pub warehouse: warehouse::Options,
}

fn ratio(text: &str) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|share| (0.0..=1.0).contains(share))
        .ok_or_else(|| "give a number between 0 and 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
