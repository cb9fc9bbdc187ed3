//! Upkeep, for once a day. PostgreSQL: verdicts that newer ones replaced go, statistics are brought up
//! to date, and tables that carry dead rows are named. HDFS: old small raw files are packed.
//!
//! Promises: nothing that a later run reads is deleted. The role may do nothing but call the two
//! functions that do it. Does not vacuum: that is autovacuum's, and only owners, who do not log
//! in, may ask for it.

mod compaction;
mod options;
mod prune;
mod run;
mod tables;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    frame::run::<Options, _>("maintain", run::run)
}
