//! What a person and Prometheus see of `stream`, looked at in a browser.

use anyhow::{Context, ensure};
use integration::{Page, Stage, open_in_a_browser, wait_until};

#[test]
fn the_status_page_shows_lag_rate_and_rejects() -> anyhow::Result<()> {
    let stage = Stage::new("page", 3)?;
    let cassandra = stage.cassandra()?;
    let sent = stage
        .task("produce")
        .args([
            "--count",
            "3000",
            "--seed",
            "81",
            "--malformed-ratio",
            "0.02",
        ])
        .succeed()?;
    let page = Page::new()?;
    let stream = stage
        .task("stream")
        .args(["--follow", "--metrics-listen", &page.address])
        .start()?;
    page.wait_for("everything is written", |status| {
        status["records"] == sent["records"] && status["lag_records"] == 0
    })?;

    // data
    let status = page.status()?;
    let partitions = status["partitions"].as_array().context("partitions")?;
    ensure!(partitions.len() == 3, "{status}");
    let ends: i64 = partitions
        .iter()
        .filter_map(|one| one["end"].as_i64())
        .sum();
    ensure!(sent["records"] == ends, "{status}");
    let rejects = status["rejects"].as_object().context("rejects")?;
    let rejected: i64 = rejects.values().filter_map(serde_json::Value::as_i64).sum();
    ensure!(sent["malformed"] == rejected, "{status}");
    ensure!(
        status["last_rejects"].as_array().map(Vec::len) == Some(10),
        "{status}"
    );

    // what a browser makes of it
    let page_shown = open_in_a_browser("127.0.0.1", &format!("http://{}/", page.address))?;
    let (shown, complaints) = (page_shown.dom, page_shown.complaints);
    ensure!(complaints.is_empty(), "{complaints:?}");
    ensure!(shown.contains(r#"data-state="ok">ok<"#), "{shown}");
    ensure!(
        !shown.contains("http://") && !shown.contains("https://"),
        "it asks others: {shown}"
    );
    ensure!(shown.contains(&stage.topic), "{shown}");
    for reason in rejects.keys() {
        ensure!(shown.contains(reason), "{reason} is not shown");
    }
    let rows = shown.matches(">yes</td>").count();
    ensure!(rows == 3, "{rows} partitions are shown: {shown}");

    // Prometheus and health
    let (code, metrics) = page.get("/metrics")?;
    ensure!(code == 200, "{code}");
    let wanted = format!(
        "pipeline_records_total{{task=\"stream\"}} {}",
        sent["records"]
    );
    ensure!(
        metrics.lines().any(|line| line == wanted),
        "{wanted}: {metrics}"
    );
    for name in [
        "pipeline_lag_records{task=\"stream\",partition=\"2\"} 0",
        "pipeline_lag_seconds{task=\"stream\",partition=\"2\"} 0",
        "pipeline_rejects_total{task=\"stream\",reason=",
        "pipeline_write_duration_seconds_bucket{task=\"stream\",store=\"cassandra\",le=\"0.1\"}",
        "pipeline_batch_records_bucket{",
        "pipeline_event_delay_seconds_bucket{",
        "pipeline_record_delay_seconds_bucket{",
        "process_resident_memory_bytes{task=\"stream\"}",
    ] {
        ensure!(
            metrics.lines().any(|line| line.starts_with(name)),
            "no {name}: {metrics}"
        );
    }
    ensure!(page.get("/healthz")? == (200, "ok\n".to_owned()), "healthz");
    ensure!(page.get("/nothing")?.0 == 404, "a page that is none");
    stream.signal("TERM")?;
    let ended = stream.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ended.assert_calm()?;
    drop(cassandra);
    Ok(())
}

#[test]
fn a_port_that_is_taken_asks_for_a_person() -> anyhow::Result<()> {
    let stage = Stage::new("port", 1)?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let options = ["--metrics-listen", &address];
    let error = stage.task("stream").args(options).run()?.fails_with(2)?;
    ensure!(error.contains("METRICS_LISTEN"), "{error}");
    Ok(())
}

#[test]
fn a_short_task_pushes_what_it_did() -> anyhow::Result<()> {
    let stage = Stage::new("push", 1)?;
    let gateway = integration::setting("PUSHGATEWAY_URL", "http://pushgateway:9091");
    let options = [
        "--count",
        "500",
        "--seed",
        "82",
        "--metrics-push-url",
        &gateway,
    ];
    stage.task("produce").args(options).succeed()?;
    let options = ["--metrics-push-url", &gateway];
    stage.task("archive").args(options).succeed()?;
    let agent = ureq::agent();
    wait_until("the gateway shows it", || {
        let text = agent
            .get(format!("{gateway}/metrics"))
            .call()?
            .body_mut()
            .read_to_string()?;
        // other tests may push between
        Ok(text.lines().any(|line| {
            line.starts_with("pipeline_records_total{")
                && line.contains("task=\"archive\"")
                && line.ends_with(" 500")
        }) && text
            .contains("pipeline_last_success_timestamp_seconds{instance=\"\",job=\"archive\""))
    })?;
    // a gateway that does not answer harms nobody
    let nobody = ["--metrics-push-url", "http://127.0.0.1:1"];
    let finished = stage.task("archive").args(nobody).run()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    ensure!(
        finished.stderr.contains("could not be pushed"),
        "{finished:?}"
    );
    Ok(())
}
