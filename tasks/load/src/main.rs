//! HDFS raw files to PostgreSQL, only new files, exactly once.
//!
//! A file is loaded in one transaction: its row in the ledger, its events, its rejects. The
//! ledger's key is the file's place in the chain, so a file that is there already is skipped, and
//! of two runs at one file the second waits for the first and then skips it.
//!
//! Rejects that a later parser takes move to the events in the same way, a file at a time.

mod copy;
mod ledger;
mod load_file;
mod options;
mod pending;
mod replay;
mod run;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    frame::run::<Options, _>("load", run::run)
}
