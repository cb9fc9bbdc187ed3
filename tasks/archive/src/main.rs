//! Kafka to HDFS raw files, exactly once.
//!
//! For every partition: read the end of its chain, take records from there on, write them as a
//! raw file, append the file to the chain. The chain is the only memory: a killed run leaves
//! nothing to clean up, and two runs at once do not write a record twice.

mod assignment;
mod batch;
mod inspect;
mod options;
mod resume;
mod run;

use std::process::ExitCode;

use chain::Hdfs;
use options::Options;

/// Gives memory back that a file has held, where glibc keeps most of it. How soon is set when it is compiled: see
/// `JEMALLOC_SYS_WITH_MALLOC_CONF` in the dockerfile.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    frame::run::<Options, _>("archive", |options, stop| {
        let hdfs = Hdfs::connect(&options.hdfs, stop)?;
        if options.inspect {
            inspect::inspect(options, &hdfs)
        } else {
            run::run(options, hdfs, stop)
        }
    })
}
