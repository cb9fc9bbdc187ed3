//! Into Kafka: `produce` beside Kafka's own ProducerPerformance, with the same records and settings.

use std::fs;

use anyhow::{Context, ensure};
use integration::{Stage, setting};

use crate::peer::{kafka_tool, run_ours};
use crate::report::Figure;

/// Payloads that the peer picks from.
const SAMPLE: &str = "20000";

/// Both, in turns.
pub fn measure(events: u64, rounds: u32) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::new("bench_produce", 4)?;
    let (count, servers) = (
        events.to_string(),
        setting("KAFKA_BOOTSTRAP_SERVERS", "kafka:9092"),
    );
    let written = stage
        .task("produce")
        .args(["--stdout", "--count", SAMPLE, "--seed", "4"])
        .start()?
        .finish()?;
    ensure!(written.code == Some(0), "{written:?}");
    let payloads: Vec<&str> = written
        .stdout
        .lines()
        .filter(|line| line.contains("event_type"))
        .collect();
    let bytes: usize = payloads.iter().map(|line| line.len()).sum();
    // a volume is what two containers can share without knowing the host
    let volume = setting("BENCH_VOLUME", "");
    ensure!(
        !volume.is_empty(),
        "BENCH_VOLUME is not set: run make bench"
    );
    fs::write("/share/payloads.txt", payloads.join("\n")).context("/share")?;
    let (mut ours, mut peer, mut micros) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut take_ours = || -> anyhow::Result<()> {
            let task = stage
                .task("produce")
                .args(["--count", &count, "--seed", "5"]);
            let (sent, cost) = run_ours(task)?;
            ensure!(sent["acked"].as_u64() == Some(events), "{sent}");
            ours.push(events as f64 / cost.seconds);
            micros.push(cost.cpu_seconds * 1e6 / events as f64);
            Ok(())
        };
        if round % 2 == 0 {
            take_ours()?;
        }
        let words = [
            "--topic",
            &stage.topic,
            "--num-records",
            &count,
            "--throughput",
            "-1",
            "--payload-file",
            "/share/payloads.txt",
            "--producer-props",
            &format!("bootstrap.servers={servers}"),
            "acks=all",
            "enable.idempotence=true",
            "compression.type=lz4",
            "linger.ms=5",
            "batch.size=1000000",
            "buffer.memory=67108864",
        ];
        let said = kafka_tool(
            "ProducerPerformance",
            &words,
            &[&format!("{volume}:/share:ro")],
        )?;
        let line = said
            .stdout
            .lines()
            .rev()
            .find(|line| line.contains("records/sec"))
            .context("no result")?;
        let rate = line
            .split(',')
            .nth(1)
            .and_then(|part| part.split_whitespace().next());
        peer.push(rate.context("no rate")?.parse()?);
        if round % 2 == 1 {
            take_ours()?;
        }
        println!("round {round}: produce {ours:.0?}, ProducerPerformance {peer:.0?}");
    }
    let how = format!(
        "{events} events of {} bytes into 4 partitions, acks=all, idempotent, lz4. `produce` makes up each event, one process from its \
         start to its end; ProducerPerformance sends {SAMPLE} ready payloads of `produce` over and over, with the same settings \
         but that batches wait for 5 ms in place of 20 and records have 64 MiB in place of 16 to wait in, and its rate leaves out its start",
        bytes / payloads.len().max(1)
    );
    let cpu = "into Kafka, CPU";
    Ok(vec![
        Figure::new("produce-1-rate", "into Kafka", "events/s", &how, &ours)
            .beside("ProducerPerformance", &peer)
            .aim("0.8"),
        Figure::new("produce-2-cpu", cpu, "µs/event", &how, &micros),
    ])
}
