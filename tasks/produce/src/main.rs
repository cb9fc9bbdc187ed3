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

/// Records are made by one thread and freed by another, which costs glibc's allocator more. How soon it gives memory
/// back is set when it is compiled: see `JEMALLOC_SYS_WITH_MALLOC_CONF` in the dockerfile.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    frame::run("produce", stream::run)
}
