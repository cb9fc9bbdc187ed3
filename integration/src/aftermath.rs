//! After a fault: how long until nothing was behind, and whether the stores agree.

use std::time::Instant;

use anyhow::ensure;

use crate::chaos::{self, Comparison, Injection, Store};
use crate::stage::Stage;

/// A fault that has fired and has just ended.
pub struct Aftermath<'a> {
    fault: &'a str,
    in_flight: u64,
    healed: Instant,
}

impl<'a> Aftermath<'a> {
    /// The fault ends now. `in_flight`: records that were on their way when it began.
    pub fn of(fault: &'a str, in_flight: i64) -> anyhow::Result<Aftermath<'a>> {
        Aftermath::since(fault, in_flight, Instant::now())
    }

    /// The fault ended then.
    pub fn since(fault: &'a str, in_flight: i64, healed: Instant) -> anyhow::Result<Aftermath<'a>> {
        ensure!(in_flight > 0, "{fault}: it came too late to prove anything");
        Ok(Aftermath {
            fault,
            in_flight: in_flight.unsigned_abs(),
            healed,
        })
    }

    /// Nothing is behind any more: compares the stores, adds a line to the table of `make chaos`,
    /// and asserts that nothing is lost and nothing is there twice.
    pub fn settle(self, stage: &Stage, stores: &[Store<'_>]) -> anyhow::Result<Comparison> {
        let recovery = self.healed.elapsed();
        let comparison = chaos::compare(stage, stores)?;
        chaos::record(&Injection {
            fault: self.fault,
            fired: true,
            in_flight: self.in_flight,
            lost: comparison.lost,
            duplicated: comparison.duplicated,
            recovery,
        })?;
        eprintln!(
            "{}: {} in flight, {} lost, {} duplicated, recovered in {:.1} s",
            self.fault,
            self.in_flight,
            comparison.lost,
            comparison.duplicated,
            recovery.as_secs_f64()
        );
        comparison.assert_equal()?;
        Ok(comparison)
    }
}
