//! The command line of `load`.

use chain::{HdfsOptions, Selection};
use clap::Parser;
use event::Reason;

/// Loads raw files from HDFS into PostgreSQL: every file that the ledger does not hold yet, each
/// exactly once.
///
/// A file that cannot be read is quarantined in the ledger, the others load, and the run ends
/// with 2. With --partition, --from-offset, --to-offset, --since or --until only files that hold
/// such records are loaded, quarantined ones too; with --reload as well, they are loaded anew.
/// --replay-rejects loads no files: it parses rejects again. The last line on stdout is a JSON
/// summary.
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

    #[command(flatten)]
    pub selection: Selection,

    /// Files loaded side by side, each on a connection of its own to PostgreSQL
    #[arg(
        long,
        env = "LOAD_CONNECTIONS",
        default_value_t = 2,
        value_parser = clap::value_parser!(u8).range(1..)
    )]
    pub connections: u8,

    /// Try quarantined files again: after they were mended or restored
    #[arg(long, env = "LOAD_RETRY_QUARANTINED")]
    pub retry_quarantined: bool,

    /// Load the selected files anew, each in one transaction: its rows are replaced, under a new
    /// load_id, so that dbt builds them again. Needs --partition, --since or --until
    #[arg(long, env = "LOAD_RELOAD")]
    pub reload: bool,

    /// Parse the rejects in raw.reject again, with the parser of this version: what is an event
    /// now becomes a row of raw.log_event. The selection is of records here, not of whole files
    #[arg(long, env = "LOAD_REPLAY_REJECTS", conflicts_with_all = ["reload", "retry_quarantined"])]
    pub replay_rejects: bool,

    /// With --replay-rejects: only rejects of this reason; may be given more than once (in the
    /// environment: separated by commas). None: all
    #[arg(
        long = "reason",
        env = "LOAD_REASON",
        value_name = "REASON",
        value_delimiter = ',',
        requires = "replay_rejects",
        value_parser = reason
    )]
    pub reasons: Vec<Reason>,
}

fn reason(name: &str) -> Result<Reason, String> {
    Reason::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        format!("one of {}", names.join(", "))
    })
}
