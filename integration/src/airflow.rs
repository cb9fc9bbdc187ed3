//! Airflow as the tests use it: through its REST API, as its UI does.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use crate::server::{Server, docker};
use crate::stage::{password, setting};
use crate::task::wait_within;

const DAG: &str = "batch_hdfs_to_postgres";
const API: &str = "http://airflow-api-server:8082";

/// The longest that a run may take, with tasks that are tried again.
const PATIENCE: Duration = Duration::from_secs(420);

/// A session with Airflow, from inside the container of its API server: that has curl.
pub struct Airflow {
    server: Server,
    token: String,
}

impl Airflow {
    /// Logs in.
    pub fn login() -> anyhow::Result<Airflow> {
        let mut airflow = Airflow {
            server: Server::of("airflow-api-server")?,
            token: String::new(),
        };
        let login = json!({
            "username": setting("AIRFLOW_USERNAME", "airflow"),
            "password": password("AIRFLOW_PASSWORD"),
        });
        let answer = airflow.call("POST", "/auth/token", &login)?;
        airflow.token = answer["access_token"]
            .as_str()
            .context("no token")?
            .to_owned();
        Ok(airflow)
    }

    /// Any call.
    pub fn call(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (url, bearer) = (
            format!("{API}{path}"),
            format!("Authorization: Bearer {}", self.token),
        );
        let body = body.to_string();
        let mut words = vec!["curl", "-sS", "--fail-with-body", "-X", method];
        words.extend(["-H", "Content-Type: application/json", "-H", &bearer, &url]);
        if method != "GET" {
            words.extend(["-d", &body]);
        }
        let answer = self.server.exec(&words)?;
        serde_json::from_str(&answer).with_context(|| format!("{method} {path}: {answer}"))
    }

    /// What a path shows.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, &Value::Null)
    }

    /// Triggers the DAG by hand; gives the path of the run.
    pub fn trigger(&self, conf: Value) -> anyhow::Result<String> {
        let body = json!({"logical_date": null, "conf": conf});
        let answer = self.call("POST", &format!("/api/v2/dags/{DAG}/dagRuns"), &body)?;
        let id = answer["dag_run_id"].as_str().context("no run")?;
        Ok(format!("/api/v2/dags/{DAG}/dagRuns/{id}"))
    }

    /// The state of a run.
    pub fn state(&self, path: &str) -> anyhow::Result<String> {
        let state = self.get(path)?["state"].as_str().map(str::to_owned);
        state.context("no state")
    }

    /// Waits for the end of a run; gives its state.
    pub fn finish(&self, path: &str) -> anyhow::Result<String> {
        let mut state = String::new();
        wait_within(PATIENCE, "the DAG run has ended", || {
            state = self.state(path)?;
            Ok(matches!(state.as_str(), "success" | "failed"))
        })?;
        Ok(state)
    }

    /// Clears a task of a run, so that it runs again: now, if it runs already.
    pub fn clear(&self, path: &str, task: &str) -> anyhow::Result<()> {
        let clear = json!({
            "dry_run": false, "dag_run_id": run_id(path), "task_ids": [task],
            "only_failed": false, "reset_dag_runs": true,
        });
        let answer = self.call(
            "POST",
            &format!("/api/v2/dags/{DAG}/clearTaskInstances"),
            &clear,
        )?;
        ensure!(answer["total_entries"] == 1, "{answer}");
        Ok(())
    }

    /// Containers of a task of a run, running or not.
    pub fn containers(path: &str, task: &str) -> anyhow::Result<Vec<String>> {
        let (by_run, by_task) = (
            format!("label=com.ecomm-pipeline.run={}", run_id(path)),
            format!("label=com.ecomm-pipeline.task={task}"),
        );
        let filters = ["--filter", by_run.as_str(), "--filter", by_task.as_str()];
        let found = docker(&[&["ps", "--all", "--quiet"], filters.as_slice()].concat())?;
        Ok(found.lines().map(str::to_owned).collect())
    }
}

fn run_id(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
