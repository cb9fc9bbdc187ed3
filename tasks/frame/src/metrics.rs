//! Metrics for Prometheus: a long-running task is scraped, a short one pushes what it did.
//!
//! Neither may harm the task: a gateway that does not answer is a warning. What a task counts it
//! counts through the crate `metrics`, under the names that README lists; every series carries the
//! label `task`.

use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use clap::Args;
use log::{info, warn};
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

use crate::pages;

// no doc comment here: it would become the description of every task in its --help
#[derive(Args, Debug, Clone, Default)]
#[command(next_help_heading = "Metrics")]
pub struct MetricsOptions {
    /// Serve Prometheus metrics on this address (0.0.0.0:8080): /metrics, and /healthz
    #[arg(long, env = "METRICS_LISTEN", value_name = "ADDRESS:PORT")]
    pub metrics_listen: Option<SocketAddr>,

    /// Push Prometheus metrics to this Pushgateway (http://host:9091), every 10 seconds and at the
    /// end
    #[arg(long, env = "METRICS_PUSH_URL", value_name = "URL")]
    pub metrics_push_url: Option<String>,
}

/// Bounds of `..._seconds` histograms: from a row on its way to a lag of ten minutes.
const SECONDS: [f64; 16] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 600.0,
];

/// Bounds of histograms that count records.
const RECORDS: [f64; 10] = [1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1e3, 1e4, 1e5, 1e6];

/// How often a task that runs for long pushes, and histograms are folded.
const PUSH_INTERVAL: Duration = Duration::from_secs(10);

/// How long a gateway may take: the end of a task waits for it.
const PUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The metrics of a run.
pub struct Metrics {
    name: String,
    exposition: Option<Exposition>,
    push_url: Option<String>,
    pusher: Option<(Sender<()>, JoinHandle<()>)>,
}

#[derive(Clone)]
struct Exposition {
    handle: PrometheusHandle,
    process: Collector,
}

impl Exposition {
    fn text(&self) -> String {
        self.process.collect();
        self.handle.render()
    }
}

impl Metrics {
    /// Counts from here on, if anybody is to see it.
    pub fn begin(name: &str, options: &MetricsOptions) -> anyhow::Result<Metrics> {
        let mut metrics = Metrics {
            name: name.to_owned(),
            exposition: None,
            push_url: options.metrics_push_url.clone(),
            pusher: None,
        };
        if options.metrics_listen.is_none() && options.metrics_push_url.is_none() {
            return Ok(metrics);
        }
        let recorder = PrometheusBuilder::new()
            .add_global_label("task", name)
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_records".to_owned()), &RECORDS)
            })
            .context("bounds of histograms")?
            .build_recorder();
        let exposition = Exposition {
            handle: recorder.handle(),
            process: Collector::default(),
        };
        metrics::set_global_recorder(recorder)
            .map_err(|_| anyhow!("metrics are counted somewhere else already"))?;
        exposition.process.describe();
        if let Some(address) = options.metrics_listen {
            let served = exposition.clone();
            pages::page("/metrics", "text/plain; version=0.0.4", move || {
                (200, served.text())
            });
            pages::listen(address)?;
            info!("metrics at http://{address}/metrics");
        }
        metrics.pusher = Some(metrics.keep_up(exposition.clone())?);
        metrics.exposition = Some(exposition);
        Ok(metrics)
    }

    /// Folds histograms, which would otherwise grow until somebody asks, and pushes now and then.
    fn keep_up(&self, exposition: Exposition) -> anyhow::Result<(Sender<()>, JoinHandle<()>)> {
        let (ended, end) = channel();
        let (name, url) = (self.name.clone(), self.push_url.clone());
        let thread = std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || {
                while end.recv_timeout(PUSH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    exposition.handle.run_upkeep();
                    if let Some(url) = &url {
                        push("POST", url, &name, &exposition.text());
                    }
                }
            })
            .context("cannot start a thread")?;
        Ok((ended, thread))
    }

    /// Says how the run ended. A successful one replaces what the task pushed before; a failed one
    /// leaves standing when it last succeeded.
    pub fn end(self, exit_code: u8, duration: Duration) {
        let Some(exposition) = self.exposition else {
            return;
        };
        if let Some((ended, thread)) = self.pusher {
            drop(ended);
            // a push that panicked has said so, and the end is pushed below
            let _ = thread.join();
        }
        gauge!("pipeline_run_exit_code").set(f64::from(exit_code));
        gauge!("pipeline_run_duration_seconds").set(duration.as_secs_f64());
        if exit_code == 0 {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            gauge!("pipeline_last_success_timestamp_seconds")
                .set(now.unwrap_or_default().as_secs_f64());
        }
        if let Some(url) = &self.push_url {
            let method = if exit_code == 0 { "PUT" } else { "POST" };
            push(method, url, &self.name, &exposition.text());
        }
    }
}

fn push(method: &str, url: &str, name: &str, text: &str) {
    let place = format!("{}/metrics/job/{name}", url.trim_end_matches('/'));
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(PUSH_TIMEOUT))
        .build()
        .into();
    let answer = if method == "PUT" {
        agent.put(&place).send(text)
    } else {
        agent.post(&place).send(text)
    };
    if let Err(failure) = answer {
        warn!("metrics could not be pushed to {place}: {failure}");
    }
}
