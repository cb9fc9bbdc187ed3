//! The pace of sending: so many events a second, whatever the clock of the events says.

use std::time::{Duration, Instant};

use frame::Stop;

/// What was held up longer than this is not made up for by a burst.
const LONGEST_BURST: Duration = Duration::from_secs(1);

/// Holds the stream to a rate.
#[derive(Debug)]
pub struct Pace {
    /// From one event to the next; `None` where there is no limit.
    gap: Option<Duration>,
    due: Instant,
}

impl Pace {
    /// `rate` in events per second; 0 is no limit.
    pub fn new(rate: f64) -> Pace {
        Pace {
            gap: (rate > 0.0).then(|| Duration::from_secs_f64(1.0 / rate)),
            due: Instant::now(),
        }
    }

    /// Whether there is a rate to hold.
    pub fn is_limited(&self) -> bool {
        self.gap.is_some()
    }

    /// Waits until the next event is due, or the end is asked for.
    pub fn wait(&mut self, stop: &Stop) {
        let Some(gap) = self.gap else { return };
        let now = Instant::now();
        if let Some(early) = self.due.checked_duration_since(now) {
            // a timer is not exact below this, and the next waits make up for it
            if early > Duration::from_millis(1) {
                stop.sleep(early);
            }
        } else if now - self.due > LONGEST_BURST {
            self.due = now;
        }
        self.due += gap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_and_no_rate_does_not_wait() {
        let stop = Stop::default();
        let started = Instant::now();
        let mut pace = Pace::new(10_000.0);
        for _ in 0..2000 {
            pace.wait(&stop);
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!((0.19..1.0).contains(&seconds), "{seconds}");
        let mut pace = Pace::new(0.0);
        let started = Instant::now();
        for _ in 0..2000 {
            pace.wait(&stop);
        }
        assert!(started.elapsed() < Duration::from_millis(100));
    }
}
