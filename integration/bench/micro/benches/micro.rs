//! No servers: what `event::parse` costs beside parsers that know nothing of the contract, what a record of a raw file
//! costs beside compressing its payload alone, and what a row of PostgreSQL's binary COPY costs.
//!
//! All peers read the same bytes into a value of JSON; the contract, which `event::parse` checks
//! besides (every field, times, ranges, duplicate keys), they leave unchecked.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[allow(dead_code)]
#[path = "../../../../tasks/load/src/copy.rs"]
mod copy;
// by themselves, so that HDFS's client need not be built for them
#[allow(dead_code)]
#[path = "../../../../tasks/chain/src/encode.rs"]
mod encode;
#[allow(dead_code)]
#[path = "../../../../tasks/chain/src/footer.rs"]
mod footer;
#[allow(dead_code)]
#[path = "../../../../tasks/chain/src/path.rs"]
mod path;

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

/// A raw file of 60,000 records, some 14 row groups; and the payloads alone, compressed in pieces of the same size.
fn encode_file(criterion: &mut Criterion) {
    const RECORDS: i64 = 60_000;
    const PIECE_BYTES: usize = 2 << 20;
    let payloads = payloads();
    let chain = path::ChainPath {
        topic: "LogEvents".to_owned(),
        epoch: 0,
        partition: 0,
        directory: "/raw".to_owned(),
    };
    let records = || (0..RECORDS).zip(payloads.iter().cycle());
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(RECORDS as u64));
    group.sample_size(20);
    group.bench_function("raw_file", |bencher| {
        bencher.iter(|| {
            let mut encoder = encode::Encoder::new().expect("a writer");
            for (offset, payload) in records() {
                let record = encode::Record {
                    offset,
                    timestamp_millis: RECORD_TIME / 1_000 + offset,
                    key: Some(b"user_1234"),
                    value: Some(payload),
                };
                encoder.push(&record).expect("a row group");
            }
            let file = encoder.finish(&chain, 0, RECORDS, None);
            black_box(file.expect("a raw file").len())
        });
    });
    group.bench_function("zstd", |bencher| {
        bencher.iter(|| {
            let (mut piece, mut length) = (Vec::with_capacity(PIECE_BYTES), 0);
            for (_, payload) in records() {
                piece.extend_from_slice(payload);
                if piece.len() >= PIECE_BYTES {
                    length += zstd::bulk::compress(&piece, 1).expect("compressed").len();
                    piece.clear();
                }
            }
            length += zstd::bulk::compress(&piece, 1).expect("compressed").len();
            black_box(length)
        });
    });
    group.finish();
}

criterion_group!(benches, parse, encode_file, copy_rows);
criterion_main!(benches);
