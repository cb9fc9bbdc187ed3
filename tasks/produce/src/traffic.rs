//! Visits to the shop, interleaved: what happens next, and when by the simulated clock.
//!
//! Everything here follows from the seed, the start, the count and the configuration alone; neither
//! the wall clock nor the speed of sending has a say.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use event::EventType;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt, SeedableRng};
use rand_distr::weighted::WeightedAliasIndex;
use rand_distr::{Distribution, Exp1};

use crate::config::Config;
use crate::pool::Pools;
use crate::rhythm::Rhythm;
use crate::visit::{Script, Visit};

/// Milliseconds since the Unix epoch.
pub type Millis = i64;

const HOUR: f64 = 3_600_000.0;

/// What a run is: the same run, the same traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Of all that is left to chance.
    pub seed: u64,
    /// When the first visit begins.
    pub start: Millis,
    /// When all must be over, if the run has such an end.
    pub end: Option<Millis>,
    /// How many events there will be, if that is known.
    pub count: Option<u64>,
    /// Share of the visits that are late.
    pub late_ratio: f64,
}

impl Run {
    /// A source of chance for one `purpose`: what one takes out does not change another.
    pub fn rng(&self, purpose: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        // runs of one seed over other times have nothing in common, not even an identifier
        let times = (self.start as u64).wrapping_mul(31) ^ self.end.unwrap_or(0) as u64;
        rng.set_stream(times << 2 | purpose);
        rng
    }
}

/// The next event.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// When, by the simulated clock.
    pub time: Millis,
    /// What.
    pub event_type: EventType,
    /// Where to find the visit.
    pub slot: usize,
    /// Whether an order is heard of for the first time.
    pub opens_order: bool,
}

/// The shop and all who are in it.
#[derive(Debug)]
pub struct Traffic<'a> {
    config: &'a Config,
    pools: &'a Pools,
    run: Run,
    script: Script,
    rhythm: Rhythm,
    devices: WeightedAliasIndex<f64>,
    rng: ChaCha8Rng,
    late_rng: ChaCha8Rng,
    visits: Vec<Visit>,
    free: Vec<usize>,
    leaving: Option<usize>,
    queue: BinaryHeap<Reverse<(Millis, u64, usize)>>,
    /// When the next visitor comes.
    arrival: f64,
    arrivals: u64,
    sessions: u64,
    orders: u64,
    happened: u64,
    planned: u64,
}

impl<'a> Traffic<'a> {
    /// The shop before the first visitor.
    pub fn new(config: &'a Config, pools: &'a Pools, run: Run) -> anyhow::Result<Traffic<'a>> {
        Ok(Traffic {
            config,
            pools,
            run,
            script: Script::new(config),
            rhythm: Rhythm::new(&config.clock.hours),
            devices: WeightedAliasIndex::new(config.device_type.weights())?,
            rng: run.rng(0),
            late_rng: run.rng(1),
            visits: Vec::new(),
            free: Vec::new(),
            leaving: None,
            queue: BinaryHeap::new(),
            arrival: run.start as f64,
            arrivals: 0,
            sessions: 0,
            orders: 0,
            happened: 0,
            planned: 0,
        })
    }

    /// The visit of a moment, until the next call of [`Traffic::advance`].
    pub fn visit(&self, slot: usize) -> &Visit {
        &self.visits[slot]
    }

    /// The visit, and the source of what else its event leaves to chance.
    pub fn visit_and_rng(&mut self, slot: usize) -> (&Visit, &mut ChaCha8Rng) {
        (&self.visits[slot], &mut self.rng)
    }

    /// What happens next. Does not end: the caller counts.
    pub fn advance(&mut self) -> Moment {
        if let Some(slot) = self.leaving.take() {
            self.free.push(slot);
        }
        let (time, slot) = self.next_in_queue();
        let visit = &mut self.visits[slot];
        // a visit without a step left is not in the queue
        let step = visit.step().expect("a visit in the queue has a step");
        self.planned -= 1;
        self.happened += 1;
        if visit.returns {
            self.sessions += 1;
            visit.session = self.sessions;
            visit.session_start = time;
            visit.returns = false;
        }
        if step.opens_round {
            visit.open_round(self.config, self.pools, &mut self.rng);
        }
        let orders = matches!(
            step.event_type,
            EventType::OrderComplete | EventType::OrderFailed
        );
        let opens_order = orders && visit.order.is_none();
        if opens_order {
            self.orders += 1;
            visit.order = Some(self.orders);
        }
        self.plan_following(slot, time, step.event_type);
        Moment {
            time,
            event_type: step.event_type,
            slot,
            opens_order,
        }
    }

    /// Lets visitors in until somebody has something to do.
    fn next_in_queue(&mut self) -> (Millis, usize) {
        loop {
            let enough = self
                .run
                .count
                .is_some_and(|count| self.happened + self.planned >= count);
            match self.queue.peek() {
                Some(Reverse((time, _, slot))) if enough || *time as f64 <= self.arrival => {
                    let found = (*time, *slot);
                    self.queue.pop();
                    return found;
                }
                _ => self.let_in(),
            }
        }
    }

    fn let_in(&mut self) {
        let gap = self.gap_mean() * exponential(&mut self.rng);
        self.arrival = self
            .rhythm
            .advance(self.arrival, gap)
            .min(self.last_arrival());
        let user = self.pools.users.choose(&mut self.rng);
        let device = if self.rng.random_ratio(3, 4) {
            self.pools.users.get(user).device
        } else {
            self.devices.sample(&mut self.rng)
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.visits.push(Visit::default());
            self.visits.len() - 1
        });
        let visit = &mut self.visits[slot];
        visit.late_by = late_by(self.config, self.run.late_ratio, &mut self.late_rng);
        let steps = visit.begin(&self.script, user, device, &mut self.rng);
        if steps == 0 {
            self.free.push(slot);
            return;
        }
        self.planned += steps as u64;
        self.enqueue(self.arrival as Millis, slot);
    }

    /// Busy time to the next arrival, on average. Where the run has an end, what is left of the
    /// events is spread over what is left of the time.
    fn gap_mean(&self) -> f64 {
        let steps = self.script.steps_mean();
        match (self.run.end, self.run.count) {
            (Some(_), Some(count)) => {
                let time_left =
                    self.rhythm.busy(self.last_arrival()) - self.rhythm.busy(self.arrival);
                let events_left = count.saturating_sub(self.happened + self.planned).max(1);
                (time_left * steps / events_left as f64).max(0.0)
            }
            _ => 1000.0 * steps / self.config.clock.events_per_second,
        }
    }

    /// The last ones to come need time for their visit.
    fn last_arrival(&self) -> f64 {
        self.run.end.map_or(f64::INFINITY, |end| {
            let span = (end - self.run.start) as f64;
            end as f64 - (span / 20.0).min(HOUR / 3.0)
        })
    }

    fn plan_following(&mut self, slot: usize, time: Millis, just_did: EventType) {
        let Some(next) = self.visits[slot].following() else {
            self.leaving = Some(slot);
            return;
        };
        let rules = &self.config.visit;
        let tries_again = just_did == EventType::OrderFailed && !next.opens_round;
        let mut pause = 1000.0 * rules.pause_seconds_mean * exponential(&mut self.rng);
        if tries_again && self.rng.random_bool(rules.retry_later_ratio) {
            // at most half a day, or events would run away from the rest of the stream
            let later =
                (HOUR * rules.retry_later_hours_mean * exponential(&mut self.rng)).min(12.0 * HOUR);
            let in_time = self
                .run
                .end
                .is_none_or(|end| time + (later as Millis) < end);
            if in_time {
                pause = later.max(pause);
                self.visits[slot].returns = true;
            }
        }
        let then = time + (pause as Millis).max(200);
        let then = self.run.end.map_or(then, |end| then.min(end));
        self.enqueue(then, slot);
    }

    fn enqueue(&mut self, time: Millis, slot: usize) {
        // equal times: first come, first served
        self.arrivals += 1;
        self.queue.push(Reverse((time, self.arrivals, slot)));
    }
}

fn exponential(rng: &mut impl Rng) -> f64 {
    Exp1.sample(rng)
}

/// Mostly 0; else evenly over the orders of magnitude that the configuration allows.
fn late_by(config: &Config, ratio: f64, rng: &mut impl Rng) -> Millis {
    if ratio == 0.0 || !rng.random_bool(ratio) {
        return 0;
    }
    let least = config.late.minutes_min.max(0.01);
    let most = config.late.minutes_max.max(least);
    let minutes = least * (most / least).powf(rng.random::<f64>());
    (minutes * 60_000.0) as Millis
}
