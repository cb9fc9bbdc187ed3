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
    in_milliseconds(text.as_bytes()).or_else(|| {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|time| time.timestamp_micros())
    })
}

/// `2026-01-31T12:00:00.123Z`, as senders write it: an event has two, and the reader of every form takes a
/// tenth of the time that parsing it takes. `None` for any other form.
fn in_milliseconds(text: &[u8]) -> Option<Micros> {
    let text: &[u8; 24] = text.try_into().ok()?;
    let marks = [4, 7, 10, 13, 16, 19, 23].map(|place| text[place]);
    if &marks != b"--T::.Z" {
        return None;
    }
    let number = |digits: std::ops::Range<usize>| {
        text[digits].iter().try_fold(0, |number, digit| {
            let digit = digit.wrapping_sub(b'0');
            (digit < 10).then(|| 10 * number + u32::from(digit))
        })
    };
    let year = i32::try_from(number(0..4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5..7)?, number(8..10)?)?;
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let time = date.and_hms_milli_opt(hour, minute, second, number(20..23)?)?;
    Some(time.and_utc().timestamp_micros())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::micros;

    fn by_chrono(text: &str) -> Option<i64> {
        let time = DateTime::parse_from_rfc3339(text).ok()?;
        Some(time.timestamp_micros())
    }

    proptest! {
        /// The common form, and what is nearly so.
        #[test]
        fn what_is_read_by_hand_is_read_as_chrono_does(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}Z",
            place in 0..24_usize,
            byte in any::<u8>(),
        ) {
            prop_assert_eq!(micros(&text), by_chrono(&text));
            let mut bytes = text.into_bytes();
            bytes[place] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                prop_assert_eq!(micros(&text), by_chrono(&text));
            }
        }
    }

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
}
