//! `stream`: Kafka to Cassandra, seconds behind.
//!
//! The order of things, for each Kafka partition: poll, parse, batch by Cassandra partition, write,
//! and only when Cassandra has acknowledged every row below an offset, commit that offset. A run
//! that was killed repeats what came after its last commit, and repeating changes nothing: keys,
//! values and write timestamps all come from the Kafka record.
//!
//! It promises no row lost and none counted twice; it does not promise the order in which rows
//! become visible.

mod assignment;
mod encode;
mod from_chain;
mod lag;
mod options;
mod partition;
mod resume;
mod rollup;
mod run;
mod status;
mod tables;
mod tracker;
mod window;
mod writer;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    frame::run::<Options, _>("stream", run::run)
}
