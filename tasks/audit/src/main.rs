//! `audit`: compares Kafka, the raw files, PostgreSQL, Cassandra and the star, record by record.
//!
//! The raw file is the unit, and its records are the truth: they say what every store must hold.
//! A difference is either explained (expired, not loaded yet, a gap that was accepted) or named, with
//! store, partition and offsets, and then a person is needed. Nothing is changed anywhere but in
//! `ops.audit`, where the verdicts are appended.

mod book;
mod canonical;
mod chain_files;
mod examine;
mod expect;
mod kafka;
mod log_rows;
mod minutes;
mod options;
mod ranges;
mod raw_rows;
mod run;
mod star;
mod table;
mod verdict;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    frame::run::<Options, _>("audit", run::run)
}
