//! The command line of `produce`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use broker::KafkaOptions;
use chrono::{DateTime, NaiveDate, Utc};
use clap::Parser;

use crate::traffic::Millis;

/// Plays an online shop and sends its log to Kafka: visits in which users search, purchase, and
/// complete or fail an order.
///
/// With --start, the same --seed, --count, --history-days and --config make the same events, byte
/// for byte, however fast they are sent. With --history-days alone, events lie in the days before
/// now; with neither, each event carries the time at which it is sent.
///
/// The last line on stdout is a JSON summary: the totals over all distinct valid events (`events`,
/// `by_type`, `amount_cents`, `quantity`, `orders`), each counted once however often it was sent;
/// and over all records (`records`, `acked`, `failed`), repeated and malformed ones included. With
/// --stdout the summary is the last line on stderr instead.
///
/// Exit codes: 0 done; 1 failed, try again; 2 a person is needed, the last line says for what.
#[derive(Parser, Debug)]
#[command(version)]
pub struct Options {
    /// Send so many distinct valid events, then end. Repeated and malformed records come on top.
    /// Without it, send until told to end (SIGTERM)
    #[arg(long, env = "PRODUCE_COUNT", value_name = "EVENTS")]
    pub count: Option<u64>,

    /// Events per second; 0: as fast as Kafka takes them
    #[arg(long, env = "PRODUCE_RATE", value_name = "EVENTS_PER_SECOND", default_value_t = 0.0, value_parser = rate)]
    pub rate: f64,

    /// Same seed, same events (see above). Drawn at random when not given; the summary tells it
    #[arg(long, env = "PRODUCE_SEED")]
    pub seed: Option<u64>,

    /// Time of the first event, as 2026-01-31 or 2026-01-31T08:00:00Z. Events then follow the
    /// shop's own clock, at clock.events_per_second of the configuration
    #[arg(long, env = "PRODUCE_START", value_name = "TIME", value_parser = time)]
    pub start: Option<Millis>,

    /// Spread the events over so many days from --start, or before now, busy by day and quiet by
    /// night. Needs --count
    #[arg(long, env = "PRODUCE_HISTORY_DAYS", value_name = "DAYS", requires = "count", value_parser = days)]
    pub history_days: Option<f64>,

    /// Share of the events that are sent a second time, a little later, byte for byte
    #[arg(long, env = "PRODUCE_DUPLICATE_RATIO", value_name = "SHARE", default_value_t = 0.0, value_parser = ratio)]
    pub duplicate_ratio: f64,

    /// Share of the visits whose events are minutes to days older than the rest of the stream
    #[arg(long, env = "PRODUCE_LATE_RATIO", value_name = "SHARE", default_value_t = 0.0, value_parser = ratio)]
    pub late_ratio: f64,

    /// Malformed records per event: cut off, of a wrong type, empty, not UTF-8, …
    #[arg(long, env = "PRODUCE_MALFORMED_RATIO", value_name = "SHARE", default_value_t = 0.0, value_parser = ratio)]
    pub malformed_ratio: f64,

    /// TOML file with the shares of the event types, the pools and the habits of the visitors, as
    /// far as they differ from what --print-config shows
    #[arg(long, env = "PRODUCE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Users: how many, or a file like data/users.json [default: users of the configuration]
    #[arg(long, env = "PRODUCE_USERS", value_name = "COUNT|FILE")]
    pub users: Option<PoolChoice>,

    /// Products: how many, or a file like data/products.json [default: products of the
    /// configuration]
    #[arg(long, env = "PRODUCE_PRODUCTS", value_name = "COUNT|FILE")]
    pub products: Option<PoolChoice>,

    /// Print one event a line on stdout instead of sending it to Kafka (a record without a payload
    /// is an empty line)
    #[arg(long, env = "PRODUCE_STDOUT")]
    pub stdout: bool,

    /// Write users.json and products.json, the pools of the configuration, into this folder
    /// instead, and send nothing
    #[arg(long, env = "PRODUCE_WRITE_CATALOG", value_name = "FOLDER")]
    pub write_catalog: Option<PathBuf>,

    /// Print the default configuration on stdout instead
    #[arg(long, env = "PRODUCE_PRINT_CONFIG")]
    pub print_config: bool,

    /// Give up on a record that Kafka has not acknowledged after so many seconds, and end with 1
    #[arg(long, env = "PRODUCE_DELIVERY_TIMEOUT_SECONDS", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub delivery_timeout_seconds: u32,

    #[command(flatten)]
    pub kafka: KafkaOptions,
}

/// A pool by its size or from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolChoice {
    /// So many, made.
    Count(u32),
    /// Those of a file.
    File(PathBuf),
}

impl FromStr for PoolChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<PoolChoice, Infallible> {
        Ok(match text.parse() {
            Ok(count) => PoolChoice::Count(count),
            Err(_) => PoolChoice::File(text.into()),
        })
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    number_in(text, 0.0, 1.0)
}

fn rate(text: &str) -> Result<f64, String> {
    number_in(text, 0.0, 1e9)
}

fn days(text: &str) -> Result<f64, String> {
    number_in(text, 0.001, 9000.0)
}

fn number_in(text: &str, least: f64, most: f64) -> Result<f64, String> {
    text.parse::<f64>()
        .ok()
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| format!("give a number between {least} and {most}"))
}

fn time(text: &str) -> Result<Millis, String> {
    let day = text
        .parse::<NaiveDate>()
        .ok()
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .map(|midnight| midnight.and_utc());
    let moment: Option<DateTime<Utc>> = day.or_else(|| {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| time.to_utc())
    });
    let millis = moment
        .ok_or("give a date, or a time with its zone, such as 2026-01-31T08:00:00Z")?
        .timestamp_millis();
    if millis < event::EARLIEST_EVENT_TIME / 1000 {
        return Err("events before 2000-01-01 break the contract".to_owned());
    }
    Ok(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }

    #[test]
    fn times_have_a_zone_or_are_days() {
        assert_eq!(time("2026-01-01"), Ok(1_767_225_600_000));
        assert_eq!(time("2026-01-01T01:00:00+01:00"), Ok(1_767_225_600_000));
        assert!(time("2026-01-01T01:00:00").is_err());
        assert!(time("1999-12-31").is_err());
    }
}
