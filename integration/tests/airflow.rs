//! The DAGs in the Airflow of the stack, through its REST API, as its UI uses it.
//!
//! They run on the live pipeline, which a run of the DAG only brings up to date.

use std::process::Command;

use anyhow::{Context, ensure};
use integration::{setting, wait_until};
use serde_json::{Value, json};

const DAG: &str = "batch_hdfs_to_postgres";
const API: &str = "http://airflow-api-server:8082";

fn run(program: &str, words: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(words).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {words:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A session with Airflow, from inside its own container: that has curl.
struct Airflow {
    container: String,
    token: String,
}

impl Airflow {
    fn login() -> anyhow::Result<Airflow> {
        let filter = "label=com.docker.compose.service=airflow-scheduler";
        let project = format!(
            "label=com.docker.compose.project={}",
            setting("COMPOSE_PROJECT_NAME", "ecomm")
        );
        let found = run(
            "docker",
            &["ps", "--quiet", "--filter", filter, "--filter", &project],
        )?;
        let container = found
            .lines()
            .next()
            .context("Airflow is not up")?
            .to_owned();
        let mut airflow = Airflow {
            container,
            token: String::new(),
        };
        let login = json!({
            "username": setting("AIRFLOW_USERNAME", "airflow"),
            "password": setting("AIRFLOW_PASSWORD", "airflow"),
        });
        let answer = airflow.call("POST", "/auth/token", &login)?;
        airflow.token = answer["access_token"]
            .as_str()
            .context("no token")?
            .to_owned();
        Ok(airflow)
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (url, bearer) = (
            format!("{API}{path}"),
            format!("Authorization: Bearer {}", self.token),
        );
        let body = body.to_string();
        let mut words = vec![
            "exec",
            &self.container,
            "curl",
            "-sS",
            "--fail-with-body",
            "-X",
            method,
        ];
        words.extend(["-H", "Content-Type: application/json", "-H", &bearer, &url]);
        if method != "GET" {
            words.extend(["-d", &body]);
        }
        let answer = run("docker", &words)?;
        serde_json::from_str(&answer).with_context(|| format!("{method} {path}: {answer}"))
    }

    fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call("GET", path, &Value::Null)
    }

    /// Triggers the DAG by hand; gives the path of the run.
    fn trigger(&self, conf: Value) -> anyhow::Result<String> {
        let body = json!({"logical_date": null, "conf": conf});
        let answer = self.call("POST", &format!("/api/v2/dags/{DAG}/dagRuns"), &body)?;
        let id = answer["dag_run_id"].as_str().context("no run")?;
        Ok(format!("/api/v2/dags/{DAG}/dagRuns/{id}"))
    }

    /// Waits for the end of a run; gives its state.
    fn finish(&self, path: &str) -> anyhow::Result<String> {
        let mut state = String::new();
        wait_until("the DAG run has ended", || {
            state = self.get(path)?["state"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            Ok(matches!(state.as_str(), "success" | "failed"))
        })?;
        Ok(state)
    }
}

/// Containers of a task of a run, running or not.
fn containers(path: &str, task: &str) -> anyhow::Result<Vec<String>> {
    let run_id = path.rsplit('/').next().unwrap_or_default();
    let (by_run, by_task) = (
        format!("label=com.ecomm-pipeline.run={run_id}"),
        format!("label=com.ecomm-pipeline.task={task}"),
    );
    let found = run(
        "docker",
        &[
            "ps", "--all", "--quiet", "--filter", &by_run, "--filter", &by_task,
        ],
    )?;
    Ok(found.lines().map(str::to_owned).collect())
}

#[test]
fn both_dags_are_there_and_their_forms_are_typed() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    let errors = airflow.get("/api/v2/importErrors")?;
    ensure!(errors["total_entries"] == 0, "{errors}");
    for (dag, fields) in [
        (DAG, vec!["flush_mib", "change_ratio", "full_refresh"]),
        ("produce_events", vec!["count", "rate", "seed"]),
    ] {
        let details = airflow.get(&format!("/api/v2/dags/{dag}/details"))?;
        ensure!(details["is_paused"] == false, "{dag} is paused");
        ensure!(details["doc_md"].is_string(), "{dag} has no docs");
        for field in fields {
            let schema = &details["params"][field]["schema"];
            ensure!(schema["title"].is_string(), "{dag}: {field} has no title");
        }
    }
    let senseless = json!({"logical_date": null, "conf": {"flush_mib": "many"}});
    let path = format!("/api/v2/dags/{DAG}/dagRuns");
    ensure!(
        airflow.call("POST", &path, &senseless).is_err(),
        "a wrong value was taken"
    );
    Ok(())
}

#[test]
fn a_run_by_hand_is_green_and_leaves_no_container() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    let path = airflow.trigger(json!({"flush_mib": 16}))?;
    ensure!(airflow.finish(&path)? == "success", "{path} failed");
    let tasks = airflow.get(&format!("{path}/taskInstances"))?;
    let tasks = tasks["task_instances"].as_array().context("no tasks")?;
    ensure!(tasks.len() == 4, "{tasks:?}");
    for task in tasks {
        let id = task["task_id"].as_str().unwrap_or_default();
        ensure!(task["state"] == "success", "{task}");
        ensure!(containers(&path, id)?.is_empty(), "{id} left a container");
        // the summary of the task is its XCom, its log the container's
        let summary = airflow.get(&format!(
            "{path}/taskInstances/{id}/xcomEntries/return_value"
        ))?;
        let summary = summary["value"].to_string();
        ensure!(summary.contains("exit_code"), "{id}: {summary}");
        let log = airflow.get(&format!(
            "{path}/taskInstances/{id}/logs/1?full_content=true"
        ))?;
        ensure!(
            log.to_string().contains("exit_code"),
            "{id}: the log misses the container's"
        );
    }
    // dbt is last
    let ended = |id: &str| {
        let found = tasks.iter().find(|task| task["task_id"] == id);
        found
            .and_then(|task| task["end_date"].as_str())
            .map(str::to_owned)
    };
    ensure!(ended("dbt") > ended("load") && ended("dbt") > ended("catalog"));
    Ok(())
}

#[test]
fn a_task_failed_by_hand_leaves_no_container_and_runs_again_when_cleared() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    let path = airflow.trigger(json!({}))?;
    wait_until("dbt has a container", || {
        Ok(!containers(&path, "dbt")?.is_empty())
    })?;
    let task = format!("{path}/taskInstances/dbt");
    airflow.call("PATCH", &task, &json!({"new_state": "failed"}))?;
    wait_until("the container is gone", || {
        Ok(containers(&path, "dbt")?.is_empty())
    })?;
    ensure!(airflow.finish(&path)? == "failed");

    let run_id = path.rsplit('/').next().unwrap_or_default();
    let clear = json!({
        "dry_run": false, "dag_run_id": run_id, "task_ids": ["dbt"],
        "only_failed": false, "reset_dag_runs": true,
    });
    airflow.call(
        "POST",
        &format!("/api/v2/dags/{DAG}/clearTaskInstances"),
        &clear,
    )?;
    ensure!(
        airflow.finish(&path)? == "success",
        "{path} failed after it was cleared"
    );
    ensure!(containers(&path, "dbt")?.is_empty(), "dbt left a container");
    Ok(())
}
