//! What a DAG run costs when there is much history: the same new events, after more and more old ones.

use std::time::Instant;

use anyhow::ensure;
use integration::Stage;

use crate::archive::filled;
use crate::peer::run_ours;
use crate::report::{Figure, Peer};

/// A DAG run's worth of new events, with each of these histories; the first is what the others are held against.
pub fn measure(events: u64, histories: &[u64]) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let mut first: Option<(u64, Vec<Step>)> = None;
    for history in histories {
        let stage = filled("bench_history", *history)?;
        if *history > 0 {
            run(&stage)?;
        }
        let count = events.to_string();
        let more = stage
            .task("produce")
            .args(["--count", &count, "--seed", "6"]);
        run_ours(more)?;
        let mut steps = run(&stage)?;
        steps.push(Step {
            name: "sum",
            seconds: steps.iter().map(|step| step.seconds).sum(),
        });
        for step in &steps {
            println!(
                "{history} events of history: {} {:.1} s",
                step.name, step.seconds
            );
        }
        let Some((least, base)) = &first else {
            first = Some((*history, steps));
            continue;
        };
        for (place, (step, base)) in steps.iter().zip(base).enumerate() {
            figures.push(Figure {
                name: format!("history-{history:09}-{place}-{}", step.name),
                what: format!("a run with {events} new events after {history} old ones, {}", step.name),
                unit: "s".to_owned(),
                how: "the tasks of the DAG one after another on tables that hold the history, each from the start of its process (dbt: of its container) to its end; \
                      one run of each, without catalog and audit"
                    .to_owned(),
                ours: vec![step.seconds],
                peer: Some(Peer {
                    name: format!("after {least}"),
                    values: vec![base.seconds],
                }),
                aim: if step.name == "sum" { "at most 1.2".to_owned() } else { String::new() },
            });
        }
    }
    Ok(figures)
}

struct Step {
    name: &'static str,
    seconds: f64,
}

fn run(stage: &Stage) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    for name in ["archive", "load"] {
        let (_, cost) = run_ours(stage.task(name))?;
        steps.push(Step {
            name,
            seconds: cost.seconds,
        });
    }
    let begun = Instant::now();
    let built = stage
        .dbt()
        .start()?
        .finish_within(std::time::Duration::from_secs(3_600))?;
    ensure!(built.code == Some(0), "{built:?}");
    steps.push(Step {
        name: "dbt",
        seconds: begun.elapsed().as_secs_f64(),
    });
    Ok(steps)
}
