//! The peers that are programs: PySpark in its own image, and the tools of Kafka.

use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{Cost, Finished, Task, image, network, setting};
use serde_json::Value;

/// Spark takes its time.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// A job of integration/bench/spark/peer.py, in a container.
pub fn spark(words: &[&str]) -> Task {
    Task::new("docker")
        .args(["run", "--rm", "--network", &network()])
        .args([image("bench-spark").as_str()])
        .args(words.iter().copied())
}

/// What a job of Spark took.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Seconds of the job itself, without the start of Spark.
    pub seconds: f64,
    /// Of the whole process.
    pub cost: Cost,
}

/// Runs a job to its end.
pub fn run_spark(words: &[&str]) -> anyhow::Result<Job> {
    let finished = spark(words).start()?.finish_within(PATIENCE)?;
    ensure!(finished.code == Some(0), "{finished:?}");
    let line = finished
        .stdout
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("PEER "));
    let said: Value = serde_json::from_str(line.with_context(|| format!("{finished:?}"))?)?;
    Ok(Job {
        seconds: said["seconds"].as_f64().context("seconds")?,
        cost: finished.cost()?,
    })
}

/// A command-line tool of Kafka, by the name of its class.
pub fn kafka_tool(class: &str, words: &[&str], mounts: &[&str]) -> anyhow::Result<Finished> {
    let image = setting("KAFKA_IMAGE", "apache/kafka:4.3.1");
    let class = format!("org.apache.kafka.tools.{class}");
    let mounts = mounts.iter().flat_map(|mount| ["--volume", mount]);
    let finished = Task::new("docker")
        .args([
            "run",
            "--rm",
            "--network",
            &network(),
            "--entrypoint",
            "java",
        ])
        .args(mounts)
        .args([&image, "-Xmx512m", "-cp", "/opt/kafka/libs/*", &class])
        .args(words.iter().copied())
        .start()?
        .finish_within(PATIENCE)?;
    ensure!(finished.code == Some(0), "{finished:?}");
    Ok(finished)
}

/// Runs one of our tasks to its end.
pub fn run_ours(task: Task) -> anyhow::Result<(Value, Cost)> {
    let finished = task.timed().start()?.finish_within(PATIENCE)?;
    ensure!(finished.code == Some(0), "{finished:?}");
    Ok((finished.summary()?, finished.cost()?))
}
