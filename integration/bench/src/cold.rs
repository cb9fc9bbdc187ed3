//! Cold start: a container that finds that nothing is new, from `docker run` to its end.

use std::time::Instant;

use anyhow::ensure;
use integration::{Stage, Task, image, network};

use crate::peer::{run_ours, run_spark};
use crate::report::Figure;

/// Both, in turns.
pub fn measure(rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench_cold", 4)?;
    let (mut containers, mut processes, mut peers, mut bare) = (vec![], vec![], vec![], vec![]);
    // once unmeasured: files come into the page cache
    container(&stage)?;
    run_spark(&["nothing"])?;
    for _ in 0..rounds {
        containers.push(container(&stage)?);
        processes.push(run_ours(stage.task("archive"))?.1.seconds);
        let begun = Instant::now();
        run_spark(&["nothing"])?;
        peers.push(begun.elapsed().as_secs_f64());
        let begun = Instant::now();
        let nothing = Task::new("docker")
            .args([
                "run",
                "--rm",
                "--network",
                &network(),
                "--entrypoint",
                "true",
                &image("archive"),
            ])
            .start()?
            .finish()?;
        ensure!(nothing.code == Some(0), "{nothing:?}");
        bare.push(begun.elapsed().as_secs_f64());
    }
    let how = "`docker run` of `archive` on a topic of 4 partitions that it has archived already: it asks Kafka and HDFS, and ends. Spark: `docker run` of spark-submit with a \
               session that counts one row. Both from the call to the end of the container, files in the page cache. The engine's own share is that of a container that runs `true`";
    let figure = |name: &str, what: &str, ours: &[f64]| {
        Figure::new(name, what, "s", how, ours).beside("spark-submit in a container", &peers)
    };
    Ok(vec![
        figure("start-1-container", "cold start, container", &containers).aim("0.02"),
        figure(
            "start-2-process",
            "cold start, the process alone",
            &processes,
        ),
        figure(
            "start-3-engine",
            "of it the engine's: a container that runs `true`",
            &bare,
        ),
    ])
}

fn container(stage: &Stage) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let finished = Task::new("docker")
        .args(["run", "--rm", "--network", &network()])
        .args(["--env", &format!("KAFKA_TOPIC={}", stage.topic)])
        .args(["--env", &format!("RAW_ROOT={}", stage.raw_root)])
        .args([image("archive").as_str()])
        .start()?
        .finish()?;
    ensure!(finished.code == Some(0), "{finished:?}");
    Ok(begun.elapsed().as_secs_f64())
}
