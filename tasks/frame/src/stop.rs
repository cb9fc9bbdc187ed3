//! The wish to end: set by SIGTERM or SIGINT, looked at between batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};

/// A flag that tells a task to finish what it holds and end. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag that the first SIGTERM or SIGINT sets; a second one ends the process at once.
    pub fn on_signals() -> anyhow::Result<Stop> {
        let stop = Stop::default();
        for signal in [SIGTERM, SIGINT] {
            // registered first, so that it sees the flag as the signal before left it
            signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop.0))
                .context("cannot watch for signals")?;
            signal_hook::flag::register(signal, Arc::clone(&stop.0))
                .context("cannot watch for signals")?;
        }
        Ok(stop)
    }

    /// Whether it is time to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks for the end, as a signal would.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Sleeps, but not past the wish to end.
    pub fn sleep(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }
}
