//! What may go wrong in one seed, and how often.

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::stepping::Request;
use crate::storage::Fate;

/// How often each thing goes wrong, per turn or per operation.
pub struct Weather {
    pub grow: f64,
    pub forget: f64,
    pub sleep: f64,
    pub die: f64,
    refuse: f64,
    lose_reply: f64,
    lose_request: f64,
    delay_request: f64,
    pub land: f64,
    pub sweep: f64,
}

impl Weather {
    /// Each seed has a weather of its own: a fault that is rare beside others has its own days.
    pub fn new(rng: &mut ChaCha8Rng) -> Weather {
        let mut rate = |most: f64| {
            if rng.random_bool(0.5) {
                rng.random_range(0.0..most)
            } else {
                0.0
            }
        };
        Weather {
            grow: 0.05 + rate(0.2),
            forget: rate(0.05),
            sleep: rate(0.2),
            die: rate(0.1),
            refuse: rate(0.05),
            lose_reply: rate(0.4),
            lose_request: rate(0.4),
            delay_request: rate(0.4),
            land: 0.02 + rate(0.2),
            sweep: rate(0.5),
        }
    }

    /// Nothing goes wrong, and nothing new comes.
    pub fn good() -> Weather {
        Weather {
            grow: 0.0,
            forget: 0.0,
            sleep: 0.0,
            die: 0.0,
            refuse: 0.0,
            lose_reply: 0.0,
            lose_request: 0.0,
            delay_request: 0.0,
            land: 0.1,
            sweep: 0.0,
        }
    }

    /// What becomes of an operation.
    pub fn fate(&self, rng: &mut ChaCha8Rng, request: &Request) -> Fate {
        let write = matches!(request, Request::Write { .. });
        let rename = matches!(request, Request::Rename { .. });
        let fates = [
            (self.die, write, Fate::CutShort),
            // a rename is never just refused: what that means is the writer's to find out
            (self.refuse, !rename, Fate::Refused),
            (self.lose_reply, rename, Fate::ReplyLost),
            (self.lose_request, rename, Fate::RequestLost),
            (self.delay_request, rename, Fate::RequestLate),
        ];
        for (rate, possible, fate) in fates {
            if possible && rng.random_bool(rate) {
                return fate;
            }
        }
        Fate::Answered
    }
}
