//! What operators of Airflow look for: assets, pools, messages, deadlines, upkeep. On the live stack.
//!
//! Messages are asked of `dags/notifier.py` itself, in the scheduler's container: who is told in the
//! stack is a setting of its owner, which a test does not touch.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use anyhow::{Context, ensure};
use integration::{Airflow, Server, docker, network, password, wait_until, wait_within};
use postgres::{Client, NoTls};
use serde_json::{Value, json};

const BATCH: &str = "batch_hdfs_to_postgres";
const DAGS: [&str; 6] = [
    BATCH,
    "produce_events",
    "replay_rejects",
    "backfill",
    "maintenance",
    "star_report",
];

/// Airflow's own database.
fn metadata() -> anyhow::Result<Client> {
    let mut config: postgres::Config = "postgresql://airflow@postgres:5432/airflow_meta".parse()?;
    config.password(password("POSTGRES_PASSWORD"));
    Ok(config.connect(NoTls)?)
}

#[test]
fn every_task_is_owned_documented_and_in_a_pool_that_is_there() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    let pools = airflow.get("/api/v2/pools")?;
    let pools: BTreeSet<&str> = pools["pools"]
        .as_array()
        .context("no pools")?
        .iter()
        .filter_map(|pool| pool["name"].as_str())
        .collect();
    for dag in DAGS {
        let details = airflow.get(&format!("/api/v2/dags/{dag}/details"))?;
        ensure!(details["owners"] == json!(["ecomm-pipeline"]), "{details}");
        let tags = details["tags"].as_array().context("no tags")?;
        ensure!(tags.len() == 2, "{dag}: {tags:?}");
        let tasks = airflow.get(&format!("/api/v2/dags/{dag}/tasks"))?;
        for task in tasks["tasks"].as_array().context("no tasks")? {
            let id = task["task_id"].as_str().unwrap_or_default();
            ensure!(task["doc_md"].is_string(), "{dag}.{id} has no docs");
            let pool = task["pool"].as_str().unwrap_or_default();
            ensure!(pools.contains(pool), "{dag}.{id}: there is no pool {pool}");
            // what sends again is not tried again; what is, later each time
            let (retries, backoff) = (&task["retries"], &task["retry_exponential_backoff"]);
            match id {
                "produce" => ensure!(*retries == 0.0, "{task}"),
                "stores" | "airflow_logs" | "airflow_metadata" => {}
                _ => ensure!(*retries == 3.0 && *backoff == 2.0, "{task}"),
            }
        }
    }
    Ok(())
}

/// Lets the deadline of a run be now rather than in ten minutes; how its callback ended.
fn miss_the_deadline(run_id: &str) -> anyhow::Result<String> {
    let mut metadata = metadata()?;
    let moved = metadata.execute(
        "update deadline set deadline_time = now()
         where dagrun_id = (select id from dag_run where run_id = $1) and not missed",
        &[&run_id],
    )?;
    ensure!(moved == 1, "the run has no deadline");
    let mut state = String::new();
    wait_within(Duration::from_secs(60), "the callback has ended", || {
        let row = metadata.query_one(
            "select coalesce(callback.state, '') from deadline
             join callback on callback.id = deadline.callback_id
             where deadline.dagrun_id = (select id from dag_run where run_id = $1)",
            &[&run_id],
        )?;
        state = row.get(0);
        Ok(matches!(state.as_str(), "success" | "failed"))
    })?;
    Ok(state)
}

/// The newest event of the asset that a task of a run brought up to date.
fn asset_event(airflow: &Airflow, task: &str, run_id: &str) -> anyhow::Result<Value> {
    let events = airflow.get(&format!(
        "/api/v2/assets/events?source_dag_id={BATCH}&source_task_id={task}&order_by=-timestamp&limit=20"
    ))?;
    let events = events["asset_events"].as_array().context("no events")?;
    let event = events.iter().find(|event| event["source_run_id"] == run_id);
    event
        .cloned()
        .with_context(|| format!("{run_id}: {task} has no event"))
}

fn xcom(airflow: &Airflow, run: &str, task: &str) -> anyhow::Result<Value> {
    let path = format!("{run}/taskInstances/{task}/xcomEntries/return_value?deserialize=true");
    Ok(airflow.get(&path)?["value"].take())
}

#[test]
fn a_late_run_is_told_brings_assets_up_to_date_and_the_report_follows() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    // a run that has a time, like the scheduled ones: a deadline counts from it
    let now = "select to_char(now() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let now: String = metadata()?.query_one(now, &[])?.get(0);
    let body = json!({"logical_date": now, "conf": {}});
    let run = airflow.call("POST", &format!("/api/v2/dags/{BATCH}/dagRuns"), &body)?;
    let run_id = run["dag_run_id"].as_str().context("no run")?;
    let path = format!("/api/v2/dags/{BATCH}/dagRuns/{run_id}");
    wait_until("it runs", || Ok(airflow.state(&path)? == "running"))?;
    ensure!(miss_the_deadline(run_id)? == "success", "{path}");
    ensure!(airflow.finish(&path)? == "success", "{path} failed");
    for (asset, task) in [("raw", "load"), ("marts", "dbt")] {
        let event = asset_event(&airflow, task, run_id)?;
        ensure!(event["name"] == asset, "{event}");
        // it carries what the task counted
        ensure!(event["extra"]["exit_code"] == 0, "{event}");
        ensure!(event["extra"] == xcom(&airflow, &path, task)?, "{event}");
    }
    let mut report = None;
    wait_until("star_report has been scheduled", || {
        let event = asset_event(&airflow, "dbt", run_id)?;
        let run = event["created_dagruns"][0]["run_id"].as_str();
        report = run.map(str::to_owned);
        Ok(report.is_some())
    })?;
    let report = report.context("no run")?;
    let report = format!("/api/v2/dags/star_report/dagRuns/{report}");
    ensure!(airflow.finish(&report)? == "success", "{report} failed");
    let said = xcom(&airflow, &report, "report")?;
    let (loaded, in_star) = (said["loaded"].as_u64(), said["in_star"].as_u64());
    ensure!(
        loaded.is_some() && in_star.is_some() && in_star <= loaded,
        "{said}"
    );
    Ok(())
}

/// A webhook that takes one message, and what is sent to it.
struct Sink {
    listener: TcpListener,
    address: String,
}

impl Sink {
    fn open() -> anyhow::Result<Sink> {
        let listener = TcpListener::bind("0.0.0.0:0")?;
        listener.set_nonblocking(true)?;
        // Airflow has a network of its own, and the sink has to be in it
        let airflow = format!("{}_airflow", network());
        let here = std::fs::read_to_string("/etc/hostname")?;
        let joined = docker(&["network", "connect", &airflow, here.trim()]);
        if let Err(failure) = joined {
            ensure!(failure.to_string().contains("already exists"), "{failure}");
        }
        // the address that this machine has there
        let towards = UdpSocket::bind("0.0.0.0:0")?;
        towards.connect("airflow-scheduler:8974")?;
        let address = format!(
            "{}:{}",
            towards.local_addr()?.ip(),
            listener.local_addr()?.port()
        );
        Ok(Sink { listener, address })
    }

    /// Path and body of the next request, which gets this answer.
    fn take(&self, status: &str) -> anyhow::Result<(String, Value)> {
        let mut taken = None;
        wait_within(Duration::from_secs(90), "a message has come", || {
            taken = self.listener.accept().ok();
            Ok(taken.is_some())
        })?;
        let (mut stream, _) = taken.context("nobody came")?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?;
        Ok((path, serde_json::from_slice(&body)?))
    }
}

/// What the scripts below call: messages to a connection, as tasks and deadlines send them.
const PRELUDE: &str = "
import logging, os, sys
sys.path.insert(0, '/opt/airflow/dags')
import notifier
logging.basicConfig(stream=sys.stdout, level='INFO', force=True)

class Instance:
    dag_id, task_id, try_number, run_id = 'batch', 'load', 4, 'manual__1'
    log_url = 'http://localhost:8082/dags/batch/runs/manual__1/tasks/load'

def to(connection):
    os.environ['AIRFLOW_CONN_PIPELINE_ALERTS'] = connection

def failed():
    secret = open('/run/secrets/TRANSFORMER_PASSWORD').read()
    reason = 'load failed: ' + secret + ' ' + 'x' * 900
    notifier.task_failed({'ti': Instance, 'exception': RuntimeError(reason)})

def late(end_date):
    run = {'dag_id': 'batch', 'dag_run_id': 'manual__1', 'state': 'running'}
    notifier.run_late(context={'dag_run': run | {'end_date': end_date}}, limit_seconds=600)
";

/// Runs Python beside the DAGs, where tasks run; what it logged.
fn beside_the_dags(code: &str) -> anyhow::Result<String> {
    let code = format!("{PRELUDE}\n{code}\nprint('went on')");
    let said = Server::of("airflow-scheduler")?.exec(&["python", "-c", &code])?;
    ensure!(said.ends_with("went on"), "{said}");
    ensure!(!said.contains("hook-secret"), "{said}");
    Ok(said)
}

#[test]
fn messages_are_sent_to_a_webhook_and_hold_no_secret() -> anyhow::Result<()> {
    let sink = Sink::open()?;
    let connection = format!("http://:services%2FT0%2Fhook-secret@{}/http", sink.address);
    // one that had ended by its deadline is not late
    let code = format!("to('{connection}'); failed(); late('noon'); late(None)");
    let (taken, said) = std::thread::scope(|scope| {
        let taken = scope.spawn(|| [sink.take("200 OK"), sink.take("200 OK")]);
        let said = beside_the_dags(&code);
        (taken.join(), said)
    });
    let said = said?;
    ensure!(said.matches("told pipeline_alerts").count() == 2, "{said}");
    let taken = taken.map_err(|_| anyhow::anyhow!("the sink panicked"))?;
    for (message, expected) in taken
        .into_iter()
        .zip(["batch.load failed (try 4)", "10 minutes"])
    {
        let (path, body) = message?;
        ensure!(path == "/services/T0/hook-secret", "{path}");
        let text = body["text"].as_str().context("no text")?;
        ensure!(text.contains(expected), "{text}");
        ensure!(text.contains("manual__1") && text.len() < 1_000, "{text}");
        let secret = password("TRANSFORMER_PASSWORD");
        ensure!(!text.contains(&secret), "{text}");
    }
    Ok(())
}

#[test]
fn a_webhook_that_refuses_or_is_away_fails_nothing() -> anyhow::Result<()> {
    let sink = Sink::open()?;
    let refusing = format!("http://:hook-secret@{}/http", sink.address);
    let code = format!(
        "to('{refusing}'); failed()
to('http://:hook-secret@127.0.0.1:1/http'); failed()
to('ftp://:hook-secret@x/ftp'); failed()
to(''); failed()"
    );
    let said = std::thread::scope(|scope| {
        scope.spawn(|| sink.take("500 No"));
        beside_the_dags(&code)
    })?;
    for reason in ["(HTTPError 500)", "(URLError )", "(ValueError )"] {
        ensure!(said.matches(reason).count() == 1, "{reason}: {said}");
    }
    ensure!(said.contains("there is no connection"), "{said}");
    Ok(())
}

#[test]
fn upkeep_of_a_night_is_green() -> anyhow::Result<()> {
    let airflow = Airflow::login()?;
    // only what is a century old: the history of the stack is not the test's
    let body = json!({"logical_date": null, "conf": {
        "keep_audit_days": 36_500, "keep_metadata_days": 36_500, "keep_log_days": 36_500,
        "compact_after_days": 36_500,
    }});
    let run = airflow.call("POST", "/api/v2/dags/maintenance/dagRuns", &body)?;
    let id = run["dag_run_id"].as_str().context("no run")?;
    let path = format!("/api/v2/dags/maintenance/dagRuns/{id}");
    ensure!(airflow.finish(&path)? == "success", "{path} failed");
    let said = xcom(&airflow, &path, "maintain")?;
    ensure!(said["verdicts_deleted"] == 0, "{said}");
    ensure!(said["tables_refreshed"].as_u64() >= Some(8), "{said}");
    ensure!(said["files_packed"] == 0, "{said}");
    Ok(())
}
