//! What criterion measured in integration/bench/micro, as figures of ours.

use std::fs;

use anyhow::Context;
use serde_json::Value;

use crate::report::Figure;

const HOME: &str = "/share/criterion";

/// Reads criterion's estimates.
pub fn read() -> anyhow::Result<Vec<Figure>> {
    let how = "criterion, one core, 5,000 events of `produce` of all types; each value is the median \
               with its confidence interval. `event::parse` checks the whole contract, and borrows; \
               the peers make a value of JSON and check nothing of it";
    let ours = estimate("parse/event")?;
    let mut figures = Vec::new();
    for (place, name) in ["serde_json", "sonic_rs", "simd_json"].iter().enumerate() {
        let peer = estimate(&format!("parse/{name}"))?;
        let file = format!("parse-{}-{name}", place + 1);
        figures.push(
            Figure::new(&file, "parse, one core", "events/s", how, &ours)
                .beside(&format!("{name} to a value"), &peer)
                .aim("best of these"),
        );
    }
    let what = "rows of binary COPY from parsed events, one core";
    let rows = estimate("copy/row")?;
    figures.push(Figure::new("parse-4-copy-row", what, "rows/s", how, &rows));
    let what = "records of a raw file in memory";
    let how = "criterion, 60,000 records of these events, in one thread that takes them in and one that compresses row groups; beside it the \
               payloads alone, in pieces of the same 2 MiB, compressed by zstd's level 1 in one thread";
    figures.push(
        Figure::new(
            "parse-5-encode",
            what,
            "records/s",
            how,
            &estimate("encode/raw_file")?,
        )
        .beside("zstd of the payloads", &estimate("encode/zstd")?),
    );
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
