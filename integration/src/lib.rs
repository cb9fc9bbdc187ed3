//! What the tests on real servers share.
//!
//! A [`Stage`] is a pipeline of its own on the servers of the stack: a topic, a directory on HDFS
//! and a database with names nobody else has, so that tests run side by side and beside a live
//! pipeline. Tests run the real executables and look at what the servers hold.

mod kafka;
mod stage;
mod task;

pub use kafka::Kafka;
pub use stage::{ArchivedRecord, Stage, image, network, setting};
pub use task::{Finished, Running, Task, wait_until};
