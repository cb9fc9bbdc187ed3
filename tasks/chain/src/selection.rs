//! The part of the raw files that a person asks for: partitions, offsets, Kafka times.
//!
//! A raw file is the unit: a file of which any record is asked for is taken whole.

use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveTime};
use clap::Args;
use frame::person_needed;

use crate::files::{Files, Stored};
use crate::pack::raw_files;
use crate::path::{Raw, RawFileName};
use crate::read::{Corrupt, RawFile};

/// Which records; without any of these options, all.
#[derive(Args, Debug, Clone, Default)]
pub struct Selection {
    /// Only this Kafka partition; may be given more than once (in the environment: separated by
    /// commas)
    #[arg(
        long = "partition",
        env = "RAW_PARTITION",
        value_name = "NUMBER",
        value_delimiter = ',',
        value_parser = clap::value_parser!(i32).range(0..)
    )]
    pub partitions: Vec<i32>,

    /// Only from this Kafka offset on; needs --partition
    #[arg(long, env = "RAW_FROM_OFFSET", value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub from_offset: Option<i64>,

    /// Only up to this Kafka offset, without it; needs --partition
    #[arg(long, env = "RAW_TO_OFFSET", value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,

    /// Only records that Kafka got at this time or later: 2026-01-31T12:00:00Z, or a day, which
    /// begins at 00:00 UTC
    #[arg(long, env = "RAW_SINCE", value_name = "TIME")]
    pub since: Option<Moment>,

    /// Only records that Kafka got before this time, written as for --since
    #[arg(long, env = "RAW_UNTIL", value_name = "TIME")]
    pub until: Option<Moment>,
}

/// A time as a person writes it, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        let time = DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_micros());
        let day = || {
            let day = text.parse::<NaiveDate>()?;
            Ok(day.and_time(NaiveTime::MIN).and_utc().timestamp_micros())
        };
        time.or_else(|_| day())
            .map(Moment)
            .map_err(|_: chrono::ParseError| {
                "write a time with its zone, such as 2026-01-31T12:00:00Z, or a day, such as \
                 2026-01-31"
                    .to_owned()
            })
    }
}

impl Selection {
    /// Whether nothing is left out.
    pub fn is_everything(&self) -> bool {
        self.partitions.is_empty()
            && (self.from_offset, self.to_offset) == (None, None)
            && (self.since, self.until) == (None, None)
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// A range that ends before it begins, and offsets without a partition, ask for a person.
    pub fn check(&self) -> anyhow::Result<()> {
        if let (Some(since), Some(until)) = (self.since, self.until)
            && since >= until
        {
            return Err(person_needed("--since must be earlier than --until"));
        }
        if let (Some(from), Some(to)) = (self.from_offset, self.to_offset)
            && from >= to
        {
            return Err(person_needed("--from-offset must be less than --to-offset"));
        }
        let has_offsets = self.from_offset.is_some() || self.to_offset.is_some();
        if has_offsets && self.partitions.is_empty() {
            return Err(person_needed(
                "--from-offset and --to-offset count within a partition: name it by --partition",
            ));
        }
        Ok(())
    }

    /// The offsets asked for: `start..next`.
    pub fn offsets(&self) -> (i64, i64) {
        (
            self.from_offset.unwrap_or(0),
            self.to_offset.unwrap_or(i64::MAX),
        )
    }

    /// Whether records of the file are asked for. By time, the file has to be read for it.
    pub fn takes(&self, files: &dyn Files, file: &ListedFile) -> anyhow::Result<bool> {
        let name = &file.name;
        let (from, to) = self.offsets();
        let is_asked_for = self.partitions.is_empty() || self.partitions.contains(&name.partition);
        if !is_asked_for || file.next <= from || name.start >= to {
            return Ok(false);
        }
        if (self.since, self.until) == (None, None) {
            return Ok(true);
        }
        let mut found = false;
        let read = RawFile::open(files, &file.stored).and_then(|raw_file| {
            raw_file.for_each(|record| {
                let time = Moment(record.timestamp_millis.saturating_mul(1_000));
                found |= self.since.is_none_or(|since| time >= since)
                    && self.until.is_none_or(|until| time < until);
                Ok(())
            })
        });
        match read {
            // whoever takes it says what is wrong with it
            Err(failure) if failure.is::<Corrupt>() => Ok(true),
            Err(failure) => Err(failure),
            Ok(()) => Ok(found),
        }
    }
}

/// A raw file and the positions that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its place in the chain.
    pub name: RawFileName,
    /// Where it is.
    pub stored: Stored,
    /// The position after the last one covered.
    pub next: i64,
}

/// The raw files of a topic, oldest first within each chain.
pub fn list_topic(files: &dyn Files, raw: &Raw, topic: &str) -> anyhow::Result<Vec<ListedFile>> {
    let mut listed: Vec<ListedFile> = raw_files(files, raw, topic, |_| false)?
        .into_iter()
        .map(|(name, stored)| ListedFile {
            name,
            stored,
            next: i64::MAX,
        })
        .collect();
    for index in 0..listed.len() {
        // a file ends where the one after it starts; the newest tells its end itself
        let after = listed.get(index + 1).map(|file| file.name.clone());
        let file = &mut listed[index];
        let chain = |name: &RawFileName| (name.epoch, name.partition);
        match after {
            Some(after) if chain(&after) == chain(&file.name) => file.next = after.start,
            _ => match RawFile::footer(files, &file.stored) {
                Ok(footer) => file.next = footer.next,
                // its end is unknown: whoever reads it says what is wrong with it
                Err(failure) if failure.is::<Corrupt>() => {}
                Err(failure) => return Err(failure),
            },
        }
    }
    Ok(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_with_a_zone_or_a_day() {
        let moment = |text: &str| text.parse::<Moment>().ok();
        assert_eq!(moment("1970-01-02"), Some(Moment(86_400_000_000)));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Some(Moment(0)));
        for wrong in ["yesterday", "1970-01-01T00:00:00", "1970-13-01", ""] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_meant_asks_for_a_person() {
        let wrong = [
            Selection {
                since: Some(Moment(1)),
                until: Some(Moment(1)),
                ..Selection::default()
            },
            Selection {
                partitions: vec![0],
                from_offset: Some(5),
                to_offset: Some(5),
                ..Selection::default()
            },
            Selection {
                from_offset: Some(5),
                ..Selection::default()
            },
        ];
        for selection in wrong {
            let failure = selection.check().expect_err("senseless");
            assert!(frame::is_person_needed(&failure), "{selection:?}");
        }
        assert!(Selection::default().check().is_ok());
        assert!(Selection::default().is_everything());
    }
}
