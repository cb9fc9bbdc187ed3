//! The images, as the README runs them one by one.

use anyhow::ensure;
use integration::{IMAGES, Stage, Task, docker, image, network, password, wait_until};

/// `docker run` of a task, on the stage.
fn docker_run(stage: &Stage, name: &str, options: &[&str]) -> Task {
    let variables = [
        format!("KAFKA_TOPIC={}", stage.topic),
        format!("RAW_ROOT={}", stage.raw_root),
        format!(
            "POSTGRES_URL=postgresql://loader@postgres:5432/{}",
            stage.database
        ),
    ];
    let mut task = Task::new("docker")
        .args([
            "run",
            "--rm",
            "--network",
            &network(),
            "--env",
            "POSTGRES_PASSWORD",
        ])
        .env("POSTGRES_PASSWORD", &password("LOADER_PASSWORD"));
    for variable in &variables {
        task = task.args(["--env", variable]);
    }
    task.args([image(name).as_str()])
        .args(options.iter().copied())
}

#[test]
fn images_are_not_root_and_hold_no_secret() -> anyhow::Result<()> {
    for name in IMAGES {
        let format = "{{.Config.User}}|{{json .Config.Env}}|{{.Config.Labels}}";
        let config = docker(&["image", "inspect", "--format", format, &image(name)])?;
        ensure!(config.starts_with("10001|"), "{name}: {config}");
        ensure!(
            config.contains("org.opencontainers.image.title"),
            "{name}: {config}"
        );
        for secret in [
            "POSTGRES_PASSWORD",
            "LOADER_PASSWORD",
            "TRANSFORMER_PASSWORD",
        ] {
            ensure!(!config.contains(secret), "{name}: {config}");
        }
        let history = docker(&[
            "history",
            "--no-trunc",
            "--format",
            "{{.CreatedBy}}",
            &image(name),
        ])?;
        ensure!(
            !history.contains("BEGIN CERTIFICATE"),
            "{name} has a certificate in a layer"
        );
    }
    Ok(())
}

#[test]
fn each_task_runs_alone() -> anyhow::Result<()> {
    let stage = Stage::new("images", 2)?;
    let produced = docker_run(&stage, "produce", &["--count", "500", "--seed", "8"]).succeed()?;
    ensure!(produced["acked"] == 500, "{produced}");
    ensure!(docker_run(&stage, "archive", &[]).succeed()?["records"] == 500);
    let catalog = docker_run(&stage, "catalog", &[]).succeed()?;
    ensure!(catalog["users"]["inserted"] == 2_000, "{catalog}");
    ensure!(docker_run(&stage, "load", &[]).succeed()?["events"] == 500);
    stage.dbt().succeed()?;
    ensure!(stage.number("select count(*) from marts.fact_event")? == 500);
    Ok(())
}

#[test]
fn docker_stop_ends_a_task_cleanly() -> anyhow::Result<()> {
    let stage = Stage::new("stop", 1)?;
    let container = format!("{}_produce", stage.topic);
    let name_option =
        ["run", "--rm", "--name", &container, "--network", &network()].map(str::to_owned);
    let running = Task::new("docker")
        .args(name_option.iter().map(String::as_str))
        .args(["--env", &format!("KAFKA_TOPIC={}", stage.topic)])
        .args([image("produce").as_str(), "--rate", "200", "--seed", "9"])
        .start()?;
    wait_until("records arrive", || {
        Ok(stage.kafka.records(&stage.topic)? > 0)
    })?;
    docker(&["stop", "--time", "10", &container])?;
    let ended = running.finish()?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ensure!(
        ended.summary()?["acked"] == stage.kafka.records(&stage.topic)?,
        "{ended:?}"
    );
    Ok(())
}
