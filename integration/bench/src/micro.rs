//! What criterion measured in integration/bench/micro, as figures of ours.

use std::fs;

use anyhow::Context;
use serde_json::Value;

use crate::report::{Figure, Peer};

const HOME: &str = "/share/criterion";

/// Reads criterion's estimates.
pub fn read() -> anyhow::Result<Vec<Figure>> {
    let how = "criterion, one core, 5,000 events of `produce` of all types; each value is the median \
               with its confidence interval. `event::parse` checks the whole contract, and borrows; \
               the peers make a value of JSON and check nothing of it"
        .to_owned();
    let ours = estimate("parse/event")?;
    let mut figures = Vec::new();
    for (place, name) in ["serde_json", "sonic_rs", "simd_json"].iter().enumerate() {
        figures.push(Figure {
            name: format!("parse-{}-{name}", place + 1),
            what: "parse, one core".to_owned(),
            unit: "events/s".to_owned(),
            how: how.clone(),
            ours: ours.clone(),
            peer: Some(Peer {
                name: format!("{name} to a value"),
                values: estimate(&format!("parse/{name}"))?,
            }),
            aim: "best of these".to_owned(),
        });
    }
    figures.push(Figure {
        name: "parse-4-copy-row".to_owned(),
        what: "rows of binary COPY from parsed events, one core".to_owned(),
        unit: "rows/s".to_owned(),
        how: how.clone(),
        ours: estimate("copy/row")?,
        peer: None,
        aim: String::new(),
    });
    Ok(figures)
}

/// Elements per second: at the ends of the interval of confidence, and in its middle.
fn estimate(name: &str) -> anyhow::Result<Vec<f64>> {
    let load = |file: &str| -> anyhow::Result<Value> {
        let path = format!("{HOME}/{name}/new/{file}.json");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        serde_json::from_str(&text).context(path)
    };
    let elements = load("benchmark")?["throughput"]["Elements"]
        .as_f64()
        .context("no throughput")?;
    let median = &load("estimates")?["median"];
    let nanoseconds = [
        &median["confidence_interval"]["upper_bound"],
        &median["point_estimate"],
        &median["confidence_interval"]["lower_bound"],
    ];
    nanoseconds
        .iter()
        .map(|value| Ok(elements * 1e9 / value.as_f64().context("no estimate")?))
        .collect()
}
