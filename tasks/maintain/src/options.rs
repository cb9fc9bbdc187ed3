//! The command line of `maintain`.

use clap::Parser;

/// Upkeep of PostgreSQL: deletes verdicts of audit that newer ones have replaced, brings statistics
/// and block-range indexes of raw and ops up to date, and names tables that carry dead rows.
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

    /// Say what would be deleted, and change nothing
    #[arg(long, env = "MAINTAIN_DRY_RUN")]
    pub dry_run: bool,

    #[command(flatten)]
    pub warehouse: warehouse::Options,
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
