//! The command line of `load`.

use chain::HdfsOptions;
use clap::Parser;

/// Loads raw files from HDFS into PostgreSQL: every file that the ledger does not hold yet, each
/// exactly once.
///
/// A file that cannot be read is quarantined in the ledger, the others load, and the run ends
/// with 2. The last line on stdout is a JSON summary.
/// Exit codes: 0 done; 1 failed, try again; 2 a person is needed, the last line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    #[command(flatten)]
    pub hdfs: HdfsOptions,

    #[command(flatten)]
    pub warehouse: warehouse::Options,

    /// Topic whose raw files are loaded
    #[arg(long, env = "KAFKA_TOPIC", default_value = "LogEvents")]
    pub kafka_topic: String,

    /// Try quarantined files again: after they were mended or restored
    #[arg(long, env = "LOAD_RETRY_QUARANTINED")]
    pub retry_quarantined: bool,
}
