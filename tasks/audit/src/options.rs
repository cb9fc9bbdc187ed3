//! The command line of `audit`.

use broker::KafkaOptions;
use chain::HdfsOptions;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Parser, ValueEnum};

use crate::verdict::Store;

/// Compares Kafka, the raw files on HDFS, PostgreSQL, Cassandra and the star: each record of the
/// chain must be in every store once, and no store may hold more.
///
/// Takes each raw file that was not found clean before; says per partition and in total what each
/// store holds, appends the verdicts to ops.audit, and names every difference that nothing explains.
/// The last line on stdout is a JSON summary.
/// Exit codes: 0 every difference is explained; 1 failed, try again; 2 a person is needed, the last
/// line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    #[command(flatten)]
    pub kafka: KafkaOptions,

    #[command(flatten)]
    pub hdfs: HdfsOptions,

    #[command(flatten)]
    pub warehouse: warehouse::Options,

    /// PostgreSQL role to log in as, whatever user POSTGRES_URL names
    #[arg(long, env = "AUDIT_POSTGRES_USER", default_value = "auditor")]
    pub postgres_user: String,

    #[command(flatten)]
    pub cassandra: cassandra::Options,

    /// Consumer group of stream: its offsets say what must be in Cassandra by now
    #[arg(long, env = "STREAM_GROUP", default_value = "stream")]
    pub group: String,

    /// Stores to compare with the raw files; what is left out is said to be not asked
    #[arg(
        long,
        env = "AUDIT_STORES",
        value_enum,
        value_delimiter = ',',
        default_value = "kafka,postgres,cassandra,star"
    )]
    pub stores: Vec<Asked>,

    /// Audit the whole history, what was found clean before too, and the counts by the minute
    #[arg(long, env = "AUDIT_FULL", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        default_value_t = false, default_missing_value = "true")]
    pub full: bool,

    /// Note the differences of this run as accepted: ops.audit keeps them, and later runs no longer
    /// fail for them
    #[arg(long, env = "AUDIT_ACCEPT", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        default_value_t = false, default_missing_value = "true")]
    pub accept: bool,
}

/// A store that can be left out. The raw files cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Asked {
    /// Records that Kafka still holds
    Kafka,
    /// Rows of raw.log_event and raw.reject
    Postgres,
    /// Rows of ecomm_log and rejected_log
    Cassandra,
    /// Rows of marts.fact_event
    Star,
}

impl Options {
    /// Whether a store is to be compared.
    pub fn asks(&self, store: Store) -> bool {
        let asked = match store {
            Store::Chain => return true,
            Store::Kafka => Asked::Kafka,
            Store::Postgres => Asked::Postgres,
            Store::Cassandra | Store::Minutes => Asked::Cassandra,
            Store::Star => Asked::Star,
        };
        self.stores.contains(&asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_may_have_a_value_as_a_form_writes_it() {
        let full = |words: &[&str]| Options::parse_from(words).full;
        assert!(!full(&["audit"]));
        assert!(full(&["audit", "--full"]));
        assert!(full(&["audit", "--full=True"]));
        assert!(!full(&["audit", "--full=False"]));
    }

    #[test]
    fn the_raw_files_cannot_be_left_out() {
        let options = Options::parse_from(["audit", "--stores", "star"]);
        assert!(options.asks(Store::Chain) && options.asks(Store::Star));
        assert!(!options.asks(Store::Kafka) && !options.asks(Store::Minutes));
    }
}
