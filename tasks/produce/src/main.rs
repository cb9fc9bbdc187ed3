//! `produce`: plays a shop and logs what happens in it. See `produce --help`.

mod catalog;
mod config;
mod damage;
mod goods;
mod kafka;
mod noise;
mod options;
mod pace;
mod payload;
mod places;
mod pool;
mod rhythm;
mod sink;
mod stream;
mod totals;
mod traffic;
mod visit;

use std::process::ExitCode;

fn main() -> ExitCode {
    frame::run("produce", stream::run)
}
