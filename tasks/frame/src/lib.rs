//! The frame of every task: what a person sees of it, whatever it does.
//!
//! [`run`] gives a task its logger (stderr), its options (command line and environment), metrics
//! for Prometheus, lineage for those who collect it and a [`Stop`] that SIGTERM and SIGINT set, and turns what the task returns into
//! an exit code and one JSON summary, the last line on stdout:
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done |
//! | 1 | failed; a retry may help |
//! | 2 | a person is needed: a wrong option, a missing table, a broken chain |

mod failpoint;
mod lineage;
mod metrics;
mod pages;
mod progress;
mod secret;
mod stop;

use std::env;
use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{Args, Command, FromArgMatches, Parser};
use log::{error, info};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::lineage::{Lineage, LineageOptions};
use crate::metrics::{Metrics, MetricsOptions};
pub use failpoint::{FAILPOINTS, failpoint};
pub use lineage::{Dataset, reads, writes};
pub use pages::page;
pub use progress::Progress;
pub use secret::{optional_secret, secret};
pub use stop::Stop;

/// What is logged unless `RUST_LOG` says otherwise. hdfs-native warns of every try that fails; the
/// tasks themselves say what they are waiting for.
const DEFAULT_LOG: &str = "info,hdfs_native=error";

/// An error that no retry mends. Put it anywhere in the chain of an [`anyhow::Error`]: the task
/// exits with 2. Its text is one line that says what to do.
#[derive(Debug)]
pub struct PersonNeeded(pub String);

impl fmt::Display for PersonNeeded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for PersonNeeded {}

/// An [`anyhow::Error`] that asks for a person.
pub fn person_needed(advice: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(PersonNeeded(advice.into()))
}

/// Whether somewhere in the chain, as a cause or as context, a person is asked for.
pub fn is_person_needed(failure: &anyhow::Error) -> bool {
    // context is found by the error alone, a cause of another library's error by the chain alone
    failure.is::<PersonNeeded>() || failure.chain().any(|cause| cause.is::<PersonNeeded>())
}

/// What a task has to say when it ends without an error.
#[derive(Debug)]
pub struct Outcome {
    fields: Map<String, Value>,
    person_needed: Option<String>,
}

impl Outcome {
    /// All done; `summary` is an object whose fields go into the summary line.
    pub fn done(summary: impl Serialize) -> anyhow::Result<Outcome> {
        Ok(Outcome {
            fields: fields(summary)?,
            person_needed: None,
        })
    }

    /// What could be done is done, but a person must look at something: exit code 2.
    pub fn needs_person(
        summary: impl Serialize,
        advice: impl Into<String>,
    ) -> anyhow::Result<Outcome> {
        Ok(Outcome {
            fields: fields(summary)?,
            person_needed: Some(advice.into()),
        })
    }
}

fn fields(summary: impl Serialize) -> anyhow::Result<Map<String, Value>> {
    match serde_json::to_value(summary)? {
        Value::Object(fields) => Ok(fields),
        other => anyhow::bail!("a summary must be an object, not {other}"),
    }
}

/// Runs a task from `main`: `name` is that of its executable, `task` the work.
pub fn run<Options, Task>(name: &str, task: Task) -> ExitCode
where
    Options: Parser + fmt::Debug,
    Task: FnOnce(&Options, &Stop) -> anyhow::Result<Outcome>,
{
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(DEFAULT_LOG))
        .format_target(false)
        .init();
    let (options, metrics_options, lineage_options) = match parse::<Options>() {
        Ok(options) => options,
        Err(usage) => return explain_usage(name, &usage),
    };
    let started = Instant::now();
    info!("{name} {} with {options:?}", env!("CARGO_PKG_VERSION"));
    let lineage = Lineage::begin(name, lineage_options);
    let (metrics, result) = match Metrics::begin(name, &metrics_options) {
        Ok(metrics) => {
            let result = failpoint::set_up()
                .and_then(|()| Stop::on_signals())
                .and_then(|stop| task(&options, &stop));
            (Some(metrics), result)
        }
        Err(failure) => (None, Err(failure)),
    };
    let (code, status, mut fields) = match result {
        Ok(Outcome {
            fields,
            person_needed: None,
        }) => (0, "done", fields),
        Ok(Outcome {
            mut fields,
            person_needed: Some(advice),
        }) => {
            error!("{advice}");
            fields.insert("error".to_owned(), advice.into());
            (2, "person_needed", fields)
        }
        Err(failure) => {
            let line = one_line(&failure);
            error!("{line}");
            let fields = Map::from_iter([("error".to_owned(), Value::from(line))]);
            if is_person_needed(&failure) {
                (2, "person_needed", fields)
            } else {
                (1, "failed", fields)
            }
        }
    };
    fields.insert("exit_code".to_owned(), code.into());
    fields.insert(
        "seconds".to_owned(),
        Value::from((started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0),
    );
    if let Some(metrics) = metrics {
        metrics.end(code, started.elapsed());
    }
    lineage.end(code, &fields);
    print_summary(name, status, fields);
    ExitCode::from(code)
}

/// The task's own options, and those that every task has.
fn parse<Options: Parser>() -> Result<(Options, MetricsOptions, LineageOptions), clap::Error> {
    let mut command = MetricsOptions::augment_args(Options::command());
    command = LineageOptions::augment_args(command);
    if let Some(version) = failpoint::VERSION {
        command = command.version(version);
    }
    let matches = without_empty_variables(command).try_get_matches()?;
    let options = Options::from_arg_matches(&matches)?;
    Ok((
        options,
        MetricsOptions::from_arg_matches(&matches)?,
        LineageOptions::from_arg_matches(&matches)?,
    ))
}

/// An environment variable that is set but empty counts as not set: that is how a compose file hands
/// on a setting that nobody has made.
fn without_empty_variables(command: Command) -> Command {
    command.mut_args(|argument| {
        let is_empty = |name| env::var_os(name).is_some_and(|value| value.is_empty());
        if argument.get_env().is_some_and(is_empty) {
            argument.env(None::<&str>)
        } else {
            argument
        }
    })
}

/// `--help` and `--version` are no failures; a wrong option is one that a person must mend.
fn explain_usage(name: &str, usage: &clap::Error) -> ExitCode {
    let asked = matches!(
        usage.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    // a closed pipe is no reason to fail
    let _ = usage.print();
    if asked {
        return ExitCode::SUCCESS;
    }
    let text = usage.to_string();
    // up to the usage, which names the arguments that are missing
    let line: Vec<&str> = text
        .lines()
        .take_while(|line| !line.is_empty())
        .map(str::trim)
        .collect();
    let line = line.join(" ");
    let line = line.strip_prefix("error: ").unwrap_or(&line);
    let fields = Map::from_iter([
        ("error".to_owned(), Value::from(line)),
        ("exit_code".to_owned(), 2.into()),
    ]);
    print_summary(name, "person_needed", fields);
    ExitCode::from(2)
}

static STDOUT_IS_DATA: AtomicBool = AtomicBool::new(false);

/// Says that the task prints data on stdout: its summary goes to stderr, still as the last line.
pub fn stdout_is_data() {
    STDOUT_IS_DATA.store(true, Ordering::Relaxed);
}

fn print_summary(name: &str, status: &str, mut fields: Map<String, Value>) {
    let mut summary = Map::new();
    summary.insert("task".to_owned(), name.into());
    summary.insert("status".to_owned(), status.into());
    summary.append(&mut fields);
    let summary = Value::Object(summary);
    if STDOUT_IS_DATA.load(Ordering::Relaxed) {
        eprintln!("{summary}");
    } else {
        println!("{summary}");
    }
}

/// The whole chain of causes on one line, each said once.
fn one_line(failure: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in failure.chain() {
        let text = cause.to_string().replace('\n', " ");
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_stand_on_one_line_and_once() {
        let failure = anyhow::anyhow!("refused")
            .context("no answer: refused")
            .context("reading\nthe chain");
        assert_eq!(one_line(&failure), "reading the chain: no answer: refused");
    }

    #[test]
    fn a_person_is_found_under_context() {
        let failure = Err::<(), _>(person_needed("make the table"))
            .context("loading")
            .expect_err("an error");
        assert!(is_person_needed(&failure));
    }

    #[test]
    fn a_person_asked_for_by_context_is_found_too() {
        let failure = anyhow::anyhow!("no such file")
            .context(PersonNeeded("name another file".to_owned()))
            .context("loading");
        assert!(is_person_needed(&failure));
        assert!(!is_person_needed(
            &anyhow::anyhow!("try again").context("loading")
        ));
    }
}
