//! `bench`: what the pipeline does in a second, each figure beside its peer's, measured on the
//! same servers in the same run. `make bench` calls it; results go to docs/benchmarks.
//!
//! It promises a figure and how it came about, never a verdict: nothing here fails because
//! something was slow.

mod bare_loop;
mod delay;
mod report;
mod stream;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the pipeline beside its peers, on the servers of the stack.
#[derive(Parser, Debug)]
struct Options {
    /// Folder for the results
    #[arg(long, env = "BENCH_RESULTS", default_value = "/results")]
    results: PathBuf,

    /// Rounds of each comparison; ours and the peer's take turns at being first
    #[arg(long, env = "BENCH_ROUNDS", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,

    #[command(subcommand)]
    benchmark: Benchmark,
}

#[derive(Subcommand, Debug)]
enum Benchmark {
    /// Rows per second into Cassandra: `stream` beside a bare loop around the driver
    Stream {
        /// Events in the topic
        #[arg(long, env = "BENCH_STREAM_EVENTS", default_value_t = 500_000)]
        events: u64,
    },
    /// From a record's sending until a query finds its row
    Delay {
        /// Events per second beside the measured ones
        #[arg(long, env = "BENCH_DELAY_RATE", default_value_t = 1_000)]
        rate: u32,

        /// How long, in seconds
        #[arg(long, env = "BENCH_DELAY_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=150))]
        seconds: u32,
    },
    /// The table of all results so far
    Report,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.benchmark {
        Benchmark::Stream { events } => {
            report::keep(&options.results, stream::measure(events, options.rounds)?)?;
        }
        Benchmark::Delay { rate, seconds } => {
            report::keep(&options.results, delay::measure(rate, seconds)?)?;
        }
        Benchmark::Report => {}
    }
    report::write_table(&options.results)
}
