//! `bench`: what the pipeline does in a second, each figure beside its peer's, measured on the
//! same servers in the same run. `make bench` calls it; results go to docs/benchmarks.
//!
//! It promises a figure and how it came about, never a verdict: nothing here fails because
//! something was slow.

mod archive;
mod bare_loop;
mod cold;
mod delay;
mod history;
mod load;
mod micro;
mod peer;
mod produce;
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
    /// Events per second into Kafka: `produce` beside ProducerPerformance
    Produce {
        /// Events of a round
        #[arg(long, env = "BENCH_PRODUCE_EVENTS", default_value_t = 2_000_000)]
        events: u64,
    },
    /// Kafka to HDFS: `archive` beside Spark and beside consumers alone
    Archive {
        /// Events in the topic
        #[arg(long, env = "BENCH_ARCHIVE_EVENTS", default_value_t = 5_000_000)]
        events: u64,

        /// Events in another topic: memory of `archive` beside what it takes for the first
        #[arg(long, env = "BENCH_ARCHIVE_FEW_EVENTS", default_value_t = 1_000_000)]
        few_events: u64,
    },
    /// Rows per second into Cassandra: `stream` beside a bare loop around the driver, and Spark
    Stream {
        /// Events in the topic
        #[arg(long, env = "BENCH_STREAM_EVENTS", default_value_t = 500_000)]
        events: u64,

        /// Events in the topic that Spark drains
        #[arg(long, env = "BENCH_STREAM_SPARK_EVENTS", default_value_t = 100_000)]
        spark_events: u64,
    },
    /// HDFS to PostgreSQL: `load` beside psql \\copy and Spark's JDBC
    Load {
        /// Events in the raw files
        #[arg(long, env = "BENCH_LOAD_EVENTS", default_value_t = 5_000_000)]
        events: u64,

        /// Events in the raw files that Spark reads
        #[arg(long, env = "BENCH_LOAD_SPARK_EVENTS", default_value_t = 2_000_000)]
        spark_events: u64,
    },
    /// From a record's sending until a query finds its row
    Delay {
        /// Events per second beside the measured ones
        #[arg(long, env = "BENCH_DELAY_RATE", default_value_t = 1_000)]
        rate: u32,

        /// How long, in seconds
        #[arg(long, env = "BENCH_DELAY_SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=100))]
        seconds: u32,
    },
    /// From `docker run` to the end of a task that has nothing to do
    Start,
    /// What a DAG run costs with more and more history
    History {
        /// New events of the run
        #[arg(long, env = "BENCH_HISTORY_EVENTS", default_value_t = 600_000)]
        events: u64,

        /// Old events, one history after another; each at least those before with the rounds' new events
        #[arg(
            long,
            env = "BENCH_HISTORIES",
            value_delimiter = ',',
            default_value = "0,4000000,10000000"
        )]
        histories: Vec<u64>,

        /// Events at most that a run on the way to a history brings: what it sorts, and its own
        /// tables, take as much disk again as these events
        #[arg(long, env = "BENCH_HISTORY_PIECE", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..))]
        piece: u64,
    },
    /// What a million events of a backlog cost from Kafka to PostgreSQL, one backlog after another
    Backlog {
        /// Events of each
        #[arg(
            long,
            env = "BENCH_BACKLOGS",
            value_delimiter = ',',
            default_value = "1000000,10000000"
        )]
        backlogs: Vec<u64>,
    },
    /// Results of integration/bench/micro, which has run
    Micro,
    /// The table of all results so far
    Report,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let rounds = options.rounds;
    let machine = report::machine()?;
    let keep = |figures| report::keep(&options.results, &machine, figures);
    let figures = match options.benchmark {
        Benchmark::Produce { events } => produce::measure(events, rounds)?,
        Benchmark::Archive { events, few_events } => archive::measure(events, few_events, rounds)?,
        Benchmark::Stream {
            events,
            spark_events,
        } => stream::measure(events, spark_events, rounds)?,
        Benchmark::Load {
            events,
            spark_events,
        } => load::measure(events, spark_events, rounds)?,
        Benchmark::Delay { rate, seconds } => delay::measure(rate, seconds, rounds)?,
        Benchmark::Start => cold::measure(rounds)?,
        Benchmark::History {
            events,
            histories,
            piece,
        } => {
            history::measure(events, &histories, piece, rounds, &keep)?;
            Vec::new()
        }
        Benchmark::Backlog { backlogs } => history::backlogs(&backlogs)?,
        Benchmark::Micro => micro::read()?,
        Benchmark::Report => Vec::new(),
    };
    keep(figures)?;
    report::write_table(&options.results)
}
