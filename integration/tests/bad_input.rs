//! What a person sees who got something wrong: one line that says what to do, and the right code.

use anyhow::ensure;
use integration::{Stage, Task};

const TASKS: [&str; 5] = ["produce", "stream", "archive", "catalog", "load"];

#[test]
fn help_is_there_and_a_wrong_option_is_named() -> anyhow::Result<()> {
    for name in TASKS {
        let help = Task::new(name).args(["--help"]).run()?;
        ensure!(
            help.code == Some(0) && help.stdout.contains("Exit codes:"),
            "{help:?}"
        );
        let error = Task::new(name).args(["--nonsense"]).run()?.fails_with(2)?;
        ensure!(error.contains("--nonsense"), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn a_variable_that_is_set_but_empty_is_not_set() -> anyhow::Result<()> {
    let stage = Stage::new("empty", 1)?;
    let mut archive = stage.task("archive");
    for variable in [
        "ARCHIVE_FLUSH_MIB",
        "ARCHIVE_NEW_EPOCH",
        "KAFKA_PROPERTIES",
        "KAFKA_PASSWORD_FILE",
        "METRICS_LISTEN",
        "METRICS_PUSH_URL",
        "OPENLINEAGE_FILE",
        "OPENLINEAGE_PARENT_ID",
        "OPENLINEAGE_URL",
    ] {
        archive = archive.env(variable, "");
    }
    let run = archive.run()?;
    ensure!(
        run.code == Some(0) && !run.stderr.contains("WARN"),
        "{run:?}"
    );
    Ok(())
}

#[test]
fn servers_that_do_not_answer_are_worth_a_retry() -> anyhow::Result<()> {
    let stage = Stage::new("away", 1)?;
    let kafka_away = [
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("KAFKA_TIMEOUT_SECONDS", "2"),
    ];
    let hdfs_away = [
        ("HDFS_URL", "hdfs://127.0.0.1:1"),
        ("HDFS_PATIENCE_SECONDS", "1"),
    ];
    let postgres_away = [
        ("POSTGRES_URL", "postgresql://loader@127.0.0.1:1/airflow"),
        ("POSTGRES_CONNECT_TIMEOUT_SECONDS", "2"),
    ];
    let cases = [
        ("produce", kafka_away, "KAFKA_BOOTSTRAP_SERVERS"),
        ("archive", kafka_away, "KAFKA_BOOTSTRAP_SERVERS"),
        ("archive", hdfs_away, "NameNode"),
        ("load", hdfs_away, "NameNode"),
        ("load", postgres_away, "POSTGRES_URL"),
        ("catalog", postgres_away, "POSTGRES_URL"),
    ];
    for (name, settings, advice) in cases {
        let mut task = stage.task(name);
        for (variable, value) in settings {
            task = task.env(variable, value);
        }
        if name == "catalog" {
            task = task.args([
                "--users",
                "../data/users.json",
                "--products",
                "../data/products.json",
            ]);
        }
        if name == "produce" {
            task = task.args(["--count", "10"]);
        }
        let error = task.run()?.fails_with(1)?;
        ensure!(error.contains(advice), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn what_only_a_person_can_mend_ends_with_2() -> anyhow::Result<()> {
    let stage = Stage::new("person", 1)?;
    let no_topic = |name: &str| stage.task(name).env("KAFKA_TOPIC", "test_no_such_topic");
    for task in [
        no_topic("archive"),
        no_topic("produce").args(["--count", "1"]),
    ] {
        let error = task.run()?.fails_with(2)?;
        ensure!(
            error.contains("test_no_such_topic") && error.contains("create it"),
            "{error}"
        );
    }
    for name in ["load", "catalog"] {
        let task = || {
            let task = stage.task(name);
            match name {
                "catalog" => task.args([
                    "--users",
                    "../data/users.json",
                    "--products",
                    "../data/products.json",
                ]),
                _ => task,
            }
        };
        let wrong = task().env("POSTGRES_PASSWORD", "wrong-secret").run()?;
        ensure!(
            !wrong.stderr.contains("wrong-secret"),
            "a secret in the log"
        );
        let error = wrong.fails_with(2)?;
        ensure!(error.contains("POSTGRES_PASSWORD"), "{error}");
        let error = task()
            .env("POSTGRES_PASSWORD_FILE", "/nowhere")
            .run()?
            .fails_with(2)?;
        ensure!(error.contains("/nowhere"), "{error}");
        let url = "postgresql://loader@postgres:5432/no_such_database";
        let error = task().env("POSTGRES_URL", url).run()?.fails_with(2)?;
        ensure!(error.contains("no_such_database"), "{error}");
    }
    let unknown = stage
        .task("archive")
        .args(["-X", "no.such.property=1"])
        .run()?;
    let error = unknown.fails_with(2)?;
    ensure!(error.contains("KAFKA_PROPERTIES"), "{error}");

    // a database that nobody set up
    let mut admin = stage.sql()?;
    admin.batch_execute("drop table raw.log_event cascade; drop table ops.load_file cascade")?;
    stage.kafka.send(&stage.topic, 0, &[Some(b"{}")])?;
    stage.task("archive").succeed()?;
    let error = stage.task("load").run()?.fails_with(2)?;
    ensure!(error.contains("postgres_setup.sql"), "{error}");
    let error = stage.dbt().run()?.fails_with(2)?;
    ensure!(error.contains("postgres_setup.sql"), "{error}");
    Ok(())
}
