//! The stream: traffic in, records out, totals at the end.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use event::{EARLIEST_EVENT_TIME, LATEST_AHEAD};
use frame::{Outcome, Progress, Stop, person_needed};
use log::info;
use rand::Rng;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::catalog;
use crate::config::{Config, DEFAULTS, Pool};
use crate::kafka::Topic;
use crate::noise::Noise;
use crate::options::{Options, PoolChoice};
use crate::pace::Pace;
use crate::payload::Writer;
use crate::pool::Pools;
use crate::sink::{Delivery, Lines, Sink};
use crate::totals::{Orders, Totals, iso};
use crate::traffic::{Millis, Run, Traffic};

const DAY: f64 = 24.0 * 3_600_000.0;

/// Kafka's clock may be behind ours.
const MARGIN: Millis = 600_000;

/// The last line.
#[derive(Debug, Serialize)]
struct Summary {
    seed: u64,
    start: String,
    events: u64,
    by_type: Map<String, Value>,
    amount_cents: Map<String, Value>,
    quantity: Map<String, Value>,
    orders: Orders,
    late: u64,
    first_event_time: Option<String>,
    last_event_time: Option<String>,
    records: u64,
    duplicates: u64,
    malformed: u64,
    acked: u64,
    failed: u64,
    too_large: u64,
    stopped: bool,
}

/// The task.
pub fn run(options: &Options, stop: &Stop) -> anyhow::Result<Outcome> {
    if options.stdout || options.print_config {
        frame::stdout_is_data();
    }
    if options.print_config {
        std::io::stdout()
            .write_all(DEFAULTS.as_bytes())
            .context("cannot write to stdout")?;
        return Outcome::done(Map::new());
    }
    let mut config = Config::load(options.config.as_deref())?;
    choose_pool(&mut config.users, options.users.as_ref());
    choose_pool(&mut config.products, options.products.as_ref());
    if let Some(folder) = &options.write_catalog {
        let users = catalog::users(config.catalog.seed, config.users.count)?;
        let products = catalog::products(config.catalog.seed, config.products.count);
        catalog::write(folder, &users, &products)?;
        return Outcome::done(serde_json::json!({
            "users": users.len(),
            "products": products.len(),
        }));
    }
    let run = plan(options)?;
    let pools = Pools::new(&config)?;
    let mut sink: Box<dyn Sink> = if options.stdout {
        Box::new(Lines::new())
    } else {
        frame::writes(options.kafka.dataset(), "/acked");
        match Topic::connect(&options.kafka, options.delivery_timeout_seconds, stop)? {
            Some(topic) => Box::new(topic),
            None => return Outcome::done(serde_json::json!({"events": 0, "stopped": true})),
        }
    };
    let mut stream = Stream::new(options, &config, &pools, run)?;
    stream.pour(sink.as_mut(), stop)?;
    let delivery = sink.finish(stop)?;
    stream.outcome(delivery)
}

fn choose_pool(pool: &mut Pool, choice: Option<&PoolChoice>) {
    match choice {
        None => {}
        Some(PoolChoice::Count(count)) => {
            pool.count = *count;
            pool.file.clear();
        }
        Some(PoolChoice::File(file)) => pool.file.clone_from(file),
    }
}

/// What is to be played, from the command line.
fn plan(options: &Options) -> anyhow::Result<Run> {
    let span = options.history_days.map(|days| (days * DAY) as Millis);
    let start = match (options.start, span) {
        (Some(start), _) => start,
        (None, Some(span)) => now() - span,
        (None, None) => now(),
    };
    if start < EARLIEST_EVENT_TIME / 1000 {
        return Err(person_needed(
            "the history would begin before 2000, which breaks the contract: lower --history-days",
        ));
    }
    Ok(Run {
        // 63 bits: every JSON reader and every form holds such a number
        seed: options
            .seed
            .unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 1),
        start,
        end: span.map(|span| start + span),
        count: options.count,
        late_ratio: options.late_ratio,
    })
}

fn now() -> Millis {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as Millis)
}

/// One run of the shop.
struct Stream<'a> {
    run: Run,
    /// Events carry the time at which they are sent.
    live: bool,
    /// No simulated time is later: it would break the contract.
    latest: Millis,
    traffic: Traffic<'a>,
    writer: Writer<'a>,
    noise: Noise,
    pace: Pace,
    totals: Totals,
    pools: &'a Pools,
    stopped: bool,
}

impl<'a> Stream<'a> {
    fn new(
        options: &Options,
        config: &'a Config,
        pools: &'a Pools,
        run: Run,
    ) -> anyhow::Result<Stream<'a>> {
        Ok(Stream {
            run,
            live: options.start.is_none() && options.history_days.is_none(),
            latest: now() + LATEST_AHEAD / 1000 - MARGIN,
            traffic: Traffic::new(config, pools, run)?,
            writer: Writer::new(config, pools, run.rng(3).next_u32())?,
            noise: Noise::new(options.duplicate_ratio, options.malformed_ratio, run.rng(2)),
            pace: Pace::new(options.rate),
            totals: Totals::default(),
            pools,
            stopped: false,
        })
    }

    /// Sends until the count is reached or the end is asked for.
    fn pour(&mut self, sink: &mut dyn Sink, stop: &Stop) -> anyhow::Result<()> {
        let progress = Progress::new(self.run.count, "events");
        let period = if std::io::stderr().is_terminal() {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(10)
        };
        let (mut reported, mut reported_at) = (0, Instant::now());
        let mut payload = Vec::with_capacity(2048);
        let mut events: u64 = 0;
        while self.run.count.is_none_or(|count| events < count) {
            self.pace.wait(stop);
            if stop.is_set() || sink.is_closed() {
                self.stopped = true;
                break;
            }
            self.event(&mut payload, sink)?;
            events += 1;
            // the clock is looked at now and then, unless events are rare
            if (events.is_multiple_of(1024) || self.pace.is_limited())
                && reported_at.elapsed() >= period
            {
                let acked = sink.delivery().acked;
                progress.batch(
                    events - reported,
                    format_args!("{events} events sent, {acked} records acknowledged"),
                );
                (reported, reported_at) = (events, Instant::now());
            }
        }
        self.noise.finish(sink)?;
        info!("{events} events sent; waiting for the last acknowledgements");
        Ok(())
    }

    /// One event, and the noise that follows it.
    fn event(&mut self, payload: &mut Vec<u8>, sink: &mut dyn Sink) -> anyhow::Result<()> {
        let moment = self.traffic.advance();
        let time = self.event_time(moment.time, moment.slot)?;
        let (visit, rng) = self.traffic.visit_and_rng(moment.slot);
        let duration = (moment.time - visit.session_start) / 1000;
        self.writer
            .write(payload, moment.event_type, visit, time, duration, rng);
        self.totals.add(&moment, visit, time);
        let key = self.pools.users.get(visit.user).id.as_bytes();
        sink.send(key, Some(payload))?;
        self.noise.after(key, payload, sink)
    }

    /// What the event says its time is.
    fn event_time(&self, simulated: Millis, slot: usize) -> anyhow::Result<Millis> {
        let time = if self.live {
            now()
        } else if simulated <= self.latest {
            simulated
        } else {
            return Err(person_needed(format!(
                "events would lie more than a day ahead of now, which breaks the contract: choose \
                 an earlier --start, a lower --count, or a higher clock.events_per_second \
                 ({} sent so far)",
                self.totals.events()
            )));
        };
        let late_by = self.traffic.visit(slot).late_by;
        Ok((time - late_by).max(EARLIEST_EVENT_TIME / 1000))
    }

    fn outcome(self, delivery: Delivery) -> anyhow::Result<Outcome> {
        let (first_event_time, last_event_time) = self.totals.span();
        let events = self.totals.events();
        let (duplicates, malformed) = (self.noise.duplicates, self.noise.malformed);
        let too_large = delivery.too_large;
        let summary = Summary {
            seed: self.run.seed,
            start: iso(self.run.start),
            events,
            by_type: self.totals.by_type(),
            amount_cents: self.totals.amount_cents(),
            quantity: self.totals.quantity(),
            orders: self.totals.orders(),
            late: self.totals.late(),
            first_event_time,
            last_event_time,
            records: events + duplicates + malformed,
            duplicates,
            malformed,
            acked: delivery.acked,
            failed: delivery.failed,
            too_large,
            stopped: self.stopped,
        };
        if too_large > 0 {
            return Outcome::needs_person(
                summary,
                format!(
                    "{too_large} records are larger than Kafka takes and were not sent: raise \
                     message.max.bytes (-X, and of the topic) or lower visit.basket_lines_max"
                ),
            );
        }
        Outcome::done(summary)
    }
}

#[cfg(test)]
mod tests;
