//! Days and weeks, by hand: what PostgreSQL makes of them is what is tested.

/// Microseconds of an hour.
pub const HOUR: i64 = 3_600_000_000;
/// Microseconds of a day.
pub const DAY: i64 = 24 * HOUR;

/// Year, month and day of a day counted from 1970-01-01.
pub fn civil(days: i64) -> (i64, i64, i64) {
    // years begin in March here, so that the leap day is the last of its year
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = (march_month + 2) % 12 + 1;
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// yyyymmdd of a moment.
pub fn date_sk(at: i64) -> i64 {
    let (year, month, day) = civil(at.div_euclid(DAY));
    year * 10_000 + month * 100 + day
}

/// The Monday of a moment's week, counted from 1970-01-01, a Thursday.
pub fn monday(at: i64) -> i64 {
    let days = at.div_euclid(DAY);
    days - (days + 3).rem_euclid(7)
}

/// Its name.
pub fn weekday(days: i64) -> &'static str {
    const NAMES: [&str; 7] = [
        "Thursday",
        "Friday",
        "Saturday",
        "Sunday",
        "Monday",
        "Tuesday",
        "Wednesday",
    ];
    NAMES[days.rem_euclid(7) as usize]
}

/// Week 1 of a year is the one with its first Thursday; so a week belongs to the year of its Thursday.
pub fn iso_week(days: i64) -> i64 {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil(thursday);
    let mut week = 1;
    while civil(thursday - week * 7).0 == year {
        week += 1;
    }
    week
}
