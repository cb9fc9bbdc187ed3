//! The DAGs in the Airflow of the stack, through its REST API, as its UI uses it.
//!
//! They run on the live pipeline, which a run of the DAG only brings up to date.

use anyhow::{Context, ensure};
use integration::{Airflow, wait_until};
use serde_json::json;

const DAG: &str = "batch_hdfs_to_postgres";

#[test]
fn the_dags_are_there_and_their_forms_are_typed() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    let errors = airflow.get("/api/v2/importErrors")?;
    ensure!(errors["total_entries"] == 0, "{errors}");
    for (dag, fields) in [
        (DAG, vec!["flush_mib", "change_ratio", "full_refresh"]),
        ("produce_events", vec!["count", "rate", "seed"]),
        (
            "replay_rejects",
            vec!["reason", "partition", "since", "until"],
        ),
        (
            "backfill",
            vec!["store", "partition", "from_offset", "to_offset", "reload"],
        ),
    ] {
        let details = airflow.get(&format!("/api/v2/dags/{dag}/details"))?;
        ensure!(details["is_paused"] == false, "{dag} is paused");
        ensure!(details["doc_md"].is_string(), "{dag} has no docs");
        for field in fields {
            let schema = &details["params"][field]["schema"];
            ensure!(schema["title"].is_string(), "{dag}: {field} has no title");
        }
    }
    // the form offers the reasons of the contract, all of them and no other
    let details = airflow.get("/api/v2/dags/replay_rejects/details")?;
    let offered = &details["params"]["reason"]["schema"]["enum"];
    let reasons = event::Reason::ALL.iter().map(|reason| reason.name());
    let expected: Vec<&str> = std::iter::once("all").chain(reasons).collect();
    ensure!(*offered == json!(expected), "{offered}");
    for (dag, wrong) in [
        (DAG, json!({"flush_mib": "many"})),
        ("replay_rejects", json!({"reason": "bad_mood"})),
        ("backfill", json!({"store": "the_moon"})),
    ] {
        let body = json!({"logical_date": null, "conf": wrong});
        let path = format!("/api/v2/dags/{dag}/dagRuns");
        ensure!(
            airflow.call("POST", &path, &body).is_err(),
            "{dag} took {wrong}"
        );
    }
    Ok(())
}

#[test]
fn a_run_by_hand_is_green_and_leaves_no_container() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    let path = airflow.trigger(json!({"flush_mib": 16}))?;
    ensure!(airflow.finish(&path)? == "success", "{path} failed");
    let tasks = airflow.get(&format!("{path}/taskInstances"))?;
    let tasks = tasks["task_instances"].as_array().context("no tasks")?;
    ensure!(tasks.len() == 5, "{tasks:?}");
    for task in tasks {
        let id = task["task_id"].as_str().unwrap_or_default();
        ensure!(task["state"] == "success", "{task}");
        ensure!(
            Airflow::containers(&path, id)?.is_empty(),
            "{id} left a container"
        );
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
        Ok(!Airflow::containers(&path, "dbt")?.is_empty())
    })?;
    let task = format!("{path}/taskInstances/dbt");
    airflow.call("PATCH", &task, &json!({"new_state": "failed"}))?;
    wait_until("the container is gone", || {
        Ok(Airflow::containers(&path, "dbt")?.is_empty())
    })?;
    ensure!(airflow.finish(&path)? == "failed");

    airflow.clear(&path, "dbt")?;
    ensure!(
        airflow.finish(&path)? == "success",
        "{path} failed after it was cleared"
    );
    ensure!(
        Airflow::containers(&path, "dbt")?.is_empty(),
        "dbt left a container"
    );
    Ok(())
}
