//! The command line of `maintain`.

use std::time::Duration;

use chain::{HdfsOptions, Rules};
use clap::{ArgAction, Parser};

/// Upkeep. PostgreSQL: deletes verdicts of audit that newer ones have replaced, brings statistics and
/// block-range indexes of raw and ops up to date, and names tables that carry dead rows. HDFS: packs old
/// small raw files into larger ones, each as it is, so that the NameNode has fewer to keep and list.
///
/// It may run at any time, beside everything else. The last line on stdout is a JSON summary.
/// Exit codes: 0 done; 1 failed, try again; 2 a person is needed, the last line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    /// Keep verdicts for so many days, even where a newer one has replaced them. The newest verdict
    /// on each raw file and store stays whatever its age
    #[arg(
        long,
        env = "MAINTAIN_KEEP_AUDIT_DAYS",
        value_name = "DAYS",
        default_value_t = 90,
        value_parser = clap::value_parser!(i32).range(7..=36_500)
    )]
    pub keep_audit_days: i32,

    /// Pack raw files
    #[arg(
        long,
        env = "MAINTAIN_COMPACT",
        value_name = "true|false",
        default_value_t = true,
        action = ArgAction::Set
    )]
    pub compact: bool,

    /// Topic whose raw files are packed
    #[arg(long, env = "KAFKA_TOPIC", default_value = "LogEvents")]
    pub kafka_topic: String,

    /// Pack raw files that were written so many days ago
    #[arg(
        long,
        env = "MAINTAIN_COMPACT_AFTER_DAYS",
        value_name = "DAYS",
        default_value_t = 7,
        value_parser = clap::value_parser!(u64).range(3..=36_500)
    )]
    pub compact_after_days: u64,

    /// Pack raw files that are smaller than this, in MiB
    #[arg(
        long,
        env = "MAINTAIN_COMPACT_BELOW_MIB",
        value_name = "MIB",
        default_value_t = 32,
        value_parser = clap::value_parser!(u64).range(1..=1_024)
    )]
    pub compact_below_mib: u64,

    /// Largest pack, in MiB: the size of an HDFS block. Half as much again is held in memory
    #[arg(
        long,
        env = "MAINTAIN_PACK_MIB",
        value_name = "MIB",
        default_value_t = 128,
        value_parser = clap::value_parser!(u64).range(1..=1_024)
    )]
    pub pack_mib: u64,

    /// Files that a pack has at least, unless it has its size with fewer
    #[arg(
        long,
        env = "MAINTAIN_PACK_FILES",
        value_name = "COUNT",
        default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(2..=4_096)
    )]
    pub pack_files: u32,

    /// Say what would be deleted and packed, and change nothing
    #[arg(long, env = "MAINTAIN_DRY_RUN")]
    pub dry_run: bool,

    #[command(flatten)]
    pub warehouse: warehouse::Options,

    #[command(flatten)]
    pub hdfs: HdfsOptions,
}

impl Options {
    /// Which raw files are packed.
    pub fn rules(&self, now_millis: u64) -> Rules {
        Rules {
            now_millis,
            older_than: Duration::from_secs(self.compact_after_days * 24 * 3_600),
            small_bytes: self.compact_below_mib << 20,
            pack_bytes: self.pack_mib << 20,
            least_files: self.pack_files as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_kept_for_a_week_at_least() {
        for (days, is_taken) in [("6", false), ("7", true), ("-1", false), ("x", false)] {
            let options = Options::try_parse_from(["maintain", "--keep-audit-days", days]);
            assert_eq!(options.is_ok(), is_taken, "{days}");
        }
    }
}
