//! One visit: who, on what device, and the steps still to come.

use event::EventType;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt};

use crate::config::Config;
use crate::pool::Pools;

/// What a visitor does next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// The event that it leaves behind.
    pub event_type: EventType,
    /// Whether another product, another basket and another order begin here.
    pub opens_round: bool,
}

/// How rounds go, so that over many of them each type has its share.
#[derive(Debug, Clone)]
pub struct Script {
    /// Share of the visits that only look around.
    browse: f64,
    browsing: Round,
    buying: Round,
    further_rounds_mean: f64,
}

/// How often each type happens in a round.
#[derive(Debug, Clone, Default)]
struct Round {
    search: f64,
    purchase: f64,
    complete: f64,
    failed_mean: f64,
    error: f64,
}

impl Script {
    /// From the shares: the one that takes most room happens as often as it can, the others as often as
    /// their ratio to it says. Who only looks around searches, and does not buy; so that the shares stay, some of
    /// those who buy know what they want and do not search.
    pub fn new(config: &Config) -> Script {
        let browse = config.visit.browse_ratio;
        let buy = 1.0 - browse;
        let room = |kind| match kind {
            EventType::Search | EventType::Error => 1.0,
            EventType::Purchase | EventType::OrderComplete | EventType::OrderFailed => buy,
        };
        let most = EventType::ALL
            .map(|kind| config.share.of(kind) / room(kind))
            .into_iter()
            .fold(0.0, f64::max);
        let rate = |kind| config.share.of(kind) / most;
        let search = rate(EventType::Search);
        let browsing_search = if browse > 0.0 {
            (search / browse).min(1.0)
        } else {
            0.0
        };
        Script {
            browse,
            browsing: Round {
                search: browsing_search,
                error: rate(EventType::Error),
                ..Round::default()
            },
            buying: Round {
                search: (search - browse * browsing_search) / buy,
                purchase: rate(EventType::Purchase) / buy,
                complete: rate(EventType::OrderComplete) / buy,
                failed_mean: rate(EventType::OrderFailed) / buy,
                error: rate(EventType::Error),
            },
            further_rounds_mean: config.visit.rounds_mean - 1.0,
        }
    }

    /// Events of a visit, on average.
    pub fn steps_mean(&self) -> f64 {
        let round = self.browse * self.browsing.steps_mean()
            + (1.0 - self.browse) * self.buying.steps_mean();
        round * (1.0 + self.further_rounds_mean)
    }

    /// Plans a visit: the last step first. May be empty.
    fn plan(&self, rng: &mut impl Rng, steps: &mut Vec<Step>) {
        steps.clear();
        let round = if rng.random::<f64>() < self.browse {
            &self.browsing
        } else {
            &self.buying
        };
        for _ in 0..=geometric(self.further_rounds_mean, rng) {
            round.plan(rng, steps);
        }
        steps.reverse();
    }
}

impl Round {
    fn steps_mean(&self) -> f64 {
        self.search + self.purchase + self.complete + self.failed_mean + self.error
    }

    /// Plans a round: the first step first. May be empty.
    fn plan(&self, rng: &mut impl Rng, steps: &mut Vec<Step>) {
        let start = steps.len();
        let mut push = |event_type| {
            steps.push(Step {
                event_type,
                opens_round: false,
            });
        };
        // one throw for both: who pays is who gets the order
        let luck: f64 = rng.random();
        if rng.random::<f64>() < self.search {
            push(EventType::Search);
        }
        if luck < self.purchase {
            push(EventType::Purchase);
        }
        // every try fails with the same chance, however often it has failed before
        for _ in 0..geometric(self.failed_mean, rng) {
            push(EventType::OrderFailed);
        }
        if luck < self.complete {
            push(EventType::OrderComplete);
        }
        if rng.random::<f64>() < self.error {
            push(EventType::Error);
            let at = rng.random_range(start..steps.len());
            steps[at..].rotate_right(1);
        }
        if let Some(first) = steps.get_mut(start) {
            first.opens_round = true;
        }
    }
}

/// How many times in a row something happens that happens `mean` times on average.
fn geometric(mean: f64, rng: &mut impl Rng) -> usize {
    let again = mean / (1.0 + mean);
    let mut times = 0;
    while rng.random::<f64>() < again {
        times += 1;
    }
    times
}

/// One line of a basket: which product, how many.
pub type Line = (usize, u32);

/// A visit under way.
#[derive(Debug, Default)]
pub struct Visit {
    /// Index into the users.
    pub user: usize,
    /// Index into the device types.
    pub device: usize,
    /// Number of the session.
    pub session: u64,
    /// When the session began, by the simulated clock, in milliseconds.
    pub session_start: i64,
    /// How much older than the stream its events are, in milliseconds.
    pub late_by: i64,
    /// Index of the product looked at.
    pub product: usize,
    /// The basket; its first line is `product`.
    pub basket: Vec<Line>,
    /// What the basket costs.
    pub amount_cents: u64,
    /// Number of the order, once there is one.
    pub order: Option<u64>,
    /// The user was away for hours: the next event begins another session.
    pub returns: bool,
    steps: Vec<Step>,
}

impl Visit {
    /// Begins anew, in the same memory. The number of steps planned is returned.
    pub fn begin(
        &mut self,
        script: &Script,
        user: usize,
        device: usize,
        rng: &mut impl Rng,
    ) -> usize {
        self.user = user;
        self.device = device;
        self.order = None;
        self.returns = true;
        script.plan(rng, &mut self.steps);
        self.steps.len()
    }

    /// Takes the next step.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop()
    }

    /// The step after that, if the visit goes on.
    pub fn following(&self) -> Option<Step> {
        self.steps.last().copied()
    }

    /// Another product, another basket, no order yet.
    pub fn open_round(&mut self, config: &Config, pools: &Pools, rng: &mut ChaCha8Rng) {
        self.order = None;
        self.product = pools.products.choose(rng);
        self.basket.clear();
        self.basket.push((self.product, quantity(config, rng)));
        let lines_max = config.visit.basket_lines_max;
        while self.basket.len() < lines_max && rng.random_ratio(1, 3) {
            let product = pools.products.choose(rng);
            if self.basket.iter().any(|(other, _)| *other == product) {
                break;
            }
            self.basket.push((product, quantity(config, rng)));
        }
        self.amount_cents = self
            .basket
            .iter()
            .map(|(product, quantity)| {
                pools.products.get(*product).price_cents * u64::from(*quantity)
            })
            .sum();
    }
}

/// Mostly one.
fn quantity(config: &Config, rng: &mut impl Rng) -> u32 {
    if rng.random_ratio(2, 3) {
        1
    } else {
        rng.random_range(1..=config.visit.quantity_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn many_rounds_have_the_shares_whatever_they_are() {
        for shares in [
            "",
            "[share]\npurchase = 1\nsearch = 70\norder_failed = 90\nerror = 0\n",
            "[share]\nsearch = 1\n",
            "[visit]\nbrowse_ratio = 0\n",
            "[visit]\nbrowse_ratio = 0.6\n",
        ] {
            let config = Config::over_defaults(shares).expect("a configuration");
            let script = Script::new(&config);
            let mut rng = ChaCha8Rng::seed_from_u64(5);
            let mut steps = Vec::new();
            let mut counts = [0_usize; 5];
            let visits = 100_000;
            for _ in 0..visits {
                script.plan(&mut rng, &mut steps);
                for step in &steps {
                    counts[step.event_type as usize] += 1;
                }
            }
            let total: usize = counts.iter().sum();
            let sum: f64 = EventType::ALL
                .map(|kind| config.share.of(kind))
                .iter()
                .sum();
            for kind in EventType::ALL {
                let share = counts[kind as usize] as f64 / total as f64;
                let wanted = config.share.of(kind) / sum;
                assert!((share - wanted).abs() < 0.005, "{kind:?} {share} {wanted}");
            }
            let mean = total as f64 / f64::from(visits);
            assert!((mean / script.steps_mean() - 1.0).abs() < 0.02, "{mean}");
        }
    }

    #[test]
    fn some_only_look_around_and_some_do_not_search() {
        let script = Script::new(&Config::over_defaults("").expect("a configuration"));
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut steps = Vec::new();
        let (mut searched, mut bought, mut both) = (0, 0, 0);
        for _ in 0..10_000 {
            script.plan(&mut rng, &mut steps);
            let has = |kind| steps.iter().any(|step| step.event_type == kind);
            let (search, purchase) = (has(EventType::Search), has(EventType::Purchase));
            searched += u32::from(search);
            bought += u32::from(purchase);
            both += u32::from(search && purchase);
            assert!(purchase || !has(EventType::OrderComplete));
        }
        for (part, whole, least, most) in [(both, searched, 0.45, 0.58), (both, bought, 0.5, 0.63)]
        {
            let share = f64::from(part) / f64::from(whole);
            assert!((least..most).contains(&share), "{share}");
        }
    }

    #[test]
    fn an_order_completes_last_and_only_once_in_a_round() {
        let config = Config::over_defaults("").expect("a configuration");
        let script = Script::new(&config);
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut steps = Vec::new();
        for _ in 0..10_000 {
            script.plan(&mut rng, &mut steps);
            let mut completed = false;
            for step in steps.iter().rev() {
                completed &= !step.opens_round;
                let ordered = matches!(
                    step.event_type,
                    EventType::OrderComplete | EventType::OrderFailed
                );
                assert!(!(completed && ordered));
                completed |= step.event_type == EventType::OrderComplete;
            }
        }
    }
}
