//! `catalog`: brings users and products into the warehouse. See `catalog --help`.

mod change;
mod options;
mod rows;
mod source;
mod sync;
mod upsert;

use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run("catalog", sync::run)
}
