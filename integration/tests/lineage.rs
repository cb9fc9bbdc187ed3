//! OpenLineage events: what each run read and wrote, to a file or a collector; and a collector that
//! is away harms nobody.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use integration::{Stage, Task};
use serde_json::Value;

/// A file of events of one test. Gone when dropped.
struct Events(PathBuf);

impl Events {
    fn new(stage: &Stage) -> Events {
        Events(std::env::temp_dir().join(format!("{}.jsonl", stage.topic)))
    }

    fn of(&self, task: Task) -> Task {
        task.env("OPENLINEAGE_FILE", &self.0.display().to_string())
    }

    /// The events since the last time.
    fn take(&self) -> anyhow::Result<Vec<Value>> {
        let text = std::fs::read_to_string(&self.0)?;
        std::fs::remove_file(&self.0)?;
        let events = text.lines().map(serde_json::from_str);
        Ok(events.collect::<Result<_, _>>()?)
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // taken already, if all went well
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What the schemas of OpenLineage require of an event, its datasets and its facets.
fn check(event: &Value) -> anyhow::Result<()> {
    for text in ["eventTime", "producer", "schemaURL"] {
        ensure!(event[text].is_string(), "{text}: {event}");
    }
    let time = event["eventTime"].as_str().unwrap_or_default();
    ensure!(
        time.len() == 24 && time.contains('T') && time.ends_with('Z'),
        "{time}"
    );
    let schema = event["schemaURL"].as_str().unwrap_or_default();
    ensure!(
        schema.ends_with("OpenLineage.json#/$defs/RunEvent"),
        "{schema}"
    );
    let run_id = event["run"]["runId"].as_str().context("runId")?;
    ensure!(uuid::Uuid::parse_str(run_id).is_ok(), "{run_id}");
    let datasets = ["inputs", "outputs"].map(|kind| event[kind].as_array().cloned());
    let datasets: Vec<Value> = datasets.into_iter().flatten().flatten().collect();
    for named in datasets.iter().chain([&event["job"]]) {
        let (namespace, name) = (named["namespace"].as_str(), named["name"].as_str());
        ensure!(namespace.is_some_and(|text| !text.is_empty()), "{named}");
        ensure!(name.is_some_and(|text| !text.is_empty()), "{named}");
    }
    let facets = [&event["run"]["facets"], &event["job"]["facets"]];
    let of_datasets = datasets.iter().map(|dataset| &dataset["outputFacets"]);
    for facets in facets.into_iter().chain(of_datasets) {
        for (name, facet) in facets.as_object().into_iter().flatten() {
            ensure!(facet["_producer"].is_string(), "{name}: {facet}");
            ensure!(facet["_schemaURL"].is_string(), "{name}: {facet}");
        }
    }
    Ok(())
}

/// Checks the events of one run; the last of them, of that kind.
fn run_of(events: &[Value], job: &str, ended: &str) -> anyhow::Result<Value> {
    ensure!(events.len() == 2, "{events:?}");
    for (event, kind) in events.iter().zip(["START", ended]) {
        check(event)?;
        ensure!(event["eventType"] == kind, "{event}");
        ensure!(event["job"]["name"] == job, "{event}");
    }
    ensure!(events[0]["run"]["runId"] == events[1]["run"]["runId"]);
    Ok(events[1].clone())
}

fn rows(output: &Value) -> &Value {
    &output["outputFacets"]["outputStatistics"]["rowCount"]
}

#[test]
fn each_run_says_what_it_read_and_wrote() -> anyhow::Result<()> {
    let stage = Stage::new("lineage", 2)?;
    let events = Events::new(&stage);
    let parent = uuid::Uuid::new_v4();

    let produce = stage
        .task("produce")
        .args(["--count", "300", "--seed", "5"]);
    events.of(produce).succeed()?;
    let run = run_of(&events.take()?, "produce", "COMPLETE")?;
    ensure!(run["outputs"][0]["name"] == stage.topic.as_str(), "{run}");
    ensure!(*rows(&run["outputs"][0]) == 300, "{run}");

    let archive = stage
        .task("archive")
        .env("OPENLINEAGE_PARENT_ID", &format!("airflow/batch/{parent}"));
    events.of(archive).succeed()?;
    let archived = run_of(&events.take()?, "archive", "COMPLETE")?;
    ensure!(
        archived["inputs"][0]
            == serde_json::json!({
                "namespace": format!("kafka://{}", stage.kafka.bootstrap_servers), "name": stage.topic,
            })
    );
    let raw = &archived["outputs"][0];
    ensure!(*rows(raw) == 300, "{archived}");
    let above = &archived["run"]["facets"]["parent"];
    ensure!(above["run"]["runId"] == parent.to_string(), "{archived}");
    ensure!(above["job"]["name"] == "batch", "{archived}");

    events.of(stage.task("load")).succeed()?;
    let loaded = run_of(&events.take()?, "load", "COMPLETE")?;
    // what one wrote the other read: so a collector can draw the line between them
    for field in ["namespace", "name"] {
        ensure!(loaded["inputs"][0][field] == raw[field], "{loaded} {raw}");
    }
    let table = format!("{}.raw.log_event", stage.database);
    ensure!(loaded["outputs"][0]["name"] == table.as_str(), "{loaded}");
    ensure!(*rows(&loaded["outputs"][0]) == 300, "{loaded}");

    let failing = stage.task("archive").args(["--new-epoch", "7"]);
    events.of(failing).run()?.fails_with(2)?;
    let failed = run_of(&events.take()?, "archive", "FAIL")?;
    let message = &failed["run"]["facets"]["errorMessage"]["message"];
    ensure!(
        message
            .as_str()
            .is_some_and(|text| text.contains("--new-epoch 7")),
        "{failed}"
    );
    Ok(())
}

#[test]
fn a_collector_that_is_away_is_one_warning_and_off_is_none() -> anyhow::Result<()> {
    let stage = Stage::new("collector", 1)?;
    let away = stage
        .task("archive")
        .env("OPENLINEAGE_URL", "http://127.0.0.1:1")
        .run()?;
    ensure!(away.code == Some(0), "{away:?}");
    ensure!(
        away.stderr.matches("lineage could not be sent").count() == 1,
        "{away:?}"
    );
    let off = stage.task("archive").run()?;
    ensure!(
        off.code == Some(0) && !off.stderr.contains("lineage"),
        "{off:?}"
    );
    Ok(())
}
