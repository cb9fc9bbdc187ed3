//! What a DAG run costs when there is much history, and what a million events of a backlog cost.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use integration::{Cost, Server, Stage};

use crate::archive::send;
use crate::load::wal;
use crate::peer::run_ours;
use crate::report::Figure;

const PARTITIONS: i32 = 4;

/// A history lies on so many days before today.
const DAYS: f64 = 30.0;

/// dbt may have all of a history to build at once.
const PATIENCE: Duration = Duration::from_secs(3 * 3_600);

/// `rounds` DAG runs, each with so many new events, after each of these histories, on one growing stage.
/// What comes on the way to a history is a backlog, drained in runs of `piece` events at most: that gives
/// the cost of a million events. What is measured is given to `keep` at once: a long history may take all
/// the disk there is.
pub fn measure(
    events: u64,
    histories: &[u64],
    piece: u64,
    rounds: u32,
    keep: &dyn Fn(Vec<Figure>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let new_events = events * u64::from(rounds);
    for pair in histories.windows(2) {
        ensure!(
            pair[0] + new_events <= pair[1],
            "after a history of {} come {new_events} events: the next history cannot be {}",
            pair[0],
            pair[1]
        );
    }
    let mut making = Rounds::default();
    for round in 0..rounds {
        let stage = Stage::new("bench_first", PARTITIONS)?;
        making.0.push(Measured::run(&stage, events, round.into())?);
    }
    println!("runs that make the tables: {:.1?} s", making.sums());
    let stage = Stage::new("bench_history", PARTITIONS)?;
    // a run with nothing to do makes the tables
    run(&stage, true)?;
    tidy_up(&stage)?;
    let mut held = 0;
    let mut first: Option<(u64, Rounds)> = None;
    let past = Past::new(histories.iter().copied().max().unwrap_or_default());
    let mut drained = Drained::new("million", Some(piece));
    for history in histories {
        if *history > held {
            keep(drained.beside_the_first(&stage, &past, held..*history)?)?;
        }
        held = *history;
        let mut measured = Rounds::default();
        for _ in 0..rounds {
            measured.0.push(Measured::run(&stage, events, held + 1)?);
            held += events;
            tidy_up(&stage)?;
        }
        for (name, seconds) in measured.values() {
            println!("after {history} events: {name} {seconds:.1?} s");
        }
        let Some((least, base)) = &first else {
            keep(vec![making.makes_tables(events, *history, &measured)])?;
            first = Some((*history, measured));
            continue;
        };
        keep(measured.beside(events, *history, *least, base))?;
    }
    Ok(())
}

/// Drains each backlog without dbt, one after another on one growing stage.
pub fn backlogs(backlogs: &[u64]) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench_backlog", PARTITIONS)?;
    let mut drained = Drained::new("backlog", None);
    let mut figures = Vec::new();
    for events in backlogs {
        figures.extend(drained.beside_the_first(&stage, &Past::new(*events), 0..*events)?);
    }
    Ok(figures)
}

/// Events that come in the order of their time, the same number each day.
struct Past {
    begins: DateTime<Utc>,
    events: u64,
}

impl Past {
    fn new(events: u64) -> Past {
        Past {
            begins: Utc::now() - days(DAYS),
            events,
        }
    }

    /// Sends some of them.
    fn send(&self, stage: &Stage, part: Range<u64>) -> anyhow::Result<()> {
        let day_of = |place: u64| DAYS * place as f64 / self.events as f64;
        let start = self.begins + days(day_of(part.start));
        let start = start.to_rfc3339_opts(SecondsFormat::Secs, true);
        let count = part.end - part.start;
        let length = day_of(count).to_string();
        let words = ["--start", &start, "--history-days", &length];
        send(stage, count, part.start, &words)
    }
}

fn days(count: f64) -> TimeDelta {
    TimeDelta::milliseconds((count * 86_400_000.0) as i64)
}

/// Backlogs, each held against the first.
struct Drained {
    group: &'static str,
    /// With dbt, in runs of so many events at most.
    dbt_piece: Option<u64>,
    first: Option<(u64, Vec<Value>)>,
}

impl Drained {
    fn new(group: &'static str, dbt_piece: Option<u64>) -> Drained {
        Drained {
            group,
            dbt_piece,
            first: None,
        }
    }

    /// Sends a part of the past as a backlog and drains it: nothing to say of the first.
    fn beside_the_first(
        &mut self,
        stage: &Stage,
        past: &Past,
        part: Range<u64>,
    ) -> anyhow::Result<Vec<Figure>> {
        let backlog = part.end - part.start;
        let values = drain(stage, past, part.clone(), self.dbt_piece)?;
        let Some((least, base)) = &self.first else {
            self.first = Some((backlog, values));
            return Ok(Vec::new());
        };
        Ok(self.growth(&part, &values, *least, base))
    }

    /// What a million events of a backlog cost.
    fn growth(
        &self,
        part: &Range<u64>,
        values: &[Value],
        least: u64,
        base: &[Value],
    ) -> Vec<Figure> {
        let size = part.end - part.start;
        let of = match part.start {
            0 => format!("backlog of {size} events"),
            before => format!("backlog of {size} events behind {before}"),
        };
        let runs = match self.dbt_piece {
            None => "one run of `archive` and `load`".to_owned(),
            Some(piece) => format!(
                "runs of `archive`, `load` and dbt with {piece} events at most, vacuumed after each"
            ),
        };
        let how = format!(
            "one backlog after another on the same tables, each drained by {runs}. CPU of the tasks is that of their processes; that of a server is what its container used meanwhile. \
             dbt's work is done by PostgreSQL. Sizes are what was added, indexes and all"
        );
        let figure = |(place, (value, base)): (usize, (&Value, &Value))| {
            Figure::new(
                &format!("{}-{:09}-{place:02}", self.group, part.end),
                &format!("{}, {of}", value.what),
                value.unit,
                &how,
                &[value.is],
            )
            .beside(&format!("backlog of {least}"), &[base.is])
        };
        values.iter().zip(base).enumerate().map(figure).collect()
    }
}

const RUN: &str = "the tasks of the DAG one after another on tables that hold the history, each from the start of its process (dbt: of its container) to its end; \
                   without catalog and audit. A round's events lie on the history of the next. The history lies on the 30 days before, came day by day, and was vacuumed after it was built, as autovacuum does between two runs; \
                   where there is none, a run with nothing to do has made the tables. PostgreSQL's CPU is that of its container meanwhile";

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

/// A DAG run that was measured.
struct Measured {
    steps: Vec<Step>,
    postgres_cpu_seconds: f64,
}

impl Measured {
    /// Sends events and runs the tasks.
    fn run(stage: &Stage, events: u64, seed: u64) -> anyhow::Result<Measured> {
        send(stage, events, seed, &[])?;
        let before = cpu_seconds("postgres")?;
        let steps = run(stage, true)?.steps;
        Ok(Measured {
            steps,
            postgres_cpu_seconds: cpu_seconds("postgres")? - before,
        })
    }

    /// Seconds of each step and of all, and of PostgreSQL's processors.
    fn values(&self) -> Vec<(&'static str, f64)> {
        let steps = self.steps.iter().map(|step| (step.name, step.seconds));
        let all = [
            ("sum", sum(&self.steps)),
            ("PostgreSQL's CPU", self.postgres_cpu_seconds),
        ];
        steps.chain(all).collect()
    }
}

/// The same run several times over.
#[derive(Default)]
struct Rounds(Vec<Measured>);

impl Rounds {
    /// What [`Measured::values`] has of each.
    fn values(&self) -> Vec<(&'static str, Vec<f64>)> {
        let mut all: Vec<(&'static str, Vec<f64>)> = Vec::new();
        for measured in &self.0 {
            for (place, (name, value)) in measured.values().into_iter().enumerate() {
                match all.get_mut(place) {
                    Some((_, values)) => values.push(value),
                    None => all.push((name, vec![value])),
                }
            }
        }
        all
    }

    /// Seconds of all steps of each.
    fn sums(&self) -> Vec<f64> {
        self.0.iter().map(|measured| sum(&measured.steps)).collect()
    }

    /// The same runs after more history.
    fn beside(&self, events: u64, history: u64, least: u64, base: &Rounds) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (place, ((name, is), (_, base))) in
            self.values().into_iter().zip(base.values()).enumerate()
        {
            let what = format!("a run with {events} new events after {history} old ones, {name}");
            let file = format!("history-{history:09}-{place}");
            let figure =
                Figure::new(&file, &what, "s", RUN, &is).beside(&format!("after {least}"), &base);
            figures.push(match name {
                "sum" => figure.aim("at most 1.2"),
                _ => figure,
            });
        }
        figures
    }

    /// First runs beside those that find their tables made.
    fn makes_tables(&self, events: u64, history: u64, base: &Rounds) -> Figure {
        let what = format!("a run with {events} events that makes the tables, sum");
        Figure::new("history-000000000-0", &what, "s", RUN, &self.sums())
            .beside(&format!("after {history}"), &base.sums())
    }
}

struct Run {
    steps: Vec<Step>,
    /// Of the new raw files.
    raw_bytes: u64,
}

impl Run {
    /// Another run of the same steps.
    fn add(&mut self, other: &Run) {
        self.raw_bytes += other.raw_bytes;
        for (step, other) in self.steps.iter_mut().zip(&other.steps) {
            step.seconds += other.seconds;
            if let (Some(cost), Some(other)) = (&mut step.cost, &other.cost) {
                cost.cpu_seconds += other.cpu_seconds;
                cost.peak_mib = cost.peak_mib.max(other.peak_mib);
            }
        }
    }
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

/// Whose processor time counts beside the tasks'.
const SERVERS: [&str; 4] = ["kafka", "namenode", "datanode", "postgres"];

/// What the servers have used so far.
#[derive(Default)]
struct Used {
    /// Seconds of processor time of each of [`SERVERS`].
    cpu: [f64; 4],
    /// Written to PostgreSQL's log.
    log_bytes: f64,
}

impl Used {
    fn so_far(stage: &Stage) -> anyhow::Result<Used> {
        let mut cpu = [0.0; 4];
        for (seconds, server) in cpu.iter_mut().zip(SERVERS) {
            *seconds = cpu_seconds(server)?;
        }
        let log_bytes = wal(stage)?;
        Ok(Used { cpu, log_bytes })
    }

    fn add_between(&mut self, before: &Used, after: &Used) {
        for (place, seconds) in self.cpu.iter_mut().enumerate() {
            *seconds += after.cpu[place] - before.cpu[place];
        }
        self.log_bytes += after.log_bytes - before.log_bytes;
    }
}

/// Bytes of tables with their indexes.
fn table_bytes(stage: &Stage, schemas: &str) -> anyhow::Result<f64> {
    let bytes = stage.number(&format!(
        "select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' and {schemas}"
    ))?;
    Ok(bytes as f64)
}

const LANDING: &str = "nspname in ('raw', 'ops')";
const WAREHOUSE: &str = "nspname not in ('raw', 'ops', 'pg_catalog', 'information_schema') and nspname not like 'pg\\_toast%'";

/// Sends a backlog and drains it: in one run without dbt, or with dbt in runs of `dbt_piece` events at
/// most. Its cost, without what sending it took.
fn drain(
    stage: &Stage,
    past: &Past,
    part: Range<u64>,
    dbt_piece: Option<u64>,
) -> anyhow::Result<Vec<Value>> {
    let landed_before = table_bytes(stage, LANDING)?;
    let built_before = table_bytes(stage, WAREHOUSE)?;
    let mut whole: Option<Run> = None;
    let mut used = Used::default();
    let backlog = part.end - part.start;
    let mut sent = part.start;
    while sent < part.end {
        let next = dbt_piece.map_or(part.end, |piece| part.end.min(sent + piece));
        past.send(stage, sent..next)?;
        sent = next;
        let before = Used::so_far(stage)?;
        let run = run(stage, dbt_piece.is_some())?;
        let after = Used::so_far(stage)?;
        println!("{sent} of {} events: {:.1} s", part.end, sum(&run.steps));
        used.add_between(&before, &after);
        match &mut whole {
            None => whole = Some(run),
            Some(whole) => whole.add(&run),
        }
        if dbt_piece.is_some() {
            forget_archived(stage)?;
            tidy_up(stage)?;
        }
    }
    let Run { steps, raw_bytes } = whole.context("a backlog of no events")?;

    let millions = backlog as f64 / 1e6;
    let per_event = |bytes: f64| bytes / backlog as f64;
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
    for (server, seconds) in SERVERS.iter().zip(used.cpu) {
        let what = format!("{server} meanwhile, CPU");
        add(&what, "µs/event", seconds / millions);
    }
    let mut add_bytes = |what: &str, bytes: f64| add(what, "bytes/event", per_event(bytes));
    add_bytes("raw files on HDFS", raw_bytes as f64);
    let landed = table_bytes(stage, LANDING)? - landed_before;
    add_bytes("rows and rejects in PostgreSQL", landed);
    // the star's size is no news where dbt has not run
    if dbt_piece.is_some() {
        let built = table_bytes(stage, WAREHOUSE)? - built_before;
        add_bytes("the star and the marts beside it", built);
    }
    add_bytes("written to PostgreSQL's log", used.log_bytes);
    for value in &values {
        println!(
            "{backlog} events: {} {:.1} {}",
            value.what, value.is, value.unit
        );
    }
    Ok(values)
}

/// Kafka lets go of what is archived, as its retention does in time: a long history need not lie on one
/// disk three times.
fn forget_archived(stage: &Stage) -> anyhow::Result<()> {
    let offsets = stage.kafka.offsets(&stage.topic)?;
    for (partition, (_, next)) in offsets.iter().enumerate() {
        // the last one stays: `archive` compares it with the chain's
        let partition = i32::try_from(partition)?;
        stage
            .kafka
            .delete_records(&stage.topic, partition, next - 1)?;
    }
    Ok(())
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
