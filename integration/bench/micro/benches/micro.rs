//! One core, no servers: what `event::parse` costs beside parsers that know nothing of the contract,
//! and what a row of PostgreSQL's binary COPY costs.
//!
//! All peers read the same bytes into a value of JSON; the contract, which `event::parse` checks
//! besides (every field, times, ranges, duplicate keys), they leave unchecked.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[allow(dead_code)]
#[path = "../../../../tasks/load/src/copy.rs"]
mod copy;

/// 2100-01-01T00:00:00Z: no event is from the future.
const RECORD_TIME: i64 = 4_102_444_800_000_000;

/// Lines of `produce --stdout`, in the proportions of the contract.
fn payloads() -> Vec<Vec<u8>> {
    let path = std::env::var("BENCH_PAYLOADS").unwrap_or_else(|_| "payloads.txt".to_owned());
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines: Vec<Vec<u8>> = text
        .split(|byte| *byte == b'\n')
        .filter(|line| event::parse(Some(line), RECORD_TIME).is_ok())
        .map(<[u8]>::to_vec)
        .collect();
    assert!(lines.len() >= 1_000, "{path} has {} events", lines.len());
    lines
}

fn parse(criterion: &mut Criterion) {
    let payloads = payloads();
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(payloads.len() as u64));
    group.bench_function("event", |bencher| {
        bencher.iter(|| {
            for payload in &payloads {
                black_box(event::parse(Some(payload), RECORD_TIME).is_ok());
            }
        });
    });
    group.bench_function("serde_json", |bencher| {
        bencher.iter(|| {
            for payload in &payloads {
                black_box(serde_json::from_slice::<serde_json::Value>(payload).is_ok());
            }
        });
    });
    group.bench_function("sonic_rs", |bencher| {
        bencher.iter(|| {
            for payload in &payloads {
                black_box(sonic_rs::from_slice::<sonic_rs::Value>(payload).is_ok());
            }
        });
    });
    group.bench_function("simd_json", |bencher| {
        // it parses in place, so each round needs a copy of its own, which is not timed
        bencher.iter_batched_ref(
            || payloads.clone(),
            |payloads| {
                for payload in payloads {
                    black_box(simd_json::to_borrowed_value(payload).is_ok());
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn copy_rows(criterion: &mut Criterion) {
    let payloads = payloads();
    let events: Vec<_> = payloads
        .iter()
        .filter_map(|payload| event::parse(Some(payload), RECORD_TIME).ok())
        .collect();
    let mut group = criterion.benchmark_group("copy");
    group.throughput(Throughput::Elements(events.len() as u64));
    group.bench_function("row", |bencher| {
        bencher.iter(|| {
            let mut rows = copy::Rows::begin();
            for (offset, event) in (0..).zip(&events) {
                let origin = copy::Origin {
                    load_id: 1,
                    partition: 0,
                    offset,
                    record_time: RECORD_TIME,
                };
                let event_id = event.event_id.as_deref().unwrap_or_default();
                rows.event(origin, event_id, event);
            }
            black_box(rows.bytes.len())
        });
    });
    group.finish();
}

criterion_group!(benches, parse, copy_rows);
criterion_main!(benches);
