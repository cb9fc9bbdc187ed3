//! How the tables are keyed: by what the record says alone.

use event::Micros;
use scylla::value::{CqlDate, CqlTimestamp};

/// Kafka partitions share this many Cassandra partitions of one type and day. Not an option: a
/// changed number would write an event that is sent again beside its first copy.
pub const SHARDS: i32 = 16;

/// Offsets of a block, within which and the one before it a repeated event is a duplicate. Not an
/// option: a changed size would count records of old blocks again.
pub const BLOCK_OFFSETS: i64 = 50_000;

const MICROS_OF_DAY: Micros = 86_400_000_000;

/// What Cassandra calls 1970-01-01.
const DATE_OF_UNIX_EPOCH: i64 = 1 << 31;

/// The shard of a Kafka partition.
pub fn shard(kafka_partition: i32) -> i32 {
    kafka_partition.rem_euclid(SHARDS)
}

/// First offset of the block that holds `offset`.
pub fn block_start(offset: i64) -> i64 {
    offset - offset.rem_euclid(BLOCK_OFFSETS)
}

/// Days since 1970-01-01.
pub fn day(time: Micros) -> i64 {
    time.div_euclid(MICROS_OF_DAY)
}

/// The day as Cassandra writes it.
pub fn date(time: Micros) -> CqlDate {
    CqlDate((day(time) + DATE_OF_UNIX_EPOCH) as u32)
}

/// The time as Cassandra keeps it: milliseconds.
pub fn timestamp(time: Micros) -> CqlTimestamp {
    CqlTimestamp(time.div_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_before_1970_are_days_too() {
        assert_eq!(date(0), CqlDate(1 << 31));
        assert_eq!(date(-1), CqlDate((1 << 31) - 1));
        assert_eq!(timestamp(-1), CqlTimestamp(-1));
        assert_eq!(timestamp(1_999), CqlTimestamp(1));
    }

    #[test]
    fn blocks_before_zero_are_aligned_too() {
        assert_eq!(block_start(0), 0);
        assert_eq!(block_start(BLOCK_OFFSETS - 1), 0);
        assert_eq!(block_start(-1), -BLOCK_OFFSETS);
    }
}
