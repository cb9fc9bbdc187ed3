//! What the tests on real servers share.
//!
//! A [`Stage`] is a pipeline of its own on the servers of the stack: a topic, a directory on HDFS,
//! a database and, if asked for, a keyspace, with names nobody else has, so that tests run side by side and beside a live
//! pipeline. Tests run the real executables and look at what the servers hold.

mod cassandra;
mod kafka;
mod page;
mod server;
mod stage;
mod task;

pub use cassandra::Cassandra;
pub use kafka::Kafka;
pub use page::Page;
pub use server::{Server, docker};
pub use stage::{ArchivedRecord, Stage, image, network, setting};
pub use task::{Finished, Running, Task, wait_until};
