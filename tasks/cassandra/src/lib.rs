//! Cassandra as the tasks see it: where it is, how to log in, and how the tables are keyed.
//!
//! One task writes the tables and another checks them: both must come to the same key for the same
//! record, so the rules of the keys are here.

mod keys;
mod session;

pub use keys::{BLOCK_OFFSETS, SHARDS, block_start, date, day, shard, timestamp};
pub use session::{Options, REQUEST_TIMEOUT, connect, is_schema_missing};
