//! Event time: ISO 8601 with a zone, held as microseconds since 1970-01-01T00:00:00Z.

use chrono::{DateTime, NaiveDate};

/// Microseconds since the Unix epoch.
pub type Micros = i64;

/// 2000-01-01T00:00:00Z: no shop event is older.
pub const EARLIEST_EVENT_TIME: Micros = 946_684_800_000_000;

/// How far an event's own clock may run ahead of its record's Kafka time: one day.
pub const LATEST_AHEAD: Micros = 24 * 3600 * 1_000_000;

/// Reads an ISO 8601 time-stamp with a zone; digits below a microsecond are cut.
pub(crate) fn micros(text: &str) -> Option<Micros> {
    usual(text.as_bytes()).or_else(|| by_chrono(text))
}

fn by_chrono(text: &str) -> Option<Micros> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    Some(time.timestamp_micros())
}

/// `2026-01-01T00:00:00.000Z`, with three, six or no digits behind the point: how nearly all
/// senders write it, and three times as fast as reading what else there may be.
fn usual(text: &[u8]) -> Option<Micros> {
    let (second, fraction) = text.strip_suffix(b"Z")?.split_first_chunk::<19>()?;
    let separators = [4, 7, 10, 13, 16].map(|at| second[at]);
    if separators != *b"--T::" {
        return None;
    }
    let part = |start, end| number(&second[start..end]);
    let year = i32::try_from(part(0, 4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, part(5, 7)?, part(8, 10)?)?;
    let time = date.and_hms_opt(part(11, 13)?, part(14, 16)?, part(17, 19)?)?;
    let micros = match fraction {
        [] => 0,
        [b'.', millis @ ..] if millis.len() == 3 => 1_000 * number(millis)?,
        [b'.', micros @ ..] if micros.len() == 6 => number(micros)?,
        _ => return None,
    };
    Some(time.and_utc().timestamp() * 1_000_000 + i64::from(micros))
}

/// A number of nothing but digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| 10 * number + u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::{by_chrono, micros};

    #[test]
    fn zones_are_converted_and_nanoseconds_cut() {
        assert_eq!(micros("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(micros("1970-01-01T00:00:00.123456789Z"), Some(123_456));
        assert_eq!(micros("1969-12-31T23:59:59.999999999Z"), Some(-1));
    }

    #[test]
    fn a_missing_zone_and_hour_24_are_refused() {
        for text in [
            "2026-01-01T00:00:00",
            "2026-01-01T24:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-01-01",
            "",
            "1767225600",
        ] {
            assert_eq!(micros(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_usual_is_read_as_chrono_reads_it() {
        for text in [
            "2026-11-27T19:10:01Z",
            "2026-11-27T19:10:01.001Z",
            "2026-11-27T19:10:01.000001Z",
            "1969-12-31T23:59:59.999Z",
            "2024-02-29T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "0000-01-01T00:00:00Z",
            "2016-12-31T23:59:60Z",
        ] {
            assert_eq!(micros(text), by_chrono(text), "{text}");
            assert!(micros(text).is_some(), "{text}");
            for cut in 0..text.len() {
                let mut other = text.to_owned();
                other.remove(cut);
                assert_eq!(micros(&other), by_chrono(&other), "{other}");
                for odd in ["", " ", "+", "0", "9", "\u{663}"] {
                    other = text.to_owned();
                    other.replace_range(cut..=cut, odd);
                    assert_eq!(micros(&other), by_chrono(&other), "{other}");
                }
            }
        }
    }
}
