//! Event time: ISO 8601 with a zone, held as microseconds since 1970-01-01T00:00:00Z.

use chrono::DateTime;

/// Microseconds since the Unix epoch.
pub type Micros = i64;

/// 2000-01-01T00:00:00Z: no shop event is older.
pub const EARLIEST_EVENT_TIME: Micros = 946_684_800_000_000;

/// How far an event's own clock may run ahead of its record's Kafka time: one day.
pub const LATEST_AHEAD: Micros = 24 * 3600 * 1_000_000;

/// Reads an ISO 8601 time-stamp with a zone; digits below a microsecond are cut.
pub(crate) fn micros(text: &str) -> Option<Micros> {
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|time| time.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::micros;

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
