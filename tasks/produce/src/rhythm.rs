//! The rhythm of a day: time as busy hours stretch it.
//!
//! Busy time runs fast in busy hours and slow in quiet ones; a whole day of it is a day. Arrivals
//! that are even in busy time are dense where the shop is busy. All times are in milliseconds.

const HOUR: f64 = 3_600_000.0;
const DAY: f64 = 24.0 * HOUR;

/// How busy each hour (UTC) is.
#[derive(Debug, Clone)]
pub struct Rhythm {
    /// Speed of busy time in each hour; 1 on average.
    speeds: [f64; 24],
    /// Busy time from midnight to the start of each hour.
    until: [f64; 24],
}

impl Rhythm {
    /// From the weights of the hours, not all of them 0.
    pub fn new(hours: &[f64; 24]) -> Rhythm {
        let mean = hours.iter().sum::<f64>() / 24.0;
        let speeds = hours.map(|weight| weight / mean);
        let mut until = [0.0; 24];
        for hour in 1..24 {
            until[hour] = until[hour - 1] + speeds[hour - 1] * HOUR;
        }
        Rhythm { speeds, until }
    }

    /// Busy time since the epoch at `clock`.
    pub fn busy(&self, clock: f64) -> f64 {
        let day = (clock / DAY).floor();
        let in_day = clock - day * DAY;
        let hour = ((in_day / HOUR) as usize).min(23);
        day * DAY + self.until[hour] + (in_day - hour as f64 * HOUR) * self.speeds[hour]
    }

    /// The clock when `busy` more of busy time has passed since `clock`.
    pub fn advance(&self, clock: f64, busy: f64) -> f64 {
        let days = (busy / DAY).floor();
        let mut clock = clock + days * DAY;
        let mut left = busy - days * DAY;
        loop {
            let hour_index = (clock / HOUR).floor();
            let speed = self.speeds[hour_index.rem_euclid(24.0) as usize];
            let room = ((hour_index + 1.0) * HOUR - clock) * speed;
            if left < room {
                return clock + left / speed;
            }
            left -= room;
            clock = (hour_index + 1.0) * HOUR;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop() -> Rhythm {
        let mut hours = [1.0; 24];
        hours[3] = 0.0;
        hours[20] = 8.0;
        Rhythm::new(&hours)
    }

    #[test]
    fn a_day_is_a_day() {
        let rhythm = shop();
        let start = 19_000.0 * DAY + 5.5 * HOUR;
        assert!((rhythm.busy(start + DAY) - rhythm.busy(start) - DAY).abs() < 1.0);
        assert!((rhythm.advance(start, 3.0 * DAY) - start - 3.0 * DAY).abs() < 1.0);
    }

    #[test]
    fn advance_undoes_busy() {
        let rhythm = shop();
        let start = 19_000.0 * DAY + 1.25 * HOUR;
        for step in 1..200 {
            let clock = rhythm.advance(start, f64::from(step) * 0.1 * HOUR);
            let passed = rhythm.busy(clock) - rhythm.busy(start);
            assert!(
                (passed - f64::from(step) * 0.1 * HOUR).abs() < 1.0,
                "{step}"
            );
        }
    }

    #[test]
    fn nothing_happens_in_a_closed_hour() {
        let rhythm = shop();
        let closed = 19_000.0 * DAY + 3.2 * HOUR;
        assert!(rhythm.advance(closed, 1.0) >= 19_000.0 * DAY + 4.0 * HOUR);
    }
}
