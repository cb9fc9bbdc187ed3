//! Every task killed at every commit boundary, started again, and all stores compared.
//!
//! The points are those of [`frame::FAILPOINTS`]: one that is added there is killed at here. At each
//! a task is killed at its first pass, killed there again, and run to its end; then killed at a
//! later pass, and run to its end. `CHAOS_BUDGET_SECONDS` bounds each test: `CHAOS_SEED` then says in
//! which order the points are taken, and those that are left out are named. 0 takes them all.

use std::collections::{BTreeSet, hash_map::DefaultHasher};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use frame::FAILPOINTS;
use integration::chaos::{self, Comparison, Injection, Store};
use integration::{Cassandra, Stage, Task, docker, image, setting, wait_until};
use serde_json::Value;

/// What the quick set may take, for each test: `make chaos` sets 0.
const QUICK_SECONDS: &str = "25";

/// The machine is small, and recoveries are timed: one fault at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which points a test takes, and how long it may go on.
struct Choice {
    points: Vec<&'static str>,
    until: Option<Instant>,
}

/// The points of a task but for some, in the order of the seed.
fn choose(task: &str, elsewhere: &[&str]) -> anyhow::Result<Choice> {
    let seconds: u64 = setting("CHAOS_BUDGET_SECONDS", QUICK_SECONDS).parse()?;
    let seed: u64 = match setting("CHAOS_SEED", "") {
        drawn if drawn.is_empty() => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
        seed => seed.parse().context("CHAOS_SEED")?,
    };
    let mut points: Vec<&str> = FAILPOINTS
        .into_iter()
        .filter(|point| point.split('.').next() == Some(task))
        .filter(|point| !elsewhere.contains(point))
        .collect();
    ensure!(!points.is_empty(), "{task} has no points");
    points.sort_by_key(|point| {
        let mut hasher = DefaultHasher::new();
        (seed, point).hash(&mut hasher);
        hasher.finish()
    });
    println!("CHAOS_SEED={seed}: {points:?}");
    Ok(Choice {
        points,
        until: (seconds > 0).then(|| Instant::now() + Duration::from_secs(seconds)),
    })
}

impl Choice {
    /// Does it for one point after another, for one at least.
    fn each(&self, mut act: impl FnMut(&'static str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        for (index, point) in self.points.iter().enumerate() {
            if index > 0 && self.until.is_some_and(|until| Instant::now() >= until) {
                println!("left out for lack of time: {:?}", &self.points[index..]);
                return Ok(());
            }
            act(point).with_context(|| (*point).to_owned())?;
        }
        Ok(())
    }
}

/// Options that make a run of `produce` repeatable, with some of everything that goes wrong.
fn events<'a>(count: &'a str, seed: &'a str) -> Vec<&'a str> {
    let fixed = ["--count", count, "--seed", seed, "--start", "2026-10-01"];
    let noise = ["--duplicate-ratio", "0.03", "--late-ratio", "0.03"];
    [&fixed[..], &noise, &["--malformed-ratio", "0.02"]].concat()
}

/// Kills at one point that have fired, with no run to the end between them.
struct Kills<'a> {
    fault: String,
    point: &'a str,
    /// Of each: how many records were on their way, and when it was over.
    killed: Vec<(i64, Instant)>,
}

impl<'a> Kills<'a> {
    fn of(point: &'a str) -> Kills<'a> {
        Kills {
            fault: format!("kill at {point}"),
            point,
            killed: Vec::new(),
        }
    }

    /// Kills the task there and proves it; `behind` tells how many records were on their way.
    fn kill(
        &mut self,
        task: Task,
        actions: &str,
        behind: impl Fn() -> anyhow::Result<i64>,
    ) -> anyhow::Result<()> {
        let killed = task.failing(&format!("{}={actions}", self.point)).run()?;
        killed.ended_at(self.point)?;
        let over = Instant::now();
        self.killed.push((behind()?, over));
        Ok(())
    }

    /// The task has run to its end since: one line per kill, and all stores must agree.
    fn settle(self, recovered: Instant, found: &Comparison) -> anyhow::Result<()> {
        let kills = self.killed.len();
        ensure!(kills > 0, "{}: nothing was killed", self.fault);
        for (index, (in_flight, over)) in self.killed.into_iter().enumerate() {
            // one comparison for all of them: what differs counts once
            let last = index + 1 == kills;
            chaos::record(&Injection {
                fault: &self.fault,
                fired: true,
                in_flight: in_flight.max(0).unsigned_abs(),
                lost: if last { found.lost } else { 0 },
                duplicated: if last { found.duplicated } else { 0 },
                recovery: recovered - over,
            })?;
        }
        found.assert_equal()
    }
}

/// Runs `stream` to its end. It may have to try a write again: Cassandra is slow on a small machine.
fn finish(stream: Task) -> anyhow::Result<()> {
    let finished = stream.run()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    Ok(())
}

/// What comes after the task under test, then every store against Kafka.
fn run_to_the_end(stage: &Stage, cassandra: &Cassandra) -> anyhow::Result<()> {
    stage.task("archive").succeed()?;
    stage.task("load").succeed()?;
    finish(stage.task("stream"))?;
    stage.dbt().succeed()?;
    let stores = [
        Store::Chain,
        Store::Postgres,
        Store::Cassandra(cassandra),
        Store::Star,
    ];
    chaos::compare(stage, &stores)?.assert_equal()
}

/// Every point belongs to a task that is killed here.
#[test]
fn every_point_is_killed_at() -> anyhow::Result<()> {
    for point in FAILPOINTS {
        let task = point.split('.').next().unwrap_or_default();
        let killed = ["produce", "archive", "stream", "load", "catalog"];
        ensure!(killed.contains(&task), "{point} has no test here");
    }
    Ok(())
}

/// An unknown point is refused: a test that never fires would prove nothing.
#[test]
fn an_unknown_point_is_refused_and_the_known_ones_are_named() -> anyhow::Result<()> {
    let version = Task::new("archive").args(["--version"]).failing("").run()?;
    ensure!(
        version.stdout.trim_end().ends_with(" with failpoints"),
        "{version:?}"
    );
    let plain = Task::new("archive").args(["--version"]).run()?;
    ensure!(!plain.stdout.contains("failpoints"), "{plain:?}");
    let refused = Task::new("archive")
        .failing("archive.after_lunch=return")
        .run()?;
    let error = refused.fails_with(2)?;
    ensure!(error.contains("archive.after_rename"), "{error}");
    let refused = Task::new("archive")
        .failing("archive.after_rename=explode")
        .run()?;
    ensure!(refused.fails_with(2)?.contains("explode"));
    Ok(())
}

/// What is released has no fault points.
#[test]
fn images_of_tasks_have_no_fault_points() -> anyhow::Result<()> {
    for task in ["produce", "stream", "archive", "catalog", "load", "audit"] {
        let said = docker(&["run", "--rm", &image(task), "--version"])?;
        ensure!(said.starts_with(&format!("{task} ")), "{said}");
        ensure!(!said.contains("failpoints"), "{said}");
    }
    Ok(())
}

/// A run that is repeated sends again what was acknowledged; the star holds each event once.
#[test]
fn produce_killed_at_every_point_loses_nothing() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_produce", 2)?;
    let cassandra = stage.cassandra()?;
    let mut sent = 0;
    let mut seed = 100;
    choose("produce", &[])?.each(|point| {
        for rounds in [&["return", "return"][..], &["3000*off->return"]] {
            seed += 1;
            let before = stage.kafka.records(&stage.topic)?;
            let seed = seed.to_string();
            let produce = || stage.task("produce").args(events("5000", &seed));
            let mut kills = Kills::of(point);
            for actions in rounds {
                kills.kill(produce(), actions, || {
                    Ok(5_000 - (stage.kafka.records(&stage.topic)? - before))
                })?;
            }
            sent += produce().succeed()?["events"].as_u64().context("events")?;
            let recovered = Instant::now();
            let mut found = chaos::compare(&stage, &[])?;
            // each event that a whole run sends is in Kafka, and no other
            found.lost += sent.saturating_sub(found.events);
            found.duplicated += found.events.saturating_sub(sent);
            kills.settle(recovered, &found)?;
        }
        Ok(())
    })?;
    run_to_the_end(&stage, &cassandra)
}

#[test]
fn archive_killed_at_every_point_keeps_the_chain_whole() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_archive", 2)?;
    let cassandra = stage.cassandra()?;
    let mut seed = 200;
    choose("archive", &["archive.gap_file"])?.each(|point| {
        let later = match point {
            "archive.after_poll" => "2000*off->return",
            _ => "1*off->return",
        };
        for rounds in [&["return", "return"][..], &[later]] {
            seed += 1;
            // more than a file for each partition
            let produce = stage
                .task("produce")
                .args(events("7000", &seed.to_string()));
            produce.succeed()?;
            let archive = || stage.task("archive").args(["--flush-mib", "1"]);
            let behind = || {
                let archived = stage.chain_records()?.len() as i64;
                Ok(stage.kafka.records(&stage.topic)? - archived)
            };
            let mut kills = Kills::of(point);
            for actions in rounds {
                kills.kill(archive(), actions, behind)?;
            }
            archive().succeed()?;
            let recovered = Instant::now();
            kills.settle(recovered, &chaos::compare(&stage, &[Store::Chain])?)?;
        }
        Ok(())
    })?;
    stage.task("archive").args(["--inspect"]).succeed()?;
    run_to_the_end(&stage, &cassandra)
}

/// The gap is on record once, and nothing but the gap is missing.
#[test]
fn archive_killed_at_a_gap_file_records_the_gap_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_gap", 1)?;
    let payloads: Vec<String> = (0..20).map(|number| format!("record {number}")).collect();
    let payloads: Vec<Option<&[u8]>> = payloads.iter().map(|text| Some(text.as_bytes())).collect();
    stage.kafka.send(&stage.topic, 0, &payloads[..10])?;
    stage.task("archive").succeed()?;
    stage.kafka.send(&stage.topic, 0, &payloads[10..])?;
    stage.kafka.delete_records(&stage.topic, 0, 15)?;
    let mut kills = Kills::of("archive.gap_file");
    let archive = || stage.task("archive").args(["--accept-gap"]);
    for _ in 0..2 {
        kills.kill(archive(), "return", || Ok(5))?;
    }
    let archived = archive().run()?;
    ensure!(archived.code == Some(0), "{archived:?}");
    let recovered = Instant::now();
    let held: Vec<i64> = stage
        .chain_records()?
        .iter()
        .map(|record| record.1)
        .collect();
    let wanted: BTreeSet<i64> = (0..10).chain(15..20).collect();
    let distinct: BTreeSet<i64> = held.iter().copied().collect();
    let found = Comparison {
        records: wanted.len() as u64,
        lost: wanted.difference(&distinct).count() as u64,
        duplicated: (held.len() - wanted.intersection(&distinct).count()) as u64,
        ..Comparison::default()
    };
    let inspected = stage.task("archive").args(["--inspect"]).succeed()?;
    ensure!(inspected["gap_records"] == 5, "{inspected}");
    kills.settle(recovered, &found)
}

#[test]
fn load_killed_at_every_point_loads_each_record_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_load", 3)?;
    let cassandra = stage.cassandra()?;
    let mut seed = 300;
    choose("load", &["load.before_quarantine"])?.each(|point| {
        for rounds in [&["return", "return"][..], &["1*off->return"]] {
            seed += 1;
            let produce = stage
                .task("produce")
                .args(events("3000", &seed.to_string()));
            produce.succeed()?;
            // three files at least, so that two kills leave one to load
            stage.task("archive").succeed()?;
            let mut kills = Kills::of(point);
            for actions in rounds {
                kills.kill(stage.task("load"), actions, || not_loaded(&stage))?;
            }
            stage.task("load").succeed()?;
            let recovered = Instant::now();
            kills.settle(recovered, &chaos::compare(&stage, &[Store::Postgres])?)?;
        }
        Ok(())
    })?;
    run_to_the_end(&stage, &cassandra)
}

fn not_loaded(stage: &Stage) -> anyhow::Result<i64> {
    let loaded = "select coalesce(sum(record_count), 0)::bigint from ops.load_file";
    Ok(stage.kafka.records(&stage.topic)? - stage.number(loaded)?)
}

/// Two files that cannot be read, a kill before the first and one before the second is noted.
#[test]
fn load_killed_before_a_quarantine_quarantines_and_heals() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_quarantine", 3)?;
    stage
        .task("produce")
        .args(events("3000", "390"))
        .succeed()?;
    stage.task("archive").succeed()?;
    let mut whole = Vec::new();
    for path in stage.raw_files()?.into_iter().take(2) {
        let bytes = stage.read_file(&path)?;
        stage.replace_file(&path, bytes[..bytes.len() / 2].to_vec())?;
        whole.push((path, bytes));
    }
    let mut kills = Kills::of("load.before_quarantine");
    for actions in ["return", "1*off->return"] {
        kills.kill(stage.task("load"), actions, || not_loaded(&stage))?;
    }
    // the second kill came after the first file was noted: this run notes the other
    stage.task("load").run()?.fails_with(2)?;
    let quarantined = "select count(*) from ops.load_file where status = 'quarantined'";
    ensure!(
        stage.number(quarantined)? == 2,
        "not both are in quarantine"
    );
    for (path, bytes) in whole {
        stage.replace_file(&path, bytes)?;
    }
    stage.task("load").args(["--retry-quarantined"]).succeed()?;
    let recovered = Instant::now();
    kills.settle(recovered, &chaos::compare(&stage, &[Store::Postgres])?)
}

/// `stream`, slow enough for every point to be passed several times, and thrown out of its group
/// as soon as Kafka allows.
fn stream(stage: &Stage) -> Task {
    stage
        .task("stream")
        .args(["--batch-rows", "4", "--concurrency", "2"])
        .args(["-X", SHORT_SESSION])
}

/// The shortest that Kafka allows: so long a dead instance keeps its partitions.
const SHORT_SESSION: &str = "session.timeout.ms=6000";

/// What `stream` does once a second, and therefore seldom.
const EACH_SECOND: [&str; 3] = [
    "stream.before_commit",
    "stream.after_commit",
    "stream.after_counts",
];

#[test]
fn stream_killed_at_every_point_writes_each_event_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_stream", 2)?;
    let cassandra = stage.cassandra()?;
    let mut seed = 400;
    choose("stream", &["stream.revoked"])?.each(|point| {
        let rounds: &[&[&str]] = match point {
            // once a run; a later pass needs a rebalance, which has a test of its own
            "stream.assigned" => &[&["return", "return"]],
            "stream.after_poll" => &[&["return", "return"], &["1000*off->return"]],
            _ if EACH_SECOND.contains(&point) => &[&["return", "return"], &["2*off->return"]],
            _ => &[&["return", "return"], &["100*off->return"]],
        };
        for round in rounds {
            let mut kills = Kills::of(point);
            for actions in *round {
                seed += 1;
                let seed = seed.to_string();
                let events = events("3000", &seed);
                if !EACH_SECOND.contains(&point) {
                    stage.task("produce").args(events).succeed()?;
                    kills.kill(stream(&stage), actions, || not_streamed(&stage))?;
                    continue;
                }
                // as long as records arrive it happens again: no count, but until it has happened;
                // and fast, because what queues up holds the commit back
                let endless = events[2..].iter().copied().chain(["--rate", "200"]);
                let producer = stage.task("produce").args(endless).start()?;
                let follower = stage.task("stream").args(["--follow", "-X", SHORT_SESSION]);
                kills.kill(follower, actions, || not_streamed(&stage))?;
                producer.signal("TERM")?;
                let produced = producer.finish()?;
                ensure!(produced.code == Some(0), "{produced:?}");
            }
            finish(stream(&stage))?;
            let recovered = Instant::now();
            let found = chaos::compare(&stage, &[Store::Cassandra(&cassandra)])?;
            kills.settle(recovered, &found)?;
        }
        Ok(())
    })?;
    run_to_the_end(&stage, &cassandra)
}

fn not_streamed(stage: &Stage) -> anyhow::Result<i64> {
    Ok(stage.kafka.records(&stage.topic)? - stage.committed()?)
}

/// A follower dies while its partitions go to another instance.
#[test]
fn stream_killed_in_a_rebalance_writes_each_event_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_rebalance", 2)?;
    let cassandra = stage.cassandra()?;
    // records arrive all the while, so that some are on their way whenever it happens
    let producer = stage
        .task("produce")
        .args(events("20000", "490"))
        .args(["--rate", "2000"])
        .start()?;
    let point = "stream.revoked";
    let mut kills = Kills::of(point);
    let follower = stream(&stage)
        .args(["--follow"])
        .failing(&format!("{point}=return"))
        .start()?;
    wait_until("the follower writes", || Ok(stage.committed()? > 0))?;
    // another one takes its share, then all of it
    let other = stream(&stage).start()?;
    let killed = follower.finish()?;
    killed.ended_at(point)?;
    let over = Instant::now();
    let in_flight = not_streamed(&stage)?;
    ensure!(in_flight > 0, "it was killed when nothing was to do");
    kills.killed.push((in_flight, over));
    let other = other.finish()?;
    ensure!(other.code == Some(0), "{other:?}");
    let produced = producer.finish()?;
    ensure!(produced.code == Some(0), "{produced:?}");
    finish(stream(&stage))?;
    let recovered = Instant::now();
    let found = chaos::compare(&stage, &[Store::Cassandra(&cassandra)])?;
    kills.settle(recovered, &found)
}

#[test]
fn catalog_killed_at_every_point_writes_each_row_once() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_catalog", 1)?;
    let catalog = || {
        let files = [
            "--users",
            "../data/users.json",
            "--products",
            "../data/products.json",
        ];
        stage.task("catalog").args(files)
    };
    let content = || -> anyhow::Result<(i64, String, String)> {
        let rows = "select (select count(*) from raw.user_profile)
                         + (select count(*) from raw.product)";
        // without the columns that tell when
        let digest = |table: &str, id: &str| {
            let query = format!(
                "select md5(string_agg({id} || file_hash, ',' order by {id})) from {table}"
            );
            anyhow::Ok(stage.texts(&query)?.remove(0))
        };
        Ok((
            stage.number(rows)?,
            digest("raw.user_profile", "user_id")?,
            digest("raw.product", "product_id")?,
        ))
    };
    catalog().succeed()?;
    let wanted = content()?;
    ensure!(wanted.0 == 12_000, "{wanted:?}");
    choose("catalog", &[])?.each(|point| {
        // the first pass is at the users, the second at the products
        for rounds in [&["return", "return"][..], &["1*off->return"]] {
            stage
                .sql()?
                .batch_execute("truncate raw.user_profile, raw.product")?;
            let mut kills = Kills::of(point);
            let rows = "select 12000 - (select count(*) from raw.user_profile)
                             - (select count(*) from raw.product)";
            for actions in rounds {
                kills.kill(catalog(), actions, || stage.number(rows))?;
            }
            catalog().succeed()?;
            let recovered = Instant::now();
            let found = content()?;
            ensure!(found == wanted, "{found:?} instead of {wanted:?}");
            let found = Comparison {
                records: found.0.unsigned_abs(),
                ..Comparison::default()
            };
            kills.settle(recovered, &found)?;
        }
        Ok(())
    })
}

/// The container of dbt killed as soon as a model is done; the next run repairs the star.
#[test]
fn dbt_killed_between_models_builds_the_star_all_the_same() -> anyhow::Result<()> {
    let _alone = alone();
    let stage = Stage::new("kill_dbt", 2)?;
    let seconds: u64 = setting("CHAOS_BUDGET_SECONDS", QUICK_SECONDS).parse()?;
    let models = [
        "marts.fact_event",
        "marts.fact_order",
        "intermediate.int_new_event",
        "intermediate.int_event",
        "intermediate.int_touched_event",
        "snapshots.product_history",
        "marts.dim_product",
    ];
    let models = if seconds == 0 {
        &models[..]
    } else {
        &models[..1]
    };
    for (index, model) in models.iter().enumerate() {
        let seed = (500 + index).to_string();
        stage
            .task("produce")
            .args(events("2000", &seed))
            .succeed()?;
        stage.task("archive").succeed()?;
        stage.task("load").succeed()?;
        let container = format!("{}_{index}", stage.topic);
        let mut dbt = stage.dbt_in(&container).start()?;
        let done = |line: &str| line.contains(" OK ") && line.contains(&format!(" {model} "));
        wait_until("the model is done", || {
            ensure!(dbt.is_running()?, "dbt ended before {model} was seen");
            // the container may not be there yet
            let log = Task::new("docker").args(["logs", &container]).run()?;
            Ok(log.stderr.lines().chain(log.stdout.lines()).any(done))
        })?;
        docker(&["kill", &container])?;
        let killed = dbt.finish()?;
        let over = Instant::now();
        ensure!(killed.code == Some(137), "{killed:?}");
        let unbuilt = "select coalesce(sum(record_count), 0)::bigint from ops.load_file
             where load_id not in (select load_id from intermediate.int_built_load)";
        // on the first run there is no such table yet
        let there = "select count(*) from information_schema.tables
             where table_schema = 'intermediate' and table_name = 'int_built_load'";
        let in_flight = match stage.number(there)? {
            0 => stage.number("select sum(record_count)::bigint from ops.load_file")?,
            _ => stage.number(unbuilt)?,
        };
        ensure!(in_flight > 0, "{model}: killed too late to prove anything");
        let fault = format!("kill of dbt after {model}");
        let kills = Kills {
            fault,
            point: model,
            killed: vec![(in_flight, over)],
        };
        let built: Value = stage.dbt().succeed()?;
        ensure!(built["status"] == "done", "{built}");
        let recovered = Instant::now();
        kills.settle(recovered, &chaos::compare(&stage, &[Store::Star])?)?;
    }
    Ok(())
}
