//! Lineage: what a run read and wrote, as OpenLineage events, for those who collect them.
//!
//! Off unless somebody says where they go. A run says START, and COMPLETE or FAIL with its datasets;
//! a dataset's rows are the count of the summary that the task names. A collector that does not
//! answer is one warning, whatever it misses, and never the task's failure.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use clap::Args;
use log::{debug, warn};
use serde_json::{Map, Value, json};
use uuid::Uuid;

// no doc comment here: it would become the description of every task in its --help
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Lineage")]
pub struct LineageOptions {
    /// Send OpenLineage events to this collector (http://host:5000), at its path /api/v1/lineage. A
    /// key for it is read from OPENLINEAGE_API_KEY
    #[arg(long, env = "OPENLINEAGE_URL", value_name = "URL")]
    pub openlineage_url: Option<String>,

    /// Append OpenLineage events to this file, one a line
    #[arg(long, env = "OPENLINEAGE_FILE", value_name = "FILE")]
    pub openlineage_file: Option<PathBuf>,

    /// Namespace of the job in OpenLineage events
    #[arg(
        long,
        env = "OPENLINEAGE_NAMESPACE",
        value_name = "NAME",
        default_value = "ecomm-pipeline"
    )]
    pub openlineage_namespace: String,

    /// The run that this one is a part of, as NAMESPACE/JOB/RUN-ID; Airflow's DAG run sets it
    #[arg(long, env = "OPENLINEAGE_PARENT_ID", value_name = "PARENT")]
    pub openlineage_parent_id: Option<String>,
}

/// Whoever makes these events.
const PRODUCER: &str = concat!("urn:ecomm-pipeline:", env!("CARGO_PKG_VERSION"));
const EVENT_SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// How long a collector may take, at the start and at the end.
const SEND_TIMEOUT: Duration = Duration::from_secs(3);

/// Where data lie, named as OpenLineage names such places: `kafka://host:9092` and `topic`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    namespace: String,
    name: String,
}

impl Dataset {
    /// `namespace` is the server, `name` what it holds.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Dataset {
        Dataset {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// What the run does to a dataset.
#[derive(Debug, Clone)]
enum Use {
    Reads(Dataset),
    /// With the path of its row count in the summary.
    Writes(Dataset, &'static str),
}

/// What the run reads and writes, as far as it has said.
static USES: Mutex<Vec<Use>> = Mutex::new(Vec::new());

/// Says that the run reads a dataset.
pub fn reads(dataset: Dataset) {
    note(Use::Reads(dataset));
}

/// Says that the run writes a dataset. `rows` points to the count in the summary (`/events`); empty:
/// nobody counts.
pub fn writes(dataset: Dataset, rows: &'static str) {
    note(Use::Writes(dataset, rows));
}

fn note(used: Use) {
    let mut uses = USES.lock().unwrap_or_else(PoisonError::into_inner);
    uses.push(used);
}

/// The events of one run.
pub struct Lineage {
    options: LineageOptions,
    job: String,
    run_id: Uuid,
    has_warned: bool,
}

impl Lineage {
    /// Says that the run begins.
    pub fn begin(name: &str, options: LineageOptions) -> Lineage {
        let mut lineage = Lineage {
            options,
            job: name.to_owned(),
            run_id: Uuid::new_v4(),
            has_warned: false,
        };
        if lineage.is_on() {
            let event = lineage.event("START", None, &[], &Map::new());
            lineage.send(&event);
        }
        lineage
    }

    /// Says how it ended: `summary` has the counts, and the error if there was one.
    pub fn end(mut self, exit_code: u8, summary: &Map<String, Value>) {
        if !self.is_on() {
            return;
        }
        let uses = USES.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kind = if exit_code == 0 { "COMPLETE" } else { "FAIL" };
        let error = summary.get("error").and_then(Value::as_str);
        let event = self.event(kind, error, &uses, summary);
        self.send(&event);
    }

    fn is_on(&self) -> bool {
        self.options.openlineage_url.is_some() || self.options.openlineage_file.is_some()
    }

    fn event(
        &self,
        kind: &str,
        error: Option<&str>,
        uses: &[Use],
        summary: &Map<String, Value>,
    ) -> Value {
        let mut run_facets = Map::new();
        if let Some(parent) = self
            .options
            .openlineage_parent_id
            .as_deref()
            .and_then(parent)
        {
            run_facets.insert(
                "parent".to_owned(),
                facet("1-0-1", "ParentRunFacet", parent),
            );
        }
        if let Some(error) = error {
            let message = json!({"message": error, "programmingLanguage": "Rust"});
            run_facets.insert(
                "errorMessage".to_owned(),
                facet("1-0-1", "ErrorMessageRunFacet", message),
            );
        }
        let job_type =
            json!({"processingType": "BATCH", "integration": "ECOMM-PIPELINE", "jobType": "TASK"});
        let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
        for used in uses {
            match used {
                Use::Reads(dataset) => inputs.push(named(dataset)),
                Use::Writes(dataset, rows) => outputs.push(output(dataset, rows, summary)),
            }
        }
        json!({
            "eventType": kind,
            "eventTime": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "producer": PRODUCER,
            "schemaURL": EVENT_SCHEMA,
            "run": {"runId": self.run_id.to_string(), "facets": run_facets},
            "job": {
                "namespace": self.options.openlineage_namespace,
                "name": self.job,
                "facets": {"jobType": facet("2-0-3", "JobTypeJobFacet", job_type)},
            },
            "inputs": inputs,
            "outputs": outputs,
        })
    }

    /// Once to each place; what fails is said once.
    fn send(&mut self, event: &Value) {
        let written = self
            .options
            .openlineage_file
            .as_ref()
            .map_or(Ok(()), |path| {
                append(path, event).with_context(|| path.display().to_string())
            });
        let posted = self
            .options
            .openlineage_url
            .as_ref()
            .map_or(Ok(()), |url| post(url, event));
        for failure in [written.err(), posted.err()].into_iter().flatten() {
            if self.has_warned {
                debug!("lineage could not be sent: {failure:#}");
            } else {
                warn!("lineage could not be sent, and the task goes on without: {failure:#}");
                self.has_warned = true;
            }
        }
    }
}

fn append(path: &Path, event: &Value) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    // one write, so that events of tasks side by side do not mix
    Ok(file.write_all(format!("{event}\n").as_bytes())?)
}

fn post(url: &str, event: &Value) -> anyhow::Result<()> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(SEND_TIMEOUT))
        .build()
        .into();
    let place = format!("{}/api/v1/lineage", url.trim_end_matches('/'));
    let mut request = agent
        .post(&place)
        .header("Content-Type", "application/json");
    if let Ok(key) = crate::secret("OPENLINEAGE_API_KEY") {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    request.send(event.to_string().as_str())?;
    Ok(())
}

/// `NAMESPACE/JOB/RUN-ID`, whose namespace may hold slashes; nothing if it is not of that form.
fn parent(text: &str) -> Option<Value> {
    let (rest, run_id) = text.rsplit_once('/')?;
    let (namespace, job) = rest.rsplit_once('/')?;
    let run_id = Uuid::parse_str(run_id).ok()?;
    Some(
        json!({"run": {"runId": run_id.to_string()}, "job": {"namespace": namespace, "name": job}}),
    )
}

fn named(dataset: &Dataset) -> Value {
    json!({"namespace": dataset.namespace, "name": dataset.name})
}

fn output(dataset: &Dataset, rows: &str, summary: &Map<String, Value>) -> Value {
    let mut output = named(dataset);
    let mut found = rows.split('/').skip(1);
    let first = found.next().and_then(|name| summary.get(name));
    let counted = found.try_fold(first, |value, name| Some(value?.get(name)));
    if let Some(count) = counted.flatten().and_then(Value::as_u64) {
        let statistics = json!({"rowCount": count});
        output["outputFacets"] = json!({
            "outputStatistics":
                facet("1-0-2", "OutputStatisticsOutputDatasetFacet", statistics),
        });
    }
    output
}

/// A facet with what each has to have: who made it, and its schema.
fn facet(version: &str, name: &str, mut content: Value) -> Value {
    content["_producer"] = PRODUCER.into();
    content["_schemaURL"] =
        format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}").into();
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(parent: Option<&str>) -> Lineage {
        Lineage {
            options: LineageOptions {
                openlineage_namespace: "shop".to_owned(),
                openlineage_parent_id: parent.map(str::to_owned),
                ..LineageOptions::default()
            },
            job: "load".to_owned(),
            run_id: Uuid::new_v4(),
            has_warned: false,
        }
    }

    #[test]
    fn a_run_names_its_datasets_its_rows_and_its_parent() {
        let table = |name: &str| Dataset::new("postgres://postgres:5432", name);
        let uses = [
            Use::Reads(Dataset::new("hdfs://namenode:8020", "/raw/LogEvents")),
            Use::Writes(table("raw.log_event"), "/events"),
            Use::Writes(table("raw.product"), "/products/inserted"),
            Use::Writes(table("ops.load_file"), ""),
        ];
        let summary = json!({"events": 12, "products": {"inserted": 3}});
        let id = "0197b2a0-0000-7000-8000-000000000000";
        let event = lineage(Some(&format!("http://airflow/x/batch/{id}"))).event(
            "COMPLETE",
            None,
            &uses,
            summary.as_object().expect("an object"),
        );
        assert_eq!(event["inputs"][0]["name"], "/raw/LogEvents");
        let rows =
            |index: usize| &event["outputs"][index]["outputFacets"]["outputStatistics"]["rowCount"];
        assert_eq!(
            (rows(0), rows(1), rows(2)),
            (&json!(12), &json!(3), &Value::Null)
        );
        let parent = &event["run"]["facets"]["parent"];
        assert_eq!(
            parent["job"],
            json!({"namespace": "http://airflow/x", "name": "batch"})
        );
        assert_eq!(parent["run"]["runId"], id);
    }

    #[test]
    fn a_parent_that_is_none_is_left_out() {
        for text in [
            "",
            "batch",
            "airflow/batch/run-1",
            "batch/0197b2a0-0000-7000-8000-000000000000",
        ] {
            let event = lineage(Some(text)).event("START", None, &[], &Map::new());
            assert_eq!(event["run"]["facets"], json!({}), "{text}");
        }
    }
}
