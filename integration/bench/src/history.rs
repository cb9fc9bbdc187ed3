//! What a DAG run costs when there is much history, and what a million events of a backlog cost.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use integration::{Cost, Server, Stage};

use crate::archive::send;
use crate::load::wal;
use crate::peer::run_ours;
use crate::report::Figure;

const PARTITIONS: i32 = 4;

/// The history lies on so many days before today.
const DAYS: &str = "30";

/// dbt has all of the history to build at once.
const PATIENCE: Duration = Duration::from_secs(3 * 3_600);

/// A DAG run's worth of new events after each of these histories, on one growing stage. What comes on
/// the way to a history is a backlog, drained in one run: that gives the cost of a million events.
pub fn measure(events: u64, histories: &[u64]) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench_history", PARTITIONS)?;
    let mut held = 0;
    let mut first_run: Option<(u64, Vec<Step>)> = None;
    let mut first_added: Option<(u64, f64)> = None;
    let mut first_backlog: Option<(u64, Vec<Value>)> = None;
    let mut figures = Vec::new();
    for history in histories {
        if *history > held {
            let backlog = history - held;
            send(&stage, backlog, held, &["--history-days", DAYS])?;
            let values = drain(&stage, backlog, true)?;
            tidy_up(&stage)?;
            match &first_backlog {
                None => first_backlog = Some((backlog, values)),
                Some((least, base)) => {
                    figures.extend(growth("million", backlog, &values, *least, base));
                }
            }
        }
        send(&stage, events, held + 1, &[])?;
        held = history + events;
        let steps = run(&stage, true)?.steps;
        for step in &steps {
            println!(
                "after {history} events: {} {:.1} s",
                step.name, step.seconds
            );
        }
        let Some((least, base)) = &first_run else {
            first_run = Some((*history, steps));
            continue;
        };
        figures.extend(runs(events, *history, &steps, *least, base));
        // the first run makes the tables; what grows with history shows beside one that adds to them
        match first_added {
            None => first_added = Some((*history, sum(&steps))),
            Some((few, base)) => figures.push(sums(events, *history, sum(&steps), few, base)),
        }
    }
    Ok(figures)
}

/// Drains each backlog without dbt, one after another on one growing stage.
pub fn backlogs(backlogs: &[u64]) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench_backlog", PARTITIONS)?;
    let mut first: Option<(u64, Vec<Value>)> = None;
    let mut figures = Vec::new();
    for (place, events) in backlogs.iter().enumerate() {
        send(&stage, *events, place as u64, &["--history-days", DAYS])?;
        let values = drain(&stage, *events, false)?;
        match &first {
            None => first = Some((*events, values)),
            Some((least, base)) => {
                figures.extend(growth("backlog", *events, &values, *least, base));
            }
        }
    }
    Ok(figures)
}

const RUN: &str = "the tasks of the DAG one after another on tables that hold the history, each from the start of its process (dbt: of its container) to its end; \
                   one run of each, without catalog and audit. The history lies on the 30 days before, and was vacuumed after it was built, as autovacuum does between two runs";

/// What autovacuum and a checkpoint do between two runs, which are minutes apart: else they would do it
/// during the one that is measured.
fn tidy_up(stage: &Stage) -> anyhow::Result<()> {
    let mut client = stage.sql()?;
    for statement in ["vacuum analyze", "checkpoint"] {
        client.batch_execute(statement)?;
    }
    Ok(())
}

fn sum(steps: &[Step]) -> f64 {
    steps.iter().map(|step| step.seconds).sum()
}

/// The whole run, beside one that added to a shorter history.
fn sums(events: u64, history: u64, seconds: f64, few: u64, base: f64) -> Figure {
    let what = format!("a run with {events} new events after {history} old ones, sum");
    let name = format!("history-{history:09}-9-growth");
    Figure::new(&name, &what, "s", RUN, &[seconds])
        .beside(&format!("after {few}"), &[base])
        .aim("at most 1.2")
}

/// The same run after more history.
fn runs(events: u64, history: u64, steps: &[Step], least: u64, base: &[Step]) -> Vec<Figure> {
    let figure = |place: usize, name: &str, seconds: f64, base: f64| {
        let what = format!("a run with {events} new events after {history} old ones, {name}");
        let name = format!("history-{history:09}-{place}-{name}");
        Figure::new(&name, &what, "s", RUN, &[seconds]).beside(&format!("after {least}"), &[base])
    };
    let pairs = steps.iter().zip(base).enumerate();
    let mut figures: Vec<Figure> = pairs
        .map(|(place, (step, base))| figure(place, step.name, step.seconds, base.seconds))
        .collect();
    figures.push(figure(steps.len(), "sum", sum(steps), sum(base)).aim("at most 1.2"));
    figures
}

/// What a million events of a backlog cost.
fn growth(group: &str, backlog: u64, values: &[Value], least: u64, base: &[Value]) -> Vec<Figure> {
    let how = "one backlog after another on the same tables, each drained by one run of `archive` and `load`, and of dbt where it is listed. CPU of the tasks is that of their processes; \
               that of a server is what its container used meanwhile. dbt's work is done by PostgreSQL. Sizes are what was added, indexes and all";
    let figure = |(place, (value, base)): (usize, (&Value, &Value))| {
        Figure::new(
            &format!("{group}-{backlog:09}-{place:02}"),
            &format!("{}, backlog of {backlog} events", value.what),
            value.unit,
            how,
            &[value.is],
        )
        .beside(&format!("backlog of {least}"), &[base.is])
    };
    values.iter().zip(base).enumerate().map(figure).collect()
}

struct Run {
    steps: Vec<Step>,
    /// Of the new raw files.
    raw_bytes: u64,
}

struct Step {
    name: &'static str,
    seconds: f64,
    /// Of the process. dbt runs in a container, and its work is PostgreSQL's.
    cost: Option<Cost>,
}

struct Value {
    what: String,
    unit: &'static str,
    is: f64,
}

/// Drains a backlog in one run: its cost.
fn drain(stage: &Stage, events: u64, with_dbt: bool) -> anyhow::Result<Vec<Value>> {
    let sizes = [
        (
            "rows and rejects in PostgreSQL",
            "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c join pg_namespace n on n.oid = relnamespace where nspname in ('raw', 'ops') and relkind = 'r'",
        ),
        (
            "the star and the marts beside it",
            "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c join pg_namespace n on n.oid = relnamespace where nspname not in ('raw', 'ops', 'pg_catalog', 'information_schema') and nspname not like 'pg\\_toast%' and relkind = 'r'",
        ),
    ];
    let size = |query: &str| stage.number(query);
    let before = [size(sizes[0].1)?, size(sizes[1].1)?];
    let servers = ["kafka", "namenode", "datanode", "postgres"];
    let cpu = || {
        servers
            .iter()
            .map(|name| cpu_seconds(name))
            .collect::<anyhow::Result<Vec<f64>>>()
    };
    let (cpu_before, wal_before) = (cpu()?, wal(stage)?);
    let Run { steps, raw_bytes } = run(stage, with_dbt)?;
    let (cpu_after, wal_after) = (cpu()?, wal(stage)?);

    let millions = events as f64 / 1e6;
    let per_event = |bytes: f64| bytes / events as f64;
    let mut values = Vec::new();
    let mut add = |what: &str, unit: &'static str, is: f64| {
        let what = what.to_owned();
        values.push(Value { what, unit, is });
    };
    for step in &steps {
        let name = step.name;
        add(
            &format!("{name}, a million events"),
            "s",
            step.seconds / millions,
        );
        if let Some(cost) = &step.cost {
            let cpu = cost.cpu_seconds / millions;
            add(&format!("{name}, CPU"), "µs/event", cpu);
            add(&format!("{name}, peak memory"), "MiB", cost.peak_mib);
        }
    }
    // the star's size is no news where dbt has not run
    let sizes = &sizes[..if with_dbt { 2 } else { 1 }];
    for (server, (after, before)) in servers.iter().zip(cpu_after.iter().zip(&cpu_before)) {
        let cpu = (after - before) / millions;
        add(&format!("{server} meanwhile, CPU"), "µs/event", cpu);
    }
    let mut add_bytes = |what: &str, bytes: f64| add(what, "bytes/event", per_event(bytes));
    add_bytes("raw files on HDFS", raw_bytes as f64);
    for ((what, query), before) in sizes.iter().zip(before) {
        add_bytes(what, (size(query)? - before) as f64);
    }
    add_bytes("written to PostgreSQL's log", wal_after - wal_before);
    for value in &values {
        println!(
            "{events} events: {} {:.1} {}",
            value.what, value.is, value.unit
        );
    }
    Ok(values)
}

/// Processor time that a server's container has used so far.
fn cpu_seconds(service: &str) -> anyhow::Result<f64> {
    // by version 2 of control groups, or by version 1, which says it in nanoseconds
    let ask = "cd /sys/fs/cgroup && cat cpu.stat 2> /dev/null || cat cpuacct/cpuacct.usage";
    let said = Server::of(service)?.exec(&["sh", "-c", ask])?;
    let used = said
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec "));
    let (used, unit) = used.map_or((said.trim(), 1e9), |micros| (micros, 1e6));
    let used: f64 = used.parse().with_context(|| format!("{service}: {said}"))?;
    Ok(used / unit)
}

fn run(stage: &Stage, with_dbt: bool) -> anyhow::Result<Run> {
    let mut steps = Vec::new();
    let mut raw_bytes = 0;
    for name in ["archive", "load"] {
        let (summary, cost) = run_ours(stage.task(name))?;
        if name == "archive" {
            raw_bytes = summary["file_bytes"].as_u64().context("file_bytes")?;
        }
        steps.push(Step {
            name,
            seconds: cost.seconds,
            cost: Some(cost),
        });
    }
    if with_dbt {
        let begun = Instant::now();
        let built = stage.dbt().start()?.finish_within(PATIENCE)?;
        ensure!(built.code == Some(0), "{built:?}");
        steps.push(Step {
            name: "dbt",
            seconds: begun.elapsed().as_secs_f64(),
            cost: None,
        });
    }
    Ok(Run { steps, raw_bytes })
}
